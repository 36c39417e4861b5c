package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// asked is a request's answer: its status, headers and body.
func asked(t *testing.T, url, key string, headers ...string) (status int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, res.Header, string(text)
}

func TestServeLimitsAsItsConfigurationSays(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	e.write(t)
	r := start(t, "serve", "--config", e.file())
	api, admin := address(t, r, "listening"), address(t, r, "admin listening")
	status, header, body := asked(t, api+"/v1/providers", e.key)
	require.Equal(t, 200, status, body)
	require.Empty(t, header.Get("RateLimit"), "without limits there is nothing to tell")

	e.more = "limits: {key: {rate: 0.01, burst: 2}, creates_per_customer: {limit: 1}, auth_failures_per_minute: 1}\ntrusted_proxies: [127.0.0.0/8]\n"
	e.write(t)
	until(t, api, "limits are taken into use", func(r ready) bool { return r.Generation == 2 })
	require.Equal(t, "first", e.stores(t, api, "cus-1"))
	status, header, body = asked(t, api+"/v1/providers", e.key)
	require.Equal(t, 200, status, body)
	require.Equal(t, `"key";q=2;w=200`, header.Get("RateLimit-Policy"))
	require.Equal(t, `"key";r=0;t=200`, header.Get("RateLimit"))
	status, header, body = asked(t, api+"/v1/providers", e.key)
	require.Equal(t, 429, status)
	require.Contains(t, body, `"code":"rate_limited"`)
	require.Equal(t, "100", header.Get("Retry-After"))
	for _, caller := range []string{"203.0.113.1", "203.0.113.2"} {
		status, _, _ = asked(t, api+"/v1/providers", "nonsense", "X-Forwarded-For", caller)
		require.Equal(t, 401, status, "each caller behind the proxy by itself")
		status, _, _ = asked(t, api+"/v1/providers", "nonsense", "X-Forwarded-For", caller)
		require.Equal(t, 429, status)
	}
	find(t, r, &r.stderr, `"address":"203.0.113.2"`)

	e.more = "limits: {creates_per_customer: {limit: 1}}\n"
	e.line = strings.Replace(e.line, "- {", "- {not_after: 2126-01-31T12:00:00Z, ", 1)
	e.write(t)
	until(t, api, "other limits are taken into use", func(r ready) bool { return r.Generation == 3 })
	status, body = request(t, "POST", api+"/v1/instruments", e.key, cardBody, "Idempotency-Key", "another")
	require.Equal(t, 429, status, "what was counted is not forgotten: %s", body)
	require.Contains(t, body, "too many instruments are being created for this customer")
	require.Equal(t, "first", e.stores(t, api, "cus-2"))

	status, metrics := request(t, "GET", admin+"/metrics", "", "")
	require.Equal(t, 200, status)
	for _, line := range []string{
		`polyvault_api_key_requests_total{key="checkout",tenant="acme"} 6`, `polyvault_api_key_requests_after_end_total{key="checkout",tenant="acme"} 0`,
		`polyvault_api_key_last_used_timestamp_seconds{key="checkout",tenant="acme"} 1.`, `polyvault_api_key_not_after_timestamp_seconds{key="checkout",tenant="acme"} 4.`,
	} {
		require.Contains(t, metrics, line)
	}
}
