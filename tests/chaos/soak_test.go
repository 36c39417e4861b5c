package chaos

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// soak is how long TestSoak runs; 0 leaves it out.
var soak = flag.Duration("soak", 0, "run the soak test for so long")

const (
	soakRate  = 300 // requests a second
	soakEvery = 10  // samples: a soak has this many at least, and one every 10 s at most
)

// Hours of the same load leave nothing behind: no request fails, and memory, goroutines
// and descriptors are as flat in the second half as noise lets them be.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("make soak runs it")
	}
	t.Parallel()
	w := newWorldIn(t, 0, fmt.Sprintf(`redis: {url: "redis://%s/0"}`, redistest.Start(t, "--appendonly", "yes")))
	own := patient()
	own.admin = programs.FreePort(t)
	w.gateways = append(w.gateways, w.newGatewayAs(t, own))
	y := newTraffic(newBalancer(t, w.gateways), "soak", mix{live: 70, stored: 20, creates: 10})
	ctx, cancel := context.WithTimeout(t.Context(), *soak)
	defer cancel()
	var load sync.WaitGroup
	load.Go(func() { y.run(ctx, soakRate) })
	samples := sampled(t, w.gateways[0], ctx, min(10*time.Second, *soak/(2*soakEvery)))
	load.Wait()

	sent := 0
	for _, n := range y.counts {
		sent += n
	}
	t.Logf("soak: %s, %d requests (%.0f a second, %v), %d failed, slowest answer %s", *soak, sent, float64(sent)/soak.Seconds(), y.counts, len(y.faults),
		y.worst.Round(time.Millisecond))
	require.Empty(t, y.faults, "%d requests failed", len(y.faults))
	half := samples[len(samples)/2:]
	for _, what := range []struct {
		name  string
		of    func(vital) float64
		unit  string
		noise float64 // what the second half may grow by, in units
	}{
		{"memory", func(v vital) float64 { return v.memory / (1 << 20) }, "MiB", 16},
		{"heap after a collection", func(v vital) float64 { return v.heap / (1 << 20) }, "MiB", 8},
		{"goroutines", func(v vital) float64 { return v.goroutines }, "", 20},
		{"descriptors", func(v vital) float64 { return v.descriptors }, "", 20},
	} {
		first, mean, growth := what.of(samples[0]), 0.0, slope(half, what.of)*half[len(half)-1].at.Sub(half[0].at).Minutes()
		for _, v := range half {
			mean += what.of(v) / float64(len(half))
		}
		t.Logf("soak: %s: %.1f %s at first, %.1f on average in the second half, which grew by %+.2f (least squares; noise %.0f + 5 %%)", what.name, first, what.unit, mean, growth, what.noise)
		require.Less(t, growth, what.noise+0.05*mean, what.name)
	}
}

// vital is one sample.
type vital struct {
	at                                    time.Time
	memory, heap, goroutines, descriptors float64
}

// sampled takes samples until ctx is done.
func sampled(t *testing.T, g *gateway, ctx context.Context, every time.Duration) []vital { //nolint:revive // the test comes first
	t.Helper()
	var out []vital
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			require.GreaterOrEqual(t, len(out), soakEvery)
			return out
		case <-tick.C:
		}
		// The profile collects garbage first, so that what is left is in use.
		_ = scrape(t, g.admin+"/debug/pprof/heap?gc=1")
		text := scrape(t, g.admin+"/metrics")
		v := vital{
			at: time.Now(), memory: float64(g.Memory()), heap: value(t, text, "go_memstats_heap_inuse_bytes"),
			goroutines: value(t, text, "go_goroutines"), descriptors: value(t, text, "process_open_fds"),
		}
		out = append(out, v)
		t.Logf("soak: %3d: memory %.1f MiB, heap %.1f MiB, goroutines %.0f, descriptors %.0f", len(out), v.memory/(1<<20), v.heap/(1<<20), v.goroutines, v.descriptors)
	}
}

func scrape(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}

// value is one value of a scrape.
func value(t *testing.T, text, name string) float64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			require.NoError(t, err)
			return v
		}
	}
	require.Fail(t, "there is no such metric", name)
	return 0
}

// slope is how much a value grows in a minute, by least squares.
func slope(samples []vital, of func(vital) float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, v := range samples {
		x := v.at.Sub(samples[0].at).Minutes()
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+of(v), sxx+x*x, sxy+x*of(v)
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

func TestSlope(t *testing.T) {
	t.Parallel()
	var samples []vital
	for i := range 31 {
		samples = append(samples, vital{at: time.Time{}.Add(time.Duration(i) * 10 * time.Second), memory: 100 + 2*float64(i) + float64(i%2)})
	}
	require.InDelta(t, 12, slope(samples, func(v vital) float64 { return v.memory }), 0.1, "two in ten seconds")
	require.InDelta(t, 0, slope(samples, func(vital) float64 { return 7 }), 1e-9)
}
