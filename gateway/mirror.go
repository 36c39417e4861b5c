package gateway

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// An instrument may live at more than one provider. Each mirror is stored under a
// record of its own, which goes through the same states as every create, so that it
// too is stored exactly once and never lost. That record is no instrument: callers
// see its token in the instrument that it mirrors, whose view says what the mirror
// should be. Its own view says what the mirror is, as last seen.

// Behind is what was changed in an instrument and has not reached one of its providers.
type Behind struct {
	Since      time.Time      `json:"since"`
	Rev        uint64         `json:"rev"`                  // grows with every change
	Address    bool           `json:"address,omitempty"`    // the billing address
	Expiry     bool           `json:"expiry,omitempty"`     // the expiry date
	Default    bool           `json:"default,omitempty"`    // it became the customer's default
	Deactivate bool           `json:"deactivate,omitempty"` // it was deactivated for good
	Delete     DeleteScope    `json:"delete,omitempty"`     // it was deleted; "" if not
	Unsure     bool           `json:"unsure,omitempty"`     // a try may have had an effect that nobody saw
	Tries      int            `json:"tries,omitempty"`
	Code       normalize.Code `json:"code,omitempty"`   // why the last try failed
	NextAt     time.Time      `json:"next_at,omitzero"` // of the next try; zero if the provider cannot do it, or refused it
}

// plus is what is behind after a further change.
func (b *Behind) plus(more Behind, now time.Time) *Behind {
	out := Behind{Since: now}
	if b != nil {
		out = *b
	}
	out.Address, out.Expiry = out.Address || more.Address, out.Expiry || more.Expiry
	out.Default, out.Deactivate = out.Default || more.Default, out.Deactivate || more.Deactivate
	if more.Delete != "" {
		out.Delete = more.Delete
	}
	out.Rev, out.Tries, out.Code, out.NextAt = out.Rev+1, 0, "", now
	return &out
}

// Changes names what is behind, as callers see it.
func (b *Behind) Changes() []string {
	var out []string
	for _, c := range []struct {
		name string
		set  bool
	}{
		{"billing_address", b.Address},
		{"card.exp", b.Expiry},
		{"default", b.Default},
		{"deactivated", b.Deactivate},
		{"deleted", b.Delete != ""},
	} {
		if c.set {
			out = append(out, c.name)
		}
	}
	return out
}

// mirrorID is the id of the n-th mirror of an instrument.
func (k ReferenceKey) mirrorID(instrument string, n int) string {
	return k.name("ins_", "mirror", instrument, strconv.Itoa(n))
}

// tokenAt is the place of a provider's token; -1 if there is none.
func (r Record) tokenAt(provider string) int {
	return slices.IndexFunc(r.Tokens, func(t Token) bool { return t.Provider == provider })
}

// plan notes which mirrors the instrument is to get, before it exists: a gateway
// that dies in between leaves them visible, as failed.
func (r Record) plan(key ReferenceKey, mirrors []Token) Record {
	r.Plan, r.Mirrored = nil, 0
	for _, t := range mirrors {
		r.Plan = append(r.Plan, r.pendingMirror(key, t, time.Time{}))
		r.Mirrored++
	}
	return r
}

func (r Record) pendingMirror(key ReferenceKey, t Token, until time.Time) Token {
	return Token{
		Provider: t.Provider, ProviderType: t.ProviderType, Role: normalize.RoleMirror, Status: normalize.StatusPending,
		Record: key.mirrorID(r.ID, r.Mirrored), Until: until,
	}
}

// planned turns the plan of a record that has just been completed into tokens.
func (r Record) planned(now time.Time) Record {
	for _, t := range r.Plan {
		if t.Provider != r.primary().Provider {
			t.Until, t.SyncedAt = now, now
			r.Tokens = append(r.Tokens, t)
		}
	}
	r.Plan = nil
	return r.scheduled()
}

// mirroring leaves the pending mirrors to whoever stores them now.
func (r Record) mirroring(until time.Time) Record {
	r.Tokens = slices.Clone(r.Tokens)
	for i, t := range r.Tokens {
		if t.pending() {
			r.Tokens[i].Until = until
		}
	}
	return r.scheduled()
}

// pending reports whether the token is of a mirror that is being stored.
func (t Token) pending() bool {
	return t.Role == normalize.RoleMirror && t.Status == normalize.StatusPending
}

// beingMirrored reports whether somebody is storing a mirror now.
func (r Record) beingMirrored(now time.Time) bool {
	return slices.ContainsFunc(r.Tokens, func(t Token) bool { return t.pending() && now.Before(t.Until) })
}

// unanswered reports whether the answer to the create waits for mirrors.
func (r Record) unanswered() bool {
	return r.Answer != nil && r.Answer.Instrument == nil && r.Answer.Error == nil && slices.ContainsFunc(r.Tokens, Token.pending)
}

// mirrorGrace is how long a mirror that nobody is storing any more is left pending:
// a client that sends its create again brings the source along.
const mirrorGrace = 5 * time.Minute

// withMirror begins a further mirror: COMPLETED -> COMPLETED with a pending token,
// in place of one that failed.
func (r Record) withMirror(key ReferenceKey, t Token, now, until time.Time) (Record, error) {
	if !r.live() {
		return r.refuse("mirror")
	}
	r = r.withAnswerKept()
	r.Tokens = slices.Clone(r.Tokens)
	pending := r.pendingMirror(key, t, until)
	pending.SyncedAt = now
	r.Mirrored++
	if i := r.tokenAt(t.Provider); i < 0 {
		r.Tokens = append(r.Tokens, pending)
	} else {
		r.Tokens[i] = pending
	}
	return r.scheduled().touched(now), nil
}

// withToken replaces the token of a mirror's record by what is known of it now.
// What is behind stays so. Until a create has stored its mirrors nobody was answered:
// its answer is the instrument with them.
func (r Record) withToken(record string, t Token, now time.Time) Record {
	i := r.mirrorAt(record)
	if i < 0 {
		return r
	}
	if r.Tokens[i].Status != normalize.StatusPending {
		r = r.withAnswerKept()
	}
	before := r.Tokens[i]
	t.Role, t.Record, t.Behind = before.Role, record, before.Behind
	if t.Behind != nil && t.Behind.Delete != "" {
		t.Status = before.Status // it is on its way out, whatever the provider shows
	}
	before.SyncedAt, before.Version = t.SyncedAt, t.Version
	if r.Tokens = slices.Clone(r.Tokens); !sameToken(before, t) {
		r = r.touched(now)
	}
	r.Tokens[i] = t
	return r.scheduled()
}

// mirrorAt is the place of the token that a record stores; -1 if there is none.
func (r Record) mirrorAt(record string) int {
	return slices.IndexFunc(r.Tokens, func(t Token) bool { return t.Record == record && record != "" })
}

// failedMirror is the token of a mirror that was not stored.
func failedMirror(t Token, code normalize.Code, now time.Time) Token {
	return Token{Provider: t.Provider, ProviderType: t.ProviderType, Status: normalize.StatusFailed, Code: code, SyncedAt: now}
}

// asMirror is the token as its instrument lists it.
func asMirror(t Token) Token {
	t.Role = normalize.RoleMirror
	return t
}

// sameToken reports whether two tokens show callers the same.
func sameToken(a, b Token) bool {
	return a.Provider == b.Provider && a.Role == b.Role && a.Status == b.Status && a.ProviderStatus == b.ProviderStatus && a.Code == b.Code &&
		maps.Equal(a.References, b.References)
}

// behind marks what the other providers do not have yet, after a change that one of
// them has made. A mirror that is being stored may be stored as it was before.
func (r Record) behind(made string, what Behind, now time.Time) Record {
	r.Tokens = slices.Clone(r.Tokens)
	for i, t := range r.Tokens {
		if t.Provider != made && t.Status != normalize.StatusFailed {
			r.Tokens[i].Behind = t.Behind.plus(what, now)
		}
	}
	return r.scheduled()
}

// catchingUp is the record while what a provider was behind by has been changed there
// again: what it shows of that now is the instrument's.
func (r Record) catchingUp(provider string, what Behind) Record {
	if i := r.tokenAt(provider); i >= 0 && r.Tokens[i].Behind != nil {
		b := *r.Tokens[i].Behind
		b.Address, b.Expiry, b.Default = b.Address && !what.Address, b.Expiry && !what.Expiry, b.Default && !what.Default
		r.Tokens = slices.Clone(r.Tokens)
		r.Tokens[i].Behind = &b
	}
	return r
}

// behindAgain leaves a provider behind by what it was before, after something was
// changed there. An earlier value of the same may be on its way to it, and come last:
// it is given the new one once more.
func (r Record) behindAgain(provider string, before Record, what Behind, now time.Time) Record {
	i, was := r.tokenAt(provider), (*Behind)(nil)
	if j := before.tokenAt(provider); j >= 0 {
		was = before.Tokens[j].Behind
	}
	if i < 0 || was == nil {
		return r
	}
	if was.Address && what.Address || was.Expiry && what.Expiry || was.Default && what.Default {
		was = was.plus(Behind{}, now)
		moved := Behind{Address: what.Address, Expiry: what.Expiry}.without(*r.View, *before.View)
		was.Unsure = was.Unsure || moved.Address || moved.Expiry
	}
	r.Tokens = slices.Clone(r.Tokens)
	r.Tokens[i].Behind = was
	return r.scheduled()
}

// inStep takes off what a provider was behind by, unless more was changed meanwhile.
func (r Record) inStep(provider string, rev uint64) Record {
	if i := r.tokenAt(provider); i >= 0 && r.Tokens[i].Behind != nil && r.Tokens[i].Behind.Rev == rev {
		r.Tokens = slices.Clone(r.Tokens)
		r.Tokens[i].Behind = nil
	}
	return r
}

// without takes a provider's token off the record.
func (r Record) without(provider string, now time.Time) Record {
	r = r.withAnswerKept()
	r.Tokens = slices.DeleteFunc(slices.Clone(r.Tokens), func(t Token) bool { return t.Provider == provider })
	return r.touched(now)
}

// stillBehind writes down that a provider could not be brought in step. next is when
// to try again; zero leaves it as it is, for people to see.
func (r Record) stillBehind(t Token, code normalize.Code, next time.Time) Record {
	i := r.tokenAt(t.Provider)
	if i < 0 || r.Tokens[i].Behind == nil {
		return r
	}
	b := *r.Tokens[i].Behind
	if b.Unsure = b.Unsure || t.Behind.Unsure; b.Rev != t.Behind.Rev {
		r.Tokens = slices.Clone(r.Tokens)
		r.Tokens[i].Behind = &b
		return r // more was changed meanwhile: it is due
	}
	b = *t.Behind
	if b.Code, b.NextAt = code, next; code != normalize.ProviderUnavailable {
		b.Tries++ // else it was not tried
	}
	r.Tokens = slices.Clone(r.Tokens)
	r.Tokens[i].Behind = &b
	return r
}

// stepping gives a record to whoever brings one of its providers in step.
func (r Record) stepping(owner string, now time.Time, lease time.Duration) (Record, error) {
	if r.State != StateCompleted || r.leased(now) {
		return r.refuse("bring in step")
	}
	r.Owner, r.Fence, r.LeaseEnd = owner, r.Fence+1, now.Add(lease)
	return r, nil
}

// scheduled makes the record due when its next mirror is, unless it is due for another reason.
func (r Record) scheduled() Record {
	if len(r.Late) == 0 && r.Doubt == nil {
		r.DueAt, _ = r.nextStep()
	}
	return r
}

// stepOf is when the i-th token must be looked at; zero if it need not be.
func (r Record) stepOf(i int) time.Time {
	switch t := r.Tokens[i]; {
	case i == 0 && t.Record != "" && r.live():
		return r.UpdatedAt // a mirror that has become the primary
	case t.pending() && r.live():
		return t.Until.Add(mirrorGrace)
	case t.Behind != nil && (r.live() || t.Behind.Delete != ""):
		return t.Behind.NextAt
	}
	return time.Time{}
}

// stepAt is the token that must be looked at first; -1 if none need be.
func (r Record) stepAt() int {
	first := -1
	for i := range r.Tokens {
		if at := r.stepOf(i); !at.IsZero() && (first < 0 || at.Before(r.stepOf(first))) {
			first = i
		}
	}
	return first
}

// nextStep is when that is; ok is false if no token must be looked at.
func (r Record) nextStep() (next time.Time, ok bool) {
	if i := r.stepAt(); i >= 0 {
		return r.stepOf(i), true
	}
	return time.Time{}, false
}

// toStep reports whether a mirror of the record must be looked at, or, of a mirror's
// record, whether its instrument must still learn of it.
func (r Record) toStep() bool {
	_, ok := r.nextStep()
	return r.State == StateCompleted && (ok && r.MirrorOf == "" || r.loose())
}

// loose reports whether a mirror is stored and its instrument may not know it.
func (r Record) loose() bool { return r.MirrorOf != "" && !r.Attached && r.live() }

// patched is the view after a change that its primary provider has not made yet.
func (v View) patched(change *adapters.UpdateInput, in normalize.UpdateInput) View {
	if change != nil {
		switch {
		case change.ClearBillingAddress:
			v.BillingAddress = nil
		case change.BillingAddress != nil:
			v.BillingAddress = change.BillingAddress
		}
		if change.ExpYear != nil && v.Card != nil {
			card := *v.Card
			card.ExpMonth, card.ExpYear = *change.ExpMonth, *change.ExpYear
			v.Card = &card
		}
	}
	if in.Default != nil {
		v.Default = true // it is never taken off by itself
	}
	return v.withMetadata(in.Metadata, in.ClearMetadata)
}

// without is what a provider is behind by, less what its last look showed already.
func (b Behind) without(wanted, seen View) Behind {
	if b.Unsure {
		return b
	}
	b.Address = b.Address && !reflect.DeepEqual(wanted.BillingAddress, seen.BillingAddress)
	if w, s := wanted.Card, seen.Card; w != nil && s != nil && w.ExpYear == s.ExpYear && w.ExpMonth == s.ExpMonth {
		b.Expiry = false
	}
	return b
}

// desired is the change that brings a provider to what the view shows, as far as it is behind.
func (v View) desired(b Behind) (*adapters.UpdateInput, normalize.UpdateInput) {
	var in normalize.UpdateInput
	if b.Default && v.Default {
		in.Default = &v.Default
	}
	var out adapters.UpdateInput
	if b.Address {
		out.BillingAddress, out.ClearBillingAddress = v.BillingAddress, v.BillingAddress == nil
	}
	if b.Expiry && v.Card != nil && v.Card.ExpYear != 0 {
		out.ExpMonth, out.ExpYear = &v.Card.ExpMonth, &v.Card.ExpYear
	}
	if out.BillingAddress == nil && !out.ClearBillingAddress && out.ExpYear == nil {
		return nil, in
	}
	return &out, in
}

// since is what mirrors lack of a view, if they have what it was before. Of another card
// they have no part: its expiry date is none of theirs.
func (v View) since(before View) (what Behind, differs bool) {
	what.Address = !reflect.DeepEqual(v.BillingAddress, before.BillingAddress)
	if a, b := v.Card, before.Card; a != nil && b != nil && a.Last4 == b.Last4 && a.BIN == b.BIN {
		what.Expiry = a.ExpYear != b.ExpYear || a.ExpMonth != b.ExpMonth
	}
	return what, what.Address || what.Expiry
}

// keeping is a view that a provider showed, without what it is behind by.
func (v View) keeping(b *Behind, before View) View {
	if b == nil {
		return v
	}
	if b.Address {
		v.BillingAddress = before.BillingAddress
	}
	if b.Expiry && v.Card != nil && before.Card != nil {
		card := *v.Card
		card.ExpMonth, card.ExpYear = before.Card.ExpMonth, before.Card.ExpYear
		v.Card = &card
	}
	if b.Default {
		v.Default = before.Default
	}
	return v
}

// changeOf names what a change changes at a provider.
func changeOf(change *adapters.UpdateInput, in normalize.UpdateInput) Behind {
	b := Behind{Default: in.Default != nil}
	if change != nil {
		b.Address, b.Expiry = change.BillingAddress != nil || change.ClearBillingAddress, change.ExpYear != nil
	}
	return b
}

// mirrors are the tokens beside the primary's that may be used.
func (r Record) mirrors() []Token {
	var out []Token
	for i, t := range r.Tokens {
		if i > 0 && t.Status == normalize.StatusActive {
			out = append(out, t)
		}
	}
	return out
}
