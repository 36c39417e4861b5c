package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/httpapi"
	"github.com/polyvault/polyvault/normalize"
)

// failureWorld is one gateway, seen by its HTTP API, over the three real adapters.
type failureWorld struct {
	*front
	tb       testing.TB
	provider string // the one that fails, which the route names first
	next     string // where a create may go instead
	store    *model
	lines    map[string]*line
	stop     context.CancelFunc
	done     chan struct{}
	release  func() // lets go of what [failureWorld.occupy] holds

	target, other string // two instruments at the provider; the second one is the customer's default
}

// front is the HTTP API, made once for many gateways: reading its document takes longer than a case.
type front struct {
	*gateway.Service
	api *httpapi.API
	key string
}

func newFront(tb testing.TB) *front {
	tb.Helper()
	key, err := httpapi.NewAPIKey("test")
	require.NoError(tb, err)
	f := &front{Service: &gateway.Service{}, key: key}
	f.api, err = httpapi.New(httpapi.Config{
		Service: f,
		Keys:    []httpapi.APIKey{{Tenant: "acme", Name: "test", SHA256: httpapi.DigestAPIKey(key), Scopes: httpapi.Scopes()}},
	})
	require.NoError(tb, err)
	return f
}

// shaping changes the configuration of the provider that fails.
type shaping func(*gateway.ProviderConfig)

// newFailureWorld makes a world in a synctest bubble. The reconciler runs.
func newFailureWorld(tb testing.TB, f *front, provider string, shape shaping) *failureWorld {
	tb.Helper()
	w := &failureWorld{
		front: f, tb: tb, provider: provider, store: newModel(), lines: map[string]*line{}, done: make(chan struct{}), release: func() {},
		next: map[string]string{cyb: reb, reb: cyb, big: cyb}[provider],
	}
	c := gateway.Config{
		Store: quiet{w.store}, Owner: "gateway-1", PromoteDefault: true,
		Keys:    gateway.Keys{{ID: "k1", Secret: []byte("not a secret, but 32 bytes of it")}},
		Routes:  []gateway.Route{{Name: "all", Providers: []string{provider, w.next}}},
		Tenants: []gateway.Tenant{{Name: "acme", AcceptRawCard: true}},
	}
	for name, s := range newStandins() {
		w.lines[name] = newLine(name, s)
		a, err := adapterConfigs()[name].Open(adapters.Env{HTTP: w.lines[name].client()})
		require.NoError(tb, err)
		p := gateway.ProviderConfig{Name: name, Adapter: a, Breaker: gateway.BreakerConfig{
			Window: time.Hour, ConsecutiveFailures: 1000, MinRequests: 1000,
		}}
		if name == provider && shape != nil {
			shape(&p)
		}
		c.Providers = append(c.Providers, p)
	}
	svc, err := gateway.New(c)
	require.NoError(tb, err)
	f.Service = svc
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() {
		defer close(w.done)
		svc.Reconcile(ctx)
	}()
	w.ask("PUT", "/v1/customers/"+shopper, "", object{"provider_references": object{big: "7"}}).must(tb, http.StatusCreated)
	return w
}

// close ends every goroutine, so that the bubble can end.
func (w *failureWorld) close() {
	w.stop()
	<-w.done
	for _, l := range w.lines {
		l.close()
	}
	time.Sleep(2 * time.Minute) // longer than anything that was begun
}

type object = map[string]any

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	raw    string
	body   object
}

func (r reply) must(tb testing.TB, status int) reply {
	tb.Helper()
	require.Equal(tb, status, r.status, r.raw)
	return r
}

func (r reply) str(name string) string {
	s, _ := r.body[name].(string)
	return s
}

// list reads a member that is a list of objects.
func (r reply) list(name string) []object {
	var out []object
	all, _ := r.body[name].([]any)
	for _, x := range all {
		if o, ok := x.(object); ok {
			out = append(out, o)
		}
	}
	return out
}

// ask sends a request to the API.
func (w *failureWorld) ask(method, target, key string, body any) reply {
	var text string
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(w.tb, err)
		text = string(raw)
	}
	req := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(text))
	req.Header.Set("Authorization", "Bearer "+w.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	rec := httptest.NewRecorder()
	w.api.Handler().ServeHTTP(rec, req)
	out := reply{status: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	_ = json.Unmarshal(rec.Body.Bytes(), &out.body)
	return out
}

// create stores card n: at the provider that is named, or where the route leads.
func (w *failureWorld) create(key, customer string, n int, provider string) reply {
	number := adaptertest.CardNumber(n)
	body := object{
		"customer_id": customer,
		"sources": []object{
			{"type": "card", "number": number, "exp_month": 12, "exp_year": 2031, "cvc": "123", "holder_name": "Ada Lovelace"},
			{
				"type": "vaulted_token", "payment_method_id": "braintree.credit_card", "currency": "USD", "vault_token": "token-" + key,
				"provider_customer_id": "bt-1", "instrument_type": "card", "brand": "visa", "bin": normalize.BINOf(number),
				"last4": normalize.Last4Of(number), "exp_month": 12, "exp_year": 2031,
			},
		},
		"billing_address": object{
			"first_name": "Ada", "last_name": "Lovelace", "line1": "1 Main St", "city": "Austin", "region": "TX", "postal_code": "78701",
			"country": "US", "email": "ada@example.com", "phone": "5125550100",
		},
	}
	if provider != "" {
		body["provider"] = provider
	}
	return w.ask("POST", "/v1/instruments", key, body)
}

// live counts the live instruments at a provider.
func (w *failureWorld) live(provider string) int {
	n := 0
	for _, ins := range w.lines[provider].standin.State().Instruments {
		if ins.Live {
			n++
		}
	}
	return n
}

// operation reads what became of the create that a trial makes.
func (w *failureWorld) operation() reply {
	return w.ask("GET", "/v1/operations?idempotency_key=key", "", nil)
}

// quiet is the store without faults.
type quiet struct{ m *model }

// Load implements [gateway.Store].
func (q quiet) Load(_ context.Context, keys ...string) (gateway.Loaded, error) {
	q.m.mu.Lock()
	defer q.m.mu.Unlock()
	return gateway.Loaded{Entries: q.m.load(keys), Now: time.Now()}, nil
}

// Write implements [gateway.Store].
func (q quiet) Write(_ context.Context, w gateway.Write) (gateway.Written, error) {
	if err := w.Validate(); err != nil {
		return gateway.Written{}, errors.Join(gateway.ErrStore, err)
	}
	return q.m.write(w), nil
}

// Scan implements [gateway.Store].
func (q quiet) Scan(_ context.Context, index, after string, limit int, reverse bool) ([]string, error) {
	return q.m.scan(index, after, limit, reverse), nil
}

// Dump implements [gateway.Store].
func (quiet) Dump(context.Context, func(string, gateway.Entry) error) error { return nil }

// Ping implements [gateway.Store].
func (quiet) Ping(context.Context) error { return nil }

// Close implements [gateway.Store].
func (quiet) Close() error { return nil }
