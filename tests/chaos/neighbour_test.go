package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// What a provider that hangs may cost its neighbours.
const (
	mostGrowth = 0.10                 // of the 99th percentile of the other provider's creates
	noiseFloor = 5 * time.Millisecond // or this much, or as much as two blocks without the fault differ by
	// Each hanging call has a goroutine of its own, two of its connection and two of its
	// client's; there are at most 64 of reads and 64 of writes.
	mostGoroutines = 5 * 2 * 64
	mostFiles      = 4 * 64
	aFew           = 10 // idle connections more or less
)

// C16: one provider hangs under half of the traffic. The creates at the other one
// take as long as without that and all succeed; those at the one that hangs are refused
// at once as soon as its breaker is open; neither goroutines nor descriptors grow.
// Blocks with and without the fault alternate, and their medians are compared, so that
// what else the machine does is in both; how much that is shows between the blocks
// before and after the fault.
func TestC16OneProviderHangs(t *testing.T) {
	w := newWorld(t, 0)
	g := w.newGatewayAs(t, settings{
		admin: programs.FreePort(t),
		shapes: map[string]string{
			cybersource: "timeout: 1s\n    breaker: {consecutive_failures: 5, open_for: 2s, open_for_max: 2s}",
			rebilly:     "timeout: 2s\n    breaker: {consecutive_failures: 1000, min_requests: 1000}",
		},
		routes: "\n  - {name: us, match: {country: [US]}, providers: [cybersource-us]}\n  - {name: rest, providers: [rebilly-main]}",
	})
	w.gateways = append(w.gateways, g)
	// Counting goroutines stops the program for a moment, so blocks of their own are counted in.
	before := w.block(t, "warm-up", true)
	w.hang(t, true)
	during := w.block(t, "counted", true)
	w.hang(t, false)
	w.comesBack(t, g, -1)
	w.counted(t, before, during)
	var sound, hanging, again []block
	for i := range size(2, 12) {
		sound = append(sound, w.block(t, fmt.Sprintf("sound-%d", i), false))
		w.hang(t, true)
		hanging = append(hanging, w.block(t, fmt.Sprintf("hang-%d", i), false))
		w.hang(t, false)
		w.comesBack(t, g, i)
		again = append(again, w.block(t, fmt.Sprintf("again-%d", i), false))
	}
	w.compare(t, sound, hanging, again)
}

// hang makes all of CyberSource's stand-in hang, or lets it go on.
func (w *world) hang(t *testing.T, on bool) {
	t.Helper()
	rules := []fault.Rule{}
	if on {
		rules = append(rules, fault.Rule{Fault: fault.Hang})
	}
	require.NoError(t, w.putFaults(t.Context(), cybersource, rules))
}

// counted holds what a gateway has open while a provider hangs against the time before.
func (w *world) counted(t *testing.T, before, during block) {
	t.Helper()
	t.Logf("C16: at most %d goroutines and %d descriptors without the fault, %d and %d with it", before.goroutines, before.files, during.goroutines, during.files)
	require.Positive(t, before.goroutines)
	require.Less(t, during.goroutines, before.goroutines+mostGoroutines)
	require.Less(t, during.files, before.files+mostFiles)
	after := 0
	eventually(t, time.Minute, "no goroutine stays behind", func() bool {
		client.CloseIdleConnections() // those of the clients that waited are kept by this test
		after = w.gateways[0].goroutines(t.Context())
		return after > 0 && after <= before.goroutines+aFew
	})
	t.Logf("C16: %d goroutines after it", after)
}

// block is what a few seconds of traffic were like.
type block struct {
	neighbour  []time.Duration // creates at the provider that is well
	refused    []time.Duration // creates at the other one that were refused: 503, not_sent
	waited     int             // and those that got no answer from it, or one
	wrong      []string        // answers of the neighbour that are no success
	slowest    time.Duration   // when its slowest one began, since the block did
	goroutines int             // the most
	files      int             // the most
}

// block sends creates at a steady rate, by turns for the one provider and for the other.
func (w *world) block(t *testing.T, name string, counted bool) block {
	t.Helper()
	g, each, pause := w.gateways[0], 150, 10*time.Millisecond
	var b block
	var mu sync.Mutex
	ctx, stop := context.WithCancel(t.Context())
	var sampling, creates sync.WaitGroup
	sampling.Go(func() {
		for counted && ctx.Err() == nil {
			n, files := g.goroutines(ctx), g.Descriptors()
			mu.Lock()
			b.goroutines, b.files = max(b.goroutines, n), max(b.files, files)
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
		}
	})
	tick, start := time.NewTicker(pause), time.Now()
	for i := range 2 * each {
		<-tick.C
		creates.Go(func() {
			country := []string{"US", "GB"}[i%2]
			customer := fmt.Sprintf("%s-%d", name, i)
			begun := time.Now()
			a := g.create(t.Context(), customer, request(customer, country, published()[0], 0, 2031, false))
			took := time.Since(begun)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case country == "US" && a.status == http.StatusServiceUnavailable:
				b.refused = append(b.refused, took)
			case country == "US":
				b.waited++
			case a.status == http.StatusCreated:
				if b.neighbour = append(b.neighbour, took); took == slices.Max(b.neighbour) {
					b.slowest = begun.Sub(start)
				}
			default:
				b.wrong = append(b.wrong, fmt.Sprintf("%d %s", a.status, a.raw))
			}
		})
	}
	tick.Stop()
	creates.Wait()
	stop()
	sampling.Wait()
	require.Empty(t, b.wrong, "creates at the provider that is well")
	return b
}

// comesBack waits until creates succeed again at the provider that hung.
func (w *world) comesBack(t *testing.T, g *gateway, i int) {
	t.Helper()
	n := 0
	eventually(t, time.Minute, "it is well again", func() bool {
		n++
		customer := fmt.Sprintf("back-%d-%d", i, n)
		return g.create(t.Context(), customer, request(customer, "US", published()[0], 0, 2031, false)).status == http.StatusCreated
	})
}

// compare holds the blocks with the fault against those without.
func (w *world) compare(t *testing.T, sound, hanging, again []block) {
	t.Helper()
	p99 := func(b block) time.Duration { return percentile(b.neighbour, 99) }
	median := func(n int, of func(i int) time.Duration) time.Duration {
		var all []time.Duration
		for i := range n {
			all = append(all, of(i))
		}
		return percentile(all, 50)
	}
	var refused []time.Duration
	waited := 0
	for _, b := range hanging {
		refused, waited = slices.Concat(refused, b.refused), waited+b.waited
	}
	n := len(sound)
	without := median(2*n, func(i int) time.Duration { return p99(slices.Concat(sound, again)[i]) })
	with := median(n, func(i int) time.Duration { return p99(hanging[i]) })
	noise := max(noiseFloor, median(n, func(i int) time.Duration { return (p99(sound[i]) - p99(again[i])).Abs() }))
	for i := range sound {
		t.Logf("block %2d: p50 without, with, without: %s, %s, %s; p99 %s, %s, %s; the slowest with it at %s", i, ms(percentile(sound[i].neighbour, 50)),
			ms(percentile(hanging[i].neighbour, 50)), ms(percentile(again[i].neighbour, 50)), ms(p99(sound[i])), ms(p99(hanging[i])), ms(p99(again[i])),
			hanging[i].slowest.Round(10*time.Millisecond))
	}
	t.Logf("C16: p99 of the neighbour's creates, median of %d blocks: %s without the fault, %s with it (%+.1f %%, noise %s); "+
		"at the provider that hangs %d waited and %d were refused, median %s, p99 %s", n,
		ms(without), ms(with), 100*(float64(with)/float64(without)-1), ms(noise), waited, len(refused),
		ms(percentile(refused, 50)), ms(percentile(refused, 99)))
	if *full {
		require.Less(t, with-without, max(noise, time.Duration(mostGrowth*float64(without))))
	}
	require.Greater(t, len(refused), waited, "most are refused at once")
	require.Less(t, percentile(refused, 50), 500*time.Millisecond, "without waiting for the provider")
}

// goroutines is how many a gateway has; 0 if it does not tell.
func (g *gateway) goroutines(ctx context.Context) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.admin+"/debug/pprof/goroutine?debug=1", http.NoBody)
	if err != nil {
		return 0
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	n := 0
	_, _ = fmt.Fscanf(resp.Body, "goroutine profile: total %d\n", &n)
	_, _ = io.Copy(io.Discard, resp.Body)
	return n
}
