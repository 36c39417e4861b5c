package gateway

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// merge returns v with what a provider shows put over it. What a provider does
// not tell stays: BigCommerce shows no address of a bank account, Rebilly no
// instrument identifier.
func (v View) merge(ins adapters.Instrument) View {
	if v.Default = ins.Default; ins.Type != "" {
		v.Type = ins.Type
	}
	if ins.Card != nil {
		card := *ins.Card
		if v.Card != nil {
			keep(&card.BIN, v.Card.BIN)
			keep(&card.Last4, v.Card.Last4)
			keep(&card.IssuerCountry, v.Card.IssuerCountry)
			keep(&card.IssuerName, v.Card.IssuerName)
			if card.Brand == "" || card.Brand == normalize.BrandOther {
				card.Brand = cmp.Or(v.Card.Brand, card.Brand)
			}
			if card.ExpYear == 0 {
				card.ExpMonth, card.ExpYear = v.Card.ExpMonth, v.Card.ExpYear
			}
		}
		v.Card = &card
	}
	if ins.BankAccount != nil {
		account := *ins.BankAccount
		if v.BankAccount != nil {
			keep(&account.Last4, v.BankAccount.Last4)
			keep(&account.RoutingNumber, v.BankAccount.RoutingNumber)
			keep(&account.AccountType, v.BankAccount.AccountType)
			keep(&account.BankName, v.BankAccount.BankName)
		}
		v.BankAccount = &account
	}
	if ins.PayPal != nil {
		v.PayPal = ins.PayPal
	}
	if ins.BillingAddress != nil {
		v.BillingAddress = ins.BillingAddress
	}
	return v
}

func keep[T ~string](field *T, before T) {
	if *field == "" {
		*field = before
	}
}

// withMetadata returns v with a merge patch applied to its metadata.
func (v View) withMetadata(patch map[string]*string, clear bool) View {
	m := map[string]string{}
	if !clear {
		maps.Copy(m, v.Metadata)
	}
	for k, value := range patch {
		if value == nil {
			delete(m, k)
		} else {
			m[k] = *value
		}
	}
	if v.Metadata = m; len(m) == 0 {
		v.Metadata = nil // as it is after it was stored
	}
	return v
}

// instrument renders the record for callers. It must be completed and no alias.
func (r Record) instrument(now time.Time) normalize.Instrument {
	out := normalize.Instrument{
		Object: "instrument", ID: r.ID, CustomerID: r.CustomerID,
		Metadata: map[string]string{}, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	if r.View == nil {
		return out
	}
	v := *r.View
	out.Type, out.Default, out.Card, out.BankAccount, out.PayPal = v.Type, v.Default, v.Card, v.BankAccount, v.PayPal
	out.BillingAddress, out.FingerprintOf = v.BillingAddress, v.FingerprintOf
	if v.Fingerprint != "" {
		fp := v.Fingerprint
		out.Fingerprint = &fp
	}
	maps.Copy(out.Metadata, v.Metadata)
	for _, t := range r.Tokens {
		out.ProviderTokens = append(out.ProviderTokens, normalize.ProviderToken{
			Provider: t.Provider, ProviderType: t.ProviderType, Role: t.Role, Status: t.Status,
			References: t.References, ProviderStatus: t.ProviderStatus, SyncedAt: t.SyncedAt, Code: t.Code,
		})
	}
	out.Status = r.status(now)
	return out
}

// status is the instrument's own: what the gateway holds, then the expiry date,
// then the primary's word.
func (r Record) status(now time.Time) normalize.Status {
	primary := r.primary().Status
	switch {
	case r.Held || primary == normalize.StatusDeactivated:
		return normalize.StatusDeactivated
	case r.View.Card != nil && normalize.Expired(r.View.Card.ExpMonth, r.View.Card.ExpYear, now):
		return normalize.StatusExpired
	default:
		return primary
	}
}

// ETag is the strong entity tag of an instrument as shown, quotes included. A
// record moves its updated_at with everything that a caller could see change, and
// with nothing else (see Record.touched); only the status also changes by time alone.
func ETag(ins normalize.Instrument) string {
	return `"` + strconv.FormatInt(ins.UpdatedAt.UnixMicro(), 36) + "-" + string(ins.Status) + `"`
}

// operation renders the record as the operation of its create.
func (r Record) operation() Operation {
	op := Operation{
		Object: "operation", ID: r.ID, State: r.State, Outcome: r.outcome(), Attempts: slices.Concat(r.Passed, r.attemptViews()),
		Advice: r.advice(), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	switch {
	case r.AliasOf != "":
		op.Instrument = r.AliasOf
	case r.MirrorOf != "":
		op.Instrument = r.MirrorOf
	case r.State == StateCompleted:
		op.Instrument = r.ID
	}
	return op
}

func (r Record) attemptViews() []AttemptView {
	out := make([]AttemptView, 0, len(r.Attempts))
	for _, a := range r.Attempts {
		outcome := a.Outcome
		if outcome == "" {
			outcome = normalize.Unknown // it is running, or its gateway died
		}
		code := a.Code
		if code == normalize.CustomerReferenceRequired {
			code = normalize.Code(ReasonNoCustomerReference) // one word for it, here and in the explanation of a decision
		}
		out = append(out, AttemptView{Provider: a.Provider, Outcome: outcome, Code: code, MS: a.MS})
	}
	return out
}
