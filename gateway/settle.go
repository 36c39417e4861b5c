package gateway

import (
	"slices"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Want is what an attempt is to store, as far as it may be kept and as far as a
// look-up at the provider can recognise it. No number, no security code, no token.
type Want struct {
	View       View                 `json:"view"`
	References normalize.References `json:"refs,omitempty"` // what no read at the provider shows
	Default    bool                 `json:"default,omitempty"`
	Identity   string               `json:"identity,omitempty"`  // the provider's own, of a card that is known by now
	ReadOnly   bool                 `json:"read_only,omitempty"` // the attempt only reads what is stored already: it has no effect
}

// wanted is what a source will look like once it is stored.
func wanted(src normalize.Source, in normalize.CreateInput) Want {
	w := Want{View: View{Metadata: in.Metadata, BillingAddress: in.BillingAddress}, Default: in.Default}
	switch {
	case src.ProviderReference != nil:
		w.ReadOnly = true
	case src.Card != nil:
		n := src.Card.Number.Reveal()
		w.View.Type = normalize.TypeCard
		w.View.Card = &normalize.Card{
			Brand: normalize.BrandOf(n), BIN: normalize.BINOf(n), Last4: normalize.Last4Of(n),
			ExpMonth: src.Card.ExpMonth, ExpYear: src.Card.ExpYear,
		}
	case src.BankAccount != nil:
		n := src.BankAccount.AccountNumber.Reveal() + src.BankAccount.IBAN.Reveal() // one of them is set
		w.View.Type = normalize.TypeBankAccount
		w.View.BankAccount = &normalize.BankAccount{Last4: normalize.Last4Of(n), RoutingNumber: src.BankAccount.RoutingNumber}
	case src.InstrumentIdentifier != nil:
		w.View.Type = normalize.TypeCard
		w.View.Card = &normalize.Card{ExpMonth: src.InstrumentIdentifier.ExpMonth, ExpYear: src.InstrumentIdentifier.ExpYear}
		w.References = normalize.References{"instrument_identifier": src.InstrumentIdentifier.InstrumentIdentifier}
	case src.VaultedToken != nil:
		v := src.VaultedToken
		w.View.Type = v.InstrumentType
		w.References = normalize.References{"payment_method_id": v.PaymentMethodID, "vault_customer": v.ProviderCustomerID}
		switch v.InstrumentType {
		case normalize.TypeCard:
			w.View.Card = &normalize.Card{Brand: v.Brand, BIN: v.BIN, Last4: v.Last4, ExpMonth: v.ExpMonth, ExpYear: v.ExpYear}
		case normalize.TypePayPal:
			w.View.PayPal = &normalize.PayPal{Email: v.Email}
		case normalize.TypeBankAccount:
			_, last := normalize.ParseMask(v.MaskedAccountNumber)
			w.View.BankAccount = &normalize.BankAccount{Last4: last}
		case normalize.TypeOther:
		}
	}
	return w
}

// clockSkew is how far a provider's clock may be behind the store's.
const clockSkew = 5 * time.Minute

// likeness is how much an instrument at the provider looks like what an attempt was to store.
type likeness int

const (
	unlike   likeness = iota // it is another one
	possible                 // nothing speaks against it but that nothing is known
	alike                    // what is known of both is equal
)

// compare says whether an instrument at the provider may be what an attempt that
// began at `since` stored. What is not known on either side does not speak against it.
func (w *Want) compare(ins adapters.Instrument, since time.Time) likeness {
	if w == nil {
		w = new(Want)
	}
	if ins.Status == normalize.StatusDeactivated || w.View.Type != "" && ins.Type != "" && ins.Type != w.View.Type {
		return unlike
	}
	if id := w.References["instrument_identifier"]; id != "" && ins.References["instrument_identifier"] != id {
		return unlike
	}
	if w.Identity != "" && ins.Identity != w.Identity {
		return unlike
	}
	known := w.Identity != ""
	same := func(want, have string) bool {
		known = known || want != "" && have != ""
		return want == "" || have == "" || want == have
	}
	if c, have := w.View.Card, ins.Card; c != nil && have != nil {
		expiry := c.ExpYear == 0 || have.ExpYear == 0 || c.ExpYear == have.ExpYear && c.ExpMonth == have.ExpMonth
		if !expiry || !same(c.Last4, have.Last4) || !same(prefix(c.BIN, 6), prefix(have.BIN, 6)) {
			return unlike
		}
	}
	if b, have := w.View.BankAccount, ins.BankAccount; b != nil && have != nil && !same(b.Last4, have.Last4) {
		return unlike
	}
	if p, have := w.View.PayPal, ins.PayPal; p != nil && have != nil && !same(p.Email, have.Email) {
		return unlike
	}
	// Of a one-time token nothing is known but when it was sent.
	switch {
	case known || w.References["instrument_identifier"] != "":
		return alike
	case ins.CreatedAt.IsZero() || !ins.CreatedAt.Before(since.Add(-clockSkew)):
		return possible
	default:
		return unlike
	}
}

// likest picks what an attempt most likely stored of a customer's instruments that
// no record has: the one that is most like it, and then the newest. open is how many
// creates of the customer are open, with this one. sure is false if what was found
// is only possible, and may be the card of another open create: that is excluded if
// this create is the only open one, or if all that was found is one card, and there
// is some of it for every open create.
func (w *Want) likest(unmapped []adapters.Instrument, since time.Time, open int) (best adapters.Instrument, like likeness, sure bool) {
	found, oneCard := 0, true
	for _, ins := range unmapped {
		this := w.compare(ins, since)
		if this == unlike {
			continue
		}
		oneCard = oneCard && ins.Identity != "" && (found == 0 || ins.Identity == best.Identity)
		if found++; this > like || this == like && ins.CreatedAt.After(best.CreatedAt) {
			best, like = ins, this
		}
	}
	return best, like, like != possible || open <= 1 || oneCard && found >= open
}

func prefix(s string, n int) string { return s[:min(n, len(s))] }

// taken gives an abandoned or undecided record to a reconciler: SENDING whose
// lease is over, UNKNOWN or MANUAL -> UNKNOWN with a lease of its own.
func (r Record) taken(owner string, now time.Time, lease time.Duration) (Record, error) {
	if r.leased(now) || r.State != StateSending && r.State != StateUnknown && r.State != StateManual || len(r.Attempts) == 0 {
		return r.refuse("take")
	}
	if r.State == StateSending {
		r = r.withEnd(normalize.Unknown, normalize.OutcomeUnknown, now)
	}
	r.State, r.Owner, r.Fence, r.LeaseEnd = StateUnknown, owner, r.Fence+1, now.Add(lease)
	return r, nil
}

// absent writes down that a look-up found nothing. The first time it is due again
// after settle; once that has passed, the attempt is proved not executed, and the
// same key may try again, at the same provider.
func (r Record) absent(now time.Time, settle time.Duration) (Record, error) {
	if r.State != StateUnknown {
		return r.refuse("absent")
	}
	if r.AbsentAt.IsZero() {
		r.AbsentAt, r.DueAt = now, now.Add(settle)
		return r.released(), nil
	}
	if now.Before(r.AbsentAt.Add(settle)) {
		return r.released(), nil
	}
	last, out := r.Attempts[len(r.Attempts)-1], r.notStored(now)
	if last.Code == normalize.OutcomeUnknown {
		// Its gateway never told how it ended: it may only sleep, and send when it wakes.
		out = out.doubted(Doubt{Provider: last.Provider, At: last.At, Want: r.Want}, now.Add(settle))
	}
	return out, nil
}

// notStored ends an attempt that was proved not executed. It may only be tried
// again where it was looked for.
func (r Record) notStored(now time.Time) Record {
	provider := r.Attempts[len(r.Attempts)-1].Provider
	r = r.withEnd(normalize.NotSent, normalize.OutcomeUnknown, now).settled()
	r.State, r.Pinned, r.Claims = StateFailed, provider, nil
	return r
}

const (
	firstBackoff = time.Second
	lastBackoff  = 10 * time.Minute
	maxTries     = 200 // of look-ups that could not be made: more than a day
)

// later writes down that the provider could not be asked, which proves nothing: it
// is asked again after a pause that doubles, in the end by an operator.
func (r Record) later(now time.Time) (Record, error) {
	if r.State != StateUnknown {
		return r.refuse("look later")
	}
	backoff := lastBackoff
	if r.Tries < 10 {
		backoff = min(lastBackoff, firstBackoff<<r.Tries)
	}
	r.AbsentAt, r.DueAt, r.Tries = time.Time{}, now.Add(backoff), r.Tries+1
	if r.Tries > maxTries {
		r.State = StateManual
	}
	return r.released(), nil
}

// late keeps a result that came after its fence, or that is one too many, until it
// is removed. Its place is claimed, so that no look-up takes it for another's.
func (r Record) late(t Token, places []string, now time.Time) Record {
	r.Late, r.Claims = append(slices.Clone(r.Late), t), union(r.Claims, places)
	r.DueAt = now
	return r
}

// Doubt is an attempt whose gateway came back after its lease without an answer, or
// has not come back at all: somebody else has gone on with the record, and the
// provider may have stored the instrument a second time, or may still do so.
type Doubt struct {
	Provider string    `json:"provider"`
	At       time.Time `json:"at"`
	Want     *Want     `json:"want,omitempty"`
	Looks    int       `json:"looks,omitempty"` // that found nothing
}

// doubtLooks is how often the provider is asked for a surplus instrument before the
// doubt is dropped, a settle time and then a lease apart.
const doubtLooks = 3

// doubted writes a doubt beside the record.
func (r Record) doubted(d Doubt, due time.Time) Record {
	r.Doubt, r.DueAt = &d, due
	return r
}

// waits reports whether something is to be done about the record, notices aside.
func (r Record) waits() bool {
	return r.unfinished() || len(r.Late) > 0 || r.Doubt != nil || r.toStep()
}

// due is when the reconciler must look at the record.
func (r Record) due() time.Time {
	next := r.refreshDue()
	if !r.waits() && !next.IsZero() {
		return next
	}
	if due := r.dueBySelf(); next.IsZero() || due.Before(next) {
		return due
	}
	return next
}

// dueBySelf is due without what providers gave notice of.
func (r Record) dueBySelf() time.Time {
	due := r.DueAt
	if due.IsZero() {
		due = r.UpdatedAt
	}
	if r.LeaseEnd.After(due) {
		due = r.LeaseEnd
	}
	return due
}
