package tenants

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

func (w *world) get(t *testing.T, path, key string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	req.Header.Set("Authorization", "Bearer "+key)
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, req)
	return rec
}

func TestRatesAreToldAndKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Limits{Tenant: gateway.Rate{PerSecond: 0.02, Burst: 3}, Key: gateway.Rate{PerSecond: 0.01, Burst: 2}})
	before, sent := w.everything(t), w.sent()
	for i := range 2 {
		rec := w.get(t, "/v1/instruments", w.keys[acme])
		require.Equal(t, http.StatusOK, rec.Code)
		require.Equal(t, `"key";q=2;w=200, "tenant";q=3;w=150`, rec.Header().Get("RateLimit-Policy"))
		require.Regexp(t, fmt.Sprintf(`^"key";r=%d;t=\d+, "tenant";r=%d;t=\d+$`, 1-i, 2-i), rec.Header().Get("RateLimit"))
	}
	for _, path := range []string{"/v1/instruments", "/v1/instruments?nonsense=1", "/v1/instruments/" + neverID, "/v1/customers/c/instruments"} {
		rec := w.get(t, path, w.keys[acme])
		require.Equal(t, http.StatusTooManyRequests, rec.Code)
		body := rec.Body.String()
		require.Contains(t, body, `"code":"rate_limited","outcome":"not_sent","retry":"safe"`)
		require.Contains(t, body, "the API key sends more requests than its limit")
		require.Regexp(t, `^"key";r=0;t=\d+, "tenant";r=1;t=\d+$`, rec.Header().Get("RateLimit"))
		require.Regexp(t, `^\d{2,3}$`, rec.Header().Get("Retry-After"))
	}
	require.Equal(t, http.StatusForbidden, w.get(t, "/v1/instruments", scoped("routes:read")).Code, "another key has its own rate; a refusal for its scope counts")
	rec := w.get(t, "/v1/routes/x", scoped("routes:read"))
	require.Equal(t, http.StatusNotFound, rec.Code, "no operation")
	rec = w.get(t, "/v1/providers", scoped("providers:read"))
	require.Equal(t, http.StatusTooManyRequests, rec.Code)
	require.Contains(t, rec.Body.String(), "the tenant sends more requests than its limit")
	require.Equal(t, http.StatusOK, w.get(t, "/v1/instruments", w.keys[globex]).Code, "another tenant")
	rec = w.get(t, "/v1/instruments", "nonsense")
	require.Equal(t, http.StatusUnauthorized, rec.Code)
	require.Empty(t, rec.Header().Get("RateLimit"), "who is not known has no quota")
	require.Equal(t, http.StatusOK, w.get(t, "/healthz", "").Code)
	require.Equal(t, before, w.everything(t))
	require.Equal(t, sent, w.sent())
}
