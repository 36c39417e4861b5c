package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// badAnswer is what a provider says, and what the gateway makes of it.
type badAnswer struct {
	Name      string            `json:"name"`
	Provider  string            `json:"provider"`
	Operation string            `json:"operation"` // create, read, list or update
	Executed  bool              `json:"executed"`  // the provider does what it was asked, before it answers like this
	Answer    int               `json:"answer"`    // its status
	Headers   map[string]string `json:"headers"`   // default Content-Type: application/json
	Body      string            `json:"body"`      // with the macros of a request
	Base64    string            `json:"base64"`
	Status    int               `json:"status"`   // the gateway's
	Code      string            `json:"code"`     // of its problem; "" if it answers none
	Outcome   string            `json:"outcome"`  // of its problem or operation; "" if it has none
	Stale     bool              `json:"stale"`    // a read is answered with what was known before
	Retries   int               `json:"retries"`  // how often it may have been sent again, also by look-ups in the background; a mutation never is
	Secrets   []string          `json:"secrets"`  // what neither the answer nor the log may hold
	Mentions  string            `json:"mentions"` // what the answer must hold
	Why       string            `json:"why"`      // for people
}

// spoiler stands before a stand-in and answers in its place when it is told to.
type spoiler struct {
	behind *httputil.ReverseProxy

	mu     sync.Mutex
	method string
	path   string // as in path.Match
	now    *badAnswer
	body   []byte
	hits   int
}

func newSpoiler(t *testing.T, behind string) (s *spoiler, addr string) {
	t.Helper()
	s = &spoiler{behind: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: behind})
		r.Out.Host = r.In.Host // it is signed
	}}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, strings.TrimPrefix(srv.URL, "http://")
}

func (s *spoiler) set(method, pattern string, answer *badAnswer, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.method, s.path, s.now, s.body, s.hits = method, pattern, answer, body, 0
}

// take returns what to answer; nil if the request is none of the case's.
func (s *spoiler) take(r *http.Request) (*badAnswer, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok, err := path.Match(s.path, r.URL.Path); s.now == nil || err != nil || !ok || r.Method != s.method {
		return nil, nil
	}
	s.hits++
	return s.now, s.body
}

func (s *spoiler) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits
}

// ServeHTTP implements [http.Handler].
func (s *spoiler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, body := s.take(r)
	if answer == nil {
		s.behind.ServeHTTP(w, r)
		return
	}
	if answer.Executed {
		s.behind.ServeHTTP(httptest.NewRecorder(), r)
	} else {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	w.Header().Set("Content-Type", "application/json")
	for k, v := range answer.Headers {
		w.Header().Set(k, v)
	}
	w.WriteHeader(answer.Answer)
	_, _ = w.Write(body)
}

// spoiled are the requests of each operation at each provider that a case is about.
var spoiled = map[string]map[string][2]string{
	"cybersource-us": {
		"create": {"POST", "/tms/v2/customers/*/payment-instruments"}, "read": {"GET", "/tms/v2/customers/*/payment-instruments/*"},
		"list": {"GET", "/tms/v2/customers/*/payment-instruments"}, "update": {"PATCH", "/tms/v2/customers/*/payment-instruments/*"},
	},
	"rebilly-main": {
		"create": {"POST", "/organizations/*/payment-instruments"}, "read": {"GET", "/organizations/*/payment-instruments/*"},
		"list": {"GET", "/organizations/*/payment-instruments"}, "update": {"PATCH", "/organizations/*/payment-instruments/*"},
	},
	"bigcommerce-main": {
		"create": {"POST", "/stores/*/v3/payments/stored-instruments"}, "read": {"GET", "/stores/*/v3/customers/*/stored-instruments"},
		"list": {"GET", "/stores/*/v3/customers/*/stored-instruments"}, "update": {"PUT", "/stores/*/v3/payments/stored-instruments"},
	},
}

// Whatever a provider answers, the gateway says what is known and no more: what cannot be
// read is never a success, what may have happened is never tried again, nothing of the
// answer leaks, and the gateway goes on.
//
//nolint:tparallel // its cases run one after the other: each spoils a provider for itself
func TestBadAnswersOfProviders(t *testing.T) {
	t.Parallel()
	real := startSandbox(t)
	spoilers, spoilt := map[string]*spoiler{}, sandbox{}
	spoilers["cybersource-us"], spoilt.cybersource = newSpoiler(t, real.cybersource)
	spoilers["rebilly-main"], spoilt.rebilly = newSpoiler(t, real.rebilly)
	spoilers["bigcommerce-main"], spoilt.bigcommerce = newSpoiler(t, real.bigcommerce)
	const patient = "breaker: {consecutive_failures: 100000, min_requests: 100000}\n    config: "
	g := startGateway(t, spoilt, "  bolt: {path: "+filepath.Join(t.TempDir(), "polyvault.db")+"}", newReferenceKey(t), "config: ", patient)
	seeds := map[string]string{}
	for provider, source := range map[string]object{
		"cybersource-us": card("4111111111111111"), "rebilly-main": card("4111111111111111"), "bigcommerce-main": vaulted("seed", "1111"),
	} {
		tellOf(t, g, provider, "seeded-"+provider, "99")
		seeds[provider] = g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": "seed-" + provider},
			object{"customer_id": "seeded-" + provider, "sources": []object{source}, "provider": provider, "billing_address": address()}).str(t, "id")
	}
	files, err := filepath.Glob(filepath.Join(corpus, "answers", "*.json"))
	require.NoError(t, err)
	begin, n, secrets := time.Now(), 0, map[string]string{}
	for _, file := range files {
		for _, c := range readCases[badAnswer](t, file) {
			n++
			t.Run(c.Name, func(t *testing.T) {
				for _, secret := range c.Secrets {
					secrets[secret] = c.Name
				}
				runAnswer(t, g, spoilers[c.Provider], seeds[c.Provider], n, c)
			})
		}
	}
	g.call(t, http.StatusOK, "GET", "/readyz", nil, nil)
	for secret, name := range secrets {
		leaked := strings.Contains(g.Log.String(), secret) // said in a way that does not print either
		require.False(t, leaked, "what %q answered is in the log", name)
	}
	require.NotContains(t, g.Log.String(), `"panic"`)
	t.Logf("%d answers of providers, in %s", n, time.Since(begin).Round(10*time.Millisecond))
}

// tellOf makes a customer known where it must be told of.
func tellOf(t *testing.T, g gateway, provider, customer, reference string) {
	t.Helper()
	if provider == "bigcommerce-main" {
		g.call(t, http.StatusCreated, "PUT", "/v1/customers/"+customer, nil, object{"provider_references": object{provider: reference}})
	}
}

func runAnswer(t *testing.T, g gateway, s *spoiler, seed string, n int, c badAnswer) {
	body := []byte(expand(t, c.Body))
	if c.Base64 != "" {
		var err error
		body, err = base64.StdEncoding.DecodeString(c.Base64)
		require.NoError(t, err)
	}
	request := spoiled[c.Provider][c.Operation]
	customer := fmt.Sprintf("cus-answer-%d", n)
	if c.Operation == "create" {
		tellOf(t, g, c.Provider, customer, fmt.Sprint(n%90+1))
	}
	s.set(request[0], request[1], &c, body)
	defer s.set("", "", nil, nil)
	var got answer
	switch c.Operation {
	case "create":
		source := card("4111111111111111")
		if c.Provider == "bigcommerce-main" {
			source = vaulted(customer, "1111")
		}
		got = g.try(t, "POST", "/v1/instruments", header{"Idempotency-Key": customer},
			object{"customer_id": customer, "sources": []object{source}, "provider": c.Provider, "billing_address": address()})
	case "read":
		got = g.try(t, "GET", "/v1/instruments/"+seed, nil, nil)
	case "list":
		got = g.try(t, "GET", "/v1/customers/seeded-"+c.Provider+"/instruments", nil, nil)
	case "update":
		change := object{"card": object{"exp_month": n%12 + 1, "exp_year": 2031 + n%30}}
		if c.Provider == "bigcommerce-main" {
			change = object{"billing_address": object{"line1": customer}} // an expiry cannot be changed there
		}
		got = g.try(t, "PATCH", "/v1/instruments/"+seed, nil, change)
	default:
		require.Failf(t, "no such operation", "%q", c.Operation)
	}
	sent := s.count()
	require.Equal(t, c.Status, got.status, "%s", got.raw)
	require.LessOrEqual(t, sent, 1+c.Retries, "how often it was sent")
	require.Positive(t, sent, "the case is about no request")
	code, _ := got.body["code"].(string)
	outcome, _ := got.body["outcome"].(string)
	require.Equal(t, c.Code, code, "%s", got.raw)
	require.Equal(t, c.Outcome, outcome, "%s", got.raw)
	require.Contains(t, string(got.raw), c.Mentions)
	require.Equal(t, c.Stale, got.header.Get("Gateway-Stale") == "true")
	for _, secret := range c.Secrets {
		require.NotContains(t, fmt.Sprint(got.header)+string(got.raw), secret)
	}
}
