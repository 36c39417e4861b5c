package cybersource_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

// Not parallel: it measures what the whole process allocates.
func TestHostileAnswers(t *testing.T) { //nolint:paralleltest // see above
	adaptertest.Hostile(t, newHarness)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, newHarness)
}

const (
	missingID         = "0123456789ABCDEF0123456789ABCDEF"
	missingIdentifier = "7019999999999990000"
)

func newHarness(tb testing.TB) adaptertest.Harness {
	tb.Helper()
	server := cybersourcetest.New(cybersourcetest.Options{})
	srv := httptest.NewServer(server)
	tb.Cleanup(srv.Close)
	customer, err := open(tb, srv.URL, nil).CreateCustomer(tb.Context(), adapters.CustomerInput{Key: "cus_1", MerchantID: "cus-1"})
	require.NoError(tb, err)
	return adaptertest.Harness{
		Standin: server,
		Open:    func(tb testing.TB, base string) adapters.Adapter { return open(tb, base, nil) },
		OpenWith: func(tb testing.TB, base string, hc *http.Client) adapters.Adapter {
			return open(tb, base, func(_ *cybersource.Config, e *adapters.Env) { e.HTTP = hc })
		},
		OpenBadCredentials: func(tb testing.TB, base string) adapters.Adapter {
			return open(tb, base, func(c *cybersource.Config, _ *adapters.Env) {
				c.SharedSecret = normalize.NewSecret("d3Jvbmctc2VjcmV0LXdyb25nLXNlY3JldC13cm9uZyE=")
			})
		},
		Customer: customer,
		Source:   func(_ testing.TB, n int) normalize.Source { return cardSource(adaptertest.CardNumber(n)) },
		Missing: normalize.References{
			"customer": customer, "payment_instrument": missingID, "instrument_identifier": missingIdentifier,
		},
		CreateMethod: http.MethodPost,
		CreatePath:   "/tms/v2/customers/*/payment-instruments",
		ErrorBody:    errorBody,
		Odd:          odd,
		Webhooks:     webhooks(cybersourcetest.SignsMember),
		Secrets: []string{
			cybersourcetest.DefaultSharedSecret, "unit-test-shared-secret-32bytes!",
			"d3Jvbmctc2VjcmV0LXdyb25nLXNlY3JldC13cm9uZyE=", "wrong-secret-wrong-secret-wrong!",
		},
	}
}

// open opens the adapter against base with the stand-in's default credentials,
// as change changes them.
func open(tb testing.TB, base string, change func(*cybersource.Config, *adapters.Env)) *cybersource.Adapter {
	tb.Helper()
	c := cybersource.Config{
		URL: base, MerchantID: cybersourcetest.DefaultMerchantID, KeyID: cybersourcetest.DefaultKeyID,
		SharedSecret: normalize.NewSecret(cybersourcetest.DefaultSharedSecret),
	}
	env := adapters.Env{HTTP: adapters.NewHTTPClient(adapters.ClientOptions{})}
	if change != nil {
		change(&c, &env)
	}
	a, err := c.Open(env)
	require.NoError(tb, err)
	out, ok := a.(*cybersource.Adapter)
	require.True(tb, ok)
	return out
}

// rig is an adapter with its stand-in and one customer.
type rig struct {
	*cybersource.Adapter
	standin  *standin.Server
	base     string
	customer string
}

func newRig(tb testing.TB, o cybersourcetest.Options) rig {
	tb.Helper()
	server := cybersourcetest.New(o)
	srv := httptest.NewServer(server)
	tb.Cleanup(srv.Close)
	a := open(tb, srv.URL, nil)
	customer, err := a.CreateCustomer(tb.Context(), adapters.CustomerInput{Key: "cus_1", MerchantID: "cus-1"})
	require.NoError(tb, err)
	return rig{a, server, srv.URL, customer}
}

func (r rig) create(tb testing.TB, s normalize.Source) adapters.Instrument {
	tb.Helper()
	ins, err := r.Create(tb.Context(), adapters.CreateInput{Customer: r.customer, Source: s})
	require.NoError(tb, err)
	return ins
}

func cardSource(pan string) normalize.Source {
	return normalize.Source{Type: normalize.SourceCard, Card: &normalize.CardSource{
		Number: normalize.NewSecret(pan), ExpMonth: 12, ExpYear: time.Now().Year() + 5,
		CVC: normalize.NewSecret("737"), HolderName: "Ada King Lovelace",
	}}
}

func bankSource() normalize.Source {
	return normalize.Source{Type: normalize.SourceBankAccount, BankAccount: &normalize.BankAccountSource{
		AccountNumber: normalize.NewSecret("000123456789"), RoutingNumber: "071923284",
		AccountType: normalize.AccountCorporateChecking, HolderName: "Ada Lovelace",
	}}
}

func tokenSource(token string) normalize.Source {
	return normalize.Source{
		Type: normalize.SourceTransientToken, TransientToken: &normalize.TransientTokenSource{TransientToken: normalize.NewSecret(token)},
	}
}

// errorBody is an error as the official OpenAPI description shows it.
func errorBody(status int) string {
	kinds := map[int]string{
		400: "invalidFields", 403: "forbidden", 404: "notFound", 409: "conflict", 410: "notAvailable", 412: "conflict",
		424: "notFound", 500: "serverError",
	}
	if status == http.StatusUnauthorized {
		return `{"response":{"rmsg":"Authentication Failed"}}`
	}
	kind := kinds[status]
	if kind == "" {
		kind = "somethingNew"
	}
	return `{"errors":[{"type":"` + kind + `","message":"Request not permitted"}]}`
}

// odd answers with an instrument, or a list of one, full of things that the
// adapter has never heard of.
func odd(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	id := missingID
	if len(path) == 6 {
		id = path[5]
	}
	instrument := map[string]any{
		"id": id, "object": "paymentInstrument2", "default": "true", "state": "LEVITATING", "shape": []any{1, nil, "x"},
		"card":                 map[string]any{"expirationMonth": 7, "expirationYear": "31", "type": "999", "aura": map[string]any{}},
		"billTo":               map[string]any{"firstName": nil, "country": "US", "moon": "full"},
		"instrumentIdentifier": map[string]any{"id": missingIdentifier, "kind": "quantum"},
		"_embedded": map[string]any{"instrumentIdentifier": map[string]any{
			"id": missingIdentifier, "state": "DREAMING", "card": map[string]any{"number": "41111111XXXX1111"},
		}, "binLookup": 5},
	}
	var body any = instrument
	if len(path) == 5 {
		body = map[string]any{
			"total": "1", "offset": nil, "_embedded": map[string]any{"paymentInstruments": []any{instrument}, "extras": true},
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
