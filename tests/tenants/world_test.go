// Package tenants walks every operation of the document for every kind of caller, over
// the real handler with a real service, store and provider: what is another tenant's
// answers as what never existed, byte for byte.
package tenants

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/adaptertest/memvault"
	"github.com/polyvault/polyvault/adapters/adaptertest/memvault/memvaulttest"
	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
	"github.com/polyvault/polyvault/gateway/httpapi"
)

// world is a gateway with two providers and two tenants that have the same things.
type world struct {
	handler http.Handler
	service *gateway.Service
	store   gateway.Store
	sent    func() int // requests that reached a provider

	faults []*fault.Set

	keys map[string]string // by tenant
	ids  map[string]string // by what they are of
	n    int
}

const (
	acme   = "acme"   // who asks
	globex = "globex" // whose things are asked for
)

// scoped is a key that a test makes by itself.
func scoped(s httpapi.Scope) string {
	return "pv_test_Scoped01_0123456789abcdefghij" + strings.ReplaceAll(string(s), ":", "0")
}

func newWorld(t *testing.T, limits gateway.Limits) *world {
	t.Helper()
	w := &world{keys: map[string]string{}, ids: map[string]string{}}
	var providers []gateway.ProviderConfig
	var ledgers []func() int
	for _, name := range []string{"first", "second"} {
		harness := memvaulttest.NewHarness(t)
		vault := httptest.NewServer(harness.Standin)
		t.Cleanup(vault.Close)
		providers = append(providers, gateway.ProviderConfig{Name: name, Adapter: telling{open(t, harness, vault.URL)}})
		ledgers = append(ledgers, func() int { return len(harness.Standin.State().Requests) })
		w.faults = append(w.faults, &harness.Standin.Faults)
	}
	w.sent = func() int { return ledgers[0]() + ledgers[1]() }
	var err error
	w.store, err = boltstore.Open(boltstore.Config{Path: filepath.Join(t.TempDir(), "polyvault.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.store.Close()) })
	config := gateway.Config{
		Store: w.store, Owner: "test", Keys: gateway.Keys{{ID: "k1", Secret: make([]byte, 32)}}, Providers: providers,
		Routes: []gateway.Route{{Name: "all", Providers: []string{"first"}}},
		Events: gateway.EventConfig{Every: 10 * time.Millisecond, Insecure: true},
	}
	var keys []httpapi.APIKey
	for _, tenant := range []string{acme, globex} {
		config.Tenants = append(config.Tenants, gateway.Tenant{
			Name: tenant, AcceptRawCard: true, Limits: limits, Events: []gateway.EventEndpoint{w.receiver(t)},
		})
		key, err := httpapi.NewAPIKey("test")
		require.NoError(t, err)
		w.keys[tenant] = key
		keys = append(keys, httpapi.APIKey{
			Tenant: tenant, Name: "all", SHA256: httpapi.DigestAPIKey(key), Scopes: httpapi.Scopes(), NotAfter: time.Now().Add(time.Hour),
		})
	}
	keys = append(keys, httpapi.APIKey{
		Tenant: acme, Name: "ended", SHA256: httpapi.DigestAPIKey(endedKey), Scopes: httpapi.Scopes(), NotAfter: time.Now().Add(-time.Second),
	})
	keys = append(keys, httpapi.APIKey{
		Tenant: acme, Name: "unreferenced", SHA256: httpapi.DigestAPIKey(unreferencedKey),
		Scopes: slices.DeleteFunc(httpapi.Scopes(), func(s httpapi.Scope) bool { return s == httpapi.ReferencesRead }),
	})
	for _, s := range httpapi.Scopes() {
		keys = append(keys, httpapi.APIKey{
			Tenant: acme, Name: strings.ReplaceAll(string(s), ":", "-"), SHA256: httpapi.DigestAPIKey(scoped(s)), Scopes: []httpapi.Scope{s},
		})
	}
	w.service, err = gateway.New(config)
	require.NoError(t, err)
	api, err := httpapi.New(httpapi.Config{Service: w.service, Keys: keys, MaxAuthFailures: -1})
	require.NoError(t, err)
	w.handler = api.Handler()
	return w
}

func open(t *testing.T, h adaptertest.Harness, base string) *memvault.Adapter {
	t.Helper()
	a, ok := h.Open(t, base).(*memvault.Adapter)
	require.True(t, ok)
	return a
}

// endedKey was one of acme's, and its time is over.
const endedKey = "pv_test_Ended001_0123456789abcdefghijklmnopqrstuvwxyz"

// unreferencedKey is one of acme's with every scope but that for references.
const unreferencedKey = "pv_test_Unrefer1_0123456789abcdefghijklmnopqrstuvwxyz"

// request is one request of a cell.
type request struct {
	method, path, body string
	headers            []string // names and values in turn
	key                string   // API key; "" for none
}

// send answers with the status, and with everything that the caller sees.
func (w *world) send(t *testing.T, r request) (status int, all, body string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), r.method, r.path, strings.NewReader(r.body))
	if r.key != "" {
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("X-Request-ID", "same")
	for i := 0; i+1 < len(r.headers); i += 2 {
		req.Header.Set(r.headers[i], r.headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, req)
	var headers strings.Builder
	require.NoError(t, rec.Header().Write(&headers)) // sorted
	return rec.Code, fmt.Sprintf("%d\n%s\n%s", rec.Code, headers.String(), rec.Body), rec.Body.String()
}

// does sends a request that must succeed and decodes its answer.
func (w *world) does(t *testing.T, r request) map[string]any {
	t.Helper()
	status, all, body := w.send(t, r)
	require.Less(t, status, 300, "%s %s: %s", r.method, r.path, all)
	out := map[string]any{}
	if body != "" {
		require.NoError(t, json.Unmarshal([]byte(body), &out))
	}
	return out
}

// fill gives a tenant two instruments of one customer, a change under a key, and two
// creates of which nobody knows what became.
func (w *world) fill(t *testing.T, tenant string) {
	t.Helper()
	post := func(customer string, i int) request {
		w.n++
		return request{
			method: http.MethodPost, path: "/v1/instruments", key: w.keys[tenant],
			headers: []string{"Idempotency-Key", fmt.Sprintf("order-%s-%d", tenant, i)},
			body:    create(customer, adaptertest.CardNumber(w.n)),
		}
	}
	for i := range 2 {
		ins := w.does(t, post(customerOf(tenant), i))
		w.ids[fmt.Sprint(tenant, i)] = text(ins["id"])
		w.ids[tenant+"fingerprint"] = text(ins["fingerprint"])
	}
	w.does(t, request{
		method: http.MethodPatch, path: "/v1/instruments/" + w.ids[tenant+"0"], key: w.keys[tenant],
		headers: []string{"Idempotency-Key", "change-" + tenant}, body: `{"metadata":{"of":"` + tenant + `"}}`,
	})
	for i := 2; i < 4; i++ {
		w.faults[0].Add(fault.Rule{Method: http.MethodPost, Path: "/customers/*/cards", Fault: fault.CommitThenDrop, Times: 1})
		w.faults[0].Add(fault.Rule{Method: http.MethodGet, Fault: fault.Status, Status: 500})
		op := w.does(t, post("open-"+tenant, i))
		require.Equal(t, "operation", op["object"])
		w.ids[fmt.Sprint(tenant, i)] = text(op["id"])
		w.faults[0].Clear()
	}
	w.tell(t, tenant)
	for name, list := range lists() {
		page := w.does(t, list(w, tenant, ""))
		w.ids[tenant+name] = text(page["next_cursor"])
		require.NotEmpty(t, w.ids[tenant+name], name)
	}
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func customerOf(tenant string) string { return "cus-of-" + tenant }

func create(customer, number string) string {
	return fmt.Sprintf(`{"customer_id":%q,"sources":[{"type":"card","number":%q,"exp_month":12,"exp_year":2098}]}`, customer, number)
}

// neverID is a valid id that nothing has.
const neverID = "ins_00000000000000000000000000"
