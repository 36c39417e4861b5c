package chaos

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// mostAdded is what going on to a second provider may add to the 99th percentile of a create.
const mostAdded = 250 * time.Millisecond

// askedFor is the one kind whose time is not the gateway's alone: name servers have to
// say that there is no such name, while a label of 64 letters needs none of them. So
// fewer creates are made, and their time is only told.
const askedFor = "no such host, say name servers"

// C8: the first provider of a route cannot be reached, or its breaker is open. Every
// create succeeds at the second one, the first one gets no request, and the detour
// adds little, measured against creates that go to the second one straight away and
// are made in between.
func TestC8TheFirstProviderCannotBeReached(t *testing.T) {
	w := newWorldWith(t, 0, "--tls-ca-out", filepath.Join(t.TempDir(), "ca.pem"))
	for _, kind := range []struct {
		name string
		url  func(t *testing.T) string // of the first provider; "" for its stand-in
	}{
		{"dial refused", func(t *testing.T) string { t.Helper(); return "http://" + programs.FreePort(t) }},
		{"TLS with an unknown authority", func(t *testing.T) string { t.Helper(); return "https://" + w.secure(t) }},
		{"plain text behind https", func(*testing.T) string { return "https://" + w.stands[cybersource] }},
		{"no such host", func(*testing.T) string { return "http://" + strings.Repeat("n", 64) + ".invalid" }},
		{askedFor, func(*testing.T) string { return "http://nowhere.invalid" }},
		{"breaker open", func(*testing.T) string { return "" }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			own := settings{urls: map[string]string{cybersource: kind.url(t)}, shapes: map[string]string{
				// Each of them takes the detour: no breaker opens, no retry budget ends.
				cybersource: "timeout: 1s\n    breaker: {consecutive_failures: 100000, min_requests: 100000}",
				rebilly:     "timeout: 1s\n    retry_budget: 100000",
			}}
			if kind.name == "breaker open" {
				own.shapes[cybersource] = "timeout: 1s\n    breaker: {consecutive_failures: 1, open_for: 10m, open_for_max: 10m}"
			}
			g := w.newGatewayAs(t, own)
			if kind.name == "breaker open" {
				w.openBreaker(t, g)
			}
			w.detour(t, g, kind.name)
		})
	}
}

// secure is where CyberSource's stand-in listens with TLS.
func (w *world) secure(t *testing.T) string {
	t.Helper()
	host, port, err := net.SplitHostPort(w.stands[cybersource])
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return net.JoinHostPort(host, strconv.Itoa(n+1000))
}

// openBreaker has one create fail at CyberSource, which opens its breaker there.
func (w *world) openBreaker(t *testing.T, g *gateway) {
	t.Helper()
	w.fail(t, cybersource, fault.Rule{Fault: fault.Status, Status: 500, Times: 1})
	body := request("cus-breaker", "US", published()[0], 0, 2031, false)
	require.Equal(t, http.StatusAccepted, g.create(t.Context(), "breaker", body).status)
	eventually(t, 30*time.Second, "the reconciler is done", func() bool {
		return g.operation(t, "breaker").str("state") == "failed"
	})
}

// detour makes creates whose route begins with CyberSource, and as many whose route
// begins with Rebilly, side by side, and compares them.
func (w *world) detour(t *testing.T, g *gateway, kind string) {
	t.Helper()
	before, n := len(w.state(t, cybersource).Requests), size(60, 1000)
	if kind == askedFor {
		n = 40
	}
	took := map[string][]time.Duration{}
	var mu sync.Mutex
	failed := make(chan string, 2*n)
	parallel(4, 2*n, func(i int) {
		country := []string{"US", "GB"}[i%2]
		customer := fmt.Sprintf("cus-%s-%d", slug(kind), i)
		begun := time.Now()
		a := g.create(t.Context(), customer, request(customer, country, published()[0], 0, 2031, false))
		mu.Lock()
		took[country] = append(took[country], time.Since(begun))
		mu.Unlock()
		if a.status != http.StatusCreated || a.header.Get("Gateway-Provider") != rebilly {
			failed <- fmt.Sprintf("%d %s", a.status, a.raw)
		}
	})
	close(failed)
	require.Empty(t, <-failed, "each create succeeds at the second provider")
	require.Len(t, w.state(t, cybersource).Requests, before, "requests at the first provider")
	detour, direct := percentile(took["US"], 99), percentile(took["GB"], 99)
	t.Logf("C8 %-30s %d of %d creates at the second provider, 0 requests at the first; median %s against %s, p99 %s against %s: %s added",
		kind+":", n, n, ms(percentile(took["US"], 50)), ms(percentile(took["GB"], 50)), ms(detour), ms(direct), ms(detour-direct))
	if *full && kind != askedFor {
		require.Less(t, detour-direct, mostAdded, "added to the 99th percentile")
	}
	w.tells(t, g, kind)
}

// tells checks that an answer names the first provider, and why it was passed over.
func (w *world) tells(t *testing.T, g *gateway, kind string) {
	t.Helper()
	want := object{"provider": cybersource, "outcome": "not_sent", "code": "provider_unavailable"}
	op := g.operation(t, fmt.Sprintf("cus-%s-0", slug(kind)))
	if kind == "breaker open" {
		// A candidate that was passed over is no attempt: only a failure tells of it.
		want["code"] = "breaker_open"
		body := object{"customer_id": "cus-told", "provider": cybersource, "sources": create(1, cybersource)["sources"]}
		op = g.create(t.Context(), "told", body)
		require.Equal(t, http.StatusServiceUnavailable, op.status, "%s", op.raw)
	}
	attempts, _ := op.body["attempts"].([]any)
	require.NotEmpty(t, attempts, "%s", op.raw)
	first, _ := attempts[0].(map[string]any)
	delete(first, "ms")
	require.Equal(t, want, first)
}

// parallel calls fn for 0 to n-1, so many at a time.
func parallel(workers, n int, fn func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				fn(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// percentile is the p-th of some durations; 0 of none.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// slug makes a customer's id or a key of a test's name.
func slug(name string) string { return strings.NewReplacer(" ", "-", ",", "").Replace(name) }
