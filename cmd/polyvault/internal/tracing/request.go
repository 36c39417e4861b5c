package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/polyvault/polyvault/gateway/httpapi"
)

// Handler makes a span of each request, in its caller's trace if the caller has one.
// What the request is about is told by Answered. Health checks make none.
func (t *Tracer) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		ctx := t.w3c.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		// The state that came along is a caller's text: it goes nowhere.
		if parent := trace.SpanContextFromContext(ctx); parent.IsValid() {
			ctx = trace.ContextWithRemoteSpanContext(ctx, parent.WithTraceState(trace.TraceState{}))
		}
		ctx, span := t.tracer.Start(ctx, "unmatched", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Answered names the span of a request that was answered.
func (t *Tracer) Answered(ctx context.Context, o httpapi.Observation) {
	if t == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	if o.Operation != "" {
		span.SetName(o.Operation)
	}
	attrs := []attribute.KeyValue{
		attribute.String("http.request.method", o.Method), attribute.Int("http.response.status_code", o.Status),
	}
	for name, value := range map[string]string{
		"polyvault.operation": o.Operation, "polyvault.tenant": o.Tenant, "polyvault.provider": o.Provider, "polyvault.code": string(o.Code),
	} {
		if value != "" {
			attrs = append(attrs, attribute.String(name, value))
		}
	}
	span.SetAttributes(attrs...)
	if o.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, string(o.Code))
	}
}

// TraceID names the trace that a request belongs to, whether it is sampled or not; "" if
// it belongs to none.
func TraceID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.HasTraceID() {
		return c.TraceID().String()
	}
	return ""
}
