package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// 100 requests with one key, over three gateways that share a Redis: one
// instrument at the provider, and everybody who gets an answer gets the same.
func TestOneKeyOneInstrument(t *testing.T) {
	t.Parallel()
	s := startSandbox(t)
	section := "  redis: {url: \"redis://" + redistest.Start(t) + "/0\", durability: dev}"
	reference := newReferenceKey(t)
	gateways := []gateway{startGateway(t, s, section, reference), startGateway(t, s, section, reference), startGateway(t, s, section, reference)}
	create := object{"customer_id": "cus-1", "sources": []object{card("4111111111111111")}, "provider": "cybersource-us"}

	answers := make([]answer, 100)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			answers[i] = gateways[i%3].try(t, "POST", "/v1/instruments", header{"Idempotency-Key": "one"}, create)
		})
	}
	wg.Wait()
	ids := map[string]int{}
	busy := 0
	for _, a := range answers {
		switch a.status {
		case http.StatusCreated:
			ids[a.str(t, "id")]++
		case http.StatusConflict:
			busy++
			require.Equal(t, "idempotency_key_in_use", a.str(t, "code"))
			require.NotEmpty(t, a.header.Get("Retry-After"))
		default:
			require.Failf(t, "unexpected answer", "%d %s", a.status, a.raw)
		}
	}
	require.Len(t, ids, 1, "every answer names the same instrument")
	require.Equal(t, 1, live(t, s.cybersource), "one live instrument at the provider")
	created := 0
	for _, r := range stateOf(t, s.cybersource).Requests {
		if r.Method == "POST" && r.Committed && r.Path != "/tms/v2/customers" && r.Path != "/tms/v1/instrumentidentifiers" {
			created++
		}
	}
	require.Equal(t, 1, created, "one request stored an instrument")
	final := gateways[1].call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": "one"}, create)
	require.Equal(t, "true", final.header.Get("Idempotent-Replayed"))
	t.Logf("100 requests: %d answered with the instrument, %d told to come back", 100-busy, busy)
}

// An import of 100 items of which 3 are bad.
func TestImport(t *testing.T) {
	t.Parallel()
	for store, section := range stores(t) {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := startSandbox(t)
			g := startGateway(t, s, section(t), newReferenceKey(t))
			g.call(t, http.StatusCreated, "PUT", "/v1/customers/shop", nil, object{"provider_references": object{"bigcommerce-main": "7"}})
			bad := map[int]string{13: "out_of_range", 50: "unsupported_source", 99: "missing_field"}
			items := make([]object, 100)
			for i := range items {
				source := vaulted(fmt.Sprintf("token-%d", i), fmt.Sprintf("%04d", i))
				if i == 13 {
					source["exp_month"] = 13
				}
				items[i] = object{
					"idempotency_key": fmt.Sprintf("import-%d", i), "customer_id": "shop", "billing_address": address(),
					"provider": "bigcommerce-main", "sources": []object{source},
				}
			}
			items[50]["sources"] = []object{{"type": "rebilly_token", "token": "tok"}}
			delete(items[99], "customer_id")

			first := g.call(t, http.StatusOK, "POST", "/v1/instruments/import", nil, object{"items": items})
			require.Equal(t, map[string]any{"total": 100.0, "succeeded": 97.0, "failed": 3.0}, first.body["counts"])
			results, ok := first.body["data"].([]any)
			require.True(t, ok)
			require.Len(t, results, 100)
			for i, r := range results {
				row, ok := r.(map[string]any)
				require.True(t, ok)
				require.InDelta(t, i, row["index"], 0, "the order is kept")
				if code, isBad := bad[i]; isBad {
					problem, ok := row["problem"].(map[string]any)
					require.True(t, ok, "%v", row)
					require.Equal(t, code, problem["code"], "%v", row)
					continue
				}
				ins, ok := row["instrument"].(map[string]any)
				require.True(t, ok, "%v", row)
				require.Equal(t, fmt.Sprintf("%04d", i), answer{body: ins}.str(t, "card", "last4"))
			}
			require.Equal(t, 97, live(t, s.bigcommerce))

			again := g.call(t, http.StatusOK, "POST", "/v1/instruments/import", nil, object{"items": items})
			require.Equal(t, first.body["counts"], again.body["counts"])
			require.Equal(t, 97, live(t, s.bigcommerce), "a repeat changes nothing")
		})
	}
}
