package chaos

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// A provider that answers with 100 MB, with what unpacks to 100 MB, or with a byte a
// second costs the gateway less than 8 MiB each time and no more time than its timeout and half a
// second; what it stored is found, once.
func TestHostileProvidersCostLittle(t *testing.T) {
	w := newWorld(t, 1)
	g := w.gateways[0]
	customer := 0
	store := func(t *testing.T, provider string, rule *fault.Rule) time.Duration {
		t.Helper()
		customer++
		w.know(t, customer)
		if rule != nil {
			rule.Times = 1
			w.fail(t, provider, *rule)
		}
		begin := time.Now()
		a := g.create(t.Context(), fmt.Sprintf("hostile-%d", customer), create(customer, provider))
		took := time.Since(begin)
		require.Contains(t, []int{http.StatusCreated, http.StatusAccepted}, a.status, "%s", a.raw)
		return took
	}
	// The timeout of each provider here is one second; the look-up that follows an answer
	// which says nothing is quick, since the fault is used up by then.
	const limit = 1500 * time.Millisecond
	hostile := []fault.Rule{{Fault: fault.HugeBody}, {Fault: fault.GzipBomb}, {Fault: fault.SlowBody, DelayMS: 1000}}
	for range 5 { // what the first calls set up, and what they leave for the collector
		for _, provider := range providers() {
			store(t, provider, nil)
		}
	}
	first := g.Memory()
	for _, provider := range providers() {
		for _, rule := range hostile {
			before, peak := g.Memory(), watchMemory(g)
			took := store(t, provider, &rule)
			grown := peak() - before
			t.Logf("%-16s %-10s answered after %s, memory grew by %d KiB", provider, rule.Fault, took.Round(time.Millisecond), grown>>10)
			require.Less(t, took, limit)
			require.Less(t, grown, int64(8<<20))
		}
	}
	// The collector lets the heap grow to five times what lives, so that all of them
	// together cost more than one of them.
	t.Logf("all of them: %d KiB more than the %d KiB before", (g.Memory()-first)>>10, first>>10)
	for _, provider := range providers() {
		eventually(t, 20*time.Second, "every instrument is there once", func() bool { return len(w.live(t, provider)) == 5+len(hostile) })
	}
}

// watchMemory samples a gateway's memory until the function that it returns is called,
// which gives the most that there was.
func watchMemory(g *gateway) (peak func() int64) {
	stop, result := make(chan struct{}), make(chan int64)
	go func() {
		most := g.Memory()
		for {
			select {
			case <-stop:
				result <- max(most, g.Memory())
				return
			case <-time.After(10 * time.Millisecond):
				most = max(most, g.Memory())
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-result
	}
}
