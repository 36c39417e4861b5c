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

// resume answers a request whose key was used before.
func (c *creation) resume(ctx context.Context, cur stored, now time.Time) (Created, error) {
	key, ok := c.s.keys.byID(cur.DigestKey)
	if ok && cur.unused() {
		return c.run(ctx, stored{cur.renewed(c.in.CustomerID, requestDigest(key, c.tenant.Name, c.in), now), cur.version})
	}
	if ok {
		if pointer := differing(cur.Digest, requestDigest(key, c.tenant.Name, c.in)); pointer != "" {
			return Created{}, &Failure{OperationID: cur.ID, Err: keyReused(pointer)}
		}
	}
	switch {
	case cur.Answer != nil:
		return replay(cur.Record)
	case cur.leased(now):
		return Created{}, &Failure{OperationID: cur.ID, Attempts: cur.attemptViews(), Err: &normalize.Error{
			Code: normalize.IdempotencyKeyInUse, Outcome: normalize.Unknown, Op: "create",
			Msg: "a request with this idempotency key is in progress", RetryAfter: time.Second,
		}}
	case cur.State == StateReserved, cur.State == StateFailed:
		return c.run(ctx, cur)
	default:
		return c.settle(ctx, cur, true)
	}
}

// settle asks the provider what became of an attempt whose effect is not known,
// and answers with what was found. again says that the client has brought the
// source once more, so that an attempt which was proved not executed is made again.
func (c *creation) settle(ctx context.Context, cur stored, again bool) (Created, error) {
	after, err := c.s.settle(ctx, cur)
	switch {
	case err != nil:
		c.s.log.Info("a create could not be settled yet", zap.String("instrument", cur.ID), zap.Error(err))
		return pending(after.Record), nil
	case after.Answer != nil:
		out, err := replay(after.Record)
		out.Replayed = again // else this is the first answer
		return out, err
	case again && after.State == StateFailed:
		return c.run(ctx, after)
	default:
		return pending(after.Record), nil
	}
}

// pending answers with the operation: what became of the attempt is not known yet.
func pending(r Record) Created {
	op := r.operation()
	return Created{Operation: &op}
}

// unsettled answers with the operation when the end of an attempt could not be
// written down or worked out: the caller must not be told more than is recorded.
func (c *creation) unsettled(r Record, err error) (Created, error) {
	c.s.log.Error("the end of a create could not be recorded", zap.String("instrument", r.ID), zap.Error(err))
	return pending(r), nil
}

// replay answers what the first request was answered.
func replay(r Record) (Created, error) {
	if r.Answer.Error != nil {
		return Created{}, &Failure{Err: r.Answer.Error.err(), OperationID: r.ID, Attempts: r.Answer.Attempts, Replayed: true}
	}
	ins := r.answered()
	out := Created{Instrument: ins, Replayed: true, Deduplicated: r.Answer.Deduplicated}
	if len(ins.ProviderTokens) > 0 {
		out.Provider = ins.ProviderTokens[0].Provider
	}
	return out, nil
}

// complete writes what the provider stored. If the write is not acknowledged the
// caller is told so, and never that the instrument is there.
func (c *creation) complete(ctx context.Context, p *Provider, src normalize.Source, cur stored, ins adapters.Instrument) (Created, error) {
	s, now := c.s, c.s.clock.at(c.s.now())
	view := View{Metadata: c.in.Metadata, BillingAddress: c.in.BillingAddress}.merge(ins)
	view.Fingerprint, view.FingerprintOf = c.fingerprint(p, src, ins)
	next, err := cur.complete(tokenOf(p, normalize.RolePrimary, ins, now), view, now)
	if err != nil {
		return c.unsettled(cur.Record, err)
	}
	next.Answer.Deduplicated = ins.Existing
	places := s.referenceClaims(p, ins.References)
	next.Claims = append(slices.DeleteFunc(slices.Clone(cur.Claims), func(c string) bool { return slices.Contains(places, c) }), places...)
	done, res, err := s.put(ctx, "create", cur, next)
	switch {
	case errors.Is(err, errChanged) && done.State == StateSending && done.Fence == cur.Fence:
		// The record is still this attempt's: a late result was put beside it.
		return c.complete(ctx, p, src, done, ins)
	case errors.Is(err, errChanged):
		return c.superseded(ctx, p, cur, done, ins)
	case err != nil:
		return c.unsettled(cur.Record, err)
	}
	// A number that another record took meanwhile says nothing about this place.
	if owner := otherOwner(res.Owners[len(res.Owners)-len(places):], done.ID); owner != "" {
		return c.becomeAlias(ctx, p, src, done, owner, ins)
	}
	if view.Default {
		s.clearOtherDefaults(ctx, done.Record)
	}
	return Created{Instrument: done.instrument(now), Provider: p.name, Deduplicated: ins.Existing}, nil
}

// superseded ends a create whose record was changed by somebody else during the
// call: the lease was over, and a reconciler or a retry has taken it.
func (c *creation) superseded(ctx context.Context, p *Provider, cur, now stored, ins adapters.Instrument) (Created, error) {
	c.s.log.Warn("a create came back after its lease", zap.String("instrument", cur.ID), zap.String("provider", p.name))
	after, err := c.s.lateResult(ctx, now, p, ins)
	if err != nil || after.Answer == nil {
		return pending(after.Record), nil //nolint:nilerr // the record says all that is known, and the reconciler goes on
	}
	return replay(after.Record)
}

func (c *creation) fingerprint(p *Provider, src normalize.Source, ins adapters.Instrument) (value, origin string) {
	if identity := identityOf(src); identity != "" {
		return c.s.current().fingerprint(identity), "number"
	}
	if ins.Identity != "" {
		return c.s.current().fingerprint(p.Type() + " " + ins.Identity), p.Type()
	}
	return "", ""
}

// failed writes down a definitive rejection, or that the effect is unknown, and answers it.
func (c *creation) failed(ctx context.Context, cur stored, e *normalize.Error) (Created, error) {
	next, err := cur.ended(e, c.s.clock.at(c.s.now()))
	if err != nil {
		return c.unsettled(cur.Record, err)
	}
	if next.Answer != nil {
		next.Answer.Attempts = c.attempts(next)
	}
	done, _, err := c.s.put(ctx, "create", cur, next)
	if errors.Is(err, errChanged) && next.State == StateUnknown && done.Fence != cur.Fence {
		last := cur.Attempts[len(cur.Attempts)-1]
		c.s.doubt(ctx, done, Doubt{Provider: last.Provider, At: last.At, Want: cur.Want})
	}
	if err != nil && !errors.Is(err, errChanged) {
		c.s.log.Error("the end of an attempt could not be recorded", zap.String("instrument", cur.ID), zap.Error(err))
		done = stored{Record: next}
	}
	if next.State == StateUnknown {
		c.s.log.Warn("the effect of a create is unknown", zap.String("instrument", cur.ID), zap.Error(e))
		return c.settle(ctx, done, false)
	}
	return Created{}, &Failure{Err: e, OperationID: cur.ID, Attempts: c.attempts(next)}
}

// attempts are those of the record, after the candidates that were passed over.
func (c *creation) attempts(r Record) []AttemptView {
	return slices.Concat(c.refused, r.attemptViews())
}

// exhausted answers a request that no candidate could take: nothing was sent, and
// the same key may try again.
func (c *creation) exhausted(ctx context.Context, cur stored) (Created, error) {
	if cur.version == 0 {
		// No record was written, but an earlier request may have: its answer stands
		// even while every provider is down.
		recs, err := c.s.load(ctx, "create", cur.ID)
		if err != nil {
			return Created{}, err
		}
		if recs[0] != nil && (recs[0].Answer != nil || recs[0].State != StateFailed) {
			return c.resume(ctx, *recs[0], c.s.clock.at(c.s.now()))
		}
	} else if next, err := cur.failed(); err == nil {
		if _, _, err := c.s.put(ctx, "create", cur, next); err != nil {
			c.s.log.Warn("a create that was not sent could not be closed", zap.String("instrument", cur.ID), zap.Error(err))
		}
	}
	return Created{}, &Failure{Err: c.whyNot(), OperationID: cur.ID, Attempts: c.attempts(cur.Record)}
}

// whyNot picks the error that helps the caller most: what to mend in the request,
// then the only candidate's own, then that none could be used.
func (c *creation) whyNot() *normalize.Error {
	for _, e := range c.last {
		if len(e.Fields) > 0 {
			return e
		}
	}
	if len(c.decision.Candidates) == 1 && len(c.last) == 1 {
		return c.last[0]
	}
	e := &normalize.Error{
		Code: normalize.NoEligibleProvider, Outcome: normalize.NotSent, Op: "create",
		Msg: "no configured provider can take this request now: see attempts",
	}
	unsupported := len(c.decision.Candidates) > 0
	for _, cand := range c.decision.Candidates {
		unsupported = unsupported && cand.Reason == ReasonUnsupportedSource
	}
	switch {
	case len(c.decision.Candidates) == 0:
		e.Msg = "no route matches this request"
	case unsupported:
		e.Code, e.Msg = normalize.UnsupportedSource, "none of the route's providers accepts any of the sources"
	}
	for _, failed := range c.last {
		e.RetryAfter = max(e.RetryAfter, failed.RetryAfter)
	}
	return e
}
