package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Reconcile drives every unfinished record to an end until ctx is done, each time
// under the configuration then in force: it is run once, whichever generation it is
// called on. It runs in every gateway; they share the work through leases, without a
// leader.
func (s *Service) Reconcile(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	every := s.latest.Load().reconcileEvery
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if err := s.readDrains(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the reconciler could not see which providers are drained", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case n := <-s.noticed:
			now := s.latest.Load()
			work.Go(func() { now.refreshNoticed(ctx, n) })
		case <-t.C:
			now := s.latest.Load()
			if now.reconcileEvery != every {
				// Not at the reload: reloads that come faster than the ticks must not put them off.
				every = now.reconcileEvery
				t.Reset(every)
			}
			if err := now.sweep(ctx, &work); err != nil && ctx.Err() == nil {
				s.log.Warn("the reconciler could not look for work", zap.Error(err))
			}
		}
	}
}

// sweepPages bounds how many pages of due records one sweep reads.
const sweepPages = 10

// sweep begins to work on everything that is due now, as far as each provider's share
// of look-ups allows. What it leaves out is still due at the next one.
func (s *Service) sweep(ctx context.Context, work *sync.WaitGroup) error {
	now, err := s.nowAtStore(ctx)
	if err != nil {
		return err
	}
	until, after := timeKey(now)+"~", "" // until: after every member of this moment
	seen := Backlog{At: now}
	defer func() { s.backlog.Store(&seen) }()
	for range sweepPages {
		members, err := s.store.Scan(ctx, indexDue, after, scanPage, false)
		if err != nil {
			return storeError("reconcile", err)
		}
		more := len(members) == scanPage
		seen.Waiting += len(members)
		due := slices.DeleteFunc(members, func(m string) bool { return m > until })
		recs, err := s.loadReadable(ctx, "reconcile", due)
		if err != nil {
			return err
		}
		for i, rec := range recs {
			if rec != nil {
				seen.add(rec.Record, now)
				s.workOn(ctx, work, *rec, Member{indexDue, due[i]})
			}
		}
		if !more || len(due) < scanPage {
			return nil
		}
		after = due[len(due)-1]
	}
	return nil
}

// workOn settles one record in the background, if its provider may be asked now.
func (s *Service) workOn(ctx context.Context, work *sync.WaitGroup, rec stored, found Member) {
	if !slices.Contains(rec.members(), found) {
		s.dropMember(ctx, rec, found)
		return
	}
	share := s.shareFor(rec.Record)
	if !share.take(rec.ID) {
		return
	}
	work.Go(func() {
		defer share.give(rec.ID)
		if _, err := s.settle(ctx, rec); err != nil && ctx.Err() == nil {
			s.log.Info("a record could not be settled yet", zap.String("instrument", rec.ID), zap.Error(err))
		}
	})
}

// settledAt is the provider that must be asked to settle the record.
func (r Record) settledAt() string {
	switch {
	case len(r.Late) > 0 && !r.unfinished():
		return r.Late[0].Provider
	case r.Doubt != nil && !r.unfinished():
		return r.Doubt.Provider
	case r.MirrorOf == "" && r.toStep():
		return r.Tokens[r.stepAt()].Provider
	case len(r.Attempts) > 0:
		return r.Attempts[len(r.Attempts)-1].Provider
	default:
		return ""
	}
}

// dropMember removes an index entry that its record does not have: what a crash
// between two round trips leaves behind.
func (s *Service) dropMember(ctx context.Context, rec stored, m Member) {
	_, err := s.write(ctx, Write{Key: recordKey(rec.ID), Expect: rec.version, Value: s.encode(rec.Record), Nonce: nonce(), Remove: []Member{m}})
	if err != nil {
		s.log.Info("a stale index entry could not be removed", zap.String("instrument", rec.ID), zap.Error(err))
	}
}

// settle finds out what became of a record's attempt, by asking the provider, and
// writes down what was found. It returns the record as it is afterwards; while
// somebody else has its lease, as it was.
func (s *Service) settle(ctx context.Context, cur stored) (stored, error) {
	now := s.clock.at(s.now())
	if m, due := cur.toRefresh(now); due {
		return s.refreshTaken(ctx, cur, m)
	}
	if len(cur.Late) > 0 && cur.State == StateCompleted {
		return s.dropOrphans(ctx, cur)
	}
	if len(cur.Late) > 0 && cur.State == StateFailed {
		return s.adoptLate(ctx, cur)
	}
	if cur.loose() {
		return s.attach(ctx, cur)
	}
	if cur.Doubt != nil && !cur.unfinished() {
		return s.resolveDoubt(ctx, cur)
	}
	if cur.toStep() {
		return s.step(ctx, cur)
	}
	if !cur.AbsentAt.IsZero() && now.Before(cur.DueAt) {
		return cur, nil // the second look must be a settle time after the first
	}
	if cur.State == StateReserved && !cur.leased(now) {
		next, err := cur.failed()
		if err != nil {
			return cur, internalError("reconcile", err)
		}
		return s.settled(s.put(ctx, "reconcile", cur, next))
	}
	next, err := cur.taken(s.owner, now, s.lease)
	if err != nil {
		return cur, nil //nolint:nilerr // it is nobody's to settle now
	}
	taken, err := s.settled(s.put(ctx, "reconcile", cur, next))
	if err != nil || taken.Fence != next.Fence || taken.Owner != s.owner {
		return taken, err
	}
	if taken.Want != nil && taken.Want.ReadOnly {
		return s.settled(s.put(ctx, "reconcile", taken, taken.notStored(now)))
	}
	return s.findOut(ctx, taken)
}

// findOut asks the provider what became of the last attempt of a record whose lease is
// this gateway's.
func (s *Service) findOut(ctx context.Context, taken stored) (stored, error) {
	attempt := taken.Attempts[len(taken.Attempts)-1]
	seen, err := s.look(ctx, taken.Record, attempt.Provider)
	for _, t := range taken.Late {
		if err == nil && t.Provider == attempt.Provider {
			seen = seen.without(adapters.Instrument{References: t.References}, false) // another attempt's
		}
	}
	for err == nil {
		var ins adapters.Instrument
		var found bool
		if ins, found, err = seen.pick(taken.Want, attempt.At); err != nil || !found {
			break
		}
		taken, err = s.adoptFound(ctx, taken, seen.p, ins, true, taken.Want, taken.Doubt)
		if err == nil || !taken.unfinished() || taken.Owner != s.owner {
			return taken, err
		}
		if errors.Is(err, errTaken) {
			seen, err = seen.without(ins, errors.Is(err, errTakenByOpen)), nil
		}
	}
	var next Record
	now := s.clock.at(s.now())
	if err != nil {
		s.log.Info("it could not be found out yet what became of a create",
			zap.String("instrument", taken.ID), zap.String("provider", attempt.Provider), zap.Error(err))
		next, err = taken.later(now)
	} else {
		next, err = taken.absent(now, s.settleTime)
	}
	if err != nil {
		return taken, internalError("reconcile", err)
	}
	return s.settled(s.put(ctx, "reconcile", taken, next))
}

// settled takes "somebody else was faster" for an answer.
func (s *Service) settled(after stored, _ Written, err error) (stored, error) {
	if errors.Is(err, errChanged) {
		return after, nil
	}
	return after, err
}

// sighting is what a look at a provider showed of a customer.
type sighting struct {
	p        *Provider
	unmapped []adapters.Instrument // that no record has
	open     int                   // creates of the customer that are open
	doubts   []Doubt               // at this provider, of the customer's other records that may still be completed
	cut      bool                  // there is more than was read
}

// look asks the provider which instruments of a record's customer it has that no
// record has. It fails if the provider could not be asked, which is never absence.
//
// The order makes it safe. A create opens its record before it sends, and closes it in
// the same step in which it maps the instrument: what the list shows is mapped, or its
// create is still open when the open ones are read after it.
func (s *Service) look(ctx context.Context, rec Record, provider string) (sighting, error) {
	out := sighting{p: s.providers[provider]}
	if out.p == nil {
		return out, unconfigured("reconcile", provider)
	}
	cust, err := s.loadCustomer(ctx, "reconcile", rec.Tenant, rec.CustomerID)
	if err != nil {
		return out, err
	}
	references := cust.at(provider)
	if len(references) == 0 {
		// Without a customer no instrument was sent: the reference is written first.
		return out, nil
	}
	items, err := s.listAt(ctx, out.p, references)
	if err != nil {
		return out, err
	}
	open, err := s.store.Scan(ctx, indexOpen(rec.Tenant, rec.CustomerID), "", scanPage, false)
	if err != nil {
		return out, storeError("reconcile", err)
	}
	ids := make([]string, 0, len(open))
	for _, m := range open {
		if id := strings.TrimPrefix(m, surplusMark); id != rec.ID && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	others, err := s.load(ctx, "reconcile", ids...)
	if err != nil {
		return out, err
	}
	known, err := s.knownOf(ctx, rec.Tenant, rec.CustomerID)
	if err != nil {
		return out, err
	}
	for _, item := range items {
		if _, mapped := known[provider+"\x00"+out.p.locate(item.References)]; !mapped {
			out.unmapped = append(out.unmapped, item)
		}
	}
	out.cut = len(items) >= maxPerCustomer
	if rec.unfinished() && slices.Contains(open, rec.ID) {
		out.open++
	}
	for _, other := range others {
		if other != nil && other.unfinished() && other.settledAt() == provider {
			out.open++ // one that is open elsewhere has stored nothing here
		}
		if other != nil && other.Doubt != nil && other.open() && other.Doubt.Provider == provider {
			out.doubts = append(out.doubts, *other.Doubt)
		}
	}
	return out, nil
}

// without is the sighting without one instrument, and without the open create that has it.
func (g sighting) without(ins adapters.Instrument, ofOpen bool) sighting {
	if ofOpen {
		g.open--
	}
	place := g.p.locate(ins.References)
	g.unmapped = slices.DeleteFunc(slices.Clone(g.unmapped), func(other adapters.Instrument) bool {
		return g.p.locate(other.References) == place
	})
	return g
}

// pick returns what an attempt that began at `since` most likely stored. It fails if
// that cannot be told.
func (g sighting) pick(want *Want, since time.Time) (ins adapters.Instrument, found bool, err error) {
	ins, like, sure := want.likest(g.unmapped, since, g.open)
	if like == possible && slices.ContainsFunc(g.doubts, func(d Doubt) bool { return d.Want.compare(ins, d.At) == alike }) {
		sure = false // it is the very card of another one's doubt
	}
	switch {
	case like == unlike && g.cut:
		return ins, false, internalError("reconcile", errTooMany)
	case !sure:
		return ins, false, internalError("reconcile", errBusy)
	}
	return ins, like != unlike, nil
}

var errBusy = errors.New("a create of the same customer is open: what was found may be its own")

var (
	errTaken       = errors.New("what was found belongs to another record")
	errTakenByOpen = fmt.Errorf("%w, which is open", errTaken)
)

var errTooMany = errors.New("the customer has more instruments than a look-up reads: absence is not proved")

// adoptFound completes a record with the instrument that a look-up found, or that
// came too late for its own attempt; guessed tells the one from the other. doubt is what is left of the record's doubts. It
// fails with errTaken if the instrument is another record's.
func (s *Service) adoptFound(ctx context.Context, cur stored, p *Provider, ins adapters.Instrument, guessed bool, want *Want, doubt *Doubt) (stored, error) {
	view := View{}
	if want != nil {
		view = want.View
		ins.References = mergeReferences(want.References, ins.References)
	}
	before := cur.Claims
	cur, st, err := s.secure(ctx, "reconcile", cur, p, ins, guessed)
	switch {
	case err != nil || !st.taken:
	case st.byOpen:
		err = internalError("reconcile", errTakenByOpen)
	default:
		err = internalError("reconcile", errTaken)
	}
	switch {
	case errors.Is(err, errChanged):
		return cur, nil
	case err != nil:
		// What is not adopted is left for whom it belongs to.
		next := cur.Record
		next.Claims = before
		after, putErr := s.settled(s.put(ctx, "reconcile", cur, next))
		return after, errors.Join(err, putErr)
	case st.first != nil:
		return s.yieldTo(ctx, cur, st, p, ins, guessed)
	}
	now := s.clock.at(s.now())
	if view.Fingerprint == "" && ins.Identity != "" {
		view.Fingerprint, view.FingerprintOf = s.current().fingerprint(p.Type()+" "+ins.Identity), p.Type()
	}
	next, err := cur.complete(tokenOf(p, normalize.RolePrimary, ins, now), view.merge(ins), now)
	if err != nil {
		return cur, internalError("reconcile", err)
	}
	next.Doubt = doubt
	done, _, err := s.put(ctx, "reconcile", cur, next)
	if err != nil {
		return s.settled(done, Written{}, err)
	}
	s.log.Info("an instrument whose create was in doubt was found at the provider", zap.String("instrument", done.ID), zap.String("provider", p.name))
	if done.View.Default {
		s.clearOtherDefaults(ctx, done.Record)
	}
	return done, nil
}
