package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// operate runs `polyvault operations` against a gateway.
func (g gateway) operate(t *testing.T, args ...string) (stdout, stderr string, ok bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), programs.Binary(t), append([]string{"operations", "--url", g.url}, args...)...)
	cmd.Env = append(os.Environ(), "POLYVAULT_API_KEY="+g.key)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err == nil
}

// A create whose outcome nobody knows is on the operator's list, and is done once
// the provider can be asked.
func TestOperationsOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	for store, section := range stores(t) {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := startSandbox(t)
			g := startGateway(t, s, section(t), newReferenceKey(t))
			g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": "well"},
				object{"customer_id": "cus-1", "sources": []object{card("5555555555554444")}, "billing_address": address(), "provider": "cybersource-us"})
			list, _, ok := g.operate(t, "list", "--state", "unknown", "--json")
			require.True(t, ok)
			require.Empty(t, list, "what goes well is not listed")

			putFaults(t, s.cybersource,
				fault.Rule{Method: "POST", Path: "/tms/v2/customers/*/payment-instruments", Fault: fault.CommitThenDrop},
				fault.Rule{Method: "GET", Fault: fault.Status, Status: 500})
			pending := g.call(t, http.StatusAccepted, "POST", "/v1/instruments", header{"Idempotency-Key": "lost"},
				object{"customer_id": "cus-1", "sources": []object{card("4111111111111111")}, "billing_address": address(), "provider": "cybersource-us"})
			id := pending.str(t, "id")
			list, _, ok = g.operate(t, "list", "--state", "unknown", "--json")
			require.True(t, ok)
			var op struct{ ID, State, Advice string }
			require.NoError(t, json.Unmarshal([]byte(list), &op))
			require.Equal(t, id, op.ID)
			require.NotEmpty(t, op.Advice)
			_, said, ok := g.operate(t, "fail", id)
			require.False(t, ok, "the gateway has not given up")
			require.Contains(t, said, "invalid_state")

			putFaults(t, s.cybersource)
			shown, said, ok := g.operate(t, "retry", id)
			require.True(t, ok, said)
			require.Contains(t, shown, id)
			require.Eventually(t, func() bool {
				shown, _, ok := g.operate(t, "show", id)
				return ok && strings.Contains(shown, "completed")
			}, 15*time.Second, 100*time.Millisecond)
			list, _, ok = g.operate(t, "list", "--state", "unknown", "--json")
			require.True(t, ok)
			require.Empty(t, list)
			require.Equal(t, 2, live(t, s.cybersource))
		})
	}
}
