package main

import (
	"context"

	"github.com/polyvault/polyvault/cmd/polyvault/internal/metrics"
	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway/httpapi"
	"github.com/polyvault/polyvault/gateway/redisstore"
)

// telemetry sees what a process does, from its start to its end, whatever its
// configuration becomes.
type telemetry struct {
	meter *metrics.Meter
	redis *redisstore.Store // nil unless the records are in Redis
}

func newTelemetry() *telemetry { return &telemetry{meter: metrics.New()} }

// answered is told of every request.
func (t *telemetry) answered(ctx context.Context, o httpapi.Observation) {
	t.meter.Request(ctx, o)
}

// providers makes known whom a configuration names.
func (t *telemetry) providers(c *config.Config) {
	for _, p := range c.Providers {
		t.meter.Providers(p.Name)
	}
}
