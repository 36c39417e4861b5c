package chaos

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// probes is how many calls a half-open breaker lets through here.
const probes = 3

// C15: a provider comes back while 1000 creates a second wait for it. Between the
// opening of a gateway's breaker and its closing no more creates arrive there than a
// half-open breaker lets through, and all others are told when to come again. The
// provider is so slow that all of the stampede falls into that time.
// What is measured here, as in C8 and C16, is measured without other tests beside it.
func TestC15HalfOpenStampede(t *testing.T) {
	for i := range 2 * size(1, 5) {
		n := i%2 + 1
		t.Run(fmt.Sprintf("%d gateways", n), func(t *testing.T) {
			w := newWorld(t, 0)
			for range n {
				w.gateways = append(w.gateways, w.newGatewayAs(t, settings{
					shapes: map[string]string{bigcommerce: fmt.Sprintf(
						"timeout: 2s\n    breaker: {slow_call: 2s, consecutive_failures: 5, min_requests: 1000, open_for: 1s, open_for_max: 1s, probes: %d}", probes)},
					routes: "[{name: all, providers: [bigcommerce-main]}]",
				}))
			}
			for i := range known {
				w.know(t, i+1)
			}
			for i := range w.gateways {
				w.outage(t, i)
			}
			// Well again, and slow: from here on each request counts. A gateway that has
			// opened before lets nothing through until it has probed.
			w.fail(t, bigcommerce, fault.Rule{Fault: fault.Delay, DelayMS: 700})
			healed := time.Now()
			r := w.stampede(t)
			w.judgeStampede(t, healed, r)
		})
	}
}

// outage opens the breaker of writes of one gateway.
func (w *world) outage(t *testing.T, i int) {
	t.Helper()
	w.fail(t, bigcommerce, fault.Rule{Fault: fault.Status, Status: 500})
	g := w.gateways[i]
	for n := range 5 {
		a := g.create(t.Context(), fmt.Sprintf("outage-%d-%d", i, n), stampeder(i*5+n))
		require.Contains(t, []int{http.StatusAccepted, http.StatusServiceUnavailable}, a.status, "%s", a.raw)
	}
	require.NotEqual(t, "closed", g.breaker(t, bigcommerce).Breaker)
}

func stampeder(i int) []byte {
	return request(fmt.Sprintf("cus-%d", i%known+1), "CA", published()[i/known%12], i/known, 2031+i/known/12, true)
}

// breakerState is what GET /v1/providers/{name} says of the writes.
type breakerState struct {
	Breaker string
	Since   time.Time
}

func (g *gateway) breaker(t *testing.T, provider string) breakerState {
	t.Helper()
	a := g.send(t.Context(), "acme0000", http.MethodGet, "/v1/providers/"+provider, "", nil)
	require.Equal(t, http.StatusOK, a.status, "%s", a.raw)
	classes, _ := a.body["classes"].(map[string]any)
	writes, _ := classes["write"].(map[string]any)
	state, _ := writes["breaker"].(string)
	text, _ := writes["since"].(string)
	since, err := time.Parse(time.RFC3339Nano, text)
	require.NoError(t, err)
	return breakerState{Breaker: state, Since: since}
}

// halfOpened is how often a gateway's breaker of BigCommerce's writes has become half open.
func (g *gateway) halfOpened() int {
	n := 0
	for line := range strings.Lines(g.Log.String()) {
		if strings.Contains(line, "circuit breaker changed") && strings.Contains(line, bigcommerce) &&
			strings.Contains(line, `"class":"write"`) && strings.Contains(line, `"to":"half_open"`) {
			n++
		}
	}
	return n
}

// report is what the clients of a stampede were told.
type report struct {
	sent, stored, refused, other, dropped atomic.Int64
	last                                  atomic.Value // an answer that is none of these
	rate                                  float64      // a second
}

// stampede sends creates at 1000 a second, all with keys of their own and to the
// gateways in turn, until every breaker has closed: only creates can do that.
func (w *world) stampede(t *testing.T) *report {
	t.Helper()
	const atMost = 20_000
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var closed atomic.Bool
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for ctx.Err() == nil && !w.allClosed(ctx) {
			time.Sleep(20 * time.Millisecond)
		}
		closed.Store(true)
	}()
	r, begun := &report{}, time.Now()
	var wg sync.WaitGroup
	for i := 0; i < atMost && !closed.Load(); {
		// As many as the time asks for, so that a pause of this process changes no rate.
		for due := int(time.Since(begun) / time.Millisecond); i < min(due, atMost); i++ {
			n := i
			wg.Go(func() { r.note(w.gateways[n%len(w.gateways)].create(ctx, fmt.Sprintf("k-%d", n), stampeder(100+n))) })
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.rate = float64(r.sent.Load()) / time.Since(begun).Seconds()
	wg.Wait()
	eventually(t, 20*time.Second, "every breaker closes", closed.Load)
	stop()
	<-watched
	return r
}

func (w *world) allClosed(ctx context.Context) bool {
	for _, g := range w.gateways {
		a := g.send(ctx, "acme0000", http.MethodGet, "/v1/providers/"+bigcommerce, "", nil)
		classes, _ := a.body["classes"].(map[string]any)
		writes, _ := classes["write"].(map[string]any)
		if writes["breaker"] != "closed" {
			return false
		}
	}
	return true
}

func (r *report) note(a answer) {
	r.sent.Add(1)
	switch {
	case a.status == 0:
		r.dropped.Add(1)
	case a.status == http.StatusCreated:
		r.stored.Add(1)
	case a.status == http.StatusServiceUnavailable && a.str("outcome") == "not_sent" && a.header.Get("Retry-After") != "":
		r.refused.Add(1)
	default:
		r.other.Add(1)
		r.last.Store(string(a.raw))
	}
}

// judgeStampede counts what arrived at the provider before the first breaker closed.
func (w *world) judgeStampede(t *testing.T, healed time.Time, r *report) {
	t.Helper()
	first := time.Now()
	for _, g := range w.gateways {
		b := g.breaker(t, bigcommerce)
		require.Equal(t, "closed", b.Breaker)
		if b.Since.Before(first) {
			first = b.Since
		}
	}
	creates, reads, after := 0, 0, 0
	for _, q := range w.state(t, bigcommerce).Requests {
		switch {
		case q.At.Before(healed):
		case q.Method != http.MethodPost:
			reads++
		case q.At.Before(first):
			creates++
		default:
			after++
		}
	}
	t.Logf("C15 %d gateways: %d creates at %.0f a second: %d arrived in the %s between the outage and the first closing (%d probes a gateway), %d after it, %d reads; "+
		"%d stored, %d told to come again, %d other answers, %d without one", len(w.gateways), r.sent.Load(), r.rate, creates,
		first.Sub(healed).Round(time.Millisecond), probes, after, reads, r.stored.Load(), r.refused.Load(), r.other.Load(), r.dropped.Load())
	// A gateway on a machine that is too busy may meet a trial that is too slow, and open again.
	rounds := 0
	for _, g := range w.gateways {
		rounds += g.halfOpened()
	}
	require.LessOrEqual(t, creates, probes*rounds, "%d times a breaker was half open", rounds)
	require.Positive(t, creates, "customers' creates decided it")
	require.Greater(t, r.refused.Load(), int64(100*len(w.gateways)), "it was a stampede")
	require.Zero(t, r.dropped.Load())
	require.Zero(t, r.other.Load(), "%v", r.last.Load())
}
