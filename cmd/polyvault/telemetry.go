package main

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/cmd/polyvault/internal/metrics"
	"github.com/polyvault/polyvault/cmd/polyvault/internal/tracing"
	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway/httpapi"
	"github.com/polyvault/polyvault/gateway/redisstore"
)

// telemetry sees what a process does, from its start to its end, whatever its
// configuration becomes.
type telemetry struct {
	meter  *metrics.Meter
	tracer *tracing.Tracer   // nil: nothing is traced
	redis  *redisstore.Store // nil unless the records are in Redis
}

// newTelemetry makes one that counts and does not trace.
func newTelemetry() *telemetry { return &telemetry{meter: metrics.New()} }

// openTelemetry makes one that also traces, if the configuration says so. It makes no
// network call.
func openTelemetry(ctx context.Context, c *config.Config, log *zap.Logger) (*telemetry, error) {
	t := newTelemetry()
	if c.Tracing == nil {
		return t, nil
	}
	info, _ := debug.ReadBuildInfo()
	var err error
	t.tracer, err = tracing.Open(ctx, tracing.Config{
		Endpoint: c.Tracing.Endpoint, Sample: c.Tracing.Sample, Propagate: c.Tracing.Propagate,
		Version: buildOf(info).version, Instance: owner(), Log: log,
	})
	return t, err
}

// close sends the spans that are left.
func (t *telemetry) close(ctx context.Context) error { return t.tracer.Close(ctx) }

// answered is told of every request.
func (t *telemetry) answered(ctx context.Context, o httpapi.Observation) {
	t.meter.Request(ctx, o)
	t.tracer.Answered(ctx, o)
}

// traceID is for the log; nil if nothing is traced.
func (t *telemetry) traceID() func(context.Context) string {
	if t.tracer == nil {
		return nil
	}
	return tracing.TraceID
}

// redisTrace is for the store; nil if nothing is traced.
func (t *telemetry) redisTrace() redisstore.Trace {
	if t.tracer == nil {
		return nil
	}
	return t.tracer.Redis
}

// around puts a provider's transport into another one, if requests to it are traced.
func (t *telemetry) around(provider string, wrap func(http.RoundTripper) http.RoundTripper) func(http.RoundTripper) http.RoundTripper {
	if t.tracer == nil {
		return wrap
	}
	return func(next http.RoundTripper) http.RoundTripper { return t.tracer.Transport(provider, wrap(next)) }
}

// configured makes known whom a configuration names, and which limits it sets.
func (t *telemetry) configured(c *config.Config, opened map[string]openedProvider) {
	for _, p := range c.Providers {
		t.meter.Providers(p.Name)
		if takesWebhooks(opened[p.Name].adapter) {
			t.meter.Webhooks(p.Name)
		}
	}
	for _, tenant := range c.Tenants {
		limits := gatewayLimits(c.LimitsOf(tenant))
		t.meter.Limits(tenant.Name, limits.LimitNames()...)
	}
}

// takesWebhooks reports whether a provider has webhooks configured.
func takesWebhooks(a adapters.Adapter) bool {
	n, ok := a.(adapters.Notifier)
	if !ok {
		return false
	}
	_, err := n.Notices(nil, nil, time.Time{})
	return err == nil
}
