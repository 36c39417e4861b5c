package bigcommerce_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/normalize"
)

var update = flag.Bool("update", false, "write the golden files")

// tape answers every request in the same way and writes down what it got.
type tape struct {
	answer http.HandlerFunc

	mu  sync.Mutex
	log strings.Builder
}

func (p *tape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	fmt.Fprintf(&p.log, "%s %s\n", r.Method, r.URL.RequestURI())
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&p.log, "%s: %s\n", name, strings.Join(r.Header[name], ", "))
	}
	fmt.Fprintf(&p.log, "\n%s\n", body)
	p.mu.Unlock()
	p.answer(w, r)
}

func (p *tape) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// answering returns an adapter before a provider that always gives the same answer.
func answering(tb testing.TB, status int, body string) (*bigcommerce.Adapter, *tape) {
	tb.Helper()
	p := &tape{answer: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}}
	return open(tb, serve(tb, p), bigcommercetest.DefaultAccessToken, nil), p
}

// sequence returns an adapter before a provider that gives the answers in their
// order, each "<status> <body>", and the last one for ever.
func sequence(tb testing.TB, answers ...string) (*bigcommerce.Adapter, *tape) {
	tb.Helper()
	var mu sync.Mutex
	n := 0
	p := &tape{answer: func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		current := answers[min(n, len(answers)-1)]
		n++
		mu.Unlock()
		status, body := 0, ""
		_, err := fmt.Sscanf(current, "%d", &status)
		if err != nil {
			panic(err)
		}
		_, body, _ = strings.Cut(current, " ")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}}
	return open(tb, serve(tb, p), bigcommercetest.DefaultAccessToken, nil), p
}

const (
	token     = "9f2c4d6e8a0b1c3d5e7f90a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e"
	cardRow   = `{"customer_id":42,"token":"` + token + `","type":"credit_card","is_default":true,"brand":"visa","expiry_month":12,"expiry_year":2031,"iin":"411111","last_4":"1111","billing_address":{"address1":"12 Analytical Way","country_code":"US"}}`
	listEmpty = `{"data":[],"meta":{}}`
)

func reference() normalize.References {
	return normalize.References{
		"customer": customer, "token": token, "payment_method_id": "braintree.credit_card", "vault_customer": "321123",
	}
}

// TestRequests compares every request, to the byte, with testdata/requests.
func TestRequests(t *testing.T) {
	t.Parallel()
	address := billing()
	card := cardSource(111)
	card.VaultedToken.Brand = normalize.Amex
	tests := []struct {
		name   string
		answer string
		call   func(a *bigcommerce.Adapter) error
	}{
		{"create_card", `{"data":[` + cardRow + `]}`, func(a *bigcommerce.Adapter) error {
			in := createInput(card)
			in.Default = true
			_, err := a.Create(t.Context(), in)
			return err
		}},
		{"create_paypal", `{"data":[{"customer_id":42,"token":"` + token + `","type":"paypal_account","email":"a@example.com"}]}`, func(a *bigcommerce.Adapter) error {
			_, err := a.Create(t.Context(), createInput(payPalSource("a@example.com")))
			return err
		}},
		{"create_bank", `{"data":[{"customer_id":42,"token":"` + token + `","type":"bank_account","masked_account_number":"12XXX56"}]}`, func(a *bigcommerce.Adapter) error {
			in := createInput(bankSource("12XXX56"))
			in.BillingAddress = &normalize.Address{Line1: "1 Main", Region: "Bayern", Country: "DE"}
			_, err := a.Create(t.Context(), in)
			return err
		}},
		{"get", `[` + strings.Replace(cardRow, "credit_card", "stored_card", 1) + `]`, func(a *bigcommerce.Adapter) error {
			_, err := a.Get(t.Context(), reference())
			return err
		}},
		{"list_customer", `[]`, func(a *bigcommerce.Adapter) error {
			_, err := a.List(t.Context(), adapters.ListInput{Customer: customer, Limit: 10})
			return err
		}},
		{"list_all", listEmpty, func(a *bigcommerce.Adapter) error {
			_, err := a.List(t.Context(), adapters.ListInput{})
			return err
		}},
		{"list_all_after", listEmpty, func(a *bigcommerce.Adapter) error {
			_, err := a.List(t.Context(), adapters.ListInput{Limit: 100, Cursor: "after:ODc="})
			return err
		}},
		{"list_all_page", listEmpty, func(a *bigcommerce.Adapter) error {
			_, err := a.List(t.Context(), adapters.ListInput{Limit: 25, Cursor: "page:3/25"})
			return err
		}},
		{"update", `{"data":` + cardRow + `}`, func(a *bigcommerce.Adapter) error {
			_, err := a.Update(t.Context(), reference(), adapters.UpdateInput{BillingAddress: address})
			return err
		}},
		{"set_default", `{"data":` + cardRow + `}`, func(a *bigcommerce.Adapter) error {
			_, err := a.SetDefault(t.Context(), reference())
			return err
		}},
		{"delete", ``, func(a *bigcommerce.Adapter) error { return a.Delete(t.Context(), reference()) }},
		{"delete_vault", ``, func(a *bigcommerce.Adapter) error { return a.DeleteVault(t.Context(), reference()) }},
		{"delete_many", ``, func(a *bigcommerce.Adapter) error {
			other := normalize.References{"customer": "7", "token": "abc"}
			for _, err := range a.DeleteMany(t.Context(), []normalize.References{reference(), other, reference()}) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"payment_methods", `{"data":[]}`, func(a *bigcommerce.Adapter) error {
			_, err := a.PaymentMethods(t.Context(), "215")
			return err
		}},
		{"available_methods", `{"data":[]}`, func(a *bigcommerce.Adapter) error {
			_, err := a.AvailableMethods(t.Context(), "USD")
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, p := answering(t, http.StatusOK, tt.answer)
			require.NoError(t, tt.call(a))
			golden := filepath.Join("testdata", "requests", tt.name+".http")
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
				require.NoError(t, os.WriteFile(golden, []byte(p.text()), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), p.text())
		})
	}
}
