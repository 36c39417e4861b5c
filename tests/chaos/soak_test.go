package chaos

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// soak is how long TestSoak runs. `make soak` sets it.
var soak = flag.Duration("soak", 0, "run the soak test for so long; 0 for a few seconds at 100 requests a second")

// soakRate is for machines that cannot do so much.
var soakRate = flag.Int("soak-rate", 300, "requests a second of a soak")

// soakEvery is how many samples a soak has at least; there is one every 10 s at least.
const soakEvery = 10

// Hours of the same load leave nothing behind: no request fails, and memory, goroutines
// and descriptors are as flat in the second half as noise lets them be. Everything is
// switched on: limits, the audit log, encryption, events, metrics and traces.
func TestSoak(t *testing.T) {
	t.Parallel()
	length, rate := *soak, *soakRate
	if length == 0 {
		length, rate = 8*time.Second, 100
	}
	w := newWorldIn(t, 0, fmt.Sprintf(`redis: {url: "redis://%s/0"}`, redistest.Start(t, "--appendonly", "yes")))
	l := listen(t)
	own := everythingOn(t, l)
	g := w.newGatewayAs(t, own.settings)
	w.gateways = append(w.gateways, g)
	y := newTraffic(newBalancer(t, w.gateways), "soak", mix{live: 50, stored: 15, creates: 20, changes: 10})
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var load sync.WaitGroup
	load.Go(func() { y.run(ctx, rate) })
	samples := sampled(t, g, ctx, min(10*time.Second, length/(2*soakEvery)))
	load.Wait()

	t.Logf("soak: %s, %d requests (%.1f a second, %v), %d failed, slowest answer %s", length, y.sent(), float64(y.sent())/length.Seconds(), y.counts, len(y.faults),
		y.worst.Round(time.Millisecond))
	require.Empty(t, y.faults, "%d requests failed", len(y.faults))
	require.Greater(t, float64(y.sent()), 0.9*length.Seconds()*float64(rate), "the rate was kept")
	for _, v := range flatness(samples) {
		t.Log("soak: " + v.told)
		if *soak > 0 { // nothing is flat before the caches and the pools are full
			require.True(t, v.flat, v.told)
		}
	}
	w.leftItsTraces(t, g, own, l, y)
}

// loud is settings of a gateway that tells everything to everybody.
type loud struct {
	settings
	audit string // the file
	spans func() int64
}

func everythingOn(t *testing.T, l *listener) loud {
	t.Helper()
	own := loud{settings: patient(), audit: filepath.Join(t.TempDir(), "audit.jsonl")}
	var spans atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		spans.Add(1)
	}))
	t.Cleanup(collector.Close)
	own.spans = spans.Load
	own.admin = programs.FreePort(t)
	own.events = fmt.Sprintf("events: {endpoints: [{url: %q, secrets: [env:CHAOS_EVENT_SECRET]}]}", l.url)
	own.more += fmt.Sprintf(`
audit: {file: %q, max_bytes: 131072}
tracing: {endpoint: %q, sample: 0.05}
limits:
  tenant: {rate: 10000}
  key: {rate: 5000}
  creates_per_customer: {limit: 100}
  creates_per_address: {limit: 1000, per: 1s}
  declines_per_customer: {limit: 10}
`, own.audit, collector.URL)
	return own
}

// leftItsTraces checks that what was switched on did its work: every create and change
// is an event that was delivered and a line of the audit log, and values are sealed.
func (w *world) leftItsTraces(t *testing.T, g *gateway, own loud, l *listener, y *traffic) {
	t.Helper()
	eventually(t, time.Minute, "every event is delivered", func() bool {
		return len(l.of("instrument.created")) == y.counts["create"] && len(l.of("instrument.updated")) == y.counts["change"]
	})
	require.Empty(t, l.wrong)
	eventually(t, 10*time.Second, "spans are exported", func() bool { return own.spans() > 0 })
	require.NoError(t, g.Terminate(t), "%s", g.Log.Warnings())
	files, err := filepath.Glob(own.audit + "*") // what is full has become one with a number
	require.NoError(t, err)
	out, _, err := programs.Run(t, g.env, append([]string{"audit", "verify", "--config", g.config}, files...)...)
	require.NoError(t, err, "%s", out)
	var text []byte
	for _, file := range files {
		part, err := os.ReadFile(file)
		require.NoError(t, err)
		text = append(text, part...)
	}
	require.Equal(t, y.counts["create"], strings.Count(string(text), `"instrument.create"`))
	require.Equal(t, y.counts["change"], strings.Count(string(text), `"instrument.update"`))
	t.Logf("soak: %d events delivered, %d lines of audit log verified, %d exports of spans; %s",
		len(l.of("instrument.created"))+len(l.of("instrument.updated")), bytes.Count(text, []byte("\n")), own.spans(), strings.TrimSpace(out))
}

// sign says whether something was flat.
type sign struct {
	name string
	flat bool
	told string
}

// flatness judges the second half of the samples: what grows by more than noise and
// 5 % is not flat. Connections are opened in bursts and closed when they have been idle
// for a minute or two: of what goes with them a leak raises the floor, the least of each
// third of that time.
func flatness(samples []vital) (out []sign) {
	half := samples[len(samples)/2:]
	for _, what := range []struct {
		name  string
		of    func(vital) float64
		unit  string
		noise float64 // what the second half may grow by, in units
		floor bool
	}{
		{"memory", func(v vital) float64 { return v.memory / (1 << 20) }, " MiB", 16, false},
		{"heap after a collection", func(v vital) float64 { return v.heap / (1 << 20) }, " MiB", 8, false},
		{"goroutines", func(v vital) float64 { return v.goroutines }, "", 20, true},
		{"descriptors", func(v vital) float64 { return v.descriptors }, "", 20, true},
	} {
		judged := half
		if what.floor {
			judged = floors(half, what.of)
		}
		mean, growth := 0.0, slope(judged, what.of)*half[len(half)-1].at.Sub(half[0].at).Minutes()
		for _, v := range judged {
			mean += what.of(v) / float64(len(judged))
		}
		limit := what.noise + 0.05*mean
		out = append(out, sign{what.name, growth <= limit, fmt.Sprintf("%s: %.1f%s at first, %.1f on average in the second half, which grew by %+.2f (least squares; up to %.1f is noise)",
			what.name, what.of(samples[0]), what.unit, mean, growth, limit)})
	}
	return out
}

// floors are the samples in which a value is least, one of each third of them.
func floors(samples []vital, of func(vital) float64) (out []vital) {
	for part := range slices.Chunk(samples, max(1, len(samples)/3)) {
		out = append(out, slices.MinFunc(part, func(a, b vital) int { return cmp.Compare(of(a), of(b)) }))
	}
	return out
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

// A soak is judged by numbers that a leak changes: whatever leaks is found, and noise is not.
func TestALeakIsNotFlat(t *testing.T) {
	t.Parallel()
	soaked := func(leak func(*vital, float64)) (leaks []string) {
		var samples []vital
		for i := range 60 {
			minutes, noise := float64(i)/6, float64(i%3)
			v := vital{
				at: time.Time{}.Add(time.Duration(i) * 10 * time.Second), memory: (80 + noise) * (1 << 20), heap: (30 + noise) * (1 << 20),
				goroutines: 60 + 5*noise, descriptors: 50 + 3*noise,
			}
			leak(&v, minutes)
			samples = append(samples, v)
		}
		for _, v := range flatness(samples) {
			if !v.flat {
				leaks = append(leaks, v.name)
			}
		}
		return leaks
	}
	require.Empty(t, soaked(func(*vital, float64) {}))
	require.Empty(t, soaked(func(v *vital, m float64) { v.heap += min(m, 2) * 20 * (1 << 20) }), "caches that become full")
	require.Empty(t, soaked(func(v *vital, m float64) {
		if minute := int(m) % 3; minute == 0 {
			v.goroutines, v.descriptors = v.goroutines+200, v.descriptors+170
		}
	}), "bursts of connections, one of them at the end")
	const requests = 300 * 60 // in a minute
	require.Equal(t, []string{"memory"}, soaked(func(v *vital, m float64) { v.memory += m * requests * 300 }), "300 bytes of each request")
	require.Equal(t, []string{"heap after a collection"}, soaked(func(v *vital, m float64) { v.heap += m * requests * 150 }), "150 bytes of each request")
	require.Equal(t, []string{"goroutines"}, soaked(func(v *vital, m float64) { v.goroutines += m * requests / 3000 }), "one of 3,000 requests")
	require.Equal(t, []string{"descriptors"}, soaked(func(v *vital, m float64) { v.descriptors += m * requests / 3000 }), "one of 3,000 requests")
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
