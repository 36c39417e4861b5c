package gateway

import (
	"context"
	"slices"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Delete removes an instrument from where scope says. It is idempotent: one that
// is gone already is a success. The id answers InstrumentDeleted from then on.
func (s *Service) Delete(ctx context.Context, tenant, id string, scope DeleteScope) error {
	if !ValidInstrumentID(id) {
		return notFound("delete")
	}
	ctx = context.WithoutCancel(ctx)
	cur, err := s.loadLive(ctx, "delete", tenant, id)
	if normalize.CodeOf(err) == normalize.InstrumentDeleted {
		return nil
	}
	if err != nil {
		return err
	}
	if scope != ScopeGateway {
		if err := s.deleteAtProvider(ctx, cur, scope); err != nil {
			return err
		}
	}
	_, err = s.change(ctx, "delete", cur, func(r Record) (Record, error) {
		return r.deleted(scope, s.clock.at(s.now()))
	})
	if normalize.CodeOf(err) == normalize.InstrumentDeleted {
		return nil // another request was faster
	}
	if scope != ScopeGateway {
		return afterEffect(err)
	}
	return err
}

func (s *Service) deleteAtProvider(ctx context.Context, cur stored, scope DeleteScope) error {
	p := s.providers[cur.primary().Provider]
	if p == nil {
		return unconfigured("delete", cur.primary().Provider)
	}
	if cur.View.Default {
		if err := s.beforeDefaultGoes(ctx, p, cur); err != nil {
			return err
		}
	}
	remove, err := remover(p, scope)
	if err != nil {
		return err
	}
	err = s.callDelete(ctx, p, cur, remove)
	if normalize.CodeOf(err) != normalize.DefaultInstrumentInUse || !s.promoteDefault {
		return err
	}
	// The provider knows of other instruments that the gateway does not.
	if err := s.promoteAtProvider(ctx, p, cur); err != nil {
		return err
	}
	return s.callDelete(ctx, p, cur, remove)
}

type removeFunc func(context.Context, normalize.References) error

// remover finds the operation for a scope. A provider without a vault behind it
// has only one place to delete from.
func remover(p *Provider, scope DeleteScope) (removeFunc, error) {
	if v, ok := p.adapter.(adapters.VaultDeleter); ok && scope == ScopeVault {
		return v.DeleteVault, nil
	}
	d, err := as[adapters.Deleter](p, "delete")
	if err != nil {
		return nil, err
	}
	return d.Delete, nil
}

func (s *Service) callDelete(ctx context.Context, p *Provider, cur stored, remove removeFunc) error {
	_, err := call(ctx, p, p.write, "delete", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, remove(ctx, cur.primary().References)
	})
	return err
}

// beforeDefaultGoes applies the rule about deleting a customer's default
// instrument, the same at every provider: refuse it, or make another one the
// default first. A customer's only instrument may always go.
func (s *Service) beforeDefaultGoes(ctx context.Context, p *Provider, cur stored) error {
	var heirs []stored
	err := s.eachOfCustomer(ctx, "delete", cur.Tenant, cur.CustomerID, func(other stored) error {
		if other.ID != cur.ID && other.primary().Provider == p.name && other.status(s.clock.at(s.now())) == normalize.StatusActive {
			heirs = append(heirs, other)
		}
		return nil
	})
	if err != nil || len(heirs) == 0 {
		return err
	}
	if !s.promoteDefault {
		return &normalize.Error{
			Code: normalize.DefaultInstrumentInUse, Outcome: normalize.NotSent, Op: "delete", Provider: p.name,
			Msg: "the instrument is the customer's default: make another one the default first",
		}
	}
	def := true
	for _, heir := range slices.Backward(heirs) { // the newest first
		_, err = s.update(ctx, heir, normalize.UpdateInput{Default: &def})
		switch normalize.CodeOf(err) {
		case normalize.UnsupportedOperation:
			return nil // a provider without defaults has no rule about them
		case normalize.InstrumentDeleted:
			err = nil // gone at the provider: the next one
		default:
			return err
		}
	}
	return err
}

// promoteAtProvider makes the first other instrument that the provider lists the default.
func (s *Service) promoteAtProvider(ctx context.Context, p *Provider, cur stored) error {
	lister, err := as[adapters.Lister](p, "list")
	if err != nil {
		return err
	}
	setter, err := as[adapters.DefaultSetter](p, "set_default")
	if err != nil {
		return err
	}
	refs := cur.primary().References
	page, err := call(ctx, p, p.read, "list", func(ctx context.Context) (adapters.Page, error) {
		return lister.List(ctx, adapters.ListInput{Customer: refs["customer"], Limit: scanPage})
	})
	if err != nil {
		return err
	}
	for _, other := range page.Items {
		if p.locate(other.References) == p.locate(refs) || other.Status != normalize.StatusActive {
			continue
		}
		_, err := call(ctx, p, p.write, "set_default", func(ctx context.Context) (adapters.Instrument, error) {
			return setter.SetDefault(ctx, other.References)
		})
		return err
	}
	return &normalize.Error{
		Code: normalize.DefaultInstrumentInUse, Outcome: normalize.Rejected, Op: "delete", Provider: p.name,
		Msg: "the instrument is the customer's default and no other one can take its place",
	}
}

// Deactivate retires an instrument: at the provider where it can, else held by the
// gateway. It is idempotent.
func (s *Service) Deactivate(ctx context.Context, tenant, id string) (Read, error) {
	return s.setActive(ctx, "deactivate", tenant, id, func(ctx context.Context, p *Provider, cur stored) (stored, error) {
		d, ok := p.adapter.(adapters.Deactivator)
		if !ok {
			return s.hold(ctx, "deactivate", cur, true)
		}
		ins, err := call(ctx, p, p.write, "deactivate", func(ctx context.Context) (adapters.Instrument, error) {
			return d.Deactivate(ctx, cur.primary().References)
		})
		if err != nil {
			return cur, gone("deactivate", err)
		}
		after, err := s.change(ctx, "deactivate", cur, func(r Record) (Record, error) {
			r, err := s.deactivated(r, p, ins)
			if err == nil && len(r.Tokens) > 1 {
				r = r.behind(p.name, Behind{Deactivate: true}, s.clock.at(s.now()))
			}
			return r, err
		})
		return after, afterEffect(err)
	})
}

// deactivated folds what a provider answered to a deactivation into the record.
func (s *Service) deactivated(r Record, p *Provider, ins adapters.Instrument) (Record, error) {
	if !r.live() {
		return r.refuse("deactivate")
	}
	now := s.clock.at(s.now())
	token, view := r.refreshed(p, ins, now)
	return r.changed(token, view, now)
}

// Activate lifts the gateway's own deactivation. What a provider deactivated stays
// so: it fails with InvalidState.
func (s *Service) Activate(ctx context.Context, tenant, id string) (Read, error) {
	return s.setActive(ctx, "activate", tenant, id, func(ctx context.Context, p *Provider, cur stored) (stored, error) {
		if cur.primary().Status == normalize.StatusDeactivated {
			return cur, &normalize.Error{
				Code: normalize.InvalidState, Outcome: normalize.NotSent, Op: "activate", Provider: p.name,
				Msg: "the provider deactivated the instrument for good: store it again",
			}
		}
		return s.hold(ctx, "activate", cur, false)
	})
}

func (s *Service) setActive(ctx context.Context, op, tenant, id string, fn func(context.Context, *Provider, stored) (stored, error)) (Read, error) {
	if !ValidInstrumentID(id) {
		return Read{}, notFound(op)
	}
	ctx = context.WithoutCancel(ctx)
	cur, err := s.loadLive(ctx, op, tenant, id)
	if err != nil {
		return Read{}, err
	}
	p := s.providers[cur.primary().Provider]
	if p == nil {
		return Read{}, unconfigured(op, cur.primary().Provider)
	}
	after, err := fn(ctx, p, cur)
	if err != nil {
		return Read{}, err
	}
	return s.read(after), nil
}

func (s *Service) hold(ctx context.Context, op string, cur stored, on bool) (stored, error) {
	if cur.Held == on {
		return cur, nil
	}
	return s.change(ctx, op, cur, func(r Record) (Record, error) { return r.hold(on, s.clock.at(s.now())) })
}
