package main

import (
	"time"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
)

// gatewayLimits is what the gateway takes of a tenant's limits; what is absent is zero there.
func gatewayLimits(l config.TenantLimits) gateway.Limits {
	return gateway.Limits{
		Tenant: gatewayRate(l.Tenant), Key: gatewayRate(l.Key),
		CreatesPerCustomer:  gatewaySpan(l.CreatesPerCustomer),
		CreatesPerAddress:   gatewaySpan(l.CreatesPerAddress),
		DeclinesPerCustomer: gatewaySpan(l.DeclinesPerCustomer),
	}
}

func gatewayRate(r *config.RateLimit) gateway.Rate {
	if r == nil {
		return gateway.Rate{}
	}
	return gateway.Rate{PerSecond: r.Rate, Burst: r.Burst}
}

func gatewaySpan(w *config.WindowLimit) gateway.Span {
	if w == nil {
		return gateway.Span{}
	}
	return gateway.Span{Limit: w.Limit, Per: time.Duration(w.Per)}
}
