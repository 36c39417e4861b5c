package canaries

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// stored makes an instrument of each number at both providers that take cards, and one
// of each at the third, and does everything with them that there is to do. It returns an
// id that stays.
func (w *world) stored(t *testing.T, c *next) (id string) {
	t.Helper()
	w.send(t, http.MethodPut, "/v1/customers/cus-1", "", object{"provider_references": object{bigcommerce: "1"}})
	for i, number := range canaries() {
		for j, provider := range []string{cybersource, rebilly} {
			body := create(fmt.Sprintf("cus-%d", i%3), card(number))
			body["provider"] = provider
			a := w.send(t, http.MethodPost, "/v1/instruments", fmt.Sprintf("stored-%d-%d", i, j), body)
			if a.status == http.StatusCreated || a.status == http.StatusOK {
				id = a.str("id")
				w.used(t, id, c)
			}
		}
		vaulted := create("cus-1", sources(number)[5])
		w.send(t, http.MethodPost, "/v1/instruments", fmt.Sprintf("vaulted-%d", i), vaulted)
		mirrored := create(fmt.Sprintf("cus-%d", i%3), card(number))
		w.send(t, http.MethodPost, "/v1/instruments", fmt.Sprintf("mirrored-%d", i), mirrored)
		mirrored["metadata"] = object{"tier": marker, "note": marker}
		w.send(t, http.MethodPost, "/v1/instruments", fmt.Sprintf("mirrored-%d", i), mirrored) // another request with the key
		w.send(t, http.MethodPost, "/v1/instruments", fmt.Sprintf("marked-%d", i), mirrored)
	}
	require.NotEmpty(t, id)
	require.GreaterOrEqual(t, w.status[http.StatusCreated], len(canaries()), "cards were stored: %v", w.status)
	return id
}

// used makes the requests that show what a record holds.
func (w *world) used(t *testing.T, id string, c *next) {
	t.Helper()
	one := "/v1/instruments/" + id
	w.send(t, http.MethodGet, one, "", nil)
	w.send(t, http.MethodGet, one+"?read=stored", "", nil)
	w.send(t, http.MethodPatch, one, fmt.Sprint("used-", c.n), object{"source": card(c.number())})
	w.send(t, http.MethodPost, one+"/resolve", "", object{})
	w.send(t, http.MethodGet, one+"/provider-tokens", "", nil)
	w.send(t, http.MethodPost, one+"/provider-tokens", "", object{"provider": rebilly, "sources": []any{card(c.number())}})
	w.send(t, http.MethodGet, "/v1/operations/"+id, "", nil)
	w.send(t, http.MethodGet, "/v1/customers/cus-1/instruments", "", nil)
	w.send(t, http.MethodGet, "/v1/instruments?limit=100", "", nil)
}

// anEvent is the id of one of the tenant's events.
func (w *world) anEvent(t *testing.T) string {
	t.Helper()
	a := w.send(t, http.MethodGet, "/v1/events?limit=1", "", nil)
	data, _ := a.body["data"].([]any)
	require.NotEmpty(t, data, "%v", a.body)
	first, _ := data[0].(object)
	id, _ := first["id"].(string)
	require.NotEmpty(t, id)
	return id
}

// succeeded does what has not succeeded by chance: it changes an instrument of its own
// in every way, and has an operation that is not decided looked at again.
func (w *world) succeeded(t *testing.T) {
	t.Helper()
	body := create("cus-changed", card(canaries()[0]))
	body["metadata"] = object{"tier": marker, "note": marker}
	a := w.send(t, http.MethodPost, "/v1/instruments", "changed", body)
	require.Equal(t, http.StatusCreated, a.status, "%v", a.body)
	one := "/v1/instruments/" + a.str("id")
	for _, step := range []struct {
		method, path string
		body         any
		status       []int
	}{
		{http.MethodPatch, one, object{"card": object{"exp_month": 7, "exp_year": 2034}, "metadata": object{"note": marker}}, []int{http.StatusOK}},
		{http.MethodDelete, one + "/provider-tokens/" + rebilly, nil, []int{http.StatusNoContent, http.StatusAccepted}},
		{http.MethodPost, one + "/deactivate", nil, []int{http.StatusOK}},
		{http.MethodPost, one + "/activate", nil, []int{http.StatusOK}},
		{http.MethodDelete, one, nil, []int{http.StatusNoContent, http.StatusOK}},
	} {
		got := w.send(t, step.method, step.path, "", step.body)
		require.Contains(t, step.status, got.status, "%s %s: %v", step.method, step.path, got.body)
	}
	body = create("cus-undecided", card(canaries()[1]))
	body["provider"] = rebilly
	w.fail(t, rebilly, fault.Rule{Fault: fault.CommitThenDrop, Method: http.MethodPost, Path: "/organizations/*/payment-instruments"}, fault.Rule{Fault: fault.Reset, Method: http.MethodGet, Path: "/organizations/*/payment-instruments"})
	a = w.send(t, http.MethodPost, "/v1/instruments", "undecided", body)
	require.Equal(t, http.StatusAccepted, a.status, "%v", a.body)
	op := a.str("id")
	require.NotEmpty(t, op, "%v", a.body)
	again := w.send(t, http.MethodPost, "/v1/operations/"+op+"/retry", "", nil)
	require.Equal(t, http.StatusAccepted, again.status, "%v", again.body)
	w.fail(t, rebilly)
}

// eventsAgain reads and replays events, so that each goes to its endpoints once more.
func (w *world) eventsAgain(t *testing.T) {
	t.Helper()
	require.Equal(t, http.StatusOK, w.send(t, http.MethodGet, "/v1/events/"+w.event, "", nil).status)
	require.Equal(t, http.StatusAccepted, w.send(t, http.MethodPost, "/v1/events/"+w.event+"/replay", "", nil).status)
	require.Equal(t, http.StatusAccepted, w.send(t, http.MethodPost, "/v1/events/replay?delivery_state=all&limit=100&since=2026-01-01T00:00:00Z", "", nil).status)
	w.send(t, http.MethodGet, "/v1/events?delivery_state=failed&limit=100", "", nil)
	w.send(t, http.MethodGet, "/v1/events?limit=100", "", nil)
}

// failing makes every provider fail in every way, while cards are stored, changed and read.
func (w *world) failing(t *testing.T, c *next, id string) {
	t.Helper()
	rules := []fault.Rule{}
	for _, kind := range fault.Kinds() {
		r := fault.Rule{Fault: kind}
		switch kind {
		case fault.Hang, fault.CommitThenHang, fault.Delay:
			r.DelayMS = 1000
		case fault.SlowBody:
			r.DelayMS = 20
		case fault.Refuse:
			r.DelayMS, r.Times = 50, 1
		default: // as it is
		}
		rules = append(rules, r)
	}
	for _, status := range []int{200, 201, 204, 301, 400, 401, 403, 404, 409, 410, 412, 422, 429, 500, 503} {
		rules = append(rules, fault.Rule{Fault: fault.Echo, Status: status})
	}
	for _, provider := range []string{cybersource, rebilly, bigcommerce} {
		for i, r := range rules {
			r.Method = http.MethodPost // what is read after it is as it is
			w.fail(t, provider, r)
			key := fmt.Sprintf("failing-%s-%d", provider, i)
			body := create("cus-1", card(c.number()))
			if provider == bigcommerce {
				body = create("cus-1", sources(c.number())[5])
			}
			body["provider"] = provider
			a := w.send(t, http.MethodPost, "/v1/instruments", key, body)
			r.Method = "" // and everything else, too
			w.fail(t, provider, r)
			w.send(t, http.MethodPost, "/v1/instruments", key+"-b", body)
			w.send(t, http.MethodGet, "/v1/instruments/"+id, "", nil)
			w.send(t, http.MethodPatch, "/v1/instruments/"+id, key, object{"source": card(c.number()), "card": object{"exp_month": 1 + i%12}})
			w.send(t, http.MethodPost, "/v1/sync", "", object{"customer_id": "cus-1", "repair": true})
			w.fail(t, provider)
			w.send(t, http.MethodPost, "/v1/instruments", key, body)
			w.send(t, http.MethodGet, "/v1/operations?idempotency_key="+key, "", nil)
			if op := a.str("operation_id"); op != "" {
				w.send(t, http.MethodGet, "/v1/operations/"+op, "", nil)
			}
		}
	}
	w.send(t, http.MethodGet, "/v1/operations?state=unknown", "", nil)
	w.send(t, http.MethodGet, "/v1/operations?state=manual", "", nil)
	w.send(t, http.MethodGet, "/v1/providers", "", nil)
}
