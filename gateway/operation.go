package gateway

import (
	"context"
)

// Operation returns what is known of a create by its id.
func (s *Service) Operation(ctx context.Context, tenant, id string) (Operation, error) {
	if !ValidInstrumentID(id) {
		return Operation{}, notFound("operation")
	}
	return s.operation(ctx, tenant, id)
}

// OperationByKey returns what is known of the create with this idempotency key.
func (s *Service) OperationByKey(ctx context.Context, tenant, idempotencyKey string) (Operation, error) {
	return s.operation(ctx, tenant, s.idsOf(tenant, idempotencyKey)...)
}

func (s *Service) operation(ctx context.Context, tenant string, ids ...string) (Operation, error) {
	recs, err := s.load(ctx, "operation", ids...)
	if err != nil {
		return Operation{}, err
	}
	for _, rec := range recs {
		if rec != nil && rec.Tenant == tenant {
			return rec.operation(), nil
		}
	}
	return Operation{}, notFound("operation")
}

// Providers returns every configured provider's state, in the order of the configuration.
func (s *Service) Providers() []ProviderStatus {
	out, drained := make([]ProviderStatus, len(s.order)), s.drained.all()
	for i, name := range s.order {
		out[i] = s.providers[name].status(s.disabled[name], drained)
	}
	return out
}

// Provider returns one provider's state.
func (s *Service) Provider(name string) (ProviderStatus, error) {
	p := s.providers[name]
	if p == nil {
		return ProviderStatus{}, notFound("provider")
	}
	return p.status(s.disabled[name], s.drained.all()), nil
}

// Ready fails if the store cannot answer: the gateway can do nothing without it.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.store.Ping(ctx); err != nil {
		return storeError("ready", err)
	}
	return nil
}
