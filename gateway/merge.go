package gateway

import (
	"reflect"
	"slices"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// A restore meets two states of one record: the store's and a file's. Mostly one
// is older than the other, and the versions tell which. But when a store lost
// everything, and a client sent a key again before the restore, the record was
// made anew under the same id and counts its versions from 1 again: these are two
// lives of one id, told apart by when they began. Both may have put an instrument
// at a provider, and only one may stay.

// own is the record's version in its own life.
func (s stored) own() uint64 { return s.version - s.Skew }

// merged is what the store should hold after a record was found in a file, and
// whether that is a change. It does not depend on the order in which a record's
// states come, but for the version's number, nor on how often: of one life the
// latest state stays, of two lives one is preferred, and what the other put, or
// may have put, at a provider is written beside it, for the reconciler to look at.
func merged(have, from stored) (next stored, changed bool) {
	if have.version == 0 {
		return from, true
	}
	if have.CreatedAt.Equal(from.CreatedAt) {
		if from.own() < have.own() || from.own() == have.own() && from.version <= have.version {
			return have, false
		}
		next = from
		if have.Skew > from.Skew { // what was found of another life stays beside it
			next.Record = next.withSurplus(have.Late, have.Doubt)
			next.Skew, next.version = have.Skew, from.own()+have.Skew
		}
		return next, true
	}
	winner, loser := have, from
	if preferred(from.Record, have.Record) {
		winner, loser = from, have
	}
	next = winner
	next.Record = next.withSurplus(loser.leftovers()).withMirrorsOf(loser.Record)
	if winner.own() == have.own() && reflect.DeepEqual(next.Record, have.Record) {
		return have, false
	}
	// Above both, so that a skew always tells of another life.
	next.version = max(have.version, winner.version) + 1
	next.Skew = next.version - winner.own()
	return next, true
}

// preferred says which of two lives of an id goes on. A deletion was acknowledged,
// and is not taken back. Of two instruments the older one is known to more. What
// may have been sent matters more than what was not.
func preferred(a, b Record) bool {
	if ra, rb := a.weight(), b.weight(); ra != rb {
		return ra > rb
	}
	return a.CreatedAt.Before(b.CreatedAt)
}

func (r Record) weight() int {
	switch {
	case !r.DeletedAt.IsZero():
		return 3
	case r.State == StateCompleted:
		return 2
	case r.State == StateSending || r.State == StateUnknown || r.State == StateManual:
		return 1
	default:
		return 0
	}
}

// leftovers are what a life that does not go on has, or may have, at a provider.
func (r Record) leftovers() ([]Token, *Doubt) {
	late := r.Late
	if r.live() {
		late = slices.Concat(r.Tokens[:1], late) // mirrors have records of their own
	}
	doubt := r.Doubt
	if r.weight() == 1 && len(r.Attempts) > 0 {
		last := r.Attempts[len(r.Attempts)-1]
		doubt = &Doubt{Provider: last.Provider, At: last.At, Want: r.Want}
	}
	return late, doubt
}

// withSurplus writes down what is one too many, as far as it is not the record's own.
func (r Record) withSurplus(late []Token, doubt *Doubt) Record {
	r.Late = slices.Clone(r.Late)
	for _, t := range late {
		if !slices.ContainsFunc(slices.Concat(r.Tokens, r.Late), t.samePlace) {
			r.Late = append(r.Late, t)
		}
	}
	slices.SortFunc(r.Late, func(a, b Token) int { return strings.Compare(a.place(), b.place()) })
	if r.Doubt == nil && doubt != nil && !slices.ContainsFunc(r.Attempts, doubt.is) {
		r.Doubt = doubt
	}
	return r
}

// withMirrorsOf is the record with the mirrors of another life, where it has none
// itself: what they store is known to nobody else. They are looked at as pending ones
// are, and removed where the instrument is deleted.
func (r Record) withMirrorsOf(other Record) Record {
	if !other.live() || r.State != StateCompleted || r.AliasOf != "" || len(r.Tokens) == 0 {
		return r
	}
	r.Mirrored = max(r.Mirrored, other.Mirrored)
	for _, t := range other.Tokens[1:] {
		if t.Status == normalize.StatusFailed || t.Record == "" || r.tokenAt(t.Provider) >= 0 {
			continue
		}
		t.Role, t.Status, t.References, t.Until = normalize.RoleMirror, normalize.StatusPending, nil, r.UpdatedAt
		if t.Behind = nil; !r.live() {
			t.Behind = (*Behind)(nil).plus(Behind{Delete: ScopeProvider}, r.UpdatedAt)
		}
		r.Tokens = append(slices.Clone(r.Tokens), t)
	}
	return r.scheduled()
}

// mergedCustomer is merged for a customer's entry. Of two lives the older one's
// references are used; the other's are kept beside them.
func mergedCustomer(have, from storedCustomer) (next storedCustomer, changed bool) {
	if have.version == 0 {
		return from, true
	}
	if have.CreatedAt.Equal(from.CreatedAt) {
		if from.own() < have.own() || from.own() == have.own() && from.version <= have.version {
			return have, false
		}
		next = from
		if have.Skew > from.Skew {
			next.Also, next.Skew, next.version = withReferences(from.Also, have.Also), have.Skew, from.own()+have.Skew
		}
		return next, true
	}
	winner, loser := have, from
	if from.CreatedAt.Before(have.CreatedAt) {
		winner, loser = from, have
	}
	next = winner
	next.Also = withReferences(winner.Also, loser.Also)
	for name, ref := range loser.Refs {
		next.Also = withReferences(next.Also, map[string][]string{name: {ref}})
	}
	if winner.own() == have.own() && winner.CreatedAt.Equal(have.CreatedAt) && reflect.DeepEqual(next.Also, have.Also) {
		return have, false
	}
	next.version = max(have.version, winner.version) + 1
	next.Skew = next.version - winner.own()
	return next, true
}

// own is the entry's version in its own life.
func (c storedCustomer) own() uint64 { return c.version - c.Skew }

// withReferences is a and what b has beyond it, in byte order.
func withReferences(a, b map[string][]string) map[string][]string {
	out := map[string][]string{}
	for _, refs := range []map[string][]string{a, b} {
		for name, list := range refs {
			out[name] = slices.Compact(slices.Sorted(slices.Values(slices.Concat(out[name], list))))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// is reports whether the doubt is about this attempt.
func (d *Doubt) is(a Attempt) bool { return a.Provider == d.Provider && a.At.Equal(d.At) }

// samePlace reports whether two tokens are one instrument at one provider, as far
// as that shows without asking the adapter: what they both name is the same. The
// reconciler, which can ask, looks again before it deletes anything.
func (t Token) samePlace(o Token) bool {
	if t.Provider != o.Provider {
		return false
	}
	shared := false
	for name, value := range t.References {
		other, both := o.References[name]
		if both && other != value {
			return false
		}
		shared = shared || both
	}
	return shared
}

// place orders tokens.
func (t Token) place() string {
	names := make([]string, 0, len(t.References))
	for name, value := range t.References {
		names = append(names, name+"="+value)
	}
	slices.Sort(names)
	return t.Provider + "\x00" + strings.Join(names, "\x00")
}
