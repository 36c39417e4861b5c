// Package tracing makes spans of what a gateway does for a request: the request itself,
// its calls to providers and to Redis. A span says what was done, for which tenant, at
// whom and with what result. It holds no path, query, body, header or error text: those
// have customers, references and cards in them.
package tracing

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Config says what is traced, and where spans go.
type Config struct {
	Endpoint  string  // of the collector: /v1/traces is added to it
	Sample    float64 // 0–1: the share of the requests whose caller does not trace them itself
	Propagate bool    // tells providers the trace's id
	Version   string  // of the gateway
	Instance  string  // distinguishes this process from others
	Log       *zap.Logger
}

const (
	// exportTimeout bounds one delivery to the collector.
	exportTimeout = 5 * time.Second
	// closeTimeout bounds the last one, when the process ends.
	closeTimeout = 2 * time.Second
	// logEvery is the least time between two log lines about a collector that is away.
	logEvery = time.Minute
)

// Tracer makes spans and sends them away. Its methods work on nil, which traces nothing.
type Tracer struct {
	provider  *sdk.TracerProvider
	tracer    trace.Tracer
	w3c       propagation.TraceContext
	propagate bool
	exporter  *patient
}

// Open makes a tracer that sends its spans to a collector. It makes no network call.
func Open(ctx context.Context, c Config) (*Tracer, error) {
	exporter, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(strings.TrimSuffix(c.Endpoint, "/")+"/v1/traces"),
		otlptracehttp.WithTimeout(exportTimeout),
		// Spans that cannot be delivered are lost: what waits for a collector only takes room.
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	return newTracer(c, exporter), nil
}

func newTracer(c Config, exporter sdk.SpanExporter) *Tracer {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	t := &Tracer{propagate: c.Propagate, exporter: &patient{SpanExporter: exporter, log: c.Log}}
	t.provider = sdk.NewTracerProvider(
		sdk.WithBatcher(t.exporter, sdk.WithExportTimeout(exportTimeout)),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.Sample))),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "polyvault"),
			attribute.String("service.version", c.Version),
			attribute.String("service.instance.id", c.Instance),
		)),
	)
	t.tracer = t.provider.Tracer("github.com/polyvault/polyvault")
	return t
}

// Close sends what is left, for two seconds at most.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.exporter.log.Warn("the last spans were not delivered", zap.Error(err))
	}
	return nil
}

// Spans are how many were delivered, and how many were lost since the collector did not
// take them.
func (t *Tracer) Spans() (delivered, lost int64) {
	if t == nil {
		return 0, 0
	}
	return t.exporter.delivered.Load(), t.exporter.lost.Load()
}

// patient is an exporter whose failures harm nobody: they are counted, and told of once
// a minute.
type patient struct {
	sdk.SpanExporter
	log             *zap.Logger
	delivered, lost atomic.Int64
	told            atomic.Int64 // when, Unix nanoseconds
}

// ExportSpans implements [sdk.SpanExporter].
func (p *patient) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := p.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		p.delivered.Add(int64(len(spans)))
		return nil
	}
	lost := p.lost.Add(int64(len(spans)))
	if now, told := time.Now().UnixNano(), p.told.Load(); now-told >= int64(logEvery) && p.told.CompareAndSwap(told, now) {
		p.log.Warn("the trace collector takes no spans: they are lost, and nothing else is", zap.Int64("lost", lost), zap.Error(err))
	}
	return nil // it is told of here; OpenTelemetry would print it
}
