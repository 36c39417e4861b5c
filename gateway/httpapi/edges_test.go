package httpapi

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

func TestPathsAndMethodsThatDoNotExist(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, path := range []string{"/", "/v1", "/v2/instruments", "/v1/instruments/", "/v1/instruments/a/b", "/v1/instruments/a%2Fb/c", "/v1/providers/a/b", "/v1/operations/a/b", "/healthz/x", "/v1/cards", "/docs/x.js", "/docs/../openapi.yaml"} {
		rec := r.call(t, http.MethodGet, path, "")
		requireProblem(t, rec, 404, normalize.NotFound)
		require.NotContains(t, rec.Body.String(), path+`"`)
	}
	for _, tt := range []struct{ method, path, allow string }{
		{http.MethodPut, "/v1/instruments", "GET, POST"},
		{http.MethodOptions, "/v1/instruments", "GET, POST"},
		{http.MethodHead, "/v1/instruments", "GET, POST"},
		{http.MethodTrace, "/v1/instruments", "GET, POST"},
		{http.MethodPost, "/v1/instruments/" + exampleID, "DELETE, GET, PATCH"},
		{http.MethodDelete, "/healthz", "GET"},
		{"BREW", "/v1/providers", "GET"},
	} {
		rec := r.call(t, tt.method, tt.path, "")
		requireProblem(t, rec, 405, normalize.MethodNotAllowed)
		require.ElementsMatch(t, strings.Split(tt.allow, ", "), strings.Split(rec.Header().Get("Allow"), ", "), tt.method+" "+tt.path)
	}
	requireProblem(t, r.call(t, http.MethodOptions, "/nothing", ""), 404, normalize.NotFound)
}

func TestAnotherTenantsInstrumentIsAsAbsentAsNone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.err = &normalize.Error{Code: normalize.NotFound, Outcome: normalize.Rejected, Op: "get", Msg: "there is no such resource"}
	var answers []string
	for _, id := range []string{exampleID, "ins_zzzzzzzzzzzzzzzzzzzzzzzzzz", "nonsense"} {
		rec := r.call(t, http.MethodGet, "/v1/instruments/"+id, "", "X-Request-ID", "same")
		answers = append(answers, fmt.Sprint(rec.Code, rec.Header(), rec.Body))
	}
	require.Equal(t, answers[0], answers[1])
	require.Equal(t, answers[0], answers[2])
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for id, kept := range map[string]bool{
		"a-B_9.": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "a b": false, "": false, "é": false, testNumber: false,
	} {
		got := r.call(t, http.MethodGet, "/healthz", "", "X-Request-ID", id).Header().Get("X-Request-ID")
		require.Equal(t, kept, got == id, id)
		require.Regexp(t, requestIDPattern, got)
	}
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	ins := "/v1/instruments/" + exampleID
	for _, tt := range []struct {
		method, path, mediaType string
		accepted                bool
	}{
		{http.MethodPost, "/v1/instruments", "application/json; charset=UTF-8", true},
		{http.MethodPost, "/v1/instruments", "APPLICATION/JSON", true},
		{http.MethodPost, "/v1/instruments", "application/json; charset=latin1", false},
		{http.MethodPost, "/v1/instruments", "application/merge-patch+json", false},
		{http.MethodPost, "/v1/instruments", "text/plain", false},
		{http.MethodPost, "/v1/instruments", "application/x-www-form-urlencoded", false},
		{http.MethodPost, "/v1/instruments", "nonsense;;", false},
		{http.MethodPost, "/v1/instruments", "", false},
		{http.MethodPatch, ins, "application/merge-patch+json", true},
		{http.MethodPatch, ins, "application/json", true},
		{http.MethodPatch, ins, "application/json-patch+json", false},
	} {
		body := goodCreate
		if tt.method == http.MethodPatch {
			body = "{}"
		}
		rec := newRig(t).call(t, tt.method, tt.path, body, "Idempotency-Key", "k", "Content-Type", tt.mediaType)
		if tt.accepted {
			require.Less(t, rec.Code, 300, tt.mediaType)
		} else {
			requireProblem(t, rec, 415, normalize.UnsupportedMediaType)
		}
	}
	rec := newRig(t).call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", "k", "Content-Encoding", "gzip")
	requireProblem(t, rec, 415, normalize.UnsupportedMediaType)
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	big := goodCreate + strings.Repeat(" ", 64<<10)
	refused := r.call(t, http.MethodPost, "/v1/instruments", big, "Idempotency-Key", "k")
	requireProblem(t, refused, 413, normalize.BodyTooLarge)
	require.Equal(t, "close", refused.Header().Get("Connection"), "the rest is not read")
	chunked := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/instruments", io.MultiReader(strings.NewReader(big)))
	require.Equal(t, int64(-1), chunked.ContentLength)
	chunked.Header = http.Header{"Authorization": {"Bearer " + fullKey}, "Idempotency-Key": {"k"}, "Content-Type": {mediaJSON}}
	requireProblem(t, r.send(t, chunked), 413, normalize.BodyTooLarge)
	just := goodCreate + strings.Repeat(" ", 64<<10-len(goodCreate))
	require.Equal(t, 201, r.call(t, http.MethodPost, "/v1/instruments", just, "Idempotency-Key", "k").Code)
	imports := requests()["importInstruments"].body
	require.Equal(t, 200, r.call(t, http.MethodPost, "/v1/instruments/import", imports+strings.Repeat(" ", 100<<10)).Code)
	requireProblem(t, r.call(t, http.MethodPost, "/v1/instruments/import", imports+strings.Repeat(" ", 1<<20)), 413, normalize.BodyTooLarge)
	cut := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/instruments", io.MultiReader(strings.NewReader(`{"a`), errReader{}))
	cut.Header = chunked.Header
	requireProblem(t, r.send(t, cut), 400, normalize.InvalidJSON)
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestPanics(t *testing.T) {
	t.Parallel()
	for _, thrown := range []any{"card " + testNumber, errors.New(testNumber), http.ErrBodyNotAllowed} {
		r := newRig(t)
		r.panics = thrown
		rec := r.call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", "k")
		p := requireProblem(t, rec, 500, normalize.InternalError)
		require.Equal(t, normalize.Unknown, p.Outcome)
		require.Equal(t, normalize.RetrySameKey, p.Retry)
		require.Equal(t, 1, r.logs.FilterMessage("panic").Len())
		requireNoLeak(t, r, rec)
	}
	r := newRig(t)
	r.panics = http.ErrAbortHandler
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { r.call(t, http.MethodGet, "/v1/providers", "") })
}

// requireNoLeak searches the log and the answer for a card number and the API key.
func requireNoLeak(t testing.TB, r *rig, recs ...*httptest.ResponseRecorder) {
	t.Helper()
	var all strings.Builder
	for _, e := range r.logs.All() {
		fmt.Fprintln(&all, e.Message, e.ContextMap())
	}
	for _, rec := range recs {
		fmt.Fprintln(&all, rec.Header(), rec.Body)
	}
	for _, secret := range []string{testNumber, "4111 1111 1111 1111", fullKey, fullKey[18:], "s3cretcvc"} {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret))} {
			require.NotContains(t, all.String(), form)
		}
	}
}

func TestNothingSecretIsLoggedOrAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.err = &gateway.Failure{OperationID: exampleID, Err: &normalize.Error{
		Code: normalize.ProviderError, Outcome: normalize.Rejected, Msg: "declined " + testNumber, Provider: "p", HTTPStatus: 400,
		ProviderCode: testNumber, RequestID: testNumber, Err: errors.New("the provider said 4111 1111 1111 1111"),
		Fields: []normalize.FieldError{{Pointer: "/metadata/" + testNumber, Code: normalize.InvalidField, Message: testNumber}},
	}}
	var recs []*httptest.ResponseRecorder
	for _, req := range requests() {
		for _, suffix := range []string{"", "?q=" + testNumber, "?" + testNumber + "=1", "/" + testNumber, "%2f4111 1111 1111 1111"} {
			target := strings.ReplaceAll(req.path+suffix, " ", "%20")
			for _, body := range []string{req.body, `{"` + testNumber + `":"` + testNumber + `"}`, `{"a":"4111 1111 1111 1111","a":1}`, `{"cvc":"s3cretcvc"`} {
				recs = append(recs, r.call(t, req.method, target, body, "Idempotency-Key", testNumber, "X-Request-ID", testNumber, "User-Agent", testNumber))
			}
		}
	}
	require.NotEmpty(t, r.logs.FilterField(anyError()).All())
	requireNoLeak(t, r, recs...)
}

func TestTheLogLine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.err = &normalize.Error{Code: normalize.ProviderTimeout, Outcome: normalize.Unknown, Provider: "p", Msg: "no answer", Err: errors.New("EOF")}
	r.call(t, http.MethodGet, "/v1/instruments/"+exampleID+"?read=live", "", "X-Request-ID", "abc")
	require.Equal(t, 1, r.logs.Len())
	got := r.logs.All()[0].ContextMap()
	delete(got, "bytes")
	require.Equal(t, map[string]any{
		"request_id": "abc", "operation": "getInstrument", "tenant": "acme", "api_key": "checkout", "code": "provider_timeout",
		"instrument": exampleID, "provider": "p", "outcome": "unknown",
		"method": "GET", "status": int64(504), "took": time.Duration(0), "address": "192.0.2.1",
		"error": "p: provider_timeout (unknown): no answer: EOF",
	}, got)
}

func TestFailedAuthenticationsAreLimited(t *testing.T) {
	t.Parallel()
	now := exampleTime()
	r := newRig(t, func(c *Config) { c.MaxAuthFailures, c.Now = 2, func() time.Time { return now } })
	bad := []string{"Authorization", "Bearer nonsense"}
	for range 2 {
		requireProblem(t, r.call(t, http.MethodGet, "/v1/providers", "", bad...), 401, normalize.InvalidAPIKey)
	}
	rec := r.call(t, http.MethodGet, "/v1/providers", "", bad...)
	requireProblem(t, rec, 429, normalize.RateLimited)
	require.Equal(t, "60", rec.Header().Get("Retry-After"))
	require.Equal(t, 200, r.call(t, http.MethodGet, "/v1/providers", "").Code, "a valid key is never refused for others' failures")
	now = now.Add(time.Minute)
	requireProblem(t, r.call(t, http.MethodGet, "/v1/providers", "", bad...), 401, normalize.InvalidAPIKey)
}

func TestServicePages(t *testing.T) {
	t.Parallel()
	r := newRig(t, healthy)
	require.JSONEq(t, `{"status":"ok"}`, r.call(t, http.MethodGet, "/healthz", "", "Authorization", "").Body.String())
	require.Equal(t, 200, r.call(t, http.MethodGet, "/readyz", "", "Authorization", "").Code)
	r.err = &normalize.Error{Code: normalize.StoreUnavailable, Outcome: normalize.NotSent, Msg: "the store cannot answer"}
	requireProblem(t, r.call(t, http.MethodGet, "/readyz", "", "Authorization", ""), 503, normalize.StoreUnavailable)
	r.err = nil
	r.api.Drain()
	rec := r.call(t, http.MethodGet, "/readyz", "", "Authorization", "")
	require.Equal(t, 503, rec.Code)
	require.JSONEq(t, `{"status":"draining","generation":1,"config_loaded_at":"2026-11-20T10:00:00Z",
		"problems":[{"code":"draining","detail":"the gateway is about to stop: send new requests to another one"}]}`, rec.Body.String())
	require.Equal(t, 200, r.call(t, http.MethodGet, "/v1/providers", "").Code, "requests that come all the same are served")

	rec = r.call(t, http.MethodGet, "/openapi.json", "", "Authorization", "")
	require.Contains(t, rec.Body.String(), `"openapi":"3.1.0"`)
	require.Equal(t, 304, r.call(t, http.MethodGet, "/docs/start.js", "", "If-None-Match", r.call(t, http.MethodGet, "/docs/start.js", "").Header().Get("ETag")).Code)
	rec = r.call(t, http.MethodGet, "/docs", "")
	require.Contains(t, rec.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';")
	require.NotContains(t, rec.Body.String(), "http", "the page loads nothing from elsewhere")
	packed := r.call(t, http.MethodGet, "/docs/reference.js", "", "Accept-Encoding", "gzip")
	unpacked, err := gzip.NewReader(packed.Body)
	require.NoError(t, err)
	want, err := io.ReadAll(unpacked)
	require.NoError(t, err)
	require.Equal(t, want, r.call(t, http.MethodGet, "/docs/reference.js", "").Body.Bytes())
}

func TestServerHasLimits(t *testing.T) {
	t.Parallel()
	s := Server("127.0.0.1:0", http.NotFoundHandler())
	require.Equal(t, 5*time.Second, s.ReadHeaderTimeout)
	require.Positive(t, s.ReadTimeout)
	require.Positive(t, s.IdleTimeout)
	require.Greater(t, s.WriteTimeout, 30*time.Second)
	require.LessOrEqual(t, s.MaxHeaderBytes, 16<<10)
}
