package gateway

import (
	"context"
	"errors"
	"reflect"
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
		next, err = c.s.takeOver(ctx, cur, owner, holder, cur.Claims)
		if err != nil {
			created, err = c.notDone(ctx, cur, asError(err))
			return cur, true, created, err
		}
		return next, false, Created{}, nil
	case holder.live() && holder.Tenant == c.tenant.Name && holder.CustomerID == c.in.CustomerID:
		m.release() // the update has a permit of its own
		home, err := c.s.homeOf(ctx, *holder)
		if err != nil {
			created, err = c.notDone(ctx, cur, asError(err))
			return cur, true, created, err
		}
		created, err = c.updateInstead(ctx, m.p, src, cur, home)
		return cur, true, created, err
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

// takeOver moves claims of a record that has no use for them to cur, which lists
// them. It fails with Conflict if another request was faster, or if the holder has
// come back to life since it was loaded.
func (s *Service) takeOver(ctx context.Context, cur stored, owner string, holder *stored, claims []string) (stored, error) {
	w := Write{Key: recordKey(cur.ID), Expect: cur.version, Value: s.encode(cur.Record), Nonce: nonce()}
	for _, claim := range claims {
		w.Release = append(w.Release, Claim{Key: claim, Owner: owner})
		w.Claims = append(w.Claims, Claim{Key: claim, Owner: cur.ID})
	}
	res, err := s.write(ctx, w)
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
	now, err := s.load(ctx, "create", owner)
	if err != nil {
		return cur, err
	}
	if !unchanged(now[0], holder) {
		return cur, beingStored()
	}
	return cur, nil
}

// unchanged reports whether a record is what it was: the same version, or no more than
// sealed anew.
func unchanged(is, was *stored) bool {
	return versionOf(is) == versionOf(was) || is != nil && was != nil && reflect.DeepEqual(is.Record, was.Record)
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
		updated, err := c.s.updateAt(ctx, holder, p, updateFrom(p, src, c.in))
		if err == nil && updated.Held {
			updated, err = c.s.hold(ctx, "create", updated, false)
		}
		if normalize.CodeOf(err) == normalize.InstrumentDeleted {
			return c.storeAfresh(ctx, cur, holder)
		}
		if err != nil {
			return c.notDone(ctx, cur, asError(err))
		}
		if holder, err = c.s.renewFingerprint(ctx, updated, identityOf(src)); err != nil {
			return c.notDone(ctx, cur, asError(err))
		}
	} else if err := c.ownerOf(ctx, p, holder); err != nil {
		return c.notDone(ctx, cur, asError(err))
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

// ownerOf makes sure that the owner at the provider of an instrument which is adopted
// once more is known: an earlier release did not write it down.
func (c *creation) ownerOf(ctx context.Context, p *Provider, holder stored) error {
	res, err := c.s.loadEntries(ctx, customerEntryKey(c.tenant.Name, c.in.CustomerID))
	if err != nil {
		return storeError("create", err)
	}
	return c.s.learnCustomer(ctx, p, c.tenant.Name, c.in.CustomerID, holder.primary().References["customer"], res.Entries[0])
}

// storeAfresh goes on with a create whose duplicate the provider no longer has: the
// provider said so, which is the one reason to end a record without being asked.
func (c *creation) storeAfresh(ctx context.Context, cur, holder stored) (Created, error) {
	_, err := c.s.change(ctx, "create", holder, func(r Record) (Record, error) { return r.deleted(ScopeProvider, c.s.clock.at(c.s.now())) })
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
		if month, year := expiryOf(src); year != 0 {
			out.ExpMonth, out.ExpYear = &month, &year
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

// expiryOf is the expiry date that a source brings; 0 if it brings none. That of a
// vault's token is the vault's own matter: nobody can change it from outside.
func expiryOf(src normalize.Source) (month, year int) {
	switch {
	case src.Card != nil:
		return src.Card.ExpMonth, src.Card.ExpYear
	case src.InstrumentIdentifier != nil:
		return src.InstrumentIdentifier.ExpMonth, src.InstrumentIdentifier.ExpYear
	default:
		return 0, 0
	}
}

// sameAs ends a create that turned out to name an instrument which is there
// already: the first one gets what is new, and answers for both. What the provider
// made of this one is one too many, and is deleted there.
func (c *creation) sameAs(ctx context.Context, p *Provider, src normalize.Source, cur stored, st standing, ins adapters.Instrument) (Created, error) {
	first, err := *st.first, error(nil)
	if p.samePlace(first.primary(), ins.References) {
		first, err = c.s.foldInto(ctx, p, first, ins, updateFrom(p, src, c.in).Metadata)
	} else {
		again := updateFrom(p, src, c.in)
		if _, ok := p.adapter.(adapters.Updater); ok && again.ExpYear == nil && ins.Card != nil && ins.Card.ExpYear != 0 {
			again.ExpMonth, again.ExpYear = &ins.Card.ExpMonth, &ins.Card.ExpYear // of a token only now
		}
		first, err = c.s.updateAt(ctx, first, p, again)
	}
	if err != nil {
		return c.undecided(ctx, cur, err)
	}
	st.first = &first
	done, err := c.s.yieldTo(ctx, cur, st, p, ins, false)
	if err != nil || done.AliasOf == "" {
		return c.unsettled(cur.Record, errors.Join(err, errChanged))
	}
	if first.View.Default {
		c.s.clearOtherDefaults(ctx, first.Record)
	}
	return Created{Instrument: done.answered(), Provider: p.name, Deduplicated: true}, nil
}

// foldInto puts what a provider answered to a create into the record that has its place.
func (s *Service) foldInto(ctx context.Context, p *Provider, first stored, ins adapters.Instrument, metadata map[string]*string) (stored, error) {
	return s.change(ctx, "create", first, func(r Record) (Record, error) {
		if !r.live() {
			return r.refuse("alias")
		}
		now := s.clock.at(s.now())
		return r.changed(tokenOf(p, r.primary().Role, ins, now), r.View.merge(ins).withMetadata(metadata, false), now)
	})
}

// samePlace reports whether a token and references are the same place at this provider.
func (p *Provider) samePlace(t Token, refs normalize.References) bool {
	return t.Provider == p.name && p.locate(t.References) == p.locate(refs)
}

// claimsOn are the names that an instrument at a provider gives its record: its
// place, and its card or account, as far as the provider can tell one from another
// and the tenant wants one instrument for it.
func (s *Service) claimsOn(r Record, p *Provider, ins adapters.Instrument) []string {
	out := s.referenceClaims(p, ins.References)
	if ins.Identity == "" || s.tenant(r.Tenant).Duplicates == DuplicatesAllow {
		return out
	}
	for _, key := range s.keys {
		out = append(out, numberClaim(r.Tenant, r.CustomerID, p.name, key.fingerprint(p.Type()+" "+ins.Identity)))
	}
	return out
}

// union is a and what b has beyond it.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// standing is what the claims of others mean for a record.
type standing struct {
	first  *stored // the live record of the same customer that has the place or the card already
	taken  bool    // another record has the place, and not as its home: the instrument there is spoken for
	byOpen bool    // that record is open
}

// secure claims the names of what a provider stored for an open record. It fails with
// errChanged if somebody else wrote the record, and with errBusy while another open
// record has one of them. guessed says that the instrument was found by a look-up, so
// that whoever has its place knows better.
func (s *Service) secure(ctx context.Context, op string, cur stored, p *Provider, ins adapters.Instrument, guessed bool) (stored, standing, error) {
	next := cur.Record
	next.Claims = union(cur.Claims, s.claimsOn(cur.Record, p, ins))
	after, res, err := s.put(ctx, op, cur, next)
	if err != nil {
		return after, standing{}, err
	}
	return s.whoseIs(ctx, after, p, ins, res.Owners, guessed)
}

// whoseIs finds out what the owners of a record's claims, given in their order, mean
// for it. Claims whose holders have no use for them are taken over.
func (s *Service) whoseIs(ctx context.Context, cur stored, p *Provider, ins adapters.Instrument, owners []string, guessed bool) (stored, standing, error) {
	var out standing
	for _, owner := range slices.Compact(slices.Sorted(slices.Values(owners))) {
		if owner == cur.ID {
			continue
		}
		var claims []string // that it has
		for i, c := range cur.Claims {
			if owners[i] == owner {
				claims = append(claims, c)
			}
		}
		recs, err := s.load(ctx, "create", owner)
		if err != nil {
			return cur, out, err
		}
		holder, place := recs[0], !slices.ContainsFunc(claims, isNumberClaim)
		mine := holder != nil && holder.Tenant == cur.Tenant && holder.CustomerID == cur.CustomerID
		switch {
		case !holds(holder, claims):
			cur, err = s.takeOver(ctx, cur, owner, holder, claims)
		case place && guessed:
			out.taken, out.byOpen = true, holder.unfinished()
		case place && holder.live() && !mine:
			s.log.Error("two customers' instruments are one at the provider", zap.String("provider", p.name),
				zap.String("instrument", holder.ID), zap.String("other", cur.ID))
		case place && holder.State == StateCompleted && holder.AliasOf != "" && !ins.Existing:
			out.taken = true // as surplus of its own
		case holder.live() && (place || p.samePlace(holder.primary(), ins.References)):
			out.first = holder
		case abandoned(holder, claims, false):
			cur, err = s.takeOver(ctx, cur, owner, holder, claims)
		case !holder.live():
			err = internalError("create", errBusy)
		case out.first == nil:
			out.first = holder
		}
		if err != nil {
			return cur, out, err
		}
	}
	if out.first != nil {
		home, err := s.homeOf(ctx, *out.first)
		if err != nil {
			return cur, out, err
		}
		out.first = &home
	}
	return cur, out, nil
}

// homeOf is the instrument of a live record: itself, or the one that it mirrors. It
// fails with Conflict while that one does not know of it, or is going.
func (s *Service) homeOf(ctx context.Context, r stored) (stored, error) {
	if r.MirrorOf == "" {
		return r, nil
	}
	recs, err := s.load(ctx, "create", r.MirrorOf)
	if err != nil {
		return r, err
	}
	if recs[0] == nil || !recs[0].live() || recs[0].mirrorAt(r.ID) < 0 {
		return r, beingStored()
	}
	return *recs[0], nil
}

// yieldTo makes a record the alias of the one that has its place or its card. What
// the provider made of it at another place is one too many there. If that place is
// spoken for, or if it was only guessed that it is this record's, a doubt is left: what
// is surplus shows once no create of the customer is open.
func (s *Service) yieldTo(ctx context.Context, cur stored, st standing, p *Provider, ins adapters.Instrument, guessed bool) (stored, error) {
	now := s.clock.at(s.now())
	next, err := cur.alias(st.first.Record, now)
	if err != nil {
		return cur, internalError("create", err)
	}
	home := slices.ContainsFunc(st.first.Tokens, func(t Token) bool { return p.samePlace(t, ins.References) })
	switch {
	case !home && !st.taken && !guessed:
		next = next.late(tokenOf(p, normalize.RolePrimary, ins, now), s.referenceClaims(p, ins.References), now)
	case !ins.Existing && len(cur.Attempts) > 0:
		last, want := cur.Attempts[len(cur.Attempts)-1], Want{}
		if cur.Want != nil {
			want = *cur.Want
		}
		want.Identity = ins.Identity
		next = next.doubted(Doubt{Provider: p.name, At: last.At, Want: &want}, now.Add(s.settleTime))
	}
	after, err := s.settled(s.put(ctx, "create", cur, next))
	if err == nil && after.AliasOf != "" && len(after.Late) > 0 {
		if dropped, err := s.dropOrphans(ctx, after); err == nil {
			return dropped, nil
		}
		// It is due, so that the reconciler tries again.
	}
	return after, err
}
