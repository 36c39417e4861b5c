package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// reconcileAtOnce is how many records one gateway works on at the same time.
const reconcileAtOnce = 4

// Reconcile drives every unfinished record to an end until ctx is done. It runs in
// every gateway; they share the work through leases, without a leader.
func (s *Service) Reconcile(ctx context.Context) {
	t := time.NewTicker(s.reconcileEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("the reconciler could not look for work", zap.Error(err))
			}
		}
	}
}

// sweep works on everything that is due now.
func (s *Service) sweep(ctx context.Context) error {
	now, err := s.nowAtStore(ctx)
	if err != nil {
		return err
	}
	members, err := s.store.Scan(ctx, indexDue, "", scanPage, false)
	if err != nil {
		return storeError("reconcile", err)
	}
	until := timeKey(now) + "~" // after every member of this moment
	members = slices.DeleteFunc(members, func(m string) bool { return m > until })
	recs, err := s.loadMembers(ctx, "reconcile", members)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(reconcileAtOnce)
	for i, rec := range recs {
		if rec == nil {
			continue
		}
		g.Go(func() error {
			if stale := (Member{indexDue, members[i]}); !slices.Contains(rec.members(), stale) {
				s.dropMember(ctx, *rec, stale)
				return nil
			}
			if _, err := s.settle(ctx, *rec); err != nil && ctx.Err() == nil {
				s.log.Info("a record could not be settled yet", zap.String("instrument", rec.ID), zap.Error(err))
			}
			return nil
		})
	}
	return g.Wait()
}

// dropMember removes an index entry that its record does not have: what a crash
// between two round trips leaves behind.
func (s *Service) dropMember(ctx context.Context, rec stored, m Member) {
	_, err := s.write(ctx, Write{Key: recordKey(rec.ID), Expect: rec.version, Value: rec.encode(), Nonce: nonce(), Remove: []Member{m}})
	if err != nil {
		s.log.Info("a stale index entry could not be removed", zap.String("instrument", rec.ID), zap.Error(err))
	}
}

// settle finds out what became of a record's attempt, by asking the provider, and
// writes down what was found. It returns the record as it is afterwards; while
// somebody else has its lease, as it was.
func (s *Service) settle(ctx context.Context, cur stored) (stored, error) {
	now := s.clock.at(s.now())
	if len(cur.Late) > 0 && cur.State == StateCompleted {
		return s.dropOrphans(ctx, cur)
	}
	if cur.Doubt != nil && !cur.unfinished() {
		return s.resolveDoubt(ctx, cur)
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
	attempt := taken.Attempts[len(taken.Attempts)-1]
	ins, found, err := s.lookUp(ctx, taken.Record, attempt, taken.Want, false)
	now = s.clock.at(s.now())
	switch {
	case err != nil:
		s.log.Info("the provider could not be asked what became of a create",
			zap.String("instrument", cur.ID), zap.String("provider", attempt.Provider), zap.Error(err))
		next, err = taken.later(now)
	case found:
		return s.adoptFound(ctx, taken, s.providers[attempt.Provider], ins, taken.Want, taken.Doubt)
	default:
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

// lookUp asks the provider for the instrument that an attempt may have stored: one
// of the customer's that looks like it and that no record has. It fails if the
// provider could not be asked, which is never absence. alone says that what is
// found is to be deleted, so that it must not be another create's: no create of the
// customer may be open.
//
// The order is what makes alone safe. A create opens its record before it sends,
// and closes it in the same step in which it maps the instrument: what the list
// shows is mapped, or its create is still open when the open ones are read after it.
func (s *Service) lookUp(ctx context.Context, rec Record, a Attempt, wanted *Want, alone bool) (ins adapters.Instrument, found bool, err error) {
	p := s.providers[a.Provider]
	if p == nil {
		return ins, false, unconfigured("reconcile", a.Provider)
	}
	cust, err := s.loadCustomer(ctx, "reconcile", rec.Tenant, rec.CustomerID)
	if err != nil {
		return ins, false, err
	}
	reference := cust.Refs[p.name]
	if reference == "" {
		// Without a customer no instrument was sent: the reference is written first.
		return ins, false, nil
	}
	items, err := s.listAt(ctx, p, reference)
	if err != nil {
		return ins, false, err
	}
	if alone {
		open, err := s.store.Scan(ctx, indexOpen(rec.Tenant, rec.CustomerID), "", 1, false)
		if err != nil {
			return ins, false, storeError("reconcile", err)
		}
		if len(open) > 0 {
			return ins, false, internalError("reconcile", errBusy)
		}
	}
	known, err := s.knownOf(ctx, rec.Tenant, rec.CustomerID)
	if err != nil {
		return ins, false, err
	}
	want := Want{}
	if wanted != nil {
		want = *wanted
	}
	for _, item := range items {
		_, mapped := known[p.name+"\x00"+p.locate(item.References)]
		newest := !found || item.CreatedAt.After(ins.CreatedAt)
		if !mapped && newest && want.mayBe(item, a.At) {
			ins, found = item, true
		}
	}
	if !found && len(items) >= maxPerCustomer {
		return ins, false, internalError("reconcile", errTooMany)
	}
	return ins, found, nil
}

var errBusy = errors.New("a create of the same customer is open: what was found may be its own")

var errTooMany = errors.New("the customer has more instruments than a look-up reads: absence is not proved")

// adoptFound completes a record with the instrument that a look-up found, or that
// came too late for its own attempt. doubt is what is left of the record's doubts.
func (s *Service) adoptFound(ctx context.Context, cur stored, p *Provider, ins adapters.Instrument, want *Want, doubt *Doubt) (stored, error) {
	now := s.clock.at(s.now())
	view := View{}
	if want != nil {
		view = want.View
		ins.References = mergeReferences(want.References, ins.References)
	}
	if view.Fingerprint == "" && ins.Identity != "" {
		view.Fingerprint, view.FingerprintOf = s.current().fingerprint(p.Type()+" "+ins.Identity), p.Type()
	}
	next, err := cur.complete(tokenOf(p, normalize.RolePrimary, ins, now), view.merge(ins), now)
	if err != nil {
		return cur, internalError("reconcile", err)
	}
	next.Doubt = doubt
	places := s.referenceClaims(p, ins.References)
	next.Claims = append(slices.DeleteFunc(slices.Clone(cur.Claims), func(c string) bool { return slices.Contains(places, c) }), places...)
	done, res, err := s.put(ctx, "reconcile", cur, next)
	if err != nil {
		return s.settled(done, res, err)
	}
	s.log.Info("an instrument whose create was in doubt was found at the provider", zap.String("instrument", done.ID), zap.String("provider", p.name))
	if owner := otherOwner(res.Owners[len(res.Owners)-len(places):], done.ID); owner != "" {
		return s.yieldTo(ctx, done, owner)
	}
	if done.View.Default {
		s.clearOtherDefaults(ctx, done.Record)
	}
	return done, nil
}

// yieldTo makes a record the alias of the one that has its place already.
func (s *Service) yieldTo(ctx context.Context, cur stored, owner string) (stored, error) {
	recs, err := s.load(ctx, "reconcile", owner)
	if err != nil {
		return cur, err
	}
	first := recs[0]
	if !holds(first, cur.Claims) || !first.live() || first.Tenant != cur.Tenant || first.CustomerID != cur.CustomerID {
		return cur, nil
	}
	next, err := cur.alias(first.Record, s.clock.at(s.now()))
	if err != nil {
		return cur, internalError("reconcile", err)
	}
	return s.settled(s.put(ctx, "reconcile", cur, next))
}
