package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// sendOnly makes a request whose answer nobody waits for.
func (g gateway) sendOnly(ctx context.Context, method, path string, h header, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	text := string(b)
	if body == nil {
		text = ""
	}
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, strings.NewReader(text))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.key)
	req.Header.Set("Content-Type", "application/json")
	for k, v := range h {
		req.Header.Set(k, v)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

// faultsLeft counts the faults that no request has met yet.
func faultsLeft(t *testing.T, addr string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/_sandbox/faults", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var rules []fault.Rule
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&rules))
	return len(rules)
}

// A gateway is killed while the provider has made a change and has not answered yet.
// Another one tells the client to come back while the lease lasts, and then carries
// the change on under the same key: what the provider has done is a success.
func TestAChangeWhoseGatewayIsKilled(t *testing.T) {
	t.Parallel()
	s := startSandbox(t)
	section := "  redis: {url: \"redis://" + redistest.Start(t) + "/0\", durability: dev}\nlease: 11s"
	reference := newReferenceKey(t)
	first, second := startGateway(t, s, section, reference), startGateway(t, s, section, reference)
	second.call(t, http.StatusCreated, "PUT", "/v1/customers/cus-bigcommerce-main", nil, object{"provider_references": object{"bigcommerce-main": "42"}})
	type change struct {
		provider, addr string
		source         object
		sent           string // the method of the provider's request
		method, suffix string
		body           any
		want           int
		etag           bool
		path           string
		header         header
		before         int // requests that changed the stand-in
	}
	changes := []*change{
		{provider: "cybersource-us", addr: s.cybersource, source: card("4111111111111111"), sent: "PATCH", method: "PATCH", body: object{"billing_address": object{"line1": "1 New Road"}}, want: 200, etag: true},
		{provider: "rebilly-main", addr: s.rebilly, source: card("378282246310005"), sent: "POST", method: "POST", suffix: "/deactivate", want: 200},
		{provider: "bigcommerce-main", addr: s.bigcommerce, source: vaulted("vault-1", "1111"), sent: "DELETE", method: "DELETE", want: 204},
	}
	for _, c := range changes {
		created := first.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": c.provider},
			object{"customer_id": "cus-" + c.provider, "sources": []object{c.source}, "billing_address": address(), "provider": c.provider})
		c.path = "/v1/instruments/" + created.str(t, "id") + c.suffix
		c.header = header{"Idempotency-Key": "change-" + c.provider}
		if c.etag {
			c.header["If-Match"] = created.header.Get("ETag")
		}
		c.before = committed(t, c.addr)
		putFaults(t, c.addr, fault.Rule{Method: c.sent, Fault: fault.CommitThenHang, Times: 1})
		ctx := context.WithoutCancel(t.Context())
		go first.sendOnly(ctx, c.method, c.path, c.header, c.body)
		require.Eventually(t, func() bool { return faultsLeft(t, c.addr) == 0 }, 5*time.Second, 10*time.Millisecond, "the request has come")
	}
	first.Kill()
	for _, c := range changes {
		// The ledger has a request once its connection has ended.
		require.Eventually(t, func() bool { return committed(t, c.addr) == c.before+1 }, 5*time.Second, 10*time.Millisecond, c.provider)
		busy := second.call(t, http.StatusConflict, c.method, c.path, c.header, c.body)
		require.Equal(t, "idempotency_key_in_use", busy.str(t, "code"))
		require.NotEmpty(t, busy.header.Get("Retry-After"))
	}
	for _, c := range changes {
		var a answer
		require.Eventually(t, func() bool {
			a = second.try(t, c.method, c.path, c.header, c.body)
			return a.status != http.StatusConflict
		}, 30*time.Second, 200*time.Millisecond)
		require.Equal(t, c.want, a.status, "%s: %s", c.provider, a.raw)
		if c.etag {
			require.Equal(t, c.before+1, committed(t, c.addr), "the provider was changed once")
		}
		require.Equal(t, "true", second.call(t, c.want, c.method, c.path, c.header, c.body).header.Get("Idempotent-Replayed"))
	}
}
