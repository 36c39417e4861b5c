package rebilly_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

const customerID = "shopper_1"

func TestConformance(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, func(tb testing.TB) adaptertest.Harness {
		tb.Helper()
		return harness(tb, rebillytest.Options{}, rebilly.Config{OrganizationID: rebillytest.Organization})
	})
}

// Not parallel: it measures what the whole process allocates.
func TestHostileAnswers(t *testing.T) { //nolint:paralleltest // see above
	adaptertest.Hostile(t, func(tb testing.TB) adaptertest.Harness {
		tb.Helper()
		return harness(tb, rebillytest.Options{}, rebilly.Config{OrganizationID: rebillytest.Organization})
	})
}

// TestConformanceOfVariants runs the suite against what Rebilly does not
// document, and against Rebilly as it was in 2021.
func TestConformanceOfVariants(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the suite three more times")
	}
	t.Run("one-time tokens", func(t *testing.T) {
		t.Parallel()
		adaptertest.Run(t, func(tb testing.TB) adaptertest.Harness {
			tb.Helper()
			h := harness(tb, rebillytest.Options{}, rebilly.Config{OrganizationID: rebillytest.Organization})
			h.Source = func(tb testing.TB, n int) normalize.Source {
				tb.Helper()
				return tokenSource(mint(tb, h.Standin, cardToken(adaptertest.CardNumber(n))))
			}
			return h
		})
	})
	t.Run("the 2021 server, the organization in the header", func(t *testing.T) {
		t.Parallel()
		adaptertest.Run(t, func(tb testing.TB) adaptertest.Harness {
			tb.Helper()
			return harness(tb, rebillytest.Options{
				OffsetLimit: -1, RateHeaders: rebillytest.LegacyHeaders, EmbeddedList: true, DefaultAsObject: true,
				MergeAddress: true, InvalidFieldsMap: true, EmptyDeactivation: true,
			}, rebilly.Config{OrganizationID: rebillytest.Organization, OrganizationHeader: true})
		})
	})
	t.Run("no expand, empty redirects, a protected default, the key's own organization", func(t *testing.T) {
		t.Parallel()
		adaptertest.Run(t, func(tb testing.TB) adaptertest.Harness {
			tb.Helper()
			return harness(tb, rebillytest.Options{
				NoExpand: true, EmptySeeOther: true, ProtectDefault: true, AllowRepeatedDeactivation: true,
			}, rebilly.Config{})
		})
	})
}

func harness(tb testing.TB, o rebillytest.Options, conf rebilly.Config) adaptertest.Harness {
	tb.Helper()
	s := rebillytest.New(o)
	mustCall(tb, s, http.MethodPut, "/customers/"+customerID, `{}`, http.StatusCreated)
	conf.APIKey = normalize.NewSecret(rebillytest.SecretKey)
	prefix := ""
	if conf.OrganizationID != "" && !conf.OrganizationHeader {
		prefix = "/organizations/" + conf.OrganizationID
	}
	open := func(tb testing.TB, c rebilly.Config, base string, hc *http.Client) adapters.Adapter {
		tb.Helper()
		c.Base = base
		a, err := c.Open(adapters.Env{HTTP: hc})
		require.NoError(tb, err)
		return a
	}
	return adaptertest.Harness{
		Standin:  s,
		Webhooks: webhooks(),
		Open: func(tb testing.TB, base string) adapters.Adapter {
			tb.Helper()
			return open(tb, conf, base, adapters.NewHTTPClient(adapters.ClientOptions{}))
		},
		OpenWith: func(tb testing.TB, base string, hc *http.Client) adapters.Adapter {
			tb.Helper()
			return open(tb, conf, base, hc)
		},
		OpenBadCredentials: func(tb testing.TB, base string) adapters.Adapter {
			tb.Helper()
			bad := conf
			bad.APIKey = normalize.NewSecret("sk_sandbox_somebody_else")
			return open(tb, bad, base, adapters.NewHTTPClient(adapters.ClientOptions{}))
		},
		Customer:     customerID,
		Source:       func(_ testing.TB, n int) normalize.Source { return cardSource(adaptertest.CardNumber(n)) },
		Missing:      normalize.References{"instrument": "inst_00000000000000000000000000", "customer": customerID},
		CreateMethod: http.MethodPost, CreatePath: prefix + "/payment-instruments",
		ErrorBody:             errorBody,
		Odd:                   odd(tb),
		Secrets:               []string{rebillytest.SecretKey, "sk_sandbox_somebody_else"},
		DedupesCreate:         true,
		LimitsBeforeExecution: true,
	}
}

// errorBody is a problem as Rebilly writes it.
func errorBody(status int) string {
	p := map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": "Something is wrong."}
	if status == http.StatusUnprocessableEntity {
		p["invalidFields"] = []any{map[string]any{"field": "billingAddress.country", "message": "Country must be an ISO 3166 alpha-2 code."}}
	}
	b, err := json.Marshal(p)
	if err != nil {
		return ""
	}
	return string(b)
}

// odd answers with words and members that nobody knows.
func odd(tb testing.TB) http.HandlerFunc {
	tb.Helper()
	one, err := os.ReadFile("testdata/odd.json")
	require.NoError(tb, err)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body := string(one)
		switch {
		case strings.Contains(r.URL.Path, "/customers/"):
			body = `{"id":"cus_odd","defaultPaymentInstrument":"none","mood":"good"}`
		case strings.HasSuffix(r.URL.Path, "/payment-instruments"):
			body = "[" + strings.ReplaceAll(body, "cus_odd", customerID) + `,{"id":"inst_bare","method":"PIX"}]`
		default:
			body = strings.ReplaceAll(body, "inst_odd", path.Base(r.URL.Path))
		}
		_, _ = io.WriteString(w, body)
	}
}

func cardSource(number string) normalize.Source {
	return normalize.Source{Type: normalize.SourceCard, Card: &normalize.CardSource{
		Number: normalize.NewSecret(number), ExpMonth: 12, ExpYear: 2040, CVC: normalize.NewSecret("123"), HolderName: "Ada Byron King",
	}}
}

func tokenSource(token string) normalize.Source {
	return normalize.Source{Type: normalize.SourceRebillyToken, RebillyToken: &normalize.RebillyTokenSource{Token: normalize.NewSecret(token)}}
}

func cardToken(number string) string {
	return `{"method":"payment-card","paymentInstrument":{"pan":"` + number + `","cvv":"123","expMonth":12,"expYear":2040},"billingAddress":{"firstName":"Ada"}}`
}

// mint makes a one-time token at the stand-in, with the publishable key.
func mint(tb testing.TB, s *standin.Server, body string) string {
	tb.Helper()
	rec := call(tb, s, http.MethodPost, "/organizations/"+rebillytest.Organization+"/tokens", body,
		http.Header{"Authorization": {rebillytest.PublishableKey}})
	require.Equal(tb, http.StatusCreated, rec.Code, rec.Body.String())
	return member(tb, rec, "id")
}

// call makes a request of the stand-in itself, with the secret key unless header has credentials.
func call(tb testing.TB, h http.Handler, method, target, body string, header http.Header) *httptest.ResponseRecorder {
	tb.Helper()
	req := httptest.NewRequestWithContext(tb.Context(), method, target, bytes.NewReader([]byte(body)))
	if header == nil {
		header = http.Header{"Reb-Apikey": {rebillytest.SecretKey}}
	}
	req.Header = header
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func mustCall(tb testing.TB, h http.Handler, method, target, body string, status int) *httptest.ResponseRecorder {
	tb.Helper()
	rec := call(tb, h, method, target, body, nil)
	require.Equal(tb, status, rec.Code, "%s %s: %s", method, target, rec.Body.String())
	return rec
}

func member(tb testing.TB, rec *httptest.ResponseRecorder, name string) string {
	tb.Helper()
	var o map[string]any
	require.NoError(tb, json.Unmarshal(rec.Body.Bytes(), &o))
	s, ok := o[name].(string)
	require.True(tb, ok, "%s has no text %q", rec.Body.String(), name)
	return s
}

func readAll(tb testing.TB, r *http.Request) string {
	tb.Helper()
	if r.Body == nil {
		return ""
	}
	b, err := io.ReadAll(r.Body)
	require.NoError(tb, err)
	return string(b)
}
