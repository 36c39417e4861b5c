package bigcommerce_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

const (
	instruments = "/stores/sandbox/v3/payments/stored-instruments"
	customer    = "42"
)

// Not parallel: it measures what the whole process allocates.
func TestHostileAnswers(t *testing.T) { //nolint:paralleltest // see above
	adaptertest.Hostile(t, newHarness)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, newHarness)
}

func newHarness(testing.TB) adaptertest.Harness {
	return adaptertest.Harness{
		Standin: bigcommercetest.New(bigcommercetest.Options{}),
		Open: func(tb testing.TB, base string) adapters.Adapter {
			return open(tb, base, bigcommercetest.DefaultAccessToken, nil)
		},
		OpenWith: func(tb testing.TB, base string, hc *http.Client) adapters.Adapter {
			return open(tb, base, bigcommercetest.DefaultAccessToken, hc)
		},
		OpenBadCredentials: func(tb testing.TB, base string) adapters.Adapter {
			return open(tb, base, "another-token", nil)
		},
		Customer:     customer,
		Source:       func(_ testing.TB, n int) normalize.Source { return cardSource(n) },
		Missing:      normalize.References{"customer": customer, "token": strings.Repeat("0123456789abcdef", 4)},
		CreateMethod: http.MethodPost,
		CreatePath:   instruments,
		ErrorBody: func(status int) string {
			return fmt.Sprintf(`{"status":%d,"title":"JSON data is missing or invalid","type":"https://developer.bigcommerce.com/api-docs/getting-started/api-status-codes","errors":{}}`, status)
		},
		Odd:                   odd,
		Secrets:               []string{bigcommercetest.DefaultAccessToken, "another-token"},
		HiddenReferences:      []string{"payment_method_id", "vault_customer"},
		ReadsByList:           true,
		Webhooks:              webhooks(),
		LimitsBeforeExecution: true, // "rejected before processing": the rate limit pages
	}
}

// open opens the adapter of the store "sandbox" at base.
func open(tb testing.TB, base, token string, hc *http.Client) *bigcommerce.Adapter {
	tb.Helper()
	if hc == nil {
		hc = adapters.NewHTTPClient(adapters.ClientOptions{})
		tb.Cleanup(hc.CloseIdleConnections)
	}
	a, err := bigcommerce.Config{
		URL: base, StoreHash: bigcommercetest.DefaultStoreHash, AccessToken: normalize.NewSecret(token),
	}.Open(adapters.Env{HTTP: hc})
	require.NoError(tb, err)
	out, ok := a.(*bigcommerce.Adapter)
	require.True(tb, ok)
	return out
}

// sandbox returns an adapter before a stand-in.
func sandbox(tb testing.TB, o bigcommercetest.Options) (*bigcommerce.Adapter, *standin.Server) {
	tb.Helper()
	s := bigcommercetest.New(o)
	return open(tb, serve(tb, s), bigcommercetest.DefaultAccessToken, nil), s
}

func serve(tb testing.TB, h http.Handler) string {
	tb.Helper()
	srv := httptest.NewServer(h)
	tb.Cleanup(srv.Close)
	return srv.URL
}

// cardSource is the n-th card in a vault: a distinct token and last four digits.
func cardSource(n int) normalize.Source {
	return normalize.Source{Type: normalize.SourceVaultedToken, VaultedToken: &normalize.VaultedTokenSource{
		PaymentMethodID: "braintree.credit_card", Currency: "USD",
		VaultToken: normalize.NewSecret(fmt.Sprintf("vault-token-%04d", n)), ProviderCustomerID: "321123",
		InstrumentType: normalize.TypeCard, Brand: normalize.Visa, BIN: "411111", Last4: fmt.Sprintf("%04d", 1000+n),
		ExpMonth: n%12 + 1, ExpYear: 2040,
	}}
}

func payPalSource(email string) normalize.Source {
	return normalize.Source{Type: normalize.SourceVaultedToken, VaultedToken: &normalize.VaultedTokenSource{
		PaymentMethodID: "braintree.paypal", Currency: "USD", VaultToken: normalize.NewSecret("paypal-" + email),
		ProviderCustomerID: "321123", InstrumentType: normalize.TypePayPal, Email: email,
	}}
}

func bankSource(masked string) normalize.Source {
	return normalize.Source{Type: normalize.SourceVaultedToken, VaultedToken: &normalize.VaultedTokenSource{
		PaymentMethodID: "braintree.ach", Currency: "USD", VaultToken: normalize.NewSecret("bank-" + masked),
		ProviderCustomerID: "321123", InstrumentType: normalize.TypeBankAccount, Issuer: "DE001", MaskedAccountNumber: masked,
	}}
}

func billing() *normalize.Address {
	return &normalize.Address{
		FirstName: "Ada", LastName: "Byron", Email: "ada@example.com", Line1: "12 Analytical Way", Line2: "Unit 3",
		City: "Austin", Region: "TX", Country: "US", Phone: "512-555-0100", PostalCode: "78701",
	}
}

func createInput(s normalize.Source) adapters.CreateInput {
	return adapters.CreateInput{Customer: customer, Source: s, BillingAddress: billing()}
}

// mustCreate stores the sources for the customer and returns them as they are listed.
func mustCreate(tb testing.TB, a *bigcommerce.Adapter, sources ...normalize.Source) []adapters.Instrument {
	tb.Helper()
	out := make([]adapters.Instrument, len(sources))
	for i, s := range sources {
		var err error
		out[i], err = a.Create(tb.Context(), createInput(s))
		require.NoError(tb, err)
	}
	return out
}

// cards returns n card sources.
func cards(n int) []normalize.Source {
	out := make([]normalize.Source, n)
	for i := range out {
		out[i] = cardSource(i)
	}
	return out
}

// requireError requires an error with the code and the outcome.
func requireError(tb testing.TB, err error, code normalize.Code, outcome normalize.Outcome) {
	tb.Helper()
	require.Error(tb, err)
	require.Equal(tb, code, normalize.CodeOf(err), "%v", err)
	require.Equal(tb, outcome, normalize.OutcomeOf(err), "%v", err)
}

// errorOf returns err as what every error of an adapter is.
func errorOf(tb testing.TB, err error) *normalize.Error {
	tb.Helper()
	var e *normalize.Error
	require.ErrorAs(tb, err, &e)
	return e
}

// odd answers with rows full of what no documentation names.
func odd(w http.ResponseWriter, r *http.Request) {
	row := map[string]any{
		"token": strings.Repeat("0123456789abcdef", 4), "type": "stored_holo_card", "brand": "HOLO", "expiry_month": "07",
		"expiry_year": 41, "issuer_identification_number": nil, "last_4": 1234, "is_default": "true",
		"billing_address":      map[string]any{"country_code": "XQ", "store_credit_amounts": []any{1}, "address1": nil},
		"status":               "levitating",
		"trusted_shipping_ids": []int{1, 2},
	}
	var body any = []any{row}
	if strings.HasSuffix(r.URL.Path, "/payments/stored-instruments") {
		row["customer_id"], row["type"] = 42, "holo_card"
		body = map[string]any{"data": []any{row}, "meta": map[string]any{"holo_pagination": true, "pagination": []any{}}, "links": nil}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
