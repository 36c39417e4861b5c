package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// stored counts the requests by which instruments were stored at CyberSource.
func stored(t *testing.T, s sandbox) int {
	t.Helper()
	n := 0
	for _, r := range stateOf(t, s.cybersource).Requests {
		if ok, _ := filepath.Match("/tms/v2/customers/*/payment-instruments", r.Path); ok && r.Method == http.MethodPost {
			n++
		}
	}
	return n
}

// Two gateways share a store: what one of them drains, the other's very next create
// passes over.
func TestADrainHoldsAtBothGateways(t *testing.T) {
	t.Parallel()
	s := startSandbox(t)
	section := "  redis: {url: \"redis://" + redistest.Start(t) + "/0\", durability: dev}"
	reference := newReferenceKey(t)
	one, two := startGateway(t, s, section, reference), startGateway(t, s, section, reference)
	n := 0
	create := func(g gateway) answer {
		n++
		return g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": fmt.Sprint("key-", n)}, object{
			"customer_id": fmt.Sprint("cus-", n), "country": "US", "sources": []object{card("4111111111111111")},
		})
	}
	const at = "/v1/providers/cybersource-us"
	first := create(two)
	require.Equal(t, "cybersource-us", first.header.Get("Gateway-Provider"))
	for round := range 5 {
		was := stored(t, s)
		shown := one.call(t, http.StatusOK, "POST", at+"/drain", nil, object{"reason": "maintenance"})
		require.Equal(t, "checkout", shown.str(t, "drained_by"))
		a := create(two)
		require.Equal(t, "rebilly-main", a.header.Get("Gateway-Provider"), "round %d", round)
		op := two.call(t, http.StatusOK, "GET", "/v1/operations/"+a.str(t, "id"), nil, nil)
		require.Contains(t, string(op.raw), `"drained"`)
		require.Equal(t, was, stored(t, s), "nothing was sent there")
		refused := two.call(t, http.StatusServiceUnavailable, "POST", "/v1/instruments", header{"Idempotency-Key": fmt.Sprint("named-", round)}, object{
			"customer_id": "named", "provider": "cybersource-us", "sources": []object{card("4111111111111111")},
		})
		require.Equal(t, "provider_unavailable", refused.str(t, "code"))
		require.Equal(t, "not_sent", refused.str(t, "outcome"))
		require.Equal(t, "maintenance", two.call(t, http.StatusOK, "GET", at, nil, nil).str(t, "drained_reason"))
		two.call(t, http.StatusOK, "GET", "/v1/instruments/"+first.str(t, "id"), nil, nil)
		one.call(t, http.StatusOK, "POST", at+"/undrain", nil, nil)
		require.Equal(t, "cybersource-us", create(one).header.Get("Gateway-Provider"))
		two.call(t, http.StatusOK, "POST", at+"/undrain", nil, object{}) // it looks at the store, and knows
		require.Equal(t, "cybersource-us", create(two).header.Get("Gateway-Provider"))
	}
	one.call(t, http.StatusOK, "POST", at+"/drain", nil, nil)
	one.Kill()
	three := startGateway(t, s, section, reference)
	require.Equal(t, "rebilly-main", create(three).header.Get("Gateway-Provider"), "it outlives the gateway that was told")
	require.Equal(t, http.StatusForbidden, three.try(t, "POST", at+"/undrain", header{"Authorization": "Bearer " + three.readKey}, nil).status)
}
