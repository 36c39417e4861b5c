package chaos

import (
	"context"
	"encoding/json"
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
	require.Contains(t, []any{"open", "half_open"}, g.breaker(t.Context(), bigcommerce))
}

func stampeder(i int) []byte {
	return request(fmt.Sprintf("cus-%d", i%known+1), "CA", published()[i/known%12], i/known, 2031+i/known/12, true)
}

// breaker is the state of a gateway's breaker of writes, as GET /v1/providers/{name} says it.
func (g *gateway) breaker(ctx context.Context, provider string) any {
	a := g.send(ctx, "acme0000", http.MethodGet, "/v1/providers/"+provider, "", nil)
	classes, _ := a.body["classes"].(map[string]any)
	writes, _ := classes["write"].(map[string]any)
	return writes["breaker"]
}

// transition is a change of a breaker's state, as a gateway's log tells it.
type transition struct {
	Msg, Provider, Class, To string
	Time                     time.Time
}

// changes are those of a gateway's breaker of BigCommerce's writes since a moment, until it closed for
// the first time: what comes after that is no stampede at a half-open breaker any more.
func (g *gateway) changes(since time.Time) []transition {
	var list []transition
	for line := range strings.Lines(g.Log.String()) {
		var c transition
		if json.Unmarshal([]byte(line), &c) != nil || c.Msg != "circuit breaker changed" ||
			c.Provider != bigcommerce || c.Class != "write" || c.Time.Before(since) {
			continue
		}
		if list = append(list, c); c.To == "closed" {
			break
		}
	}
	return list
}

// report is what the clients of a stampede were told.
type report struct {
	mu      sync.Mutex
	answers []told
	rate    float64 // a second
}

type told struct {
	at   time.Time // when the answer was here
	kind string
	raw  string // of another answer
}

// The kinds of answers.
const (
	stored  = "stored"
	refused = "told to come again"
	other   = "other"
	none    = "none"
)

// count is how many answers of a kind were here before a moment.
func (r *report) count(kind string, before time.Time) int {
	n := 0
	for _, a := range r.answers {
		if a.kind == kind && a.at.Before(before) {
			n++
		}
	}
	return n
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
	took := time.Since(begun)
	wg.Wait()
	r.rate = float64(len(r.answers)) / took.Seconds()
	eventually(t, 20*time.Second, "every breaker closes", closed.Load)
	stop()
	<-watched
	return r
}

func (w *world) allClosed(ctx context.Context) bool {
	for _, g := range w.gateways {
		if g.breaker(ctx, bigcommerce) != "closed" {
			return false
		}
	}
	return true
}

func (r *report) note(a answer) {
	n := told{at: time.Now(), kind: other, raw: string(a.raw)}
	switch {
	case a.status == 0:
		n.kind = none
	case a.status == http.StatusCreated:
		n.kind = stored
	case a.status == http.StatusServiceUnavailable && a.str("outcome") == "not_sent" && a.header.Get("Retry-After") != "":
		n.kind = refused
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, n)
}

// judgeStampede counts what arrived at the provider before the first breaker closed.
// After that the breaker may open again, on a machine that is too busy for what is let
// through then: nothing is said of that time.
func (w *world) judgeStampede(t *testing.T, healed time.Time, r *report) {
	t.Helper()
	first, rounds := time.Now(), 0
	for _, g := range w.gateways {
		var changes []transition
		var last transition
		eventually(t, 5*time.Second, "the log says that the breaker closed", func() bool {
			if changes = g.changes(healed); len(changes) > 0 {
				last = changes[len(changes)-1]
			}
			return last.To == "closed"
		})
		if last.Time.Before(first) {
			first = last.Time
		}
		for _, c := range changes {
			if c.To == "half_open" {
				rounds++
			}
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
	end := time.Now()
	t.Logf("C15 %d gateways: %d creates at %.0f a second: %d arrived in the %s between the outage and the first closing (%d probes a gateway), %d after it, %d reads; "+
		"%d stored, %d told to come again, %d other answers, %d without one", len(w.gateways), len(r.answers), r.rate, creates,
		first.Sub(healed).Round(time.Millisecond), probes, after, reads, r.count(stored, end), r.count(refused, end), r.count(other, end), r.count(none, end))
	// A gateway on a machine that is too busy may meet a trial that is too slow, and open again.
	require.LessOrEqual(t, creates, probes*rounds, "%d times a breaker was half open", rounds)
	require.Positive(t, creates, "customers' creates decided it")
	require.Greater(t, r.count(refused, first), 100*len(w.gateways), "it was a stampede")
	require.LessOrEqual(t, r.count(stored, first)+r.count(other, first)+r.count(none, first), creates, "who was not let through was told to come again")
}
