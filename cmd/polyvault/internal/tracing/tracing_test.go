package tracing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/polyvault/polyvault/gateway/httpapi"
	"github.com/polyvault/polyvault/normalize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" // a caller's traceparent, sampled
	quiet  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" // the same, not sampled
)

// rig is a tracer whose spans stay in memory.
type rig struct {
	*Tracer
	kept *tracetest.InMemoryExporter
}

func newRig(t *testing.T, c Config) rig {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	r := rig{newTracer(c, kept), kept}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

// spans are those that have ended, by name.
func (r rig) spans(t *testing.T) map[string]tracetest.SpanStub {
	t.Helper()
	require.NoError(t, r.provider.ForceFlush(t.Context()))
	out := map[string]tracetest.SpanStub{}
	for _, s := range r.kept.GetSpans() {
		out[s.Name] = s
	}
	return out
}

func attributes(s tracetest.SpanStub) map[string]any {
	out := map[string]any{}
	for _, a := range s.Attributes {
		out[string(a.Key)] = a.Value.AsInterface()
	}
	return out
}

// ask sends a request through the tracer's handler.
func (r rig) ask(t *testing.T, path, traceparent string, serve http.HandlerFunc) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, http.NoBody)
	if traceparent != "" {
		req.Header.Set("Traceparent", traceparent)
		req.Header.Set("Tracestate", "canary=1")
	}
	r.Handler(serve).ServeHTTP(httptest.NewRecorder(), req)
}

func TestTheSpanOfARequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Sample: 1})
	var id string
	r.ask(t, "/v1/customers/canary?q=canary", "", func(_ http.ResponseWriter, req *http.Request) {
		id = TraceID(req.Context())
		r.Answered(req.Context(), httpapi.Observation{
			Operation: "getCustomer", Method: "GET", Tenant: "acme", Status: 503, Code: normalize.StoreUnavailable, Provider: "p",
		})
	})
	require.Len(t, id, 32)
	s := r.spans(t)["getCustomer"]
	require.Equal(t, trace.SpanKindServer, s.SpanKind)
	require.Equal(t, map[string]any{
		"http.request.method": "GET", "http.response.status_code": int64(503), "polyvault.operation": "getCustomer",
		"polyvault.tenant": "acme", "polyvault.code": "store_unavailable", "polyvault.provider": "p",
	}, attributes(s))
	require.Equal(t, codes.Error, s.Status.Code)
	require.NotContains(t, fmt.Sprintf("%+v", r.kept.GetSpans()), "canary")
}

func TestACallersTraceGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Sample: 0})
	var id string
	see := func(_ http.ResponseWriter, req *http.Request) {
		id = TraceID(req.Context())
		r.Answered(req.Context(), httpapi.Observation{Operation: "op", Method: "GET", Status: 200})
	}
	r.ask(t, "/v1/x", theirs, see)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", id)
	s := r.spans(t)["op"]
	require.Equal(t, "b7ad6b7169203331", s.Parent.SpanID().String())
	require.Empty(t, s.SpanContext.TraceState().String(), "the state is a caller's text")
	r.kept.Reset()

	for _, traceparent := range []string{quiet, "", "nonsense"} {
		r.ask(t, "/v1/x", traceparent, see)
		require.Empty(t, r.spans(t), "neither sampled by the caller nor by us")
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		r.ask(t, path, theirs, func(http.ResponseWriter, *http.Request) {})
		require.Empty(t, r.spans(t), "health checks are not traced")
	}
}

// answers is a provider that answers.
type answers struct {
	status int
	err    error
	saw    http.Header
}

func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	a.saw = req.Header.Clone()
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{StatusCode: a.status, Body: io.NopCloser(strings.NewReader("canary"))}, nil
}

// call sends a provider's request inside of a traced one.
func (r rig) call(t *testing.T, a *answers) {
	t.Helper()
	var inside context.Context
	r.ask(t, "/v1/x", theirs, func(_ http.ResponseWriter, in *http.Request) { inside = in.Context() }) //nolint:fatcontext // it is one request
	req, err := http.NewRequestWithContext(inside, http.MethodPost, "https://api.example.com/tms/canary?x=canary", strings.NewReader("canary"))
	require.NoError(t, err)
	req.Header.Set("Authorization", "canary")
	resp, err := r.Transport("first", a).RoundTrip(req)
	require.ErrorIs(t, err, a.err)
	require.Empty(t, req.Header.Get("Traceparent"), "the request itself is not changed")
	if err == nil {
		require.NotContains(t, r.spans(t), "call", "it ends when the answer was read")
		require.NoError(t, resp.Body.Close())
		require.NoError(t, resp.Body.Close())
	}
}

func TestTheSpanOfAProvidersCall(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer answers
		want   map[string]any
		status codes.Code
	}{
		"a success": {answers{status: 201}, map[string]any{"http.response.status_code": int64(201)}, codes.Unset},
		"a failure": {answers{status: 500}, map[string]any{"http.response.status_code": int64(500)}, codes.Error},
		"no answer": {answers{err: errors.New("canary")}, map[string]any{"error.type": "transport"}, codes.Error},
		"too late":  {answers{err: context.DeadlineExceeded}, map[string]any{"error.type": "timeout"}, codes.Error},
		"given up":  {answers{err: context.Canceled}, map[string]any{"error.type": "canceled"}, codes.Error},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Config{})
			r.call(t, &tt.answer)
			s := r.spans(t)["call"]
			tt.want["polyvault.provider"], tt.want["http.request.method"], tt.want["server.address"] = "first", "POST", "api.example.com"
			require.Equal(t, tt.want, attributes(s))
			require.Equal(t, trace.SpanKindClient, s.SpanKind)
			require.Equal(t, tt.status, s.Status.Code)
			require.NotContains(t, fmt.Sprintf("%+v", r.kept.GetSpans()), "canary")
			require.Empty(t, tt.answer.saw.Get("Traceparent"), "providers are not told of our traces")
		})
	}
}

func TestProvidersAreToldOfTracesOnlyIfAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Propagate: true})
	a := &answers{status: 200}
	r.call(t, a)
	s := r.spans(t)["call"]
	require.Equal(t, fmt.Sprintf("00-0af7651916cd43dd8448eb211c80319c-%s-01", s.SpanContext.SpanID()), a.saw.Get("Traceparent"))
	require.Empty(t, a.saw.Get("Tracestate"))
}

func TestWhatBelongsToNoRequestHasNoSpan(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Sample: 1})
	ctx, done := r.Redis(t.Context(), "ping", 1)
	require.Equal(t, t.Context(), ctx)
	done(errors.New("x"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com/", http.NoBody)
	require.NoError(t, err)
	resp, err := r.Transport("first", &answers{status: 200}).RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Empty(t, r.spans(t))
}

func TestTheSpanOfARedisBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.ask(t, "/v1/x", theirs, func(_ http.ResponseWriter, in *http.Request) {
		_, done := r.Redis(in.Context(), "pipeline", 3)
		done(errors.New("canary"))
	})
	s := r.spans(t)["redis pipeline"]
	require.Equal(t, map[string]any{"db.system.name": "redis", "db.operation.batch.size": int64(3), "error.type": "transport"}, attributes(s))
	require.Empty(t, s.Events)
	require.NotContains(t, fmt.Sprintf("%+v", r.kept.GetSpans()), "canary")
}

func TestNoTracerIsNone(t *testing.T) {
	t.Parallel()
	var none *Tracer
	a := &answers{}
	require.Equal(t, http.RoundTripper(a), none.Transport("p", a), "nothing is put around it")
	mux := http.NewServeMux()
	require.Equal(t, http.Handler(mux), none.Handler(mux))
	none.Answered(t.Context(), httpapi.Observation{})
	require.NoError(t, none.Close(t.Context()))
}

// A collector that is not there, or never answers, costs requests nothing but the spans,
// and the process' end two seconds.
func TestADeadCollector(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	for name, endpoint := range map[string]string{"refuses": "http://127.0.0.1:1", "is silent": "http://" + silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, logs := observer.New(zap.WarnLevel)
			tracer, err := Open(t.Context(), Config{Endpoint: endpoint, Sample: 1, Log: zap.New(core)})
			require.NoError(t, err, "it is asked for nothing at the start")
			r := rig{Tracer: tracer}
			for range 10_000 { // many times what the queue holds
				r.ask(t, "/v1/x", "", func(http.ResponseWriter, *http.Request) {})
			}
			ended := make(chan error, 1)
			go func() { ended <- tracer.Close(context.Background()) }()
			select {
			case err := <-ended:
				require.NoError(t, err)
			case <-time.After(closeTimeout + 3*time.Second):
				require.FailNow(t, "it does not end")
			}
			require.NotZero(t, logs.Len(), "it is told of")
			require.LessOrEqual(t, logs.Len(), 2, "and not for each span")
		})
	}
}

func TestSpansArriveAtTheCollector(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		got <- req.URL.Path + " " + string(b)
	}))
	t.Cleanup(collector.Close)
	tracer, err := Open(t.Context(), Config{Endpoint: collector.URL + "/", Sample: 1, Version: "v1.2.3"})
	require.NoError(t, err)
	rig{Tracer: tracer}.ask(t, "/v1/x", "", func(http.ResponseWriter, *http.Request) {})
	require.NoError(t, tracer.Close(t.Context()))
	body := <-got
	require.True(t, strings.HasPrefix(body, "/v1/traces "), body)
	require.Contains(t, body, "unmatched")
	require.Contains(t, body, "v1.2.3")
	delivered, lost := tracer.Spans()
	require.Equal(t, []int64{1, 0}, []int64{delivered, lost})
}
