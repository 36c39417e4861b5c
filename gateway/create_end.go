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
		return c.replayMirrored(ctx, cur)
	case cur.leased(now):
		return Created{}, &Failure{OperationID: cur.ID, Attempts: cur.attemptViews(), Err: &normalize.Error{
			Code: normalize.IdempotencyKeyInUse, Outcome: normalize.Unknown, Op: "create",
			Msg: "a request with this idempotency key is in progress", RetryAfter: time.Second,
		}}
	case cur.State == StateFailed && cur.Doubt != nil:
		// An earlier attempt may have stored it after all: a second one, or the word that
		// its one-time token is used up, would be wrong.
		after, err := c.s.beforeAgain(ctx, cur)
		if err != nil {
			return Created{}, &Failure{OperationID: cur.ID, Attempts: cur.attemptViews(), Err: asError(harmless(asError(err)))}
		}
		if after.Answer != nil {
			return c.replayMirrored(ctx, after)
		}
		return c.run(ctx, after)
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
		out, err := c.replayMirrored(ctx, after)
		out.Replayed = out.Replayed && again // else this is the first answer
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

// stored goes on from what the provider answered. What another record may well have
// already, since the provider says so or since a token's card is known only now, is
// claimed before this record comes to life: however often the gateway dies, there are
// never two live records of one card.
func (c *creation) stored(ctx context.Context, p *Provider, src normalize.Source, cur stored, ins adapters.Instrument) (Created, error) {
	s := c.s
	claims := s.claimsOn(cur.Record, p, ins)
	late := identityOf(src) == "" && src.ProviderReference == nil && ins.Identity != "" && slices.ContainsFunc(claims, isNumberClaim)
	if !ins.Existing && !late {
		return c.complete(ctx, p, src, cur, ins)
	}
	for {
		after, st, err := s.secure(ctx, "create", cur, p, ins, false)
		now := s.clock.at(s.now())
		switch {
		case errors.Is(err, errChanged) && after.State == StateSending && after.Fence == cur.Fence:
			cur = after // a late result was put beside it
		case errors.Is(err, errChanged):
			return c.superseded(ctx, p, cur, after, ins)
		case errors.Is(err, errBusy) && now.Before(after.LeaseEnd.Add(-leaseMargin)):
			if pause(ctx, busyPause) != nil {
				return c.unsettled(after.Record, err)
			}
			cur = after
		case err != nil:
			return c.undecided(ctx, after, err)
		case st.first != nil:
			return c.sameAs(ctx, p, src, after, st, ins)
		case st.taken:
			return c.undecided(ctx, after, errTaken)
		default:
			return c.complete(ctx, p, src, after, ins)
		}
	}
}

// busyPause is how long a create waits before it asks again whether another one,
// which stores the same card, has ended.
const busyPause = 50 * time.Millisecond

// undecided leaves a record to the reconciler, though the provider has stored: what
// it is to become could not be worked out.
func (c *creation) undecided(ctx context.Context, cur stored, why error) (Created, error) {
	next, err := cur.ended(&normalize.Error{Code: normalize.OutcomeUnknown, Outcome: normalize.Unknown}, c.s.clock.at(c.s.now()))
	if err == nil {
		cur, _, err = c.s.put(ctx, "create", cur, next)
	}
	return c.unsettled(cur.Record, errors.Join(why, err))
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
	if next = next.mirroring(now.Add(s.lease)); next.MirrorOf != "" {
		next.DueAt = now.Add(s.lease) // whoever stores it tells its instrument
	}
	claims := s.claimsOn(cur.Record, p, ins)
	if src.ProviderReference != nil {
		// What was stored before is adopted as it is, beside others of the same card.
		claims = slices.DeleteFunc(claims, isNumberClaim)
	}
	next.Claims = union(cur.Claims, claims)
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
	if otherOwner(res.Owners, done.ID) != "" {
		after, st, err := c.rival(ctx, p, done, ins, res.Owners)
		if err != nil {
			return c.unsettled(done.Record, err)
		}
		if st.first != nil {
			return c.sameAs(ctx, p, src, after, st, ins)
		}
	}
	if view.Default {
		s.clearOtherDefaults(ctx, done.Record)
	}
	if done.unanswered() {
		return c.mirror(ctx, done)
	}
	return Created{Instrument: done.instrument(now), Provider: p.name, Deduplicated: ins.Existing, Attempts: c.attempts(done.Record)}, nil
}

// rival finds the live record that has a claim of one which has just completed. It
// waits a little for one that is still being stored: if that does not end, both stay.
func (c *creation) rival(ctx context.Context, p *Provider, done stored, ins adapters.Instrument, owners []string) (after stored, st standing, err error) {
	for range int(leaseMargin / busyPause) {
		after, st, err = c.s.whoseIs(ctx, done, p, ins, owners, false)
		if !errors.Is(err, errBusy) || pause(ctx, busyPause) != nil {
			return after, st, err
		}
	}
	c.s.log.Warn("another create of the same card did not end", zap.String("instrument", done.ID), zap.String("provider", p.name))
	return done, standing{}, nil
}

// superseded ends a create whose record was changed by somebody else during the
// call: the lease was over, and a reconciler or a retry has taken it.
func (c *creation) superseded(ctx context.Context, p *Provider, cur, now stored, ins adapters.Instrument) (Created, error) {
	c.s.log.Warn("a create came back after its lease", zap.String("instrument", cur.ID), zap.String("provider", p.name))
	after, err := c.s.lateResult(ctx, now, p, ins)
	if err != nil || after.Answer == nil {
		return pending(after.Record), nil //nolint:nilerr // the record says all that is known, and the reconciler goes on
	}
	return c.replayMirrored(ctx, after)
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
	if spent := e.Code == normalize.TokenExpired || e.Code == normalize.TokenAlreadyUsed; spent && cur.Doubt != nil && e.Outcome == normalize.Rejected {
		unsure := *e // the attempt that is in doubt may have spent the token, and stored its card
		unsure.Outcome, e = normalize.Unknown, &unsure
	}
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
