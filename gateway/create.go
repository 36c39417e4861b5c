package gateway

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Create stores an instrument exactly once for (tenant, idempotency key). What
// comes back is the instrument, or the operation while the outcome is unknown. It
// fails with a [*Failure] or a [*normalize.Error].
func (s *Service) Create(ctx context.Context, tenant string, in normalize.CreateInput, idempotencyKey string) (Created, error) {
	t := s.tenant(tenant)
	if errs := s.checkCreate(t, in); len(errs) > 0 {
		return Created{}, normalize.Invalid(errs...)
	}
	// A client that hangs up must not leave an attempt half done: from here on
	// only our own deadlines count.
	ctx = context.WithoutCancel(ctx)
	now, err := s.nowAtStore(ctx)
	if err != nil {
		return Created{}, err
	}
	c := &creation{s: s, tenant: t, in: in, decision: s.decideCreate(tenant, in), keyUses: s.keyUseKeys(tenant, idempotencyKey), ids: s.idsOf(tenant, idempotencyKey)}
	key := s.current()
	rec := newRecord(c.ids[0], tenant, in.CustomerID, key, requestDigest(key, tenant, in), now)
	created, err := c.begin(ctx, rec, now)
	c.noteDecline(ctx, rec.ID, err)
	return created, err
}

// begin goes on with the record of an earlier request, or begins with a new one.
func (c *creation) begin(ctx context.Context, rec Record, now time.Time) (Created, error) {
	cur, err := c.find(ctx)
	if err == nil && cur == nil {
		cur, err = c.limit(ctx, rec.ID)
	}
	switch {
	case err != nil:
		return Created{}, err
	case cur != nil:
		return c.resume(ctx, *cur, now)
	default:
		return c.run(ctx, stored{Record: rec})
	}
}

// checkCreate is everything that can be known to be wrong before anything is written.
func (s *Service) checkCreate(t Tenant, in normalize.CreateInput) []normalize.FieldError {
	errs := in.Validate(s.now())
	for i, src := range in.Sources {
		if src.Raw() && !t.AcceptRawCard {
			errs = append(errs, normalize.FieldError{
				Pointer: "/sources/" + strconv.Itoa(i) + "/type", Code: normalize.RawCardNotAccepted,
				Message: "card and account numbers are not accepted: send a token instead",
			})
		}
		if ref := src.ProviderReference; ref != nil {
			errs = append(errs, s.checkReferences("/sources/"+strconv.Itoa(i), ref)...)
		}
	}
	if in.Provider != "" && s.providers[in.Provider] == nil && len(errs) == 0 {
		errs = append(errs, normalize.FieldError{Pointer: "/provider", Code: normalize.InvalidField, Message: "is not a configured provider"})
	}
	return errs
}

func (s *Service) checkReferences(pointer string, ref *normalize.ProviderReferenceSource) []normalize.FieldError {
	p := s.providers[ref.Provider]
	if p == nil {
		return []normalize.FieldError{{Pointer: pointer + "/provider", Code: normalize.InvalidField, Message: "is not a configured provider"}}
	}
	checker, ok := p.adapter.(adapters.ReferenceChecker)
	if !ok {
		return nil
	}
	var errs []normalize.FieldError
	for _, e := range checker.CheckReferences(ref.References) {
		e.Pointer = pointer + "/references" + e.Pointer
		errs = append(errs, e)
	}
	return errs
}

// creation is one create on its way through the candidates.
type creation struct {
	s        *Service
	tenant   Tenant
	in       normalize.CreateInput
	decision Decision
	keyUses  []string           // where it is written down if a change has the key
	ids      []string           // that a create with the key can have made, under each reference key
	tried    map[string]bool    // providers that a call of this request went to, and was provably not executed
	refused  []AttemptView      // candidates that were passed over, with why
	last     []*normalize.Error // of the attempts that were provably not sent
}

// find looks for an earlier request's record. With one reference key nothing
// needs to be read: writing the record is the check. While keys are rotated the
// older ones are looked up first.
func (c *creation) find(ctx context.Context) (*stored, error) {
	if len(c.ids) == 1 {
		return nil, nil
	}
	recs, err := c.s.load(ctx, "create", c.ids...)
	if err != nil {
		return nil, err
	}
	var unused *stored
	for _, rec := range recs {
		switch {
		case rec == nil:
		case !rec.unused():
			return rec, nil
		case unused == nil:
			unused = rec
		}
	}
	return unused, nil
}

// idsOf are the ids that a create with this key can have made, the current one first.
func (s *Service) idsOf(tenant, idempotencyKey string) []string {
	ids := make([]string, len(s.keys))
	for i, k := range s.keys {
		ids[i] = k.instrumentID(tenant, idempotencyKey)
	}
	return ids
}

// run tries the candidates in order, the next one only while every attempt before
// was provably not sent.
func (c *creation) run(ctx context.Context, cur stored) (Created, error) {
	c.refused, c.last = nil, nil
	for _, cand := range c.decision.Candidates {
		if cur.Pinned != "" && cand.Provider != cur.Pinned {
			continue // it may only be tried where it was looked for
		}
		permit := c.admit(cand)
		if permit == nil {
			continue
		}
		next, done, created, err := c.attempt(ctx, permit, cand, cur)
		if done {
			return created, err
		}
		cur = next
	}
	return c.exhausted(ctx, cur)
}

// admit asks for a place at the candidate; nil, with the reason noted, if there is none.
func (c *creation) admit(cand Candidate) *permit {
	p := c.s.providers[cand.Provider]
	switch cand.Reason {
	case "":
	case ReasonDrained:
		return c.pass(cand, p.unavailable(ReasonDrained, 0))
	default:
		c.refused = append(c.refused, AttemptView{Provider: cand.Provider, Outcome: normalize.NotSent, Code: normalize.Code(cand.Reason)})
		c.s.observer.PassedOver(cand.Provider, cand.Reason)
		return nil
	}
	permit, err := p.admit(p.write)
	if err != nil {
		return c.pass(cand, err)
	}
	if len(c.tried) > 0 && !c.tried[p.name] && !p.budget.take() {
		permit.release()
		return c.pass(cand, p.unavailable(ReasonRetryBudget, soon))
	}
	return permit
}

// pass notes why a candidate is passed over.
func (c *creation) pass(cand Candidate, err error) *permit {
	c.refused = append(c.refused, AttemptView{Provider: cand.Provider, Outcome: normalize.NotSent, Code: attemptCode(err)})
	c.s.observer.PassedOver(cand.Provider, Reason(attemptCode(err)))
	c.noteNotSent(err)
	return nil
}

func (c *creation) noteNotSent(err error) {
	if e, ok := errors.AsType[*normalize.Error](err); ok {
		c.last = append(c.last, e)
	}
}

// noteTried keeps in mind that a provider was really called.
func (c *creation) noteTried(p *Provider, err error) {
	if wasRefused(err) {
		return
	}
	if c.tried == nil {
		c.tried = map[string]bool{}
	}
	c.tried[p.name] = true
}

// attempt writes the attempt down, makes it, and completes the record. done says
// that created and err are the answer; otherwise the next candidate may be tried from next.
func (c *creation) attempt(ctx context.Context, m *permit, cand Candidate, cur stored) (next stored, done bool, created Created, err error) {
	defer m.release() // unless the call was made, which ends it
	s, src, start := c.s, c.in.Sources[cand.Source], c.s.now()
	begun, err := cur.begin(m.p.name, s.owner, s.clock.at(start), s.lease)
	if err != nil {
		return cur, true, Created{}, internalError("create", err)
	}
	begun.Claims = c.claims(m.p, src)
	want := wanted(src, c.in)
	if identity := identityOf(src); identity != "" {
		want.View.Fingerprint, want.View.FingerprintOf = s.current().fingerprint(identity), "number"
	}
	begun.Want = &want
	begun.Passed = c.refused
	begun = begun.plan(s.current(), c.mirrorPlan(m.p.name))
	load := append([]string{customerEntryKey(c.tenant.Name, c.in.CustomerID), drainedKey}, c.keyUses...)
	next, res, err := s.put(ctx, "create", cur, begun, append(load, c.otherIDs(begun)...)...)
	if errors.Is(err, errChanged) {
		m.release()
		created, err = c.resume(ctx, next, res.Now)
		return next, true, created, err
	}
	if err != nil {
		return next, true, Created{}, err
	}
	if keyOfChange(res.Loaded[2:len(load)]) {
		created, err = c.refuseKey(ctx, next)
		return next, true, created, err
	}
	if other, err := c.otherRecord(begun, res.Loaded[len(load):]); err != nil || other != nil {
		m.release()
		created, err = c.yieldKey(ctx, next, other, err)
		return next, true, created, err
	}
	if _, drained := s.drained.see(res.Loaded[1], s.log)[m.p.name]; drained {
		next, err = c.drainedNow(m.p, next)
		return next, err != nil, Created{}, err
	}
	if owner := otherOwner(res.Owners, next.ID); owner != "" {
		if next, done, created, err = c.duplicate(ctx, m, src, next, owner); done {
			return next, true, created, err
		}
	}
	if s.forgot() {
		if next, done, created, err = c.recall(ctx, m.p, next); done {
			return next, true, created, err
		}
	}
	if s.now().Sub(start)+m.p.timeout > s.lease {
		created, err = c.notDone(ctx, next, storeError("create", errLate))
		return next, true, created, err
	}
	ins, callErr := c.call(ctx, m, src, res.Loaded[0])
	if callErr == nil {
		if len(c.last) > 0 {
			s.observer.FailedOver(m.p.name)
		}
		created, err = c.stored(ctx, m.p, src, next, ins)
		return next, true, created, err
	}
	e := c.inRequest(callErr, cand.Source)
	if e.Outcome == normalize.NotSent {
		c.noteNotSent(e)
		c.noteTried(m.p, e)
		if ended, err := next.ended(e, s.clock.at(s.now())); err == nil {
			// Not written by itself: the next attempt, or the end, is written with it.
			next.Record = ended
			return next, false, Created{}, nil
		}
	}
	created, err = c.failed(ctx, next, e)
	return next, true, created, err
}

// errLate says that an attempt was written down too long ago to begin now: by its
// end another gateway could have taken the record for abandoned.
var errLate = errors.New("the store took so long that the attempt's lease is nearly over")
