package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// breakNext makes the next request with that method to a stand-in happen without an answer.
func breakNext(t *testing.T, addr, method string) {
	t.Helper()
	putFaults(t, addr, fault.Rule{Method: method, Fault: fault.CommitThenDrop, Times: 1})
}

// putFaults replaces the faults of a stand-in.
func putFaults(t *testing.T, addr string, rules ...fault.Rule) {
	t.Helper()
	b, err := json.Marshal(append([]fault.Rule{}, rules...))
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+addr+"/_sandbox/faults", bytes.NewReader(b))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// committed counts the requests that changed a stand-in's state.
func committed(t *testing.T, addr string) int {
	t.Helper()
	n := 0
	for _, r := range stateOf(t, addr).Requests {
		if r.Committed {
			n++
		}
	}
	return n
}

// Changes with an idempotency key at the three providers: answered the same again,
// made once although the provider's answer was lost, and refused for another request.
func TestChangesWithAKey(t *testing.T) {
	t.Parallel()
	for store, section := range stores(t) {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := startSandbox(t)
			g := startGateway(t, s, section(t), newReferenceKey(t))
			g.call(t, http.StatusCreated, "PUT", "/v1/customers/cus-bigcommerce-main", header{"Idempotency-Key": "put"},
				object{"provider_references": object{"bigcommerce-main": "42"}})
			again := g.call(t, http.StatusCreated, "PUT", "/v1/customers/cus-bigcommerce-main", header{"Idempotency-Key": "put"},
				object{"provider_references": object{"bigcommerce-main": "42"}})
			require.Equal(t, "true", again.header.Get("Idempotent-Replayed"))
			for provider, p := range map[string]struct {
				addr           string
				source         object
				update, remove string // the methods that the provider has for them
			}{
				"cybersource-us":   {s.cybersource, card("4111111111111111"), "PATCH", "DELETE"},
				"rebilly-main":     {s.rebilly, card("378282246310005"), "PATCH", "POST"},
				"bigcommerce-main": {s.bigcommerce, vaulted("vault-1", "1111"), "PUT", "DELETE"},
			} {
				t.Run(provider, func(t *testing.T) { keyedChanges(t, g, provider, p.addr, p.source, p.update, p.remove) })
			}
		})
	}
}

func keyedChanges(t *testing.T, g gateway, provider, addr string, source object, update, remove string) {
	create := object{"customer_id": "cus-" + provider, "sources": []object{source}, "billing_address": address(), "provider": provider}
	created := g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": provider}, create)
	path := "/v1/instruments/" + created.str(t, "id")
	same := func(want int, method, path string, h header, body any) answer {
		t.Helper()
		first := g.call(t, want, method, path, h, body)
		require.Empty(t, first.header.Get("Idempotent-Replayed"))
		before := committed(t, addr)
		replay := g.call(t, want, method, path, h, body)
		require.Equal(t, "true", replay.header.Get("Idempotent-Replayed"))
		id := func(a answer) string { return a.header.Get("X-Request-ID") } // a problem names its own exchange
		require.Equal(t, strings.ReplaceAll(string(first.raw), id(first), ""), strings.ReplaceAll(string(replay.raw), id(replay), ""))
		require.Equal(t, first.header.Get("ETag"), replay.header.Get("ETag"))
		require.Equal(t, before, committed(t, addr), "nothing is sent again")
		return first
	}

	// The provider changed it, and its answer was lost: the retry of the same patch,
	// whose If-Match names what was there before, is no 412, and changes nothing again.
	patch := object{"billing_address": object{"line1": "1 New Road"}, "metadata": object{"order": "A-2"}}
	h := header{"Idempotency-Key": provider + "-patch", "If-Match": created.header.Get("ETag")}
	before := committed(t, addr)
	breakNext(t, addr, update)
	lost := g.try(t, "PATCH", path, h, patch)
	require.GreaterOrEqual(t, lost.status, 500, "%s", lost.raw)
	require.Equal(t, "unknown", lost.str(t, "outcome"))
	require.Equal(t, "safe_with_same_key", lost.str(t, "retry"))
	patched := same(http.StatusOK, "PATCH", path, h, patch)
	require.Equal(t, before+1, committed(t, addr), "the provider was changed once")
	require.Equal(t, map[string]any{"order": "A-2"}, patched.body["metadata"])
	require.Equal(t, "1 New Road", patched.str(t, "billing_address", "line1"))

	// One key, one request.
	for _, reused := range []answer{
		g.call(t, http.StatusUnprocessableEntity, "PATCH", path, h, object{"billing_address": object{"line1": "2 New Road"}}),
		g.call(t, http.StatusUnprocessableEntity, "POST", path+"/deactivate", h, nil),
		g.call(t, http.StatusUnprocessableEntity, "POST", "/v1/instruments", h, create),
		g.call(t, http.StatusUnprocessableEntity, "DELETE", path, header{"Idempotency-Key": provider}, nil), // the create's
	} {
		require.Equal(t, "idempotency_key_reused", reused.str(t, "code"))
		require.Equal(t, "not_sent", reused.str(t, "outcome"))
	}
	stale := header{"Idempotency-Key": provider + "-stale", "If-Match": created.header.Get("ETag")}
	refused := same(http.StatusPreconditionFailed, "PATCH", path, stale, object{"metadata": object{"a": "b"}})
	require.Equal(t, "version_mismatch", refused.str(t, "code"))

	same(http.StatusOK, "POST", path+"/deactivate", header{"Idempotency-Key": provider + "-off"}, nil)

	breakNext(t, addr, remove)
	h = header{"Idempotency-Key": provider + "-delete"}
	require.Equal(t, "unknown", g.try(t, "DELETE", path, h, nil).str(t, "outcome"))
	same(http.StatusNoContent, "DELETE", path, h, nil)
	g.call(t, http.StatusGone, "GET", path, nil, nil)
	g.call(t, http.StatusOK, "GET", "/v1/operations?state=manual", nil, nil)
}
