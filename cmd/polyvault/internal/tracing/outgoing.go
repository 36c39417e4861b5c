package tracing

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/polyvault/polyvault/adapters"
)

// Transport makes a span of each HTTP request to a provider that belongs to a traced
// request. Of the address only the host is told: the path has references in it.
func (t *Tracer) Transport(provider string, next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return &transport{t: t, provider: provider, next: next}
}

type transport struct {
	t        *Tracer
	provider string
	next     http.RoundTripper
}

// RoundTrip implements [http.RoundTripper]. The span ends when the answer was read.
func (p *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, parent := req.Context(), trace.SpanContextFromContext(req.Context())
	if parent.IsSampled() {
		var span trace.Span
		ctx, span = p.t.tracer.Start(ctx, spanName(ctx), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("polyvault.provider", p.provider), attribute.String("http.request.method", req.Method),
			attribute.String("server.address", req.URL.Hostname())))
		resp, err := p.next.RoundTrip(p.told(ctx, req))
		if err != nil {
			failed(ctx, span, err)
			span.End()
			return nil, err
		}
		span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
		if resp.StatusCode >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		resp.Body = &body{ReadCloser: resp.Body, end: sync.OnceFunc(func() { span.End() })}
		return resp, nil
	}
	return p.next.RoundTrip(p.told(ctx, req))
}

// told is the request with the header traceparent, if providers are to have it.
func (p *transport) told(ctx context.Context, req *http.Request) *http.Request {
	if !p.t.propagate || !trace.SpanContextFromContext(ctx).IsValid() {
		return req
	}
	out := req.Clone(ctx)
	p.t.w3c.Inject(ctx, propagation.HeaderCarrier(out.Header))
	return out
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (p *transport) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func spanName(ctx context.Context) string {
	if op := adapters.Operation(ctx); op != "" {
		return op
	}
	return "call"
}

// failed marks a span by the kind of an error, whose text may hold an address' path.
func failed(ctx context.Context, span trace.Span, err error) {
	kind := "transport"
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded):
		kind = "timeout"
	case errors.Is(err, context.Canceled):
		kind = "canceled"
	}
	span.SetAttributes(attribute.String("error.type", kind))
	span.SetStatus(codes.Error, kind)
}

// body tells when it is closed.
type body struct {
	io.ReadCloser
	end func()
}

func (b *body) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// Redis begins a span of what is sent to Redis at once for a traced request: a command or
// a batch of them, of which neither keys nor values are told. done ends it. It has the
// form of the store's hook.
func (t *Tracer) Redis(ctx context.Context, operation string, commands int) (inside context.Context, done func(error)) {
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, "redis "+operation, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", "redis"), attribute.Int("db.operation.batch.size", commands)))
	return ctx, func(err error) {
		if err != nil {
			failed(ctx, span, err)
		}
		span.End()
	}
}
