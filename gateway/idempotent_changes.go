package gateway

import (
	"context"

	"github.com/polyvault/polyvault/normalize"
)

// Change is a change of what exists already: [UpdateInstrument], [DeactivateInstrument],
// [ActivateInstrument], [DeleteInstrument] or [PutCustomer].
type Change interface {
	// route is the method and the path, the resource's id included.
	route() string
	// members puts what else makes the request this one.
	members(put func(place string, v any))
	// check finds what can be known to be wrong before anything is written.
	check(s *Service) error
	// apply makes the change. again says that an earlier attempt may have made it:
	// then what is there already is a success.
	apply(ctx context.Context, s *Service, tenant string, again bool) (Changed, error)
}

// UpdateInstrument is [Service.Update].
type UpdateInstrument struct {
	ID    string
	Input normalize.UpdateInput
}

func (c UpdateInstrument) route() string { return "PATCH /v1/instruments/" + c.ID }

func (c UpdateInstrument) members(put func(string, any)) {
	in := c.Input
	if in.BillingAddress != nil || in.ClearBillingAddress {
		put("/billing_address", in.BillingAddress)
	}
	if in.ExpMonth != nil {
		put("/card/exp_month", *in.ExpMonth)
	}
	if in.ExpYear != nil {
		put("/card/exp_year", *in.ExpYear)
	}
	if in.Default != nil {
		put("/default", *in.Default)
	}
	if in.Metadata != nil || in.ClearMetadata {
		put("/metadata", in.Metadata)
	}
	if in.Source != nil {
		put("/source", revealed(*in.Source))
	}
	if in.IfMatch != "" {
		put(`header "If-Match"`, in.IfMatch)
	}
}

func (c UpdateInstrument) check(s *Service) error { return s.checkUpdate(c.ID, c.Input) }

func (c UpdateInstrument) apply(ctx context.Context, s *Service, tenant string, again bool) (Changed, error) {
	if !again {
		return changed(s.Update(ctx, tenant, c.ID, c.Input))
	}
	return changed(s.updateAgain(ctx, tenant, c.ID, c.Input))
}

// DeactivateInstrument is [Service.Deactivate].
type DeactivateInstrument struct{ ID string }

func (c DeactivateInstrument) route() string             { return "POST /v1/instruments/" + c.ID + "/deactivate" }
func (c DeactivateInstrument) members(func(string, any)) {}
func (c DeactivateInstrument) check(*Service) error      { return checkID("deactivate", c.ID) }

func (c DeactivateInstrument) apply(ctx context.Context, s *Service, tenant string, _ bool) (Changed, error) {
	return changed(s.Deactivate(ctx, tenant, c.ID))
}

// ActivateInstrument is [Service.Activate].
type ActivateInstrument struct{ ID string }

func (c ActivateInstrument) route() string             { return "POST /v1/instruments/" + c.ID + "/activate" }
func (c ActivateInstrument) members(func(string, any)) {}
func (c ActivateInstrument) check(*Service) error      { return checkID("activate", c.ID) }

func (c ActivateInstrument) apply(ctx context.Context, s *Service, tenant string, _ bool) (Changed, error) {
	return changed(s.Activate(ctx, tenant, c.ID))
}

// DeleteInstrument is [Service.Delete].
type DeleteInstrument struct {
	ID    string
	Scope DeleteScope
}

func (c DeleteInstrument) route() string { return "DELETE /v1/instruments/" + c.ID }

func (c DeleteInstrument) members(put func(string, any)) {
	put(`query parameter "scope"`, string(c.Scope))
}

func (c DeleteInstrument) check(*Service) error { return checkID("delete", c.ID) }

func (c DeleteInstrument) apply(ctx context.Context, s *Service, tenant string, _ bool) (Changed, error) {
	return Changed{}, s.Delete(ctx, tenant, c.ID, c.Scope)
}

// PutCustomer is [Service.PutCustomer].
type PutCustomer struct{ Input normalize.CustomerInput }

func (c PutCustomer) route() string { return "PUT /v1/customers/" + c.Input.ID }

func (c PutCustomer) members(put func(string, any)) {
	for name, reference := range c.Input.ProviderReferences {
		put("/provider_references/"+normalize.EscapePointer(name), reference)
	}
}

func (c PutCustomer) check(s *Service) error { return s.checkCustomer(c.Input) }

func (c PutCustomer) apply(ctx context.Context, s *Service, tenant string, _ bool) (Changed, error) {
	customer, created, err := s.PutCustomer(ctx, tenant, c.Input)
	if err != nil {
		return Changed{}, err
	}
	return Changed{Customer: &customer, Created: created}, nil
}

func changed(r Read, err error) (Changed, error) {
	if err != nil {
		return Changed{}, err
	}
	return Changed{Instrument: &r.Instrument, Provider: r.Provider}, nil
}

func checkID(op, id string) error {
	if !ValidInstrumentID(id) {
		return notFound(op)
	}
	return nil
}

// changeDigest digests a change like [requestDigest] a create, the route included.
func changeDigest(key ReferenceKey, tenant string, c Change) map[string]string {
	d := newDigest(key, tenant, c.route())
	d.put(routeMember, c.route())
	c.members(d.put)
	return d.members
}
