package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// SIGHUP has the configuration read again, whether anything has changed or not, and
// never ends the gateway.
func TestSIGHUPReloads(t *testing.T) {
	t.Parallel()
	g := startGateway(t, startSandbox(t), "  bolt: {path: ./polyvault.db}", newReferenceKey(t))
	until := func(what string, ok func(object) bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			a := g.try(t, "GET", "/readyz", nil, nil)
			return a.status == http.StatusOK && ok(a.body)
		}, 20*time.Second, 10*time.Millisecond, what)
	}
	until("it is ready", func(o object) bool { return o["generation"] == 1.0 })
	g.Hangup(t)
	until("the same configuration again", func(o object) bool { return o["generation"] == 2.0 })

	text, err := os.ReadFile(g.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(g.config, append(text, "unknown_key: 1\n"...), 0o600))
	g.Hangup(t)
	until("a broken one is refused", func(o object) bool { return o["config_error"] != nil })
	g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": "one"},
		object{"customer_id": "cus-1", "sources": []object{card("4111111111111111")}, "billing_address": address()})
	require.NoError(t, os.WriteFile(g.config, []byte(strings.Replace(string(text), "log: {level: debug", "log: {level: info", 1)), 0o600))
	until("a good one is in force", func(o object) bool {
		generation, _ := o["generation"].(float64)
		return generation >= 3 && o["config_error"] == nil
	})
	require.NoError(t, g.Terminate(t))
}
