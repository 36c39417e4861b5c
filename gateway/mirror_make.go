package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// mirrorPlan is where the route wants the request's instrument to live as well, as far
// as the request has brought a source for it.
func (c *creation) mirrorPlan(primary string) []Token {
	var out []Token
	sources := c.mirrorSources(primary)
	for _, cand := range c.decision.MirrorsOf(primary) {
		if _, ok := sources[cand.Provider]; ok {
			out = append(out, Token{Provider: cand.Provider, ProviderType: c.s.providers[cand.Provider].Type()})
		}
	}
	return out
}

// mirrorSources gives every mirror of an instrument the first source that its provider
// accepts. A one-time token that another provider gets is none for it.
func (c *creation) mirrorSources(primary string) map[string]normalize.Source {
	out, spent := map[string]normalize.Source{}, map[int]bool{}
	for _, cand := range c.decision.Candidates {
		if cand.Provider == primary {
			spent[cand.Source] = true
		}
	}
	for _, cand := range c.decision.MirrorsOf(primary) {
		p := c.s.providers[cand.Provider]
		if p == nil || cand.Reason != "" && cand.Reason != ReasonDisabled && cand.Reason != ReasonDrained {
			continue // what takes none now is to show as a mirror that failed
		}
		facts := FactsOf(p.name, p.adapter, false)
		for i, src := range c.in.Sources {
			if taken := src.OneTime() && spent[i]; !taken && facts.accepts(routeSource(src)) {
				out[p.name], spent[i] = src, true
				break
			}
		}
	}
	return out
}

// mirror stores the pending mirrors of an instrument, each with a source that this
// request has brought, and answers with all of them. A mirror that cannot be stored
// does not take the instrument back.
func (c *creation) mirror(ctx context.Context, cur stored) (Created, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	made, sources := map[string]mirrorResult{}, c.mirrorSources(cur.primary().Provider)
	for _, t := range cur.Tokens {
		src, ok := sources[t.Provider]
		if !t.pending() || !ok {
			continue
		}
		wg.Go(func() {
			res := c.s.makeMirror(ctx, cur, t, src)
			mu.Lock()
			defer mu.Unlock()
			made[t.Record] = res
		})
	}
	wg.Wait()
	done, err := c.s.mirrored(ctx, cur, made)
	if normalize.CodeOf(err) == normalize.InstrumentDeleted {
		return replay(done.Record)
	}
	if err != nil {
		return c.unsettled(cur.Record, err)
	}
	out, err := replay(done.Record)
	out.Replayed, out.Attempts = false, c.attempts(done.Record)
	return out, err
}

// replayMirrored answers what the first request was answered. If no request was, since
// mirrors are still to be stored, this one goes on.
func (c *creation) replayMirrored(ctx context.Context, cur stored) (Created, error) {
	now := c.s.clock.at(c.s.now())
	switch {
	case !cur.unanswered():
		return replay(cur.Record)
	case cur.beingMirrored(now):
		return Created{}, &Failure{OperationID: cur.ID, Attempts: cur.attemptViews(), Err: keyInUse()}
	}
	taken, _, err := c.s.put(ctx, "create", cur, cur.mirroring(now.Add(c.s.lease)))
	switch {
	case errors.Is(err, errChanged):
		return Created{}, &Failure{OperationID: cur.ID, Attempts: cur.attemptViews(), Err: keyInUse()}
	case err != nil:
		return Created{}, err
	}
	return c.mirror(ctx, taken)
}

// mirrorResult is what became of a mirror: its token, and its record if it is stored.
type mirrorResult struct {
	token Token
	child *stored
	err   *normalize.Error // why it is not
}

// makeMirror stores a source at a mirror's provider, under a record of its own.
func (s *Service) makeMirror(ctx context.Context, of stored, t Token, src normalize.Source) mirrorResult {
	now := s.clock.at(s.now())
	rec := newRecord(t.Record, of.Tenant, of.CustomerID, ReferenceKey{}, nil, now)
	rec.MirrorOf = of.ID
	c := &creation{
		s: s, tenant: s.tenant(of.Tenant),
		in: normalize.CreateInput{
			CustomerID: of.CustomerID, Sources: []normalize.Source{src}, BillingAddress: of.View.BillingAddress, Default: of.View.Default,
			Provider: t.Provider,
		},
	}
	c.decision = Decide(s.decideInput(routeRequest(of.Tenant, c.in)))
	_, err := c.run(ctx, stored{Record: rec})
	var why *normalize.Error
	if err != nil {
		why = asError(err)
	}
	recs, loadErr := s.load(ctx, "mirror", t.Record)
	if loadErr != nil {
		s.log.Warn("it is not known what became of a mirror", zap.String("instrument", of.ID), zap.String("provider", t.Provider), zap.Error(loadErr))
		return mirrorResult{token: t, err: asError(loadErr)}
	}
	out := s.mirrorNow(t, recs[0], why)
	if out.token.Status == normalize.StatusFailed {
		s.log.Warn("a mirror was not stored", zap.String("instrument", of.ID), zap.String("provider", t.Provider),
			zap.String("code", string(out.token.Code)), zap.Error(err))
	}
	return out
}

// mirrorNow tells by a mirror's record what became of it. why is the error of the
// attempt to store it, if that was made just now.
func (s *Service) mirrorNow(t Token, child *stored, why *normalize.Error) mirrorResult {
	now := s.clock.at(s.now())
	failed := func(code normalize.Code) mirrorResult {
		if why == nil {
			why = &normalize.Error{Code: code, Outcome: normalize.NotSent, Op: "mirror", Provider: t.Provider, Msg: "the mirror was not stored"}
		}
		return mirrorResult{token: failedMirror(t, why.Code, now), err: why}
	}
	switch {
	case child == nil:
		return failed(normalize.ProviderUnavailable) // its gateway ended before it was sent
	case child.AliasOf != "":
		why = nil
		return failed(normalize.Conflict) // another instrument of the customer is that card there
	case child.live():
		return mirrorResult{token: child.primary(), child: child}
	case child.State == StateCompleted:
		return failed(normalize.InstrumentDeleted)
	case child.State == StateFailed && child.Answer != nil:
		return failed(child.Answer.Error.Code)
	case child.State == StateFailed:
		return failed(child.lastCode())
	default:
		return mirrorResult{token: t, err: why} // nobody knows yet
	}
}

// lastCode is why the last attempt ended.
func (r Record) lastCode() normalize.Code {
	if len(r.Attempts) == 0 || r.Attempts[len(r.Attempts)-1].Code == "" {
		return normalize.ProviderUnavailable
	}
	return r.Attempts[len(r.Attempts)-1].Code
}

// mirrored writes what became of mirrors into their instrument, and then into their
// own records that the instrument knows them.
func (s *Service) mirrored(ctx context.Context, cur stored, made map[string]mirrorResult) (stored, error) {
	done, err := s.change(ctx, "mirror", cur, func(r Record) (Record, error) {
		if !r.live() {
			return r.refuse("mirror")
		}
		now := s.clock.at(s.now())
		for record, res := range made {
			// Another request may have known better meanwhile.
			if i := r.mirrorAt(record); i >= 0 && r.Tokens[i].pending() && !res.token.pending() {
				r = s.lacking(r.withToken(record, res.token, now), r, res.child, now)
			}
		}
		if r.unanswered() {
			r = r.withAnswerKept() // what is not known now is not in the answer
		}
		return r.scheduled(), nil
	})
	if err != nil {
		return done, err
	}
	for record, res := range made {
		if i := done.mirrorAt(record); res.child != nil && i >= 0 && sameToken(done.Tokens[i], asMirror(res.token)) {
			s.attached(ctx, *res.child)
		} // else the reconciler tells the instrument
	}
	return done, nil
}

// lacking marks what a mirror that was found late does not have of its instrument. A
// gateway that died had stored it, and not made it the customer's default; or it was
// given up before, and nobody told it of changes. child is the mirror's record, nil if
// it is not stored; before is the instrument's without it.
func (s *Service) lacking(r, before Record, child *stored, now time.Time) Record {
	if child == nil || !r.live() || !child.live() || r.mirrorAt(child.ID) < 0 {
		return r
	}
	var what Behind
	p := s.providers[child.primary().Provider]
	if p != nil && r.View.Default && !child.View.Default {
		_, what.Default = p.adapter.(adapters.DefaultSetter)
	}
	if i := before.mirrorAt(child.ID); i < 0 || before.Tokens[i].Status == normalize.StatusFailed {
		changed := Behind{Address: true, Expiry: true}.without(*r.View, *child.View)
		what.Address, what.Expiry = changed.Address, changed.Expiry
	}
	if what == (Behind{}) {
		return r
	}
	r.Tokens = slices.Clone(r.Tokens)
	t := &r.Tokens[r.mirrorAt(child.ID)]
	t.Behind = t.Behind.plus(what, now)
	return r.scheduled()
}

// attached notes in a mirror's record that its instrument knows it. It is only a
// saving: the reconciler would find out.
func (s *Service) attached(ctx context.Context, child stored) {
	next := child.Record
	next.Attached, next.DueAt = true, child.DueAt
	if _, _, err := s.put(ctx, "mirror", child, next); err != nil {
		s.log.Info("a mirror could not be marked as attached", zap.String("instrument", child.ID), zap.Error(err))
	}
}
