package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// collector keeps what is sent to it: spans in protocol buffers, in which texts are as
// they are.
type collector struct {
	*httptest.Server
	got lockedBuffer
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(&c.got, r.Body)
	}))
	t.Cleanup(c.Close)
	return c
}

// seen keeps the headers of what comes to a stand-in provider.
type seen struct {
	next http.Handler

	mu      sync.Mutex
	headers []http.Header
}

func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.headers = append(s.headers, r.Header.Clone())
	s.mu.Unlock()
	s.next.ServeHTTP(w, r)
}

func (s *seen) traceparents() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.headers {
		if v := h.Get("Traceparent"); v != "" {
			out = append(out, v)
		}
	}
	return out
}

func TestServeTracesRequests(t *testing.T) {
	t.Parallel()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for _, propagate := range []bool{false, true} {
		t.Run(fmt.Sprintf("propagate %v", propagate), func(t *testing.T) {
			t.Parallel()
			traces, provider := newCollector(t), &seen{next: rebillytest.New(rebillytest.Options{})}
			behind := httptest.NewServer(provider)
			t.Cleanup(behind.Close)
			key, line := newKey(t, "instruments:read,instruments:write,customers:read,references:read")
			file := gatewayConfigFile(t, behind.URL, line, fmt.Sprintf("store: {%s}\ntracing: {endpoint: %q, sample: 0, propagate: %v}\n",
				onRedis(redistest.Start(t, "--appendonly", "yes")), traces.URL, propagate))
			r := start(t, "serve", "--config", file)
			api, admin := address(t, r, "listening"), address(t, r, "admin listening")
			from := []string{"Traceparent", "00-" + trace + "-b7ad6b7169203331-01", "Tracestate", "canary=1"}
			status, body := request(t, "POST", api+"/v1/instruments", key, cardBody, append(from, "Idempotency-Key", "canary-key")...)
			require.Equal(t, 201, status, body)
			var created struct {
				ID     string
				Tokens []struct{ References map[string]string } `json:"provider_tokens"`
			}
			require.NoError(t, json.Unmarshal([]byte(body), &created))
			status, _ = request(t, "GET", api+"/v1/customers/cus-1?q=canary", key, "", from...)
			require.Equal(t, 422, status)
			status, _ = request(t, "GET", api+"/v1/instruments/"+created.ID, key, "")
			require.Equal(t, 200, status)
			line1 := find(t, r, &r.stderr, `"operation":"createInstrument"`)
			require.Contains(t, line1, `"trace_id":"`+trace+`"`)
			_, scrape := request(t, "GET", admin+"/metrics", "", "")
			require.Contains(t, scrape, `polyvault_trace_spans_total{result="lost"} 0`)
			require.Equal(t, exitOK, r.stop(t), r.stderr.String())

			spans := traces.got.String()
			for _, name := range []string{"createInstrument", "getCustomer", "create customer", "redis pipeline", "rebilly-main", "service.version"} {
				require.Contains(t, spans, name, name)
			}
			require.NotContains(t, spans, "getInstrument", "nobody asked for that one")
			forbidden := []string{"4111111111111111", "411111", "cus-1", "canary", "/v1/", "Lovelace", key, created.ID, strings.TrimPrefix(behind.URL, "http://") + "/"}
			for _, token := range created.Tokens {
				for _, reference := range token.References {
					forbidden = append(forbidden, reference)
				}
			}
			for _, text := range forbidden {
				require.NotContains(t, spans, text)
			}
			if !propagate {
				require.Empty(t, provider.traceparents(), "providers are told of our traces only if the configuration says so")
				return
			}
			require.NotEmpty(t, provider.traceparents())
			require.Contains(t, provider.traceparents()[0], "00-"+trace+"-")
		})
	}
}

// A collector that is away delays neither a request nor, by more than two seconds, the end.
func TestServeWithoutItsCollector(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	e.more = "tracing: {endpoint: \"http://127.0.0.1:1\", sample: 1}\n"
	e.write(t)
	r := start(t, "serve", "--config", e.file())
	api := address(t, r, "listening")
	require.Equal(t, "first", e.stores(t, api, "cus-1"))
	began := time.Now()
	require.Equal(t, exitOK, r.stop(t), r.stderr.String())
	require.Less(t, time.Since(began), 10*time.Second)
	require.Contains(t, r.stderr.String(), "the trace collector takes no spans")
	// OpenTelemetry prints nothing by itself.
	for line := range strings.Lines(r.stderr.String()) {
		require.True(t, json.Valid([]byte(line)), line)
	}
}
