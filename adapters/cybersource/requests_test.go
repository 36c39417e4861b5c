package cybersource_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/normalize"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	profile    = "93b32398-ad51-4cc2-a682-ea3e93614eb1"
	customerID = "AB695DA801DD1BB6E05341588E0A3BDC"
	paymentID  = "AB6A54B97C00FCB6E05341588E0A3935"
	identID    = "7010000000016241111"
)

func reference() normalize.References {
	return normalize.References{"customer": customerID, "payment_instrument": paymentID, "instrument_identifier": identID}
}

// script answers requests in order and writes down what was sent.
type script struct {
	answers []scripted
	sent    bytes.Buffer
}

type scripted struct {
	status int
	header http.Header
	body   string
	err    error
}

// RoundTrip implements [http.RoundTripper].
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	fmt.Fprintf(&s.sent, "%s %s://%s%s\n", r.Method, r.URL.Scheme, r.Host, r.URL.RequestURI())
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for k := range r.Header {
			if !yield(k) {
				return
			}
		}
	}) {
		fmt.Fprintf(&s.sent, "%s: %s\n", name, strings.Join(r.Header[name], ", "))
	}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&s.sent, "\n%s\n", body)
	}
	s.sent.WriteString("\n")
	if len(s.answers) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	if a.err != nil {
		return nil, a.err
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func (s *script) open(tb testing.TB) *cybersource.Adapter {
	tb.Helper()
	return open(tb, "https://apitest.cybersource.com", func(c *cybersource.Config, e *adapters.Env) {
		c.ProfileID = profile
		e.HTTP = &http.Client{Transport: s}
		e.Now = func() time.Time { return time.Date(2024, 7, 18, 0, 18, 3, 0, time.UTC) }
	})
}

const (
	identAnswer = `{"id":"` + identID + `","card":{"number":"411111XXXXXX1111"}}`
	pmtAnswer   = `{"id":"` + paymentID + `","default":false,"instrumentIdentifier":{"id":"` + identID + `"}}`
)

// TestRequests compares what is sent, byte for byte, signatures included.
func TestRequests(t *testing.T) {
	t.Parallel()
	address := &normalize.Address{
		FirstName: "José", LastName: "O'Brien", Company: "A & B <Ltd>", Line1: "1 Market St", Line2: "Floor 2",
		City: "San Francisco", Region: "CA", PostalCode: "94105", Country: "US", Email: "jose@example.com", Phone: "+1 (415) 888-0000",
	}
	month, year := 3, 2031
	card := normalize.Source{Type: normalize.SourceCard, Card: &normalize.CardSource{
		Number: normalize.NewSecret("4111111111111111"), ExpMonth: 3, ExpYear: 2031, CVC: normalize.NewSecret("737"), HolderName: "Ada Lovelace",
	}}
	made := []scripted{{status: 201, body: identAnswer}, {status: 201, body: pmtAnswer}}
	one := []scripted{{status: 200, body: pmtAnswer}}
	for name, c := range map[string]struct {
		answers []scripted
		do      func(*cybersource.Adapter) error
	}{
		"create_card": {made, func(a *cybersource.Adapter) error {
			_, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: card, BillingAddress: address, Default: true})
			return err
		}},
		"create_card_with_holder_only": {made, func(a *cybersource.Adapter) error {
			_, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: card})
			return err
		}},
		"create_bank_account": {made, func(a *cybersource.Adapter) error {
			_, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: bankSource()})
			return err
		}},
		"create_from_instrument_identifier": {made[1:], func(a *cybersource.Adapter) error {
			_, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: normalize.Source{
				Type: normalize.SourceInstrumentIdentifier,
				InstrumentIdentifier: &normalize.InstrumentIdentifierSource{
					InstrumentIdentifier: identID, ExpMonth: 12, ExpYear: 2030, Brand: normalize.Amex,
				},
			}})
			return err
		}},
		"create_from_transient_token": {
			[]scripted{{status: 201, body: `{"status":"AUTHORIZED","tokenInformation":{"paymentInstrument":{"id":"` + paymentID + `"}}}`}, one[0]},
			func(a *cybersource.Adapter) error {
				_, err := a.Create(t.Context(), adapters.CreateInput{
					Customer: customerID, Source: tokenSource("e30.e30.c2ln"), BillingAddress: address, Default: true,
				})
				return err
			},
		},
		"get": {one, func(a *cybersource.Adapter) error { _, err := a.Get(t.Context(), reference()); return err }},
		"list_first_page": {[]scripted{{status: 200, body: `{"total":0}`}}, func(a *cybersource.Adapter) error {
			_, err := a.List(t.Context(), adapters.ListInput{Customer: customerID})
			return err
		}},
		"list_page": {[]scripted{{status: 200, body: `{"total":0}`}}, func(a *cybersource.Adapter) error {
			_, err := a.List(t.Context(), adapters.ListInput{Customer: customerID, Limit: 100, Cursor: "200"})
			return err
		}},
		"update": {one, func(a *cybersource.Adapter) error {
			_, err := a.Update(t.Context(), reference(), adapters.UpdateInput{
				BillingAddress: &normalize.Address{Line1: "2 Elm", Country: "US"}, ExpMonth: &month, ExpYear: &year, Version: `W/"abc"`,
			})
			return err
		}},
		"update_clear_address": {one, func(a *cybersource.Adapter) error {
			_, err := a.Update(t.Context(), reference(), adapters.UpdateInput{ClearBillingAddress: true})
			return err
		}},
		"set_default": {one, func(a *cybersource.Adapter) error { _, err := a.SetDefault(t.Context(), reference()); return err }},
		"delete":      {[]scripted{{status: 204}}, func(a *cybersource.Adapter) error { return a.Delete(t.Context(), reference()) }},
		"create_customer": {[]scripted{{status: 201, body: `{"id":"` + customerID + `"}`}}, func(a *cybersource.Adapter) error {
			_, err := a.CreateCustomer(t.Context(), adapters.CustomerInput{Key: "cus_0h7k", MerchantID: "shopper-42", Address: address})
			return err
		}},
		"get_customer": {[]scripted{{status: 200, body: `{"id":"` + customerID + `"}`}}, func(a *cybersource.Adapter) error {
			_, err := a.GetCustomer(t.Context(), customerID)
			return err
		}},
		"delete_customer": {[]scripted{{status: 204}}, func(a *cybersource.Adapter) error { return a.DeleteCustomer(t.Context(), customerID) }},
		"get_instrument_identifier": {[]scripted{{status: 200, body: identAnswer}}, func(a *cybersource.Adapter) error {
			_, err := a.GetInstrumentIdentifier(t.Context(), identID)
			return err
		}},
		"delete_instrument_identifier": {[]scripted{{status: 204}}, func(a *cybersource.Adapter) error {
			return a.DeleteInstrumentIdentifier(t.Context(), identID)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{answers: c.answers}
			require.NoError(t, c.do(s.open(t)))
			require.Empty(t, s.answers, "not all answers were asked for")
			golden(t, filepath.Join("testdata", "requests", name+".txt"), s.sent.String())
		})
	}
}

func golden(tb testing.TB, file, got string) {
	tb.Helper()
	if *update {
		require.NoError(tb, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(tb, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(tb, err)
	require.Equal(tb, string(want), got)
}
