package gateway

import (
	"context"
	"errors"
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
			return s.adoptFound(ctx, cur, p, ins, cur.Want, cur.Doubt)
		}
		if cur.State == StateCompleted && s.has(ctx, cur, token) {
			return cur, nil
		}
		// A new attempt is running, or the record is complete without this one.
		next, _, err := s.put(ctx, "create", cur, cur.late(token, s.clock.at(s.now())))
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

// has reports whether the record, or the one that it is an alias of, lives where the token says.
func (s *Service) has(ctx context.Context, cur stored, t Token) bool {
	if cur.AliasOf != "" {
		recs, err := s.load(ctx, "create", cur.AliasOf)
		if err != nil || recs[0] == nil {
			return true // when in doubt nothing is deleted
		}
		cur = *recs[0]
	}
	p := s.providers[t.Provider]
	for _, have := range cur.Tokens {
		if p != nil && have.Provider == t.Provider && p.locate(have.References) == p.locate(t.References) {
			return true
		}
	}
	return false
}

// dropOrphans deletes the results that came too late at their providers. It is
// tried again by the reconciler until the provider has done it.
func (s *Service) dropOrphans(ctx context.Context, cur stored) (stored, error) {
	for _, t := range cur.Late {
		p := s.providers[t.Provider]
		if p == nil || s.has(ctx, cur, t) {
			continue
		}
		remove, err := remover(p, ScopeProvider)
		if err != nil {
			return cur, err
		}
		_, err = call(ctx, p, p.write, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, remove(ctx, t.References)
		})
		if err != nil {
			next := cur.Record
			next.DueAt = s.clock.at(s.now()).Add(firstBackoff)
			after, _, putErr := s.put(ctx, "orphan", cur, next)
			return after, errors.Join(err, putErr)
		}
		s.log.Warn("a surplus instrument was deleted at the provider", zap.String("instrument", cur.ID),
			zap.String("provider", t.Provider), zap.Any("references", t.References))
	}
	next := cur.Record
	next.Late = nil
	return s.settled(s.put(ctx, "orphan", cur, next))
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

// resolveDoubt looks for the instrument that a doubtful attempt may have stored. It
// completes a record that still needs it; beside a complete one it is deleted at
// the provider.
func (s *Service) resolveDoubt(ctx context.Context, cur stored) (stored, error) {
	now, d := s.clock.at(s.now()), *cur.Doubt
	if now.Before(cur.DueAt) {
		return cur, nil
	}
	ins, found, err := s.lookUp(ctx, cur.Record, Attempt{Provider: d.Provider, At: d.At}, d.Want, true)
	next := cur.Record
	switch {
	case err != nil:
		next = next.doubted(d, now.Add(firstBackoff))
	case found && cur.open():
		return s.adoptFound(ctx, cur, s.providers[d.Provider], ins, d.Want, nil)
	case found:
		next.Doubt = nil
		next = next.late(tokenOf(s.providers[d.Provider], normalize.RolePrimary, ins, now), now)
	case d.Looks+1 >= doubtLooks:
		next.Doubt, next.DueAt = nil, time.Time{}
	default:
		d.Looks++
		next = next.doubted(d, now.Add(s.lease))
	}
	after, err := s.settled(s.put(ctx, "doubt", cur, next))
	if err == nil && found && len(after.Late) > 0 {
		return s.dropOrphans(ctx, after)
	}
	return after, err
}
