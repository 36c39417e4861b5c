package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// ReferenceKey is a secret from which ids, fingerprints and digests are derived.
// It is never changed in place: a new one is added in front, new creates use it,
// and the old ones stay so that what they named can be found.
type ReferenceKey struct {
	ID     string // 1–16 of a–z 0–9
	Secret []byte // 32 bytes or more
}

// Keys is the ring of reference keys, the current one first.
type Keys []ReferenceKey

// Validate reports what is wrong with the ring.
func (k Keys) Validate() error {
	if len(k) == 0 {
		return errors.New("a reference key is required")
	}
	seen := map[string]bool{}
	for _, key := range k {
		if len(key.Secret) < 32 {
			return fmt.Errorf("reference key %q must have at least 32 bytes", key.ID)
		}
		if seen[key.ID] {
			return fmt.Errorf("reference key id %q is used twice", key.ID)
		}
		seen[key.ID] = true
	}
	return nil
}

// byID finds a key of the ring.
func (k Keys) byID(id string) (ReferenceKey, bool) {
	for _, key := range k {
		if key.ID == id {
			return key, true
		}
	}
	return ReferenceKey{}, false
}

func crockford() *base32.Encoding {
	return base32.NewEncoding(crockfordAlphabet).WithPadding(base32.NoPadding)
}

// mac is an HMAC-SHA256 over the parts, each ended by a zero byte, so that no two
// lists of parts give the same text. Parts never hold a zero byte themselves.
func (k ReferenceKey) mac(parts ...string) []byte {
	h := hmac.New(sha256.New, k.Secret)
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum(nil)
}

// name is an id of 26 Crockford base32 characters, 130 bits.
func (k ReferenceKey) name(prefix string, parts ...string) string {
	return prefix + crockford().EncodeToString(k.mac(parts...))[:26]
}

// instrumentID is the id of the instrument that a create with this idempotency
// key makes: the same key gives the same id, also after the store forgot it.
func (k ReferenceKey) instrumentID(tenant, idempotencyKey string) string {
	return k.name("ins_", "instrument", tenant, idempotencyKey)
}

// adoptedID is the id of an instrument that was found at a provider.
func (k ReferenceKey) adoptedID(tenant, provider, reference string) string {
	return k.name("ins_", "adopted", tenant, provider, reference)
}

// fingerprint is a keyed identity of a card or account number.
func (k ReferenceKey) fingerprint(identity string) string {
	return k.name("fp_", "fingerprint", identity)
}

// customerKey is a provider-safe name for a tenant's customer: two tenants with a
// customer of the same id never share one at a provider.
func (k ReferenceKey) customerKey(tenant, customer string) string {
	return k.name("pv_", "customer", tenant, customer)
}

// digest is a short keyed digest of one part of a request.
func (k ReferenceKey) digest(parts ...string) string {
	return hex.EncodeToString(k.mac(parts...)[:10])
}

// ValidInstrumentID reports whether id has the form of an instrument's id: "ins_"
// and 26 characters of Crockford's base32 in lower case.
func ValidInstrumentID(id string) bool {
	rest, ok := strings.CutPrefix(id, "ins_")
	return ok && len(rest) == 26 && strings.Trim(rest, crockfordAlphabet) == ""
}

const crockfordAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// claimIdentity returns the text that two creates of one card have in common before
// any call: its number, or its token in the vault behind the provider, which may be
// used again. "" if nothing is known.
func claimIdentity(src normalize.Source) string {
	if v := src.VaultedToken; v != nil {
		return "vault " + v.PaymentMethodID + " " + v.VaultToken.Reveal()
	}
	return identityOf(src)
}

// identityOf returns the text from which the fingerprint of a source's number is
// made, and where it comes from; "" when the number is not in hand.
func identityOf(src normalize.Source) string {
	switch {
	case src.Card != nil:
		return "card " + src.Card.Number.Reveal()
	case src.BankAccount != nil && !src.BankAccount.IBAN.IsZero():
		return "iban " + src.BankAccount.IBAN.Reveal()
	case src.BankAccount != nil:
		return "aba " + src.BankAccount.RoutingNumber + " " + src.BankAccount.AccountNumber.Reveal()
	}
	return ""
}
