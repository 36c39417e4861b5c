package gateway

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// What the reconciler does about mirrors: an instrument learns where its mirrors
// are, and what was changed in it reaches every provider that has it.

// lastMirrorBackoff bounds the pause between two tries to bring a provider in step,
// so that one which is back is in step soon.
const lastMirrorBackoff = time.Minute

// attach lets a mirror's instrument know where the mirror is. If the instrument is
// gone meanwhile, the mirror goes as well.
func (s *Service) attach(ctx context.Context, child stored) (stored, error) {
	now := s.clock.at(s.now())
	if now.Before(child.DueAt) {
		return child, nil // who stores it is at it
	}
	recs, err := s.load(ctx, "mirror", child.MirrorOf)
	if err != nil {
		return child, err
	}
	parent := recs[0]
	switch {
	case parent == nil || parent.State != StateCompleted:
		// The store may have lost it: that proves nothing.
		next := child.Record
		next.DueAt = now.Add(lastMirrorBackoff)
		return s.settled(s.put(ctx, "mirror", child, next))
	case parent.live() && parent.hasRoomFor(child.Record):
		_, err = s.change(ctx, "mirror", *parent, func(r Record) (Record, error) {
			if !r.live() || !r.hasRoomFor(child.Record) {
				return r, errChanged
			}
			now := s.clock.at(s.now())
			return s.lacking(r.withChild(child.Record, now), r, &child, now).scheduled(), nil
		})
		if err != nil {
			return child, err // looked at again, as it is then
		}
		next := child.Record
		next.Attached = true
		return s.settled(s.put(ctx, "mirror", child, next))
	default:
		scope := ScopeProvider
		if i := parent.mirrorAt(child.ID); i >= 0 && parent.Tokens[i].leaving() {
			scope = parent.Tokens[i].Behind.Delete
		}
		return s.dropMirror(ctx, child, scope)
	}
}

// hasRoomFor reports whether a mirror's record is one of the instrument's, or may be:
// a store that forgot it must not cost a mirror that somebody was told of.
func (r Record) hasRoomFor(child Record) bool {
	return r.mirrorAt(child.ID) >= 0 || r.tokenAt(child.primary().Provider) < 0
}

// withChild is the instrument with the token of a mirror's record.
func (r Record) withChild(child Record, now time.Time) Record {
	if r.mirrorAt(child.ID) < 0 {
		r = r.withAnswerKept()
		t := child.primary()
		t.Role, t.Record = normalize.RoleMirror, child.ID
		r.Tokens = append(append([]Token{}, r.Tokens...), t)
		return r.touched(now)
	}
	return r.withToken(child.ID, child.primary(), now)
}

// mirrorSeen tells a mirror's instrument what its provider shows of it now.
func (s *Service) mirrorSeen(ctx context.Context, child stored, t Token) {
	recs, err := s.load(ctx, "mirror", child.MirrorOf)
	if err == nil && recs[0] != nil && recs[0].live() {
		_, err = s.change(ctx, "mirror", *recs[0], func(r Record) (Record, error) {
			if !r.live() {
				return r.refuse("mirror")
			}
			return r.withToken(child.ID, t, s.clock.at(s.now())), nil
		})
	}
	if err != nil {
		s.log.Info("what a mirror shows could not be noted", zap.String("instrument", child.MirrorOf), zap.Error(err))
	}
}

// dropMirror removes a mirror at its provider and ends its record. It is idempotent.
func (s *Service) dropMirror(ctx context.Context, child stored, scope DeleteScope) (stored, error) {
	if scope != ScopeGateway {
		t := child.primary()
		p := s.providers[t.Provider]
		if p == nil {
			return child, unconfigured("mirror", t.Provider)
		}
		remove, err := remover(p, scope)
		if err != nil {
			return child, err
		}
		if err := s.forceDelete(ctx, p, child, remove); err != nil {
			return child, err
		}
	}
	after, err := s.change(ctx, "mirror", child, func(r Record) (Record, error) { return r.deleted(ScopeProvider, s.clock.at(s.now())) })
	if normalize.CodeOf(err) == normalize.InstrumentDeleted {
		err = nil // somebody else was faster
	}
	return after, err
}

// forceDelete deletes what is nobody's default any more: if it is one at the
// provider, another instrument takes its place.
func (s *Service) forceDelete(ctx context.Context, p *Provider, cur stored, remove removeFunc) error {
	err := s.callDelete(ctx, p, cur, remove)
	if normalize.CodeOf(err) == normalize.DefaultInstrumentInUse {
		if err = s.promoteAtProvider(ctx, p, cur); err == nil {
			err = s.callDelete(ctx, p, cur, remove)
		}
	}
	return err
}

// step brings the next one of an instrument's providers in step with it.
func (s *Service) step(ctx context.Context, cur stored) (stored, error) {
	now := s.clock.at(s.now())
	next, due := cur.nextStep()
	if !due || now.Before(next) {
		return cur, nil
	}
	t := cur.Tokens[cur.stepAt()]
	switch {
	case t.pending() && cur.live():
		return s.endPending(ctx, cur, t)
	case t.Role == normalize.RolePrimary && t.Record != "":
		return s.absorb(ctx, cur)
	default:
		return s.stepWith(ctx, cur, t)
	}
}

// stepWith brings one provider in step, unless somebody is at it.
func (s *Service) stepWith(ctx context.Context, cur stored, t Token) (stored, error) {
	if t.Behind == nil {
		return cur, nil
	}
	begun, err := cur.stepping(s.owner, s.clock.at(s.now()), s.lease)
	if err != nil {
		return cur, nil //nolint:nilerr // somebody is at it
	}
	taken, err := s.settled(s.put(ctx, "mirror", cur, begun))
	if err != nil || taken.Fence != begun.Fence || taken.Owner != s.owner {
		return taken, err
	}
	// What is sent must have ended before the lease is over: two changes of one
	// instrument must not pass each other on their way to a provider.
	limited, cancel := context.WithTimeout(ctx, s.lease-leaseMargin)
	after, left, err := s.push(limited, taken, t)
	cancel()
	t.Behind = &left
	return s.endStep(ctx, after, t, begun.Fence, err)
}

// endPending ends the wait for a mirror that nobody is storing any more.
func (s *Service) endPending(ctx context.Context, cur stored, t Token) (stored, error) {
	recs, err := s.load(ctx, "mirror", t.Record)
	if err != nil {
		return cur, err
	}
	res := s.mirrorNow(t, recs[0], nil)
	if res.token.pending() {
		// Its own record is being looked at; once it is known, it says so.
		res.token.Until = s.clock.at(s.now())
	}
	after, err := s.change(ctx, "mirror", cur, func(r Record) (Record, error) {
		if i := r.mirrorAt(t.Record); !r.live() || i < 0 || !r.Tokens[i].pending() {
			return r.scheduled(), nil
		}
		now := s.clock.at(s.now())
		return s.lacking(r.withToken(t.Record, res.token, now), r, res.child, now).scheduled(), nil
	})
	if err == nil && res.child != nil {
		s.attached(ctx, *res.child)
	}
	return after, err
}

// push makes at a provider what it is behind by. It returns the instrument's record
// as it is afterwards, and what is left of it if that fails.
func (s *Service) push(ctx context.Context, cur stored, t Token) (after stored, left Behind, err error) {
	left = *t.Behind
	p := s.providers[t.Provider]
	if p == nil {
		err := unconfigured("mirror", t.Provider)
		err.RetryAfter = lastMirrorBackoff // of a gateway that has it the reconciler is sooner
		return cur, left, err
	}
	if left.Delete != "" {
		return cur, left, s.pushDelete(ctx, p, cur, t)
	}
	at := &cur // the record of what is there
	if t.Record != "" {
		recs, err := s.load(ctx, "mirror", t.Record)
		if err != nil {
			return cur, left, err
		}
		if at = recs[0]; at == nil || !at.live() {
			return cur, left, &normalize.Error{Code: normalize.InstrumentDeleted, Outcome: normalize.Rejected, Op: "mirror", Provider: p.name, Msg: "the mirror is gone"}
		}
		left = left.without(*cur.View, *at.View)
	}
	if left.Deactivate {
		after, err = s.deactivateAt(ctx, p, *at)
	} else {
		after, left, err = s.pushParts(ctx, p, *at, *cur.View, left)
	}
	if outcome := normalize.OutcomeOf(err); err != nil && outcome != normalize.NotSent && outcome != normalize.Rejected {
		left.Unsure = true
	}
	if t.Record == "" {
		return after, left, err
	}
	return cur, left, err
}

// pushDelete removes an instrument at a provider that it is to leave.
func (s *Service) pushDelete(ctx context.Context, p *Provider, cur stored, t Token) error {
	if t.Record == "" { // it was the primary
		cur.Tokens = []Token{t}
		remove, err := remover(p, t.Behind.Delete)
		if err != nil {
			return err
		}
		return s.forceDelete(ctx, p, cur, remove)
	}
	recs, err := s.load(ctx, "mirror", t.Record)
	switch {
	case err != nil || recs[0] == nil:
		return err
	case recs[0].unfinished():
		return &normalize.Error{
			Code: normalize.OutcomeUnknown, Outcome: normalize.NotSent, Op: "mirror", Provider: p.name,
			Msg: "it is not known yet whether there is a mirror to be removed",
		}
	case !recs[0].live():
		return nil
	}
	_, err = s.dropMirror(ctx, *recs[0], t.Behind.Delete)
	return err
}

// pushParts makes a change at once, or, at a provider that cannot change all of it,
// one part after the other; left is what could not be made.
func (s *Service) pushParts(ctx context.Context, p *Provider, at stored, want View, behind Behind) (after stored, left Behind, err error) {
	after = at
	var firstErr error
	for _, part := range []Behind{behind, {Address: behind.Address}, {Expiry: behind.Expiry}, {Default: behind.Default}} {
		change, in := want.desired(part)
		if change == nil && in.Default == nil {
			continue
		}
		after, err = s.pushChange(ctx, p, after, change, in)
		switch {
		case err == nil:
			behind.Address, behind.Expiry, behind.Default = behind.Address && !part.Address, behind.Expiry && !part.Expiry, behind.Default && !part.Default
		case normalize.CodeOf(err) != normalize.UnsupportedOperation:
			return after, behind, err
		default:
			firstErr = err
		}
		if !behind.Address && !behind.Expiry && !behind.Default {
			return after, behind, nil
		}
	}
	return after, behind, firstErr
}

// pushChange makes a change at a provider, and notes in the record what is there now.
func (s *Service) pushChange(ctx context.Context, p *Provider, at stored, change *adapters.UpdateInput, in normalize.UpdateInput) (stored, error) {
	ins, sent, err := s.updateAtProvider(ctx, p, at, change, in)
	if err != nil && !sent {
		return at, err
	}
	after, storeErr := s.change(ctx, "mirror", at, func(r Record) (Record, error) {
		return s.updated(r, p, ins, change, in)
	})
	if storeErr == nil && after.View.Default && in.Default != nil {
		s.clearOtherDefaults(ctx, after.Record)
	}
	return after, errors.Join(err, storeErr)
}

// deactivateAt deactivates an instrument for good where the provider can.
func (s *Service) deactivateAt(ctx context.Context, p *Provider, at stored) (stored, error) {
	d, ok := p.adapter.(adapters.Deactivator)
	if !ok {
		return at, nil // the gateway holds the instrument
	}
	ins, err := call(ctx, p, p.write, "deactivate", func(ctx context.Context) (adapters.Instrument, error) {
		return d.Deactivate(ctx, at.primary().References)
	})
	if err != nil {
		return at, err
	}
	return s.change(ctx, "mirror", at, func(r Record) (Record, error) { return s.deactivated(r, p, ins) })
}

// endStep writes down what came of a step, and ends its lease.
func (s *Service) endStep(ctx context.Context, cur stored, t Token, fence uint64, err error) (stored, error) {
	var child *stored
	if t.Record != "" {
		if recs, loadErr := s.load(ctx, "mirror", t.Record); loadErr == nil {
			child = recs[0]
		}
	}
	after, putErr := s.change(ctx, "mirror", cur, func(r Record) (Record, error) {
		now := s.clock.at(s.now())
		if r.Fence == fence {
			r = r.released()
		}
		return r.afterStep(t, child, err, now).scheduled(), nil
	})
	if err != nil {
		s.log.Info("a provider could not be brought in step with an instrument", zap.String("instrument", cur.ID),
			zap.String("provider", t.Provider), zap.Strings("changes", t.Behind.Changes()), zap.Error(err))
	}
	return after, putErr
}

// afterStep is the record after a try to bring a provider in step.
func (r Record) afterStep(t Token, child *stored, err error, now time.Time) Record {
	rev := t.Behind.Rev
	if child != nil && child.live() && r.live() {
		r = r.withToken(child.ID, child.primary(), now)
	}
	code := normalize.CodeOf(err)
	switch {
	case (err == nil || code == normalize.InstrumentDeleted) && t.Behind.Delete != "" && r.live():
		return r.inStep(t.Provider, rev).without(t.Provider, now)
	case err == nil || t.Behind.Delete != "" && code == normalize.InstrumentDeleted:
		return r.inStep(t.Provider, rev)
	case (code == normalize.InstrumentDeleted || code == normalize.NotFound) && t.Record != "":
		return r.inStep(t.Provider, rev).withToken(t.Record, failedMirror(t, normalize.InstrumentDeleted, now), now)
	case code == normalize.UnsupportedOperation, normalize.OutcomeOf(err) == normalize.Rejected && code != normalize.ProviderMisconfigured:
		return r.stillBehind(t, code, time.Time{})
	case code == normalize.ProviderUnavailable && normalize.OutcomeOf(err) == normalize.NotSent:
		return r.stillBehind(t, code, now.Add(min(lastMirrorBackoff, max(firstBackoff, asError(err).RetryAfter))))
	default:
		return r.stillBehind(t, code, now.Add(min(lastMirrorBackoff, firstBackoff<<min(t.Behind.Tries, 10))))
	}
}
