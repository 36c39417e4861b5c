package rebilly_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/normalize"
)

var update = flag.Bool("update", false, "write testdata/*.golden")

const (
	instrumentJSON = `{"id":"inst_1","customerId":"cus_1","method":"payment-card","status":"inactive","revision":4,` +
		`"_embedded":{"customer":{"id":"cus_1","defaultPaymentInstrument":null}}}`
	customerJSON = `{"id":"cus_1","email":"a@example.com","revision":7,"websiteId":"web_1","locale":null,"customFields":{"tier":"gold"},` +
		`"primaryAddress":{"firstName":"Ada","city":null,"hash":"0f3c","emails":[]},"paymentCount":9007199254740993,` +
		`"taxNumbers":[{"type":"eu-vat","value":"DE1","n":9007199254740993}],"notificationEmails":["b@example.com"],` +
		`"defaultPaymentInstrument":{"method":"payment-card","paymentInstrumentId":"%s"}}`
)

// recorder writes down what it is sent, and answers with what answer says.
type recorder struct {
	mu     sync.Mutex
	text   strings.Builder
	answer func(r *http.Request) (int, string)
}

// ServeHTTP implements [http.Handler].
func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	fmt.Fprintf(&rec.text, "%s %s\n", r.Method, r.RequestURI)
	var names []string
	for k := range r.Header {
		if !slices.Contains([]string{"User-Agent", "Accept-Encoding", "Content-Length"}, k) {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		fmt.Fprintf(&rec.text, "%s: %s\n", k, strings.Join(r.Header[k], ", "))
	}
	fmt.Fprintf(&rec.text, "%s\n\n", body)
	status, answer := rec.answer(r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

// usual answers like a Rebilly that has one instrument, the customer's default being other.
func usual(r *http.Request) (int, string) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/customers/cus_new") && r.Method == http.MethodGet:
		return http.StatusNotFound, errorBody(http.StatusNotFound)
	case strings.Contains(r.URL.Path, "/customers/") && r.Method == http.MethodPut:
		return http.StatusOK, fmt.Sprintf(customerJSON, "inst_1")
	case strings.Contains(r.URL.Path, "/customers/"):
		return http.StatusOK, fmt.Sprintf(customerJSON, "inst_other")
	case strings.HasSuffix(r.URL.Path, "/payment-instruments") && r.Method == http.MethodGet:
		return http.StatusOK, "[" + instrumentJSON + "]"
	case r.Method == http.MethodPost:
		return http.StatusCreated, strings.Replace(instrumentJSON, "inactive", "deactivated", 1)
	}
	return http.StatusOK, instrumentJSON
}

func openAt(tb testing.TB, h http.Handler, conf rebilly.Config) *rebilly.Adapter {
	tb.Helper()
	srv := httptest.NewServer(h)
	tb.Cleanup(srv.Close)
	conf.Base = srv.URL
	if conf.APIKey.IsZero() {
		conf.APIKey = normalize.NewSecret("sk_sandbox_golden")
	}
	a, err := conf.Open(adapters.Env{HTTP: adapters.NewHTTPClient(adapters.ClientOptions{})})
	require.NoError(tb, err)
	out, ok := a.(*rebilly.Adapter)
	require.True(tb, ok)
	return out
}

func fullAddress() *normalize.Address {
	return &normalize.Address{
		FirstName: "José", LastName: "O'Brien", Company: "Ñandú Ltd", Line1: "1 Main St", Line2: "Floor 2", City: "Austin",
		Region: "TX", PostalCode: "78701", Country: "US", Email: "jose@example.com", Phone: "+15125550100",
	}
}

func bankSource(b normalize.BankAccountSource) normalize.Source {
	return normalize.Source{Type: normalize.SourceBankAccount, BankAccount: &b}
}

// TestRequests compares the exact bytes of every kind of request with testdata/requests.golden.
func TestRequests(t *testing.T) {
	t.Parallel()
	ref := normalize.References{"instrument": "inst_1", "customer": "cus_1"}
	month, year := 3, 2041
	token := tokenSource("tok_1")
	create := func(src normalize.Source, address *normalize.Address) func(*testing.T, *rebilly.Adapter) error {
		return func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.Create(t.Context(), adapters.CreateInput{Customer: "cus_1", Source: src, BillingAddress: address})
			return err
		}
	}
	change := func(in adapters.UpdateInput) func(*testing.T, *rebilly.Adapter) error {
		return func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.Update(t.Context(), ref, in)
			return err
		}
	}
	list := func(in adapters.ListInput) func(*testing.T, *rebilly.Adapter) error {
		return func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.List(t.Context(), in)
			return err
		}
	}
	var golden strings.Builder
	for _, c := range []struct {
		name string
		conf rebilly.Config
		call func(*testing.T, *rebilly.Adapter) error
	}{
		{"get", rebilly.Config{OrganizationID: "org_x"}, func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.Get(t.Context(), ref)
			return err
		}},
		{"get, the organization in the header", rebilly.Config{OrganizationID: "org_x", OrganizationHeader: true}, func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.Get(t.Context(), ref)
			return err
		}},
		{"get, the key's own organization", rebilly.Config{}, func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.Get(t.Context(), ref)
			return err
		}},
		{"create from a card with an address", rebilly.Config{}, create(cardSource("4111111111111111"), fullAddress())},
		{"create from a card, the name being all that is known", rebilly.Config{}, create(cardSource("4111111111111111"), nil)},
		{"create from a card, the address having a name", rebilly.Config{}, create(cardSource("4111111111111111"), &normalize.Address{LastName: "King"})},
		{"create from an account", rebilly.Config{}, create(bankSource(normalize.BankAccountSource{
			AccountNumber: normalize.NewSecret("000123456789"), RoutingNumber: "021000021", AccountType: normalize.AccountCorporateChecking,
		}), nil)},
		{"create from an IBAN", rebilly.Config{}, create(bankSource(normalize.BankAccountSource{
			IBAN: normalize.NewSecret("DE89370400440532013000"), HolderName: "Ada",
		}), nil)},
		{"create from a token", rebilly.Config{}, create(token, nil)},
		{"create from a token, the address following", rebilly.Config{}, create(token, &normalize.Address{Country: "US", Line1: "1 Main St"})},
		{"update the expiry", rebilly.Config{}, change(adapters.UpdateInput{ExpMonth: &month, ExpYear: &year})},
		{"update the address", rebilly.Config{}, change(adapters.UpdateInput{BillingAddress: &normalize.Address{Country: "US", Email: "a@example.com"}})},
		{"update everything of a card", rebilly.Config{}, change(adapters.UpdateInput{BillingAddress: fullAddress(), ExpMonth: &month, ExpYear: &year})},
		{"update with a token", rebilly.Config{}, change(adapters.UpdateInput{Source: &token})},
		{"update the current version", rebilly.Config{}, change(adapters.UpdateInput{ExpMonth: &month, ExpYear: &year, Version: "4"})},
		{"clear the address", rebilly.Config{}, change(adapters.UpdateInput{ClearBillingAddress: true})},
		{"set default", rebilly.Config{OrganizationID: "org_x"}, func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.SetDefault(t.Context(), ref)
			return err
		}},
		{"deactivate", rebilly.Config{OrganizationID: "org_x"}, func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.Deactivate(t.Context(), ref)
			return err
		}},
		{"delete", rebilly.Config{}, func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			return a.Delete(t.Context(), ref)
		}},
		{"create a customer", rebilly.Config{}, func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.CreateCustomer(t.Context(), adapters.CustomerInput{Key: "cus_new", MerchantID: "shopper", Address: &normalize.Address{City: "Austin"}})
			return err
		}},
		{"find a customer", rebilly.Config{}, func(t *testing.T, a *rebilly.Adapter) error {
			t.Helper()
			_, err := a.CreateCustomer(t.Context(), adapters.CustomerInput{Key: "cus_1"})
			return err
		}},
		{"list a customer's", rebilly.Config{}, list(adapters.ListInput{Customer: "cus_1"})},
		{"list with everything", rebilly.Config{}, list(adapters.ListInput{
			Limit: 50, Query: "ada & co", Sort: []string{"-updated_at", "created_at"},
			Filter: []normalize.Clause{{Field: "status", Values: []string{"active"}}, {Field: "exp_year", From: "2030", To: "2040"}},
		})},
	} {
		rec := &recorder{answer: usual}
		fmt.Fprintf(&golden, "### %s\n", c.name)
		require.NoError(t, c.call(t, openAt(t, rec, c.conf)), c.name)
		golden.WriteString(rec.text.String())
	}
	const file = "testdata/requests.golden"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(golden.String()), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), golden.String())
}
