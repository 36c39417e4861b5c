package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// lateResult disposes of an instrument whose create was finished, or taken over,
// by somebody else while its own gateway slept. It is never dropped: either it is
// what the record has, or what the record still needs, or it is one too many and
// is deleted at the provider.
func (s *Service) lateResult(ctx context.Context, cur stored, p *Provider, ins adapters.Instrument) (stored, error) {
	token := tokenOf(p, normalize.RolePrimary, ins, s.clock.at(s.now()))
	for range 10 {
		if cur.open() && cur.State != StateSending {
			after, err := s.adoptFound(ctx, cur, p, ins, false, cur.Want, cur.Doubt)
			if err != nil || after.version == cur.version {
				return after, err
			}
			cur = after // adopted, unless somebody else was faster
		}
		if cur.State == StateCompleted {
			if has, err := s.has(ctx, cur, token); has || err != nil {
				return cur, err
			}
		}
		// A new attempt is running, or the record is complete without this one.
		next, _, err := s.put(ctx, "create", cur, cur.late(token, s.referenceClaims(p, ins.References), s.clock.at(s.now())))
		if errors.Is(err, errChanged) {
			cur = next
			continue
		}
		if err != nil {
			return cur, err
		}
		if next.State == StateCompleted {
			return s.dropOrphans(ctx, next)
		}
		return next, nil
	}
	return cur, internalError("create", errChanged)
}

// adoptLate completes a record with a result that came after its fence, now that the
// attempt which was running then has turned out to have had no effect. What the
// provider does not have any more, or what a rejected request left, is dropped.
func (s *Service) adoptLate(ctx context.Context, cur stored) (stored, error) {
	if !cur.open() {
		return s.dropOrphans(ctx, cur)
	}
	t := cur.Late[0]
	p := s.providers[t.Provider]
	if p == nil {
		return cur, unconfigured("late", t.Provider)
	}
	ins, err := getAt(ctx, p, t)
	if err == nil {
		ins.References = mergeReferences(t.References, ins.References)
		return s.adoptFound(ctx, cur, p, ins, false, cur.Want, cur.Doubt)
	}
	next := cur.Record
	if normalize.CodeOf(gone("late", err)) == normalize.InstrumentDeleted {
		next.Late, err = cur.Late[1:], nil
	} else {
		next.DueAt = s.clock.at(s.now()).Add(firstBackoff)
	}
	after, putErr := s.settled(s.put(ctx, "late", cur, next))
	return after, errors.Join(err, putErr)
}

// has reports whether the record, or the one that it is an alias of, lives where the token says.
func (s *Service) has(ctx context.Context, cur stored, t Token) (bool, error) {
	if cur.AliasOf != "" {
		recs, err := s.load(ctx, "create", cur.AliasOf)
		if err != nil || recs[0] == nil {
			return false, err
		}
		cur = *recs[0]
	}
	p := s.providers[t.Provider]
	return p != nil && slices.ContainsFunc(cur.Tokens, func(have Token) bool { return p.samePlace(have, t.References) }), nil
}

// dropOrphans deletes the results that came too late at their providers, but for
// those that another record has meanwhile. It is tried again by the reconciler until
// the provider has done it.
func (s *Service) dropOrphans(ctx context.Context, cur stored) (stored, error) {
	for _, t := range cur.Late {
		after, err := s.dropOrphan(ctx, cur, t)
		if err != nil {
			next := after.Record
			next.DueAt = s.clock.at(s.now()).Add(firstBackoff)
			after, _, putErr := s.put(ctx, "orphan", after, next)
			return after, errors.Join(err, putErr)
		}
		cur = after
	}
	next := cur.Record
	next.Late = nil
	return s.settled(s.put(ctx, "orphan", cur, next))
}

func (s *Service) dropOrphan(ctx context.Context, cur stored, t Token) (stored, error) {
	p := s.providers[t.Provider]
	if p == nil {
		return cur, unconfigured("orphan", t.Provider)
	}
	if has, err := s.has(ctx, cur, t); has || err != nil {
		return cur, err
	}
	cur, spoken, err := s.reclaim(ctx, cur, s.referenceClaims(p, t.References))
	if err != nil || spoken {
		return cur, err
	}
	remove, err := remover(p, ScopeProvider)
	if err != nil {
		return cur, err
	}
	orphan := cur
	orphan.Tokens = []Token{t}
	err = s.callDelete(ctx, p, orphan, remove)
	if normalize.CodeOf(err) == normalize.DefaultInstrumentInUse {
		// It came first, so that the provider made it the customer's default.
		if err = s.promoteAtProvider(ctx, p, orphan); err == nil {
			err = s.callDelete(ctx, p, orphan, remove)
		}
	}
	if err == nil {
		s.log.Warn("a surplus instrument was deleted at the provider", zap.String("instrument", cur.ID),
			zap.String("provider", t.Provider), zap.Any("references", t.References))
	}
	return cur, err
}

// reclaim asks once more for claims that a record lists. spoken says that another
// record has one of them.
func (s *Service) reclaim(ctx context.Context, cur stored, claims []string) (after stored, spoken bool, err error) {
	w := Write{Key: recordKey(cur.ID), Expect: cur.version, Value: s.encode(cur.Record), Nonce: nonce()}
	for _, c := range claims {
		w.Claims = append(w.Claims, Claim{Key: c, Owner: cur.ID})
	}
	res, err := s.write(ctx, w)
	switch {
	case err != nil:
		return cur, false, storeError("orphan", err)
	case !res.Applied:
		return cur, false, internalError("orphan", errChanged)
	}
	cur.version = res.Current.Version
	owner := otherOwner(res.Owners, cur.ID)
	if owner == "" {
		return cur, false, nil
	}
	recs, err := s.load(ctx, "orphan", owner)
	if err != nil || holds(recs[0], claims) {
		return cur, true, err
	}
	cur, err = s.takeOver(ctx, cur, owner, recs[0], claims)
	return cur, false, err
}

// doubt writes down that an attempt lost its fence without an answer, so that what
// the provider may have stored all the same is looked for.
func (s *Service) doubt(ctx context.Context, cur stored, d Doubt) {
	for range 10 {
		next, _, err := s.put(ctx, "create", cur, cur.doubted(d, s.clock.at(s.now()).Add(s.settleTime)))
		if !errors.Is(err, errChanged) {
			if err != nil {
				s.log.Error("a doubt about a create could not be recorded", zap.String("instrument", cur.ID), zap.Error(err))
			}
			return
		}
		cur = next
	}
}

// beforeAgain looks for what a doubt is about before the same key is tried again, and
// completes the record with it. What is not found now may still come: the doubt stays.
// It fails if a one-time token is in doubt and nobody can tell: to send it again would
// give no answer but that it is used up. A card that is stored twice is deleted again.
func (s *Service) beforeAgain(ctx context.Context, cur stored) (stored, error) {
	d := cur.Doubt
	seen, err := s.look(ctx, cur.Record, d.Provider)
	if err == nil && seen.open > 0 {
		err = beingStored()
	}
	var ins adapters.Instrument
	var found bool
	if err == nil {
		ins, found, err = seen.pick(d.Want, d.At)
	}
	after := cur
	if err == nil && found {
		after, err = s.adoptFound(ctx, cur, seen.p, ins, true, d.Want, nil)
	}
	if err == nil || d.Want != nil && d.Want.View.Type != "" {
		return after, nil
	}
	return after, err
}

// resolveDoubt looks for the instrument that a doubtful attempt may have stored. It
// completes a record that still needs it; beside a complete one it is deleted at
// the provider.
func (s *Service) resolveDoubt(ctx context.Context, cur stored) (stored, error) {
	now, d := s.clock.at(s.now()), *cur.Doubt
	if now.Before(cur.DueAt) {
		return cur, nil
	}
	var ins adapters.Instrument
	var found bool
	seen, err := s.look(ctx, cur.Record, d.Provider)
	if err == nil {
		ins, found, err = seen.pick(d.Want, d.At)
	}
	if surely := found && cur.open() && d.Want.compare(ins, d.At) == alike; err == nil && seen.open > 0 && !surely {
		err = internalError("doubt", errBusy) // what is found may be deleted: it must not be another create's
	}
	if err == nil {
		own := d.Want.compare(ins, d.At) != alike || !ins.CreatedAt.IsZero() && ins.CreatedAt.Before(d.At.Add(-clockSkew))
		if found && own && !cur.open() {
			// Nothing but the time speaks for it, or it was there before: it may be the
			// merchant's own, of a customer whose other instruments were adopted.
			s.log.Warn("an instrument that no record has may be surplus at the provider", zap.String("instrument", cur.ID),
				zap.String("provider", d.Provider), zap.Any("references", ins.References))
			found = false
		}
	}
	next := cur.Record
	switch {
	case err != nil:
		next = next.doubted(d, now.Add(firstBackoff))
	case found && cur.open():
		after, err := s.adoptFound(ctx, cur, seen.p, ins, true, d.Want, nil)
		if !errors.Is(err, errTaken) {
			return after, err
		}
		cur, next = after, after.doubted(d, now.Add(firstBackoff))
	case found:
		next = next.late(tokenOf(seen.p, normalize.RolePrimary, ins, now), s.referenceClaims(seen.p, ins.References), now)
		return s.dropDoubtful(ctx, cur, next, d)
	case d.Looks+1 >= doubtLooks:
		next.Doubt, next.DueAt = nil, time.Time{}
	default:
		d.Looks++
		next = next.doubted(d, now.Add(s.lease))
	}
	return s.settled(s.put(ctx, "doubt", cur, next))
}

// dropDoubtful deletes the surplus that a doubt has found, and ends the doubt. It
// looks again if the surplus turns out to be spoken for.
func (s *Service) dropDoubtful(ctx context.Context, cur stored, next Record, d Doubt) (stored, error) {
	after, _, err := s.put(ctx, "doubt", cur, next)
	if err != nil {
		return s.settled(after, Written{}, err)
	}
	last := after.Late[len(after.Late)-1]
	after, spoken, err := s.reclaim(ctx, after, s.referenceClaims(s.providers[last.Provider], last.References))
	if err != nil {
		return after, err
	}
	if next = after.Record; spoken {
		next.Late = nil
		next = next.doubted(d, s.clock.at(s.now()).Add(firstBackoff))
		return s.settled(s.put(ctx, "doubt", after, next))
	}
	next.Doubt = nil
	if after, err = s.settled(s.put(ctx, "doubt", after, next)); err != nil || len(after.Late) == 0 {
		return after, err
	}
	return s.dropOrphans(ctx, after)
}
