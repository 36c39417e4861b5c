package chaos

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// patient is a gateway whose providers may be slow on a machine that does much else,
// and that tells a load balancer that it ends before it does.
func patient() settings {
	own := settings{shapes: map[string]string{}, lease: "10s", more: "shutdown: {delay: 500ms, timeout: 20s}"}
	for _, p := range providers() {
		own.shapes[p] = "timeout: 5s\n    breaker: {consecutive_failures: 1000, min_requests: 1000}"
	}
	return own
}

// C18: three gateways on one Redis, replaced one after the other, again and again, under
// a mixed load behind a load balancer: no request fails, and each gateway ends by itself
// within 25 seconds.
func TestC18RollingRestart(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, 0, fmt.Sprintf(`redis: {url: "redis://%s/0", durability: dev}`, redistest.Start(t)))
	for range 3 {
		w.gateways = append(w.gateways, w.newGatewayAs(t, patient()))
	}
	y := newTraffic(newBalancer(t, w.gateways), "c18", mix{live: 60, stored: 20, creates: 10})
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	rate, loaded := size(100, 300), time.Now()
	load.Go(func() { y.run(ctx, rate) })
	defer load.Wait()
	defer cancel()
	time.Sleep(500 * time.Millisecond)

	length := time.Duration(size(0, 60)) * time.Second
	restarts, slowest := 0, time.Duration(0)
	for begun := time.Now(); restarts < 3 || time.Since(begun) < length; restarts++ {
		g := w.gateways[restarts%3]
		asked := time.Now()
		require.NoError(t, g.Terminate(t), "exit code 0; it said:\n%s", g.Log.Warnings())
		took := time.Since(asked)
		require.Less(t, took, 25*time.Second)
		slowest = max(slowest, took)
		w.run(t, g)
		time.Sleep(3 * pollEvery) // the load balancer has seen it
	}
	cancel()
	load.Wait()
	require.Empty(t, y.faults, "%d requests failed", len(y.faults))
	sent, took := y.sent(), time.Since(loaded)
	require.Greater(t, sent, 100)
	require.Greater(t, float64(sent)/took.Seconds(), 0.9*float64(rate), "the rate was kept")
	require.NotZero(t, y.counts["list"])
	t.Logf("C18: %d restarts under %d requests (%.0f a second, %v): 0 failed; %d were refused a connection and sent on; exit code 0, the slowest after %s; slowest answer %s",
		restarts, sent, float64(sent)/took.Seconds(), y.counts, y.b.refused.Load(), slowest.Round(time.Millisecond), y.worst.Round(time.Millisecond))
}
