package gateway

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// requestDigest digests a create request member by member, so that a reused key
// can be answered with the member that differs and never with its value. The
// security code is left out: a shopper may type it again.
func requestDigest(key ReferenceKey, tenant string, in normalize.CreateInput) map[string]string {
	d := newDigest(key, tenant, "POST /v1/instruments")
	put := d.put
	put("/customer_id", in.CustomerID)
	for i, s := range in.Sources {
		put("/sources/"+strconv.Itoa(i), revealed(s))
	}
	if in.BillingAddress != nil && *in.BillingAddress != (normalize.Address{}) {
		put("/billing_address", in.BillingAddress)
	}
	if in.Default {
		put("/default", true)
	}
	if len(in.Metadata) > 0 {
		put("/metadata", in.Metadata)
	}
	for pointer, v := range map[string]string{"/currency": in.Currency, "/country": in.Country, "/provider": in.Provider} {
		if v != "" {
			put(pointer, v)
		}
	}
	return d.members
}

// digest is a keyed digest of a request, by its members.
type digest struct {
	key           ReferenceKey
	tenant, route string
	members       map[string]string
}

func newDigest(key ReferenceKey, tenant, route string) digest {
	return digest{key, tenant, route, map[string]string{}}
}

func (d digest) put(place string, v any) {
	b, _ := json.Marshal(v) // strings, numbers, booleans and maps of them: cannot fail
	d.members[place] = d.key.digest("digest", d.tenant, d.route, place, string(b))
}

// differing returns the route if two digests differ in it, since then everything
// does; else the first member, in order; "" if none.
func differing(a, b map[string]string) string {
	if a[routeMember] != b[routeMember] {
		return routeMember
	}
	all := map[string]string{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	for _, pointer := range slices.Sorted(maps.Keys(all)) {
		if a[pointer] != b[pointer] {
			return pointer
		}
	}
	return ""
}

// revealed is a source's content with its secrets in the clear, without the
// security code, as input of a keyed digest and for nothing else.
func revealed(s normalize.Source) any {
	secret := normalize.Secret.Reveal
	switch {
	case s.Card != nil:
		return []any{s.Type, secret(s.Card.Number), s.Card.ExpMonth, s.Card.ExpYear, s.Card.HolderName}
	case s.BankAccount != nil:
		b := s.BankAccount
		return []any{s.Type, secret(b.AccountNumber), b.RoutingNumber, b.AccountType, secret(b.IBAN), b.HolderName}
	case s.InstrumentIdentifier != nil:
		return []any{s.Type, *s.InstrumentIdentifier}
	case s.TransientToken != nil:
		return []any{s.Type, secret(s.TransientToken.TransientToken)}
	case s.RebillyToken != nil:
		return []any{s.Type, secret(s.RebillyToken.Token)}
	case s.VaultedToken != nil:
		plain := *s.VaultedToken
		plain.VaultToken = normalize.Secret{}
		return []any{s.Type, plain, secret(s.VaultedToken.VaultToken)}
	case s.ProviderReference != nil:
		return []any{s.Type, *s.ProviderReference}
	}
	return s.Type
}

// referenceText joins a provider's references in a fixed order, to name one place.
func referenceText(refs normalize.References, keys []string) string {
	parts := make([]string, 0, len(keys))
	for _, k := range keys {
		parts = append(parts, k+"="+refs[k])
	}
	return strings.Join(parts, " ")
}
