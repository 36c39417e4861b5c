package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

type object = map[string]any

// card is a published test number as a source.
func card(number string) object {
	return object{"type": "card", "number": number, "exp_month": 12, "exp_year": 2031, "cvc": "123", "holder_name": "Ada Byron"}
}

// vaulted is an instrument in the vault behind BigCommerce.
func vaulted(token, last4 string) object {
	return object{
		"type": "vaulted_token", "payment_method_id": "braintree.credit_card", "currency": "USD", "vault_token": token,
		"provider_customer_id": "321123", "instrument_type": "card", "brand": "visa", "bin": "411111", "last4": last4,
		"exp_month": 12, "exp_year": 2031,
	}
}

func address() object {
	return object{"first_name": "Ada", "last_name": "Byron", "line1": "12 Analytical Way", "city": "Austin", "region": "TX", "postal_code": "78701", "country": "US"}
}

// stores are the two engines, Redis in its three forms, each by its section of the configuration.
func stores(t *testing.T) map[string]func(t *testing.T) string {
	t.Helper()
	return map[string]func(*testing.T) string{
		"redis": func(t *testing.T) string {
			return "  redis: {url: \"redis://" + redistest.Start(t) + "/0\", durability: dev}"
		},
		"redis with sentinels": func(t *testing.T) string {
			set := redistest.StartSentinelSet(t)
			return fmt.Sprintf("  redis: {addrs: [%q], master_name: %s, durability: dev}", set.Addrs()[0], set.Name)
		},
		"redis cluster": func(t *testing.T) string {
			set := redistest.StartClusterSet(t, 3, 1)
			return fmt.Sprintf("  redis: {addrs: [%q, %q], cluster: true, durability: dev}", set.Addrs()[0], set.Addrs()[1])
		},
		"bbolt": func(t *testing.T) string {
			return "  bolt: {path: " + filepath.Join(t.TempDir(), "polyvault.db") + "}"
		},
	}
}

func TestLifeCycle(t *testing.T) {
	t.Parallel()
	sources := map[string][2]object{
		"cybersource-us":   {card("4111111111111111"), card("5555555555554444")},
		"rebilly-main":     {card("378282246310005"), card("6011111111111117")},
		"bigcommerce-main": {vaulted("vault-1", "1111"), vaulted("vault-2", "4444")},
	}
	for store, section := range stores(t) {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := startSandbox(t)
			g := startGateway(t, s, section(t), newReferenceKey(t))
			for provider, two := range sources {
				t.Run(provider, func(t *testing.T) { lifeCycle(t, g, provider, two) })
			}
			require.NoError(t, g.Terminate(t), "SIGTERM ends with exit code 0")
			for _, number := range []string{"4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", g.key} {
				require.NotContains(t, g.Log.String(), number, "a number or key is in the log")
			}
		})
	}
}

func lifeCycle(t *testing.T, g gateway, provider string, sources [2]object) {
	customer := "cus-" + provider
	if provider == "bigcommerce-main" {
		refused := g.call(t, http.StatusUnprocessableEntity, "POST", "/v1/instruments", header{"Idempotency-Key": provider + "-early"},
			object{"customer_id": customer, "sources": []object{sources[0]}, "billing_address": address(), "provider": provider})
		require.Equal(t, "customer_reference_required", refused.str(t, "code"))
		g.call(t, http.StatusCreated, "PUT", "/v1/customers/"+customer, nil, object{"provider_references": object{provider: "42"}})
	}
	create := object{
		"customer_id": customer, "sources": []object{sources[0]}, "billing_address": address(), "provider": provider,
		"metadata": object{"order": "A-1"},
	}

	// create, and the same again
	first := g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": provider + "-1"}, create)
	id := first.str(t, "id")
	require.Equal(t, "/v1/instruments/"+id, first.header.Get("Location"))
	require.Equal(t, provider, first.header.Get("Gateway-Provider"))
	require.Equal(t, "active", first.str(t, "status"))
	require.Equal(t, last4(t, sources[0]), first.str(t, "card", "last4"))
	replay := g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": provider + "-1"}, create)
	require.Equal(t, "true", replay.header.Get("Idempotent-Replayed"))
	require.JSONEq(t, string(first.raw), string(replay.raw))
	other := object{"customer_id": customer, "sources": []object{sources[1]}, "provider": provider, "billing_address": address()}
	reused := g.call(t, http.StatusUnprocessableEntity, "POST", "/v1/instruments", header{"Idempotency-Key": provider + "-1"}, other)
	require.Equal(t, "idempotency_key_reused", reused.str(t, "code"))

	// get, 304, stored
	got := g.call(t, http.StatusOK, "GET", "/v1/instruments/"+id, nil, nil)
	etag := got.header.Get("ETag")
	require.NotEmpty(t, etag)
	g.call(t, http.StatusNotModified, "GET", "/v1/instruments/"+id, header{"If-None-Match": etag}, nil)
	kept := g.call(t, http.StatusOK, "GET", "/v1/instruments/"+id+"?read=stored", nil, nil)
	require.Equal(t, etag, kept.header.Get("ETag"))

	// patch, 412
	patched := g.call(t, http.StatusOK, "PATCH", "/v1/instruments/"+id, header{"If-Match": etag},
		object{"billing_address": object{"line1": "1 New Road", "line2": nil}, "metadata": object{"order": nil, "seen": "yes"}})
	require.Equal(t, "1 New Road", patched.str(t, "billing_address", "line1"))
	require.Equal(t, map[string]any{"seen": "yes"}, patched.body["metadata"])
	stale := g.call(t, http.StatusPreconditionFailed, "PATCH", "/v1/instruments/"+id, header{"If-Match": etag}, object{"metadata": object{"a": "b"}})
	require.Equal(t, "version_mismatch", stale.str(t, "code"))
	live := g.call(t, http.StatusOK, "GET", "/v1/instruments/"+id, nil, nil)
	require.Equal(t, "1 New Road", live.str(t, "billing_address", "line1"), "the provider has it too")

	// default
	second := g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": provider + "-2"}, other)
	secondID := second.str(t, "id")
	g.call(t, http.StatusOK, "PATCH", "/v1/instruments/"+id, nil, object{"default": true})
	moved := g.call(t, http.StatusOK, "PATCH", "/v1/instruments/"+secondID, nil, object{"default": true})
	require.Equal(t, true, moved.body["default"])
	require.Equal(t, false, g.call(t, http.StatusOK, "GET", "/v1/instruments/"+id, nil, nil).body["default"])

	// list
	list := g.call(t, http.StatusOK, "GET", "/v1/customers/"+customer+"/instruments", nil, nil)
	require.Len(t, list.body["data"], 2, "%s", list.raw)
	require.Equal(t, false, list.body["incomplete"])
	stored := g.call(t, http.StatusOK, "GET", "/v1/instruments?customer_id="+customer+"&filter=status:active;type:card&limit=1", nil, nil)
	require.Len(t, stored.body["data"], 1)
	require.Equal(t, true, stored.body["has_more"])
	rest := g.call(t, http.StatusOK, "GET", "/v1/instruments?customer_id="+customer+"&filter=status:active;type:card&limit=1&cursor="+stored.str(t, "next_cursor"), nil, nil)
	require.Len(t, rest.body["data"], 1)
	require.NotEqual(t, stored.body["data"], rest.body["data"])

	// deactivate, delete, 410
	off := g.call(t, http.StatusOK, "POST", "/v1/instruments/"+id+"/deactivate", nil, nil)
	require.Equal(t, "deactivated", off.str(t, "status"))
	g.call(t, http.StatusNoContent, "DELETE", "/v1/instruments/"+secondID, nil, nil)
	g.call(t, http.StatusNoContent, "DELETE", "/v1/instruments/"+secondID, nil, nil)
	gone := g.call(t, http.StatusGone, "GET", "/v1/instruments/"+secondID, nil, nil)
	require.Equal(t, "instrument_deleted", gone.str(t, "code"))
	again := g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": provider + "-2"}, other)
	require.JSONEq(t, string(second.raw), string(again.raw), "a retry after the delete replays and resurrects nothing")
	g.call(t, http.StatusGone, "GET", "/v1/instruments/"+secondID, nil, nil)
	require.Equal(t, "completed", g.call(t, http.StatusOK, "GET", "/v1/operations/"+id, nil, nil).str(t, "state"))
}

// last4 is what an answer must show of a source.
func last4(t *testing.T, source object) string {
	t.Helper()
	if shown, ok := source["last4"].(string); ok {
		return shown
	}
	number, ok := source["number"].(string)
	require.True(t, ok)
	return number[len(number)-4:]
}
