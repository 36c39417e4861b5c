package gateway_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// passed runs a create that its first provider is not asked for, and checks that it
// got no request, that the second one stored the instrument, and what the answer says
// where there is no second one.
func passed(t *testing.T, w *failureWorld, customer string, problem normalize.Code, attempt string) {
	t.Helper()
	sent := w.lines[w.provider].requests("", "")
	w.create("elsewhere", customer, 5, "").must(t, http.StatusCreated)
	require.Equal(t, 1, w.live(w.next), "stored at the second provider")
	a := w.create("alone", customer, 6, w.provider)
	require.Equal(t, string(problem), a.str("code"), a.raw)
	require.Equal(t, "not_sent", a.str("outcome"), a.raw)
	attempts := a.list("attempts")
	require.Len(t, attempts, 1, a.raw)
	delete(attempts[0], "ms")
	require.Equal(t, object{"provider": w.provider, "outcome": "not_sent", "code": attempt}, attempts[0])
	require.Equal(t, sent, w.lines[w.provider].requests("", ""), "the first provider got a request")
}

// goesOn checks that what is stored at the provider can be used as before.
func goesOn(t *testing.T, w *failureWorld, id string) {
	t.Helper()
	path := "/v1/instruments/" + id
	require.Empty(t, w.ask("GET", path, "", nil).must(t, http.StatusOK).header.Get("Gateway-Stale"))
	w.ask("PATCH", path, "", object{"billing_address": object{"line1": "2 Side St"}}).must(t, http.StatusOK)
	w.ask("GET", "/v1/customers/"+shopper+"/instruments", "", nil).must(t, http.StatusOK)
	w.ask("DELETE", path, "", nil).must(t, http.StatusNoContent)
}

// eachWorld runs fn at every provider, each in a world of its own.
func eachWorld(t *testing.T, shape shaping, fn func(*testing.T, *failureWorld)) {
	t.Helper()
	for _, provider := range providers() {
		f := newFront(t)
		t.Run(provider, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFailureWorld(t, f, provider, shape)
				defer w.close()
				fn(t, w)
			})
		})
	}
}

// A provider that is disabled or drained gets no new instruments, and is asked for what it has.
func TestFailureTableDisabledAndDrained(t *testing.T) {
	eachWorld(t, func(p *gateway.ProviderConfig) { p.Disabled = true }, func(t *testing.T, w *failureWorld) {
		passed(t, w, shopper, normalize.NoEligibleProvider, "disabled")
	})
	eachWorld(t, nil, func(t *testing.T, w *failureWorld) {
		id := w.create("before", shopper, 1, w.provider).must(t, http.StatusCreated).str("id")
		w.ask("POST", "/v1/providers/"+w.provider+"/drain", "", nil).must(t, http.StatusOK)
		passed(t, w, shopper, normalize.ProviderUnavailable, "drained")
		goesOn(t, w, id)
	})
}

// A request that cannot be built, here since the customer's reference is none of the
// provider's form, is not sent, and is told as what is to be mended.
func TestFailureTableNotBuilt(t *testing.T) {
	eachWorld(t, nil, func(t *testing.T, w *failureWorld) {
		w.ask("PUT", "/v1/customers/cus-odd", "", object{"provider_references": object{w.provider: "no:such:form"}}).must(t, http.StatusCreated)
		passed(t, w, "cus-odd", normalize.InvalidField, "invalid_field")
		require.Equal(t, [3]int{0, 0, 2}, (&trial{failureWorld: w}).counts(), "it says nothing about the provider")
	})
}

// Creates that were tried elsewhere may come to a provider only as fast as its retry
// budget; those that begin there are not counted.
func TestFailureTableRetryBudget(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	synctest.Test(t, func(t *testing.T) {
		w := newFailureWorld(t, f, cyb, nil)
		defer w.close()
		w.lines[cyb].spoil(&spoiler{transport: dialRefused(w.lines[cyb])})
		for i := range 100 { // the default's burst: no time passes here
			w.create(fmt.Sprint("first-", i), shopper, i+1, "").must(t, http.StatusCreated)
		}
		sent := w.lines[reb].requests("", "")
		a := w.create("second", shopper, 101, "").must(t, http.StatusServiceUnavailable)
		require.Equal(t, sent, w.lines[reb].requests("", ""))
		require.Equal(t, []string{"no_eligible_provider", "not_sent", "safe"}, []string{a.str("code"), a.str("outcome"), a.str("retry")})
		var codes []any
		for _, x := range a.list("attempts") {
			codes = append(codes, x["provider"], x["code"])
		}
		require.ElementsMatch(t, []any{cyb, "provider_unavailable", reb, "retry_budget"}, codes)
		w.create("third", shopper, 102, reb).must(t, http.StatusCreated)
	})
}

// What a provider has no operation for is said without asking it.
func TestFailureTableUnsupported(t *testing.T) {
	eachWorld(t, nil, func(t *testing.T, w *failureWorld) {
		id := w.create("one", shopper, 1, w.provider).must(t, http.StatusCreated).str("id")
		sent := w.lines[w.provider].requests("", "")
		asked := map[string][]object{
			cyb: {{"source": object{"type": "rebilly_token", "token": "tok"}}},
			reb: {},
			big: {
				{"card": object{"exp_month": 6, "exp_year": 2035}},
				{"billing_address": nil},
				{"source": object{"type": "rebilly_token", "token": "tok"}},
			},
		}[w.provider]
		for i, patch := range asked {
			a := w.ask("PATCH", "/v1/instruments/"+id, fmt.Sprint("change-", i), patch).must(t, http.StatusUnprocessableEntity)
			require.Equal(t, []string{"unsupported_operation", "not_sent", "never"}, []string{a.str("code"), a.str("outcome"), a.str("retry")}, a.raw)
		}
		require.Equal(t, sent, w.lines[w.provider].requests("", ""))
		require.Equal(t, 0, (&trial{failureWorld: w}).counts()[1], "nothing failed")
	})
}
