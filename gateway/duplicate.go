package gateway

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// duplicate handles a create whose claim another record holds. after is set when
// the claim was taken over, since its holder is gone, and the create goes on from
// there; else created and err are the answer.
func (c *creation) duplicate(ctx context.Context, p *Provider, cur stored, owner string) (after *stored, created Created, err error) {
	recs, err := c.s.load(ctx, "create", owner)
	if err != nil {
		return nil, Created{}, err
	}
	holder := recs[0]
	adopting := c.adopts()
	switch {
	case holder == nil || holder.State == StateFailed || holder.State == StateCompleted && !holder.live():
		next, err := c.takeOver(ctx, cur, owner)
		if err != nil {
			return nil, Created{}, err
		}
		return next, Created{}, nil
	case holder.live() && holder.Tenant == c.tenant.Name && holder.CustomerID == c.in.CustomerID:
		created, err = c.updateInstead(ctx, p, cur, *holder, adopting)
		return nil, created, err
	case holder.live() && adopting:
		// The place belongs to somebody else, and whose it is must not show.
		created, err = c.notDone(ctx, cur, notFound("create"))
		return nil, created, err
	default:
		created, err = c.notDone(ctx, cur, &normalize.Error{
			Code: normalize.Conflict, Outcome: normalize.NotSent, Op: "create",
			Msg: "another request is storing the same card for this customer", RetryAfter: time.Second,
		})
		return nil, created, err
	}
}

func (c *creation) adopts() bool {
	for _, src := range c.in.Sources {
		if src.ProviderReference != nil {
			return true
		}
	}
	return false
}

// takeOver moves the claims of a record that is gone to cur.
func (c *creation) takeOver(ctx context.Context, cur stored, owner string) (*stored, error) {
	w := Write{Key: recordKey(cur.ID), Expect: cur.version, Value: cur.encode(), Nonce: nonce()}
	for _, claim := range cur.Claims {
		w.Release = append(w.Release, Claim{Key: claim, Owner: owner})
		w.Claims = append(w.Claims, Claim{Key: claim, Owner: cur.ID})
	}
	res, err := c.s.store.Write(ctx, w)
	if err != nil {
		return nil, storeError("create", err)
	}
	if !res.Applied || otherOwner(res.Owners, cur.ID) != "" {
		return nil, &normalize.Error{
			Code: normalize.Conflict, Outcome: normalize.NotSent, Op: "create",
			Msg: "another request is storing the same card for this customer", RetryAfter: time.Second,
		}
	}
	return &stored{cur.Record, res.Current.Version}, nil
}

// notDone closes a record with nothing sent and answers e; the same key may try again.
func (c *creation) notDone(ctx context.Context, cur stored, e *normalize.Error) (Created, error) {
	sent := *e
	sent.Outcome = normalize.NotSent
	next, err := cur.ended(&sent, c.s.clock.at(c.s.now()))
	if err == nil {
		next, err = next.failed()
	}
	if err == nil {
		_, _, err = c.s.put(ctx, "create", cur, next)
	}
	if err != nil {
		c.s.log.Warn("a create that was not sent could not be closed", zap.String("instrument", cur.ID), zap.Error(err))
	}
	return Created{}, &Failure{Err: e, OperationID: cur.ID, Attempts: c.attempts(next)}
}

// updateInstead applies the rule "update": the instrument that holds the number
// gets the new expiry and address, and answers for this request.
func (c *creation) updateInstead(ctx context.Context, p *Provider, cur, holder stored, adopting bool) (Created, error) {
	if !adopting {
		src := c.in.Sources[c.sourceFor(p)]
		updated, err := c.s.update(ctx, holder, updateFrom(src, c.in))
		if err != nil {
			return c.notDone(ctx, cur, asError(err))
		}
		holder = updated
	}
	now := c.s.clock.at(c.s.now())
	next, err := cur.alias(holder.Record, now)
	if err != nil {
		return pending(cur.Record), nil
	}
	if _, _, err := c.s.put(ctx, "create", cur, next); err != nil && !errors.Is(err, errChanged) {
		return Created{}, err
	}
	return Created{Instrument: holder.instrument(now), Provider: p.name, Deduplicated: true}, nil
}

func (c *creation) sourceFor(p *Provider) int {
	for _, cand := range c.decision.Candidates {
		if cand.Provider == p.name {
			return cand.Source
		}
	}
	return 0
}

// updateFrom is the change that storing a source again makes to the instrument that has its number.
func updateFrom(src normalize.Source, in normalize.CreateInput) normalize.UpdateInput {
	out := normalize.UpdateInput{}
	if src.Card != nil {
		out.ExpMonth, out.ExpYear = &src.Card.ExpMonth, &src.Card.ExpYear
	}
	if in.BillingAddress != nil {
		out.BillingAddress = normalize.PatchOf(*in.BillingAddress)
	}
	if in.Default {
		out.Default = &in.Default
	}
	for k, v := range in.Metadata {
		if out.Metadata == nil {
			out.Metadata = map[string]*string{}
		}
		out.Metadata[k] = &v
	}
	return out
}

// becomeAlias ends a create whose provider answered with an instrument that the
// gateway has already: the first one answers for both.
func (c *creation) becomeAlias(ctx context.Context, p *Provider, done stored, owner string, ins adapters.Instrument) (Created, error) {
	now := c.s.clock.at(c.s.now())
	recs, err := c.s.load(ctx, "create", owner)
	if err != nil {
		return pending(done.Record), nil
	}
	first := recs[0]
	if first == nil || !first.live() {
		// Its holder is gone, so the place is this record's.
		after, err := c.takeOver(ctx, done, owner)
		if err != nil {
			return pending(done.Record), nil
		}
		return Created{Instrument: after.instrument(now), Provider: p.name}, nil
	}
	if first.Tenant != done.Tenant || first.CustomerID != done.CustomerID {
		c.s.log.Error("two customers' instruments are one at the provider", zap.String("provider", p.name),
			zap.String("instrument", first.ID), zap.String("other", done.ID))
		return Created{Instrument: done.instrument(now), Provider: p.name}, nil
	}
	changed, err := c.s.change(ctx, "create", *first, func(r Record) (Record, error) {
		return r.changed(tokenOf(p, normalize.RolePrimary, ins, now), r.View.merge(ins), now)
	})
	if err != nil {
		return pending(done.Record), nil
	}
	next, err := done.alias(changed.Record, now)
	if err != nil {
		return pending(done.Record), nil
	}
	if _, _, err := c.s.put(ctx, "create", done, next); err != nil && !errors.Is(err, errChanged) {
		return pending(done.Record), nil
	}
	return Created{Instrument: changed.instrument(now), Provider: p.name, Deduplicated: true}, nil
}
