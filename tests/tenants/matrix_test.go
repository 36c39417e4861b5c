package tenants

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/httpapi"
)

// subject is what a request is about: a tenant's things, or none that ever existed.
type subject struct {
	instrument, customer   string
	key, change, operation string // idempotency keys of a create and of a change; an open operation
	fingerprint, word      string // word is in the metadata
	event, card            string // card is the provider's id of the instrument
}

func (w *world) of(tenant string) subject {
	return subject{
		instrument: w.ids[tenant+"0"], customer: customerOf(tenant), key: "order-" + tenant + "-0", change: "change-" + tenant,
		operation: w.ids[tenant+"2"], fingerprint: w.ids[tenant+"fingerprint"], word: tenant,
		event: w.ids[tenant+"event"], card: w.ids[tenant+"card"],
	}
}

func never() subject {
	return subject{
		instrument: neverID, customer: "cus-of-nobody", key: "order-nobody-0", change: "change-nobody", operation: neverID,
		fingerprint: "fp_00000000000000000000000000", word: "nobody",
		event: neverEventID, card: "card_999999",
	}
}

// cell is one way to name a subject in an operation.
type cell struct {
	name string
	make func(w *world, s subject) request
	own  int // the status for the caller's own; for what is another's or nobody's: absent
	gone int
	code string // of the problem, for what is absent
}

func at(method, path string, body ...string) func(*world, subject) request {
	return func(w *world, s subject) request {
		fill := strings.NewReplacer("{instrument}", s.instrument, "{customer}", s.customer, "{key}", s.key, "{change}", s.change,
			"{operation}", s.operation, "{fingerprint}", s.fingerprint, "{word}", s.word,
			"{event}", s.event, "{card}", s.card, "{mine}", w.ids[acme+"1"])
		r := request{method: method, path: fill.Replace(path)}
		for i, b := range body {
			if b = fill.Replace(b); i == 0 {
				r.body = b
			} else {
				r.headers = append(r.headers, b)
			}
		}
		return r
	}
}

const (
	newCard = `"sources":[{"type":"card","number":"4111111111111111","exp_month":12,"exp_year":2098}]`
	missing = "not_found"
)

// table has a row for every operation of the document: every way in which a request
// names something that may be another tenant's.
func table() map[string][]cell {
	ins, op, cus := "/v1/instruments/{instrument}", "/v1/operations/{operation}", "/v1/customers/{customer}"
	withKey := func(method, path, body string) cell {
		return cell{name: "idempotency key", make: at(method, path, body, "Idempotency-Key", "{change}x"), own: 200, gone: 200}
	}
	filter := func(q string) cell {
		return cell{name: "filter " + q, make: at("GET", "/v1/instruments?"+q), own: 200, gone: 200}
	}
	return map[string][]cell{
		"createInstrument": {
			{name: "idempotency key", make: at("POST", "/v1/instruments", `{"customer_id":"fresh-{word}",`+newCard+`}`, "Idempotency-Key", "{key}"), own: 422, gone: 201},
			{name: "customer", make: at("POST", "/v1/instruments", `{"customer_id":"{customer}",`+newCard+`}`, "Idempotency-Key", "fresh-{word}"), own: 201, gone: 201},
		},
		"listInstruments": {
			filter("customer_id={customer}"), filter("fingerprint={fingerprint}"), filter("metadata[of]={word}"), filter("q={word}"),
			filter("filter=customer_id:{customer}"), filter("customer_id={customer}&sort=exp&limit=1"),
		},
		"importInstruments": {
			{name: "item's key", make: at("POST", "/v1/instruments/import", `{"items":[{"idempotency_key":"{key}","customer_id":"fresh-{word}",`+newCard+`}]}`), own: 200, gone: 200},
		},
		"bulkDeleteInstruments": {{name: "id", make: at("POST", "/v1/instruments/bulk-delete", `{"ids":["{instrument}"]}`), own: 200, gone: 200}},
		"getInstrument": {
			{name: "id", make: at("GET", ins), own: 200, gone: 404, code: missing},
			{name: "id, stored", make: at("GET", ins+"?read=stored"), own: 200, gone: 404, code: missing},
			{name: "id of an open create", make: at("GET", "/v1/instruments/{operation}"), own: 404, gone: 404, code: missing},
			{name: "id, any tag", make: at("GET", ins, "", "If-None-Match", "*"), own: 304, gone: 404, code: missing},
		},
		"updateInstrument": {
			{name: "id", make: at("PATCH", ins, `{"metadata":{"a":"b"}}`), own: 200, gone: 404, code: missing},
			{name: "id, any tag", make: at("PATCH", ins, `{"default":true}`, "If-Match", `"nonsense"`), own: 412, gone: 404, code: missing},
			{name: "id and key", make: at("PATCH", ins, `{"metadata":{"c":"d"}}`, "Idempotency-Key", "fresh-{word}"), own: 200, gone: 404, code: missing},
			{name: "change's key", make: at("PATCH", "/v1/instruments/{mine}", `{"metadata":{"a":"b"}}`, "Idempotency-Key", "{change}"), own: 422, gone: 200},
		},
		"deactivateInstrument": {{name: "id", make: at("POST", ins+"/deactivate"), own: 200, gone: 404, code: missing}, withKey("POST", "/v1/instruments/{mine}/deactivate", "")},
		"activateInstrument":   {{name: "id", make: at("POST", ins+"/activate"), own: 200, gone: 404, code: missing}, withKey("POST", "/v1/instruments/{mine}/activate", "")},
		"resolveInstrument": {
			{name: "id", make: at("POST", ins+"/resolve"), own: 200, gone: 404, code: missing},
			{name: "id, with a body", make: at("POST", ins+"/resolve", `{"currency":"USD","exclude_providers":["first"]}`), own: 200, gone: 404, code: missing},
		},
		"listProviderTokens": {{name: "id", make: at("GET", ins+"/provider-tokens"), own: 200, gone: 404, code: missing}},
		"addProviderToken": {
			{name: "id", make: at("POST", ins+"/provider-tokens", `{`+newCard+`,"provider":"second"}`), own: 201, gone: 404, code: missing},
		},
		"removeProviderToken": {
			{name: "id", make: at("DELETE", ins+"/provider-tokens/second"), own: 204, gone: 404, code: missing},
			{name: "id, the primary", make: at("DELETE", ins+"/provider-tokens/first"), own: 409, gone: 404, code: missing},
		},
		"deleteInstrument": {
			{name: "id, only here", make: at("DELETE", "/v1/instruments/{operation}?scope=gateway"), own: 404, gone: 404, code: missing},
			{name: "id", make: at("DELETE", ins), own: 204, gone: 404, code: missing},
		},
		"getCustomer": {{name: "id", make: at("GET", cus), own: 200, gone: 404, code: missing}},
		"putCustomer": {{name: "id", make: at("PUT", cus, `{"provider_references":{"first":"cus_1"}}`), own: 200, gone: 201}},
		"listCustomerInstruments": {
			{name: "id", make: at("GET", cus+"/instruments"), own: 200, gone: 200},
		},
		"findOperations": {
			{name: "key", make: at("GET", "/v1/operations?idempotency_key={key}"), own: 200, gone: 404, code: missing},
			{name: "key of an open one", make: at("GET", "/v1/operations?idempotency_key=order-{word}-2"), own: 200, gone: 404, code: missing},
			{name: "change's key", make: at("GET", "/v1/operations?idempotency_key={change}"), own: 404, gone: 404, code: missing},
		},
		"getOperation":   {{name: "id", make: at("GET", op), own: 200, gone: 404, code: missing}},
		"retryOperation": {{name: "id", make: at("POST", op+"/retry"), own: 202, gone: 404, code: missing}},
		"failOperation":  {{name: "id", make: at("POST", op+"/fail"), own: 409, gone: 404, code: missing}},
		"syncInstruments": {
			{name: "customer", make: at("POST", "/v1/sync", `{"customer_id":"{customer}"}`), own: 200, gone: 200},
			{name: "customer, repairing", make: at("POST", "/v1/sync", `{"customer_id":"{customer}","repair":true}`), own: 200, gone: 200},
		},
		// Providers and routes are the gateway's, and no tenant's.
		"listProviders": {{name: "all", make: at("GET", "/v1/providers"), own: 200, gone: 200}},
		"getProvider":   {{name: "name", make: at("GET", "/v1/providers/first"), own: 200, gone: 200}, {name: "no such", make: at("GET", "/v1/providers/{word}"), own: 404, gone: 404, code: missing}},
		"drainProvider": {
			{name: "no such", make: at("POST", "/v1/providers/{word}/drain", `{"reason":"test"}`), own: 404, gone: 404, code: missing},
			{name: "name", make: at("POST", "/v1/providers/second/drain", `{"reason":"test"}`), own: 200, gone: 200},
		},
		"undrainProvider": {
			{name: "no such", make: at("POST", "/v1/providers/{word}/undrain"), own: 404, gone: 404, code: missing},
			{name: "name", make: at("POST", "/v1/providers/second/undrain"), own: 200, gone: 200},
		},
		"explainRoutes": {{name: "customer", make: at("POST", "/v1/routes/explain", `{"customer_id":"{customer}","source_types":["card"],"type":"card"}`), own: 200, gone: 200}},
		"listEvents": {
			{name: "all", make: at("GET", "/v1/events"), own: 200, gone: 200},
			{name: "of a type", make: at("GET", "/v1/events?event_type=instrument.created&limit=100"), own: 200, gone: 200},
		},
		"getEvent":    {{name: "id", make: at("GET", "/v1/events/{event}"), own: 200, gone: 404, code: missing}},
		"replayEvent": {{name: "id", make: at("POST", "/v1/events/{event}/replay"), own: 202, gone: 404, code: missing}},
		"replayEvents": {
			{name: "range", make: at("POST", "/v1/events/replay?since=2020-01-01T00:00:00Z&delivery_state=all&limit=100"), own: 202, gone: 202},
			{name: "range, given up", make: at("POST", "/v1/events/replay?since=2020-01-01T00:00:00Z"), own: 202, gone: 202},
		},
		// Webhooks are the provider's word about whatever is in its account: whose it is the
		// sender cannot tell from the answer.
		"receiveWebhook": {
			{name: "forged", make: at("POST", "/v1/webhooks/first", `{"Instrument":"{card}"}`), own: 401, gone: 401, code: "invalid_webhook"},
			{name: "forged, another sender", make: at("POST", "/v1/webhooks/first", `{"Instrument":"{card}"}`, hookHeader, "of-another"), own: 401, gone: 401, code: "invalid_webhook"},
			{name: "authentic", make: at("POST", "/v1/webhooks/first", `{"Instrument":"{card}"}`, hookHeader, hookWord), own: 200, gone: 200},
			{name: "authentic, of the other provider", make: at("POST", "/v1/webhooks/second", `{"Instrument":"{card}"}`, hookHeader, hookWord), own: 200, gone: 200},
			{name: "no such provider", make: at("POST", "/v1/webhooks/{word}", `{"Instrument":"{card}"}`, hookHeader, hookWord), own: 404, gone: 404, code: missing},
		},
		"checkWebhook": {
			{name: "name", make: at("GET", "/v1/webhooks/first"), own: 200, gone: 200},
			{name: "no such", make: at("GET", "/v1/webhooks/{word}"), own: 404, gone: 404, code: missing},
		},
		"getDocument":  {{name: "page", make: at("GET", "/openapi.json"), own: 200, gone: 200}},
		"getDocs":      {{name: "page", make: at("GET", "/docs"), own: 200, gone: 200}},
		"getDocsAsset": {{name: "no such", make: at("GET", "/docs/{word}.js"), own: 404, gone: 404, code: missing}},
		"getHealth":    {{name: "page", make: at("GET", "/healthz"), own: 200, gone: 200}},
		"getReadiness": {{name: "page", make: at("GET", "/readyz"), own: 200, gone: 200}},
	}
}

// lists are the requests that give and take cursors, for pages of one.
func lists() map[string]func(w *world, tenant, cursor string) request {
	query := func(path string) func(*world, string, string) request {
		return func(w *world, tenant, cursor string) request {
			r := request{method: http.MethodGet, path: strings.ReplaceAll(path, "{customer}", customerOf(tenant)), key: w.keys[tenant]}
			if cursor != "" {
				r.path += "&cursor=" + cursor
			}
			return r
		}
	}
	return map[string]func(*world, string, string) request{
		"listInstruments":         query("/v1/instruments?limit=1"),
		"listCustomerInstruments": query("/v1/customers/{customer}/instruments?limit=1"),
		"findOperations":          query("/v1/operations?state=unknown&limit=1"),
		"listEvents":              query("/v1/events?limit=1"),
		"replayEvents": func(w *world, tenant, cursor string) request {
			r := query("/v1/events/replay?since=2020-01-01T00:00:00Z&delivery_state=all&limit=1")(w, tenant, cursor)
			r.method = http.MethodPost
			return r
		},
		"syncInstruments": func(w *world, tenant, cursor string) request {
			body, _ := json.Marshal(map[string]any{"provider": "first", "limit": 1, "cursor": cursor})
			if cursor == "" {
				body = []byte(`{"provider":"first","limit":1}`)
			}
			return request{method: http.MethodPost, path: "/v1/sync", body: string(body), key: w.keys[tenant]}
		},
	}
}

// documented is what the gateway itself says that it serves.
type documented struct {
	method, path string
	scope        httpapi.Scope // "" for public
	body         bool
	query        []string
}

func document(t *testing.T, w *world) (map[string]documented, *openapi3.T) {
	t.Helper()
	_, _, body := w.send(t, request{method: http.MethodGet, path: "/openapi.json"})
	doc, err := openapi3.NewLoader().LoadFromData([]byte(body))
	require.NoError(t, err)
	scope := regexp.MustCompile("Scope `([a-z:]+)`")
	out := map[string]documented{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			d := documented{method: method, path: path, body: op.RequestBody != nil}
			if m := scope.FindStringSubmatch(op.Description); m != nil {
				d.scope = httpapi.Scope(m[1])
			}
			for _, p := range op.Parameters {
				if p.Value.In == "query" {
					d.query = append(d.query, p.Value.Name)
				}
			}
			out[op.OperationID] = d
		}
	}
	return out, doc
}

// blind takes out of an answer what names the subject itself, and what differs between
// any two answers: times, and ids that the answer made.
func blind(answer string, s subject) string {
	for _, own := range []string{s.instrument, s.operation, s.customer, s.change, s.key, s.fingerprint, s.event, s.word} {
		answer = strings.ReplaceAll(answer, own, "<subject>")
	}
	for pattern, mark := range map[string]string{
		`\d{4}-\d\d-\d\dT[0-9:.]+Z`: "<time>", `ins_[0-9a-z]{26}`: "<id>", `"(card|cus)_\d+"`: `"<reference>"`,
		`Etag: "[^"]+"`: "Etag: <tag>", `"ms":\d+`: `"ms":0`, `"in_flight":\d+`: `"in_flight":0`,
		`"(requests|success|calls|replayed)":\d+`: `"$1":0`,
	} {
		answer = regexp.MustCompile(pattern).ReplaceAllString(answer, mark)
	}
	return answer
}

// everything is what the store holds, to show that nothing changed.
func (w *world) everything(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, w.store.Dump(t.Context(), func(key string, e gateway.Entry) error {
		out[key] = fmt.Sprint(e.Version, string(e.Value))
		return nil
	}))
	return out
}

func filled(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, gateway.Limits{})
	w.fill(t, acme)
	w.fill(t, globex)
	return w
}

func TestTheMatrixHasARowForEveryOperation(t *testing.T) {
	t.Parallel()
	ops, _ := document(t, newWorld(t, gateway.Limits{}))
	require.ElementsMatch(t, slices.Collect(maps.Keys(ops)), slices.Collect(maps.Keys(table())))
	var withCursor []string
	for id, op := range ops {
		if slices.Contains(op.query, "cursor") || id == "syncInstruments" { // its cursor is in its body
			withCursor = append(withCursor, id)
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(lists())), withCursor)
}
