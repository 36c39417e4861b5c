package gateway

import (
	"context"
	"errors"
	"reflect"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// finding is what a provider said of one token of an instrument.
type finding struct {
	token  Token
	p      *Provider
	ins    adapters.Instrument // if it is present
	follow bool                // a mirror's own status must be taken over, through its record
	drift  Drift
}

// compare compares an instrument with what the selected providers have of it.
func (y *syncing) compare(ctx context.Context, rec stored) ([]Drift, error) {
	var found []finding
	for _, t := range rec.Tokens {
		if y.selected(t.Provider) && t.comparable() {
			f := y.ask(ctx, rec, t)
			if f.drift.State == DriftAbsent && t.Status == normalize.StatusFailed {
				f.drift.State = DriftPresent // as the record says: it is in step
			}
			found = append(found, f)
		}
	}
	now := y.s.clock.at(y.s.now())
	if !y.in.Repair {
		for i, f := range found {
			if f.present() {
				found[i].drift.Differences = rec.driftOf(f.token, *rec.View, f.ins, now)
			}
			if f.token.Behind.givenUp() {
				found[i].drift.ErrorCode = f.token.Behind.Code
			}
		}
		return drifts(found), nil
	}
	return y.repair(ctx, rec, found, now)
}

func drifts(found []finding) []Drift {
	out := make([]Drift, len(found))
	for i, f := range found {
		out[i] = f.drift
	}
	return out
}

// present reports whether the provider has shown the instrument.
func (f finding) present() bool { return f.drift.State == DriftPresent && f.ins.References != nil }

// ask finds a token in its customer's list, or asks for it alone: only the provider's
// own answer about that one instrument says that it is absent.
func (y *syncing) ask(ctx context.Context, rec stored, t Token) finding {
	f := finding{token: t, p: y.s.providers[t.Provider], drift: Drift{
		Object: "drift", InstrumentID: &rec.ID, CustomerID: rec.CustomerID, Provider: t.Provider, Role: t.Role,
		State: DriftPresent, Differences: []Difference{},
	}}
	if f.p == nil {
		f.drift.State, f.drift.ErrorCode = DriftUnreachable, normalize.ProviderUnavailable
		return f
	}
	l, listed := y.looks[rec.CustomerID].lists[t.Provider]
	for _, ins := range l.items {
		if f.p.samePlace(t, ins.References) {
			f.ins = ins
			f.ins.References = mergeReferences(t.References, ins.References)
			return f
		}
	}
	err := l.err
	if !listed || err == nil || !unreachable(err) {
		f.ins, err = y.get(ctx, f.p, t)
	}
	switch code := normalize.CodeOf(err); {
	case err == nil:
		f.ins.References = mergeReferences(t.References, f.ins.References)
	case (code == normalize.NotFound || code == normalize.InstrumentDeleted) && normalize.OutcomeOf(err) == normalize.Rejected:
		f.drift.State = DriftAbsent
	default:
		f.drift.State, f.drift.ErrorCode = DriftUnreachable, code
	}
	return f
}

func (y *syncing) get(ctx context.Context, p *Provider, t Token) (adapters.Instrument, error) {
	turn := nonce()
	if err := p.syncs.wait(ctx, turn); err != nil {
		return adapters.Instrument{}, err
	}
	defer p.syncs.give(turn)
	return getAt(ctx, p, t)
}

// repair writes down, in one step, what the providers said of an instrument. If
// somebody has changed the record since it was loaded, what was seen may be older than
// that, and nothing is written.
func (y *syncing) repair(ctx context.Context, rec stored, found []finding, now time.Time) ([]Drift, error) {
	next := rec.Record
	for i := range found {
		var err error
		if next, err = y.fold(next, &found[i], now); err != nil {
			return nil, internalError("sync", err)
		}
	}
	if reflect.DeepEqual(next, rec.Record) {
		return y.followed(ctx, found), nil
	}
	after, _, err := y.s.put(ctx, "sync", rec, next)
	switch {
	case errors.Is(err, errChanged):
		for i := range found {
			if d := &found[i].drift; d.Repaired {
				d.Repaired, d.ErrorCode = false, normalize.Conflict
			}
		}
		return drifts(found), nil
	case err != nil:
		return nil, err
	}
	y.s.log.Info("an instrument was brought in step with its providers", zap.String("instrument", after.ID), zap.String("tenant", after.Tenant))
	return y.followed(ctx, found), nil
}

// fold is the record with one finding taken over: the primary is the truth, a mirror
// is to become what the view shows.
func (y *syncing) fold(r Record, f *finding, now time.Time) (Record, error) {
	d := &f.drift
	switch {
	case d.State == DriftAbsent:
		if now.Sub(f.token.SyncedAt) < y.s.settleTime {
			return r, nil // it may not show yet what it has just stored
		}
		d.Repaired = true
		return r.lostAt(f.token.Provider, now), nil
	case !f.present():
		return r, nil
	}
	if d.Differences = r.driftOf(f.token, *r.View, f.ins, now); len(d.Differences) == 0 {
		if b := f.token.Behind; b.givenUp() && b.Delete == "" {
			r = r.inStep(f.token.Provider, b.Rev) // somebody has done it by hand
		}
		return r, nil
	}
	if f.token.Role != normalize.RoleMirror {
		return y.foldPrimary(r, f, now)
	}
	what, rest := pushable(d.Differences)
	f.follow = f.ins.Status != f.token.Status && !what.Deactivate
	if rest {
		d.ErrorCode = normalize.Conflict // it is another card's
		return r, nil
	}
	return r.pushed(d, f.token, what, now), nil
}

// foldPrimary takes over what the primary shows, but for what it is behind by itself.
func (y *syncing) foldPrimary(r Record, f *finding, now time.Time) (Record, error) {
	before := *r.View
	token, view := r.refreshed(f.p, f.ins, now)
	if a, b := before.Card, view.Card; a != nil && b != nil && (a.Last4 != b.Last4 || !samePrefix(a.BIN, b.BIN)) {
		// The provider's account updater has put another number in its place.
		view.Fingerprint, view.FingerprintOf = "", ""
		if f.ins.Identity != "" {
			view.Fingerprint, view.FingerprintOf = y.s.current().fingerprint(f.p.Type()+" "+f.ins.Identity), f.p.Type()
		}
		r = r.withoutNumber()
	}
	r, err := r.changed(token, view, now)
	if err != nil {
		return r, err
	}
	f.drift.Repaired = true
	if left, _ := pushable(r.driftOf(token, *r.View, f.ins, now)); left != (Behind{}) {
		return r.pushed(&f.drift, token, left, now), nil
	}
	return r, nil
}

// pushed is the record with what a provider has to be given marked. What the
// provider has refused before is not tried again.
func (r Record) pushed(d *Drift, t Token, what Behind, now time.Time) Record {
	switch {
	case what == (Behind{}):
		d.Repaired = true // the record follows
	case t.Behind.covers(what) && t.Behind.givenUp() && (what.Expiry || !t.Behind.Expiry):
		d.Repaired, d.ErrorCode = false, t.Behind.Code
	case t.Behind.covers(what) && !t.Behind.givenUp():
		d.Repaired = true // somebody is at it
	default:
		d.Repaired = true
		return r.behindAt(t.Provider, what, now)
	}
	return r
}

// followed takes over the status that a mirror has by itself, into its own record and
// through that into its instrument's.
func (y *syncing) followed(ctx context.Context, found []finding) []Drift {
	for i, f := range found {
		if !f.follow || !f.drift.Repaired {
			continue
		}
		recs := []*stored{nil}
		var err error
		if f.token.Record != "" {
			recs, err = y.s.load(ctx, "sync", f.token.Record)
		}
		if err != nil || recs[0] == nil || !recs[0].live() {
			found[i].drift.Repaired, found[i].drift.ErrorCode = false, normalize.Conflict
			continue
		}
		child := y.s.seen(ctx, *recs[0], f.p, f.ins)
		y.s.mirrorSeen(ctx, child, child.primary())
	}
	return drifts(found)
}
