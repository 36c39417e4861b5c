package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// C17: ten configurations a second, of which every third is broken, under a load of
// creates and reads. No request notices, every create went where a configuration that
// was in force at that time sent it, and the last good one is in force in the end.
func TestC17ReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSwitching(t)
	s.load(t, time.Second) // the machinery is warm
	s.write(t, s.good(1), false)
	s.until(t, "r-1")
	before := s.vitals(t)

	stop := make(chan struct{})
	var writer sync.WaitGroup
	written := writes{}
	writer.Go(func() { written = s.rewrite(t, stop) })
	length := time.Duration(size(5, 60)) * time.Second
	y := s.load(t, length)
	close(stop)
	writer.Wait()
	require.NoError(t, written.err)

	last := written.last + 1
	for last%4 != 1 {
		last++ // with clients that have no connection yet, as when it was looked at before
	}
	s.write(t, s.good(last), false)
	s.until(t, fmt.Sprintf("r-%d", last))
	a := s.g.create(t.Context(), "the-last", s.request("the-last"))
	require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
	require.Equal(t, s.provider(last), a.header.Get("Gateway-Provider"))

	require.Empty(t, y.errors, "requests that failed: %d", len(y.errors))
	gens := s.generations(t)
	for _, c := range y.creates {
		require.Contains(t, s.allowed(gens, c), c.provider, "a create from %s to %s", c.began, c.ended)
	}
	// Not vacuous: the configurations were exchanged, and the broken ones noticed.
	require.GreaterOrEqual(t, len(gens), size(10, 120))
	require.GreaterOrEqual(t, s.metric(t, `polyvault_config_reloads_total{result="failure"}`), float64(size(3, 40)))
	require.InDelta(t, len(gens), s.metric(t, "polyvault_config_generation"), 0)
	require.InDelta(t, 1, s.metric(t, "polyvault_config_last_reload_success"), 0)

	var after vitals
	defer func() { t.Logf("before: %+v, after: %+v", before, after) }()
	eventually(t, 45*time.Second, "goroutines and descriptors are as few as before", func() bool {
		after = s.vitals(t)
		return after.goroutines <= before.goroutines+10 && after.descriptors <= before.descriptors+10
	})
	t.Logf("C17: %d configurations written in %s, %d broken; %d generations, %d refusals told\n"+
		"  %d creates and %d reads (%.0f/s), 0 errors, every create at a provider of a configuration in force\n"+
		"  goroutines %.0f → %.0f, descriptors %.0f → %.0f",
		written.all, length, written.broken, len(gens), int(s.metric(t, `polyvault_config_reloads_total{result="failure"}`)),
		len(y.creates), y.reads, float64(len(y.creates)+y.reads)/length.Seconds(),
		before.goroutines, after.goroutines, before.descriptors, after.descriptors)
}

// switching is a gateway whose configuration is written again and again. Configuration
// n has one route, r-n, to one provider.
type switching struct {
	*world
	g     *gateway
	admin string
	base  string // the configuration without its routes
}

func newSwitching(t *testing.T) *switching {
	t.Helper()
	w := newWorldIn(t, 1, fmt.Sprintf("bolt: {path: %q}", filepath.Join(t.TempDir(), "polyvault.db")))
	s := &switching{world: w, g: w.gateways[0], admin: programs.FreePort(t)}
	s.g.Kill()
	text, err := os.ReadFile(s.g.config)
	require.NoError(t, err)
	head, tail, found := strings.Cut(string(text), "routes:")
	require.True(t, found)
	_, tail, found = strings.Cut(tail, "insecure_providers:")
	require.True(t, found)
	// One more provider than can have been in force during one short request.
	head += fmt.Sprintf("  - name: rebilly-two\n    type: rebilly\n    timeout: 1s\n"+
		"    config: {base_url: \"http://%s\", organization_id: org_sandbox, api_key: env:CHAOS_REBILLY_KEY}\n", w.stands[rebilly])
	s.base = strings.NewReplacer(
		`admin_listen: ""`, "admin_listen: "+s.admin, "timeout: 1s", "timeout: 5s", "lease: 3s", "lease: 10s",
	).Replace(head) + "%sinsecure_providers:" + tail
	s.write(t, s.good(0), false)
	w.run(t, s.g)
	return s
}

func (s *switching) provider(n int) string {
	return []string{cybersource, rebilly, "rebilly-two"}[n%3]
}

func (s *switching) good(n int) string {
	text := s.with(fmt.Sprintf("routes: [{name: r-%d, providers: [%s]}]\n", n, s.provider(n)))
	if n%4 == 1 { // now and then the clients are new ones, too
		text = strings.ReplaceAll(text, "timeout: 5s", fmt.Sprintf("timeout: 5s\n    max_in_flight: %d", 65+n))
	}
	return text
}

func (s *switching) with(routes string) string { return strings.Replace(s.base, "%s", routes, 1) }

// broken is one of the ways in which a file can be wrong.
func (s *switching) broken(n int, r *rand.Rand) string {
	text := s.good(n)
	switch n % 4 {
	case 0:
		return text[:r.IntN(strings.Index(text, "insecure_providers:"))] // half-written
	case 1:
		return text + fmt.Sprintf("unknown_key: %d\n", n)
	case 2:
		return s.with(fmt.Sprintf("routes: [{name: r-%d, providers: [nobody-%d]}]\n", n, n))
	default:
		return strings.Replace(text, "env:CHAOS_REBILLY_KEY", fmt.Sprintf("file:/nonexistent/secret-%d", n), 1)
	}
}

// write replaces the file, or writes it in place.
func (s *switching) write(t *testing.T, text string, inPlace bool) {
	t.Helper()
	require.NoError(t, s.put(text, inPlace))
}

func (s *switching) put(text string, inPlace bool) error {
	if inPlace {
		return os.WriteFile(s.g.config, []byte(text), 0o600)
	}
	if err := os.WriteFile(s.g.config+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(s.g.config+".new", s.g.config)
}

type writes struct {
	all, broken, last int
	err               error
}

// rewrite writes ten configurations a second until stop. The test goes on beside it,
// so that it must not end the test.
func (s *switching) rewrite(t *testing.T, stop <-chan struct{}) writes {
	t.Helper()
	r := rand.New(rand.NewPCG(17, 0))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	out := writes{last: 1}
	for {
		select {
		case <-stop:
			return out
		case <-tick.C:
		}
		out.all++
		out.last++
		text := s.good(out.last)
		if out.all%3 == 0 {
			text = s.broken(out.last, r)
			out.broken++
		}
		if err := s.put(text, out.all%2 == 0); err != nil {
			out.err = err
			return out
		}
	}
}

// until waits until a configuration is in force, and the readiness tells no error.
func (s *switching) until(t *testing.T, route string) {
	t.Helper()
	eventually(t, 20*time.Second, route+" is in force", func() bool {
		gens := s.generations(t)
		a := s.g.send(t.Context(), "acme0000", http.MethodGet, "/readyz", "", nil)
		return gens[len(gens)-1].route == route && a.status == http.StatusOK && a.body["config_error"] == nil &&
			a.body["generation"] == float64(len(gens))
	})
}

// generation is a configuration that was in force.
type generation struct {
	route string
	at    time.Time // when it had just been put in force; the first one's is zero
}

// generations reads from the gateway's log what was in force.
func (s *switching) generations(t *testing.T) []generation {
	t.Helper()
	out := []generation{{route: "r-0"}}
	for line := range strings.Lines(s.g.Log.String()) {
		var l struct {
			Msg, Time  string
			Generation int
			Routes     []string
		}
		if !strings.Contains(line, "the configuration was reloaded") || !strings.HasSuffix(line, "\n") {
			continue
		}
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		at, err := time.Parse(time.RFC3339Nano, l.Time)
		require.NoError(t, err)
		require.Equal(t, len(out)+1, l.Generation)
		require.NotEmpty(t, l.Routes, line)
		out = append(out, generation{l.Routes[0], at})
	}
	return out
}

// allowed are the providers of the configurations that can have been in force during a
// create. A configuration comes into force after the one before has been logged, and
// is out of force before the next one has been.
func (s *switching) allowed(gens []generation, c oneCreate) []string {
	var out []string
	for i, g := range gens {
		from, to := gens[max(0, i-1)].at, c.began
		if i+1 < len(gens) {
			to = gens[i+1].at
		}
		if !from.After(c.ended) && !to.Before(c.began) {
			n, _ := strconv.Atoi(strings.TrimPrefix(g.route, "r-"))
			out = append(out, s.provider(n))
		}
	}
	return out
}

type oneCreate struct {
	began, ended time.Time
	provider     string
}

type mixedTally struct {
	creates []oneCreate
	reads   int
	errors  []string
}

func (s *switching) request(customer string) object {
	body := create(1, cybersource)
	body["customer_id"] = customer
	return body
}

// load sends 300 requests a second, of which every third is a create and the others
// read what was created.
func (s *switching) load(t *testing.T, length time.Duration) *mixedTally {
	t.Helper()
	y := &mixedTally{}
	var mu sync.Mutex
	var ids []string
	work := make(chan int)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for n := range work {
				mu.Lock()
				id := ""
				if n%3 != 0 && len(ids) > 0 {
					id = ids[n%len(ids)]
				}
				mu.Unlock()
				c, newID, fault := s.one(t.Context(), fmt.Sprintf("%s-%d", length, n), id)
				mu.Lock()
				switch {
				case fault != "":
					y.errors = append(y.errors, fault)
				case id != "":
					y.reads++
				default:
					y.creates, ids = append(y.creates, c), append(ids, newID)
				}
				mu.Unlock()
			}
		})
	}
	tick := time.NewTicker(time.Second / 300)
	defer tick.Stop()
	end := time.After(length)
	for n := 0; ; n++ {
		select {
		case <-end:
			close(work)
			workers.Wait()
			return y
		case <-tick.C:
			work <- n
		}
	}
}

// one makes a create, or reads id. fault is what was wrong with the answer.
func (s *switching) one(ctx context.Context, name, id string) (c oneCreate, newID, fault string) {
	if id != "" {
		if a := s.g.send(ctx, "acme0000", http.MethodGet, "/v1/instruments/"+id, "", nil); a.status != http.StatusOK || a.header.Get("Gateway-Stale") != "" {
			return c, "", fmt.Sprintf("GET %s: %d %s", id, a.status, a.raw)
		}
		return c, "", ""
	}
	c.began = time.Now()
	a := s.g.create(ctx, name, s.request("cus-"+name))
	c.ended, c.provider = time.Now(), a.header.Get("Gateway-Provider")
	if a.status != http.StatusCreated {
		return c, "", fmt.Sprintf("create %s: %d %s", name, a.status, a.raw)
	}
	return c, a.str("id"), ""
}

// vitals are what a leak would make more of.
type vitals struct{ goroutines, descriptors float64 }

// vitals are taken when nothing is asked for. The clients' own idle connections are
// closed, and those to the providers are new since the last configuration.
func (s *switching) vitals(t *testing.T) vitals {
	t.Helper()
	client.CloseIdleConnections()
	time.Sleep(100 * time.Millisecond)
	return vitals{s.metric(t, "go_goroutines"), s.metric(t, "process_open_fds")}
}

// metric is one value of a scrape.
func (s *switching) metric(t *testing.T, name string) float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.admin+"/metrics", http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			require.NoError(t, err)
			return v
		}
	}
	require.Fail(t, "there is no such metric", name)
	return 0
}
