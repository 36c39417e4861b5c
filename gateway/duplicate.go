package gateway

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// duplicate handles a create whose claim another record holds. Either the claim is
// taken over, since its holder is gone, and the create goes on from next; or done
// is set, and created and err are the answer.
func (c *creation) duplicate(ctx context.Context, m *permit, src normalize.Source, cur stored, owner string) (next stored, done bool, created Created, err error) {
	recs, err := c.s.load(ctx, "create", owner)
	if err != nil {
		created, err = c.notDone(ctx, cur, asError(err))
		return cur, true, created, err
	}
	holder, adopting := recs[0], src.ProviderReference != nil
	switch {
	case abandoned(holder, cur.Claims, adopting):
		next, err = c.takeOver(ctx, cur, owner, holder)
		if err != nil {
			created, err = c.notDone(ctx, cur, asError(err))
			return cur, true, created, err
		}
		return next, false, Created{}, nil
	case holder.live() && holder.Tenant == c.tenant.Name && holder.CustomerID == c.in.CustomerID:
		m.release() // the update has a permit of its own
		created, err = c.updateInstead(ctx, m.p, src, cur, *holder)
	case holder.live() && adopting:
		// The place belongs to somebody else, and whose it is must not show.
		created, err = c.notDone(ctx, cur, notFound("create"))
	default:
		created, err = c.notDone(ctx, cur, beingStored())
	}
	return cur, true, created, err
}

// abandoned reports whether the holder of one of claims has no use for it any
// more. What a provider deactivated for good is no reason not to store the number
// again. A holder that does not list the claim never got as far as writing it down:
// a store makes claims even if the record that they came with lost its race.
func abandoned(holder *stored, claims []string, adopting bool) bool {
	return !holds(holder, claims) || holder.State == StateFailed || holder.State == StateCompleted && !holder.live() ||
		holder.live() && !adopting && holder.primary().Status == normalize.StatusDeactivated
}

// holds reports whether the record exists and lists one of claims.
func holds(r *stored, claims []string) bool {
	return r != nil && slices.ContainsFunc(claims, func(c string) bool { return slices.Contains(r.Claims, c) })
}

func beingStored() *normalize.Error {
	return &normalize.Error{
		Code: normalize.Conflict, Outcome: normalize.NotSent, Op: "create",
		Msg: "another request is storing the same card for this customer", RetryAfter: time.Second,
	}
}

// takeOver moves the claims of a record that is gone to cur. It fails with
// Conflict if another request was faster, or if the holder has come back to life
// since it was loaded.
func (c *creation) takeOver(ctx context.Context, cur stored, owner string, holder *stored) (stored, error) {
	w := Write{Key: recordKey(cur.ID), Expect: cur.version, Value: cur.encode(), Nonce: nonce()}
	for _, claim := range cur.Claims {
		w.Release = append(w.Release, Claim{Key: claim, Owner: owner})
		w.Claims = append(w.Claims, Claim{Key: claim, Owner: cur.ID})
	}
	res, err := c.s.write(ctx, w)
	if err != nil {
		return cur, storeError("create", err)
	}
	if res.Applied {
		cur.version = res.Current.Version
	}
	if !res.Applied || otherOwner(res.Owners, cur.ID) != "" {
		return cur, beingStored()
	}
	// Only what is read after the claims moved tells; a store may load before.
	now, err := c.s.load(ctx, "create", owner)
	if err != nil {
		return cur, err
	}
	if versionOf(now[0]) != versionOf(holder) {
		return cur, beingStored()
	}
	return cur, nil
}

func versionOf(r *stored) uint64 {
	if r == nil {
		return 0
	}
	return r.version
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
// gets the new expiry and address, and answers for this request. A place that is
// adopted again is left as it is.
func (c *creation) updateInstead(ctx context.Context, p *Provider, src normalize.Source, cur, holder stored) (Created, error) {
	if src.ProviderReference == nil {
		updated, err := c.s.update(ctx, holder, updateFrom(p, src, c.in))
		if err == nil && updated.Held {
			updated, err = c.s.hold(ctx, "create", updated, false)
		}
		if normalize.CodeOf(err) == normalize.InstrumentDeleted {
			return c.storeAfresh(ctx, cur, holder)
		}
		if err != nil {
			return c.notDone(ctx, cur, asError(err))
		}
		holder = updated
	}
	now := c.s.clock.at(c.s.now())
	next, err := cur.alias(holder.Record, now)
	if err != nil {
		return c.unsettled(cur.Record, err)
	}
	if done, _, err := c.s.put(ctx, "create", cur, next); err != nil {
		return c.unsettled(done.Record, err)
	}
	return Created{Instrument: holder.instrument(now), Provider: p.name, Deduplicated: true}, nil
}

// storeAfresh goes on with a create whose duplicate the provider no longer has: the
// provider said so, which is the one reason to end a record without being asked.
func (c *creation) storeAfresh(ctx context.Context, cur, holder stored) (Created, error) {
	_, err := c.s.change(ctx, "create", holder, func(r Record) (Record, error) { return r.deleted(c.s.clock.at(c.s.now())) })
	if err != nil && normalize.CodeOf(err) != normalize.InstrumentDeleted {
		return c.notDone(ctx, cur, asError(err))
	}
	next, err := cur.ended(beingStored(), c.s.clock.at(c.s.now()))
	if err == nil {
		next, err = next.failed()
	}
	if err != nil {
		return c.unsettled(cur.Record, err)
	}
	closed, _, err := c.s.put(ctx, "create", cur, next)
	if err != nil {
		return Created{}, &Failure{Err: asError(err), OperationID: cur.ID, Attempts: c.attempts(next)}
	}
	return c.run(ctx, closed)
}

// updateFrom is the change that storing a source again makes to the instrument
// that has its number, as far as the provider can change it.
func updateFrom(p *Provider, src normalize.Source, in normalize.CreateInput) normalize.UpdateInput {
	out := normalize.UpdateInput{}
	if _, ok := p.adapter.(adapters.Updater); ok {
		if src.Card != nil {
			out.ExpMonth, out.ExpYear = &src.Card.ExpMonth, &src.Card.ExpYear
		}
		if in.BillingAddress != nil {
			out.BillingAddress = normalize.PatchOf(*in.BillingAddress)
		}
	}
	if _, ok := p.adapter.(adapters.DefaultSetter); ok && in.Default {
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
func (c *creation) becomeAlias(ctx context.Context, p *Provider, src normalize.Source, done stored, owner string, ins adapters.Instrument) (Created, error) {
	now := c.s.clock.at(c.s.now())
	recs, err := c.s.load(ctx, "create", owner)
	if err != nil {
		return c.unsettled(done.Record, err)
	}
	first := recs[0]
	mine := Created{Instrument: done.instrument(now), Provider: p.name, Deduplicated: ins.Existing}
	if !holds(first, done.Claims) || !first.live() {
		// Its holder is gone, so the place is this record's.
		if _, err := c.takeOver(ctx, done, owner, first); err != nil {
			return c.unsettled(done.Record, err)
		}
		return mine, nil
	}
	if first.Tenant != done.Tenant || first.CustomerID != done.CustomerID {
		c.s.log.Error("two customers' instruments are one at the provider", zap.String("provider", p.name),
			zap.String("instrument", first.ID), zap.String("other", done.ID))
		return mine, nil
	}
	again := updateFrom(p, src, c.in)
	changed, err := c.s.change(ctx, "create", *first, func(r Record) (Record, error) {
		if !r.live() {
			return r.refuse("alias")
		}
		token := tokenOf(p, r.primary().Role, ins, now)
		return r.changed(token, r.View.merge(ins).withMetadata(again.Metadata, false), now)
	})
	if err != nil {
		return c.unsettled(done.Record, err)
	}
	next, err := done.alias(changed.Record, now)
	if err != nil {
		return c.unsettled(done.Record, err)
	}
	if _, _, err := c.s.put(ctx, "create", done, next); err != nil {
		return c.unsettled(done.Record, err)
	}
	if changed.View.Default {
		c.s.clearOtherDefaults(ctx, changed.Record)
	}
	return Created{Instrument: changed.instrument(now), Provider: p.name, Deduplicated: true}, nil
}
