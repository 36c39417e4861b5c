package gateway

import (
	"context"
	"reflect"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Get returns an instrument: as its provider has it now, or, if stored is set, as
// it was last seen. While the provider cannot be asked, the stored view is
// answered, marked stale, if it is young enough.
func (s *Service) Get(ctx context.Context, tenant, id string, stored bool) (Read, error) {
	if !ValidInstrumentID(id) {
		return Read{}, notFound("get")
	}
	var e *early
	if !stored {
		e = s.askEarly(ctx, tenant, id)
		defer e.drop()
	}
	cur, err := s.loadLive(ctx, "get", tenant, id)
	if err != nil {
		return Read{}, err
	}
	p := s.providers[cur.primary().Provider]
	if stored || p == nil && len(cur.mirrors()) == 0 {
		return s.read(cur), nil
	}
	ins, asked, err := e.answer(cur.Record)
	if !asked {
		ins, err = s.getPrimary(ctx, p, cur)
	}
	if err == nil {
		return s.read(s.seen(ctx, cur, p, ins)), nil
	}
	if out, ok := s.readElsewhere(ctx, cur); ok {
		s.log.Info("answered by a mirror: the provider cannot be asked", zap.String("instrument", cur.ID), zap.String("mirror", out.Provider), zap.Error(err))
		return out, nil
	}
	if unreachable(err) {
		out := s.read(cur)
		out.Stale, out.Age = true, max(0, s.clock.at(s.now()).Sub(cur.primary().SyncedAt))
		if s.staleIfError > 0 && out.Age <= s.staleIfError {
			s.log.Info("answered from the store: the provider cannot be asked", zap.String("instrument", cur.ID), zap.Error(err))
			return out, nil
		}
	}
	return Read{}, gone("get", err)
}

func (s *Service) getPrimary(ctx context.Context, p *Provider, cur stored) (adapters.Instrument, error) {
	if p == nil {
		return adapters.Instrument{}, unconfigured("get", cur.primary().Provider)
	}
	return getAt(ctx, p, cur.primary())
}

// readElsewhere asks the mirrors of an instrument, one after the other, when its
// primary provider cannot be asked or has lost it. What a mirror shows is answered
// and not recorded: the view is what it is to become.
func (s *Service) readElsewhere(ctx context.Context, cur stored) (Read, bool) {
	for _, t := range cur.mirrors() {
		p := s.providers[t.Provider]
		if p == nil {
			continue
		}
		ins, err := getAt(ctx, p, t)
		if err != nil {
			continue
		}
		if t.Behind == nil {
			view := cur.View.merge(ins)
			view.Default = cur.View.Default
			cur.View = &view
		}
		out := s.read(cur)
		out.Provider = p.name
		return out, true
	}
	return Read{}, false
}

// gone words a provider's "no such instrument" for one that the gateway has.
func gone(op string, err error) error {
	e := asError(err)
	switch e.Code {
	case normalize.NotFound, normalize.InstrumentDeleted:
		out := *e
		out.Code, out.Op, out.Msg = normalize.InstrumentDeleted, op, "the provider no longer has the instrument"
		return &out
	default:
		return e
	}
}

// unreachable reports whether an error says nothing about the instrument.
func unreachable(err error) bool {
	switch normalize.CodeOf(err) {
	case normalize.ProviderUnavailable, normalize.ProviderTimeout, normalize.ProviderError, normalize.ProviderBadResponse,
		normalize.ProviderRateLimited, normalize.ProviderMisconfigured:
		return true
	default:
		return false
	}
}

// read renders a record.
func (s *Service) read(cur stored) Read {
	return Read{Instrument: cur.instrument(s.clock.at(s.now())), Provider: cur.primary().Provider}
}

// syncedEvery is how often an unchanged view is written for its synced_at alone,
// which is what its age is measured from while the provider is down: often enough
// that a view which was just confirmed is never too old to be served.
func (s *Service) syncedEvery() time.Duration {
	if s.staleIfError < 0 {
		return time.Hour
	}
	return min(time.Hour, s.staleIfError/4)
}

// seen folds what a provider showed into the record. It is written only if
// something changed, so that a read is one round trip; a write that fails costs
// nothing but freshness.
func (s *Service) seen(ctx context.Context, cur stored, p *Provider, ins adapters.Instrument) stored {
	now := s.clock.at(s.now())
	token, view := cur.refreshed(p, ins, now)
	if ins.Identity != "" {
		view, _ = s.underCurrentKey(view, p.Type()+" "+ins.Identity)
	}
	before := cur.primary()
	before.SyncedAt = now
	fresh := now.Sub(cur.primary().SyncedAt) < s.syncedEvery()
	if cur.MirrorOf != "" && !sameToken(before, token) {
		s.mirrorSeen(ctx, cur, token)
	}
	if fresh && reflect.DeepEqual(before, token) && reflect.DeepEqual(*cur.View, view) {
		cur.Tokens = append([]Token{token}, cur.Tokens[1:]...) // synced_at, in this answer only
		return cur
	}
	next, err := cur.changed(token, view, now)
	if err != nil {
		return cur
	}
	after, _, err := s.put(ctx, "get", cur, next)
	if err != nil {
		s.log.Info("a changed view could not be stored", zap.String("instrument", cur.ID), zap.Error(err))
		return stored{next, cur.version}
	}
	return after
}

// refreshed is the primary's token and the view after a provider showed the
// instrument. A list may leave the version out: the one before still holds if
// nothing else changed.
func (r Record) refreshed(p *Provider, ins adapters.Instrument, now time.Time) (Token, View) {
	token, view := tokenOf(p, r.primary().Role, ins, now), r.View.merge(ins).keeping(r.primary().Behind, *r.View)
	token.Record, token.Behind = r.primary().Record, r.primary().Behind
	if token.References == nil {
		token.References = r.primary().References
	}
	if token.Version == "" && reflect.DeepEqual(view, *r.View) {
		token.Version = r.primary().Version
	}
	return token, view
}

// clearOtherDefaults takes the default flag off the customer's other instruments
// at the same provider, which ended there in the same act. It is a repair of views:
// a live read would show it too, so a failure is only logged.
func (s *Service) clearOtherDefaults(ctx context.Context, r Record) {
	provider := r.primary().Provider
	err := s.eachOfCustomer(ctx, "default", r.Tenant, r.CustomerID, func(other stored) error {
		if other.ID == r.ID || !other.live() || !other.View.Default || other.primary().Provider != provider {
			return nil
		}
		_, err := s.change(ctx, "default", other, func(o Record) (Record, error) {
			if !o.live() {
				return o.refuse("default")
			}
			v := *o.View
			v.Default = false
			return o.changed(o.primary(), v, s.clock.at(s.now()))
		})
		return err
	})
	if err != nil {
		s.log.Warn("stored default flags could not be brought up to date", zap.String("instrument", r.ID), zap.Error(err))
	}
}

// eachOfCustomer calls fn for every live record of a customer.
func (s *Service) eachOfCustomer(ctx context.Context, op, tenant, customer string, fn func(stored) error) error {
	after := ""
	for {
		members, err := s.store.Scan(ctx, indexByCustomer(tenant, customer), after, scanPage, false)
		if err != nil {
			return storeError(op, err)
		}
		recs, err := s.loadMembers(ctx, op, members)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			if rec != nil && rec.live() {
				if err := fn(*rec); err != nil {
					return err
				}
			}
		}
		if len(members) < scanPage {
			return nil
		}
		after = members[len(members)-1]
	}
}

// scanPage is how many records one round trip reads while walking an index.
const scanPage = 100

func (s *Service) loadMembers(ctx context.Context, op string, members []string) ([]*stored, error) {
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = memberID(m)
	}
	return s.load(ctx, op, ids...)
}
