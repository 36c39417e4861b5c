package chaos

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// C24, the part of what is at rest: the encryption key and the reference key are
// rotated in three gateways under a load of creates, replays of old keys and reads.
// What the store holds comes under the new keys by itself, the old key is removed, and
// no request notices.
func TestC24KeysAreRotatedUnderLoad(t *testing.T) {
	t.Parallel()
	redis := redistest.StartServer(t, "--rdbcompression", "no")
	r := newRotating(t, 3, redis.Addr)
	early := r.load(t, 2*time.Second, nil)
	require.Empty(t, early.faults)

	stop := make(chan struct{})
	var loading sync.WaitGroup
	y := &rotationTally{}
	loading.Go(func() { y = r.loadUntil(t, stop, early) })
	r.pause(1, 5)
	// A key comes behind the others first, everywhere, and then before them.
	r.put(t, ring{reference: []string{"k1", "k2"}, encryption: []string{"r-k1", "e1"}})
	r.put(t, ring{reference: []string{"k2", "k1"}, encryption: []string{"e1"}})
	under := r.rotated(t, "e1", "r-k1")
	r.put(t, ring{reference: []string{"k2", "k1"}, encryption: []string{"e1", "e2"}})
	r.put(t, ring{reference: []string{"k2", "k1"}, encryption: []string{"e2", "e1"}})
	r.rotated(t, "e2", "e1")
	r.put(t, ring{reference: []string{"k2", "k1"}, encryption: []string{"e2"}})
	r.pause(1, 5)
	close(stop)
	loading.Wait()

	require.Empty(t, y.faults, "requests that failed: %d", len(y.faults))
	all := append(append([]acknowledged{}, early.made...), y.made...)
	require.Greater(t, len(all), size(200, 2000))
	require.Positive(t, y.replays)
	for i, s := range sample(all) {
		r.resolves(t, r.gateways[i%len(r.gateways)], s.id)
	}
	r.heardOf(t, all)
	r.notReadable(t, redisTexts(t, redis), all)
	t.Logf("C24: %d creates, %d replays of keys from before and %d reads (%.0f/s) over 3 gateways, 0 failed, while 2 encryption keys and 1 reference key were rotated\n"+
		"  %d values came under the first new key, 0 were left under the old one; then the next one was rotated in, and the first removed at 0", len(y.made), y.replays, y.reads,
		float64(len(y.made)+y.replays+y.reads)/y.took.Seconds(), under)
}

// rotating is gateways whose keys are exchanged while they serve.
type rotating struct {
	*world
	*listener        // what the tenant's events are sent to
	keys      string // the folder with the values of the keys
}

// ring is what a configuration says of keys: their ids, the current one first.
type ring struct{ reference, encryption []string }

func newRotating(t *testing.T, gateways int, redis string) *rotating {
	t.Helper()
	r := &rotating{world: newWorldOver(t, 0, redis, "dev"), listener: listen(t), keys: t.TempDir()}
	for i, id := range []string{"k1", "k2", "e1", "e2"} {
		value := base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("no secret, only 32 bytes: key %2d", i)))
		require.NoError(t, os.WriteFile(filepath.Join(r.keys, id), []byte(value), 0o600))
	}
	for range gateways {
		g := r.newGatewayAs(t, settings{admin: programs.FreePort(t), events: telling(r.listener)})
		g.Kill()
		r.edit(t, g, func(text string) string {
			text = strings.NewReplacer("timeout: 1s", "timeout: 5s", "lease: 3s", "lease: 10s").Replace(text)
			return strings.Replace(text, "reference: env:CHAOS_REFERENCE_KEY", "reference: file:"+filepath.Join(r.keys, "k1"), 1)
		})
		r.run(t, g)
		r.gateways = append(r.gateways, g)
	}
	for n := 1; n <= known; n++ {
		r.know(t, n)
	}
	return r
}

// edit replaces a gateway's configuration file as a whole.
func (r *rotating) edit(t *testing.T, g *gateway, change func(string) string) {
	t.Helper()
	text, err := os.ReadFile(g.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(g.config+".new", []byte(change(string(text))), 0o600))
	require.NoError(t, os.Rename(g.config+".new", g.config))
}

// put writes the rings into every gateway's file, and waits until they are in force.
func (r *rotating) put(t *testing.T, now ring) {
	t.Helper()
	list := func(ids []string) string {
		out := make([]string, len(ids))
		for i, id := range ids {
			if out[i] = fmt.Sprintf("{id: %s, value: %q}", id, "file:"+filepath.Join(r.keys, id)); strings.HasPrefix(id, "r-") {
				out[i] = fmt.Sprintf("{id: %s}", id)
			}
		}
		return "[" + strings.Join(out, ", ") + "]"
	}
	section := "keys:\n  reference: " + list(now.reference) + "\n"
	if len(now.encryption) > 0 {
		section += "  encryption: " + list(now.encryption) + "\n"
	}
	t.Logf("%s: %v", time.Now().Format(time.TimeOnly), now)
	for _, g := range r.gateways {
		before := r.generation(t, g)
		r.edit(t, g, func(text string) string {
			return regexp.MustCompile(`(?m)^keys:\n(  .*\n)+`).ReplaceAllLiteralString(text, section)
		})
		eventually(t, 30*time.Second, "the new keys are in force", func() bool { return r.generation(t, g) > before })
	}
}

// generation is the number of the configuration that a gateway has in force.
func (r *rotating) generation(t *testing.T, g *gateway) float64 {
	t.Helper()
	a := g.send(t.Context(), "acme0000", http.MethodGet, "/readyz", "", nil)
	require.Nil(t, a.body["config_error"], "%s", a.raw)
	n, _ := a.body["generation"].(float64)
	return n
}

// rotated waits until nothing is under the old key, as every gateway says, and returns
// how much is under the new one.
func (r *rotating) rotated(t *testing.T, key, old string) (values int) {
	t.Helper()
	for _, g := range r.gateways {
		eventually(t, 2*time.Minute, "the old key's count is 0", func() bool {
			m := g.metrics(t)
			values = int(m[`polyvault_encryption_values{key="`+key+`"}`])
			left, told := m[`polyvault_encryption_values{key="`+old+`"}`]
			return told && left == 0 && values > 0 && m["polyvault_encryption_walk_pending"] == 0
		})
	}
	return values
}

// metrics scrapes a gateway.
func (g *gateway) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.admin+"/metrics", http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	out := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); found && err == nil {
			out[name] = v
		}
	}
	return out
}

// pause lets the load go on for some seconds.
func (r *rotating) pause(daily, inFull int) {
	time.Sleep(time.Duration(size(daily, inFull)) * time.Second)
}

// acknowledged is an instrument that was acknowledged, with what it was stored by.
type acknowledged struct {
	key, id string
	body    object
}

type rotationTally struct {
	made           []acknowledged
	replays, reads int
	faults         []string
	took           time.Duration
}

func (r *rotating) load(t *testing.T, length time.Duration, before *rotationTally) *rotationTally {
	t.Helper()
	stop := make(chan struct{})
	time.AfterFunc(length, func() { close(stop) })
	return r.loadUntil(t, stop, before)
}

// loadUntil sends 200 requests a second to the gateways in turn: creates, creates that
// are sent again under the keys of before, and reads.
func (r *rotating) loadUntil(t *testing.T, stop <-chan struct{}, before *rotationTally) *rotationTally {
	t.Helper()
	y := &rotationTally{}
	var mu sync.Mutex
	work := make(chan int)
	var workers sync.WaitGroup
	began := time.Now()
	for range 32 {
		workers.Go(func() {
			for n := range work {
				g := r.gateways[n%len(r.gateways)]
				mu.Lock()
				var again, read *acknowledged
				switch {
				case n%3 == 1 && before != nil && len(before.made) > 0:
					again = &before.made[n%len(before.made)]
				case n%3 != 0 && len(y.made) > 0:
					read = &y.made[n%len(y.made)]
				}
				mu.Unlock()
				made, fault := r.one(t.Context(), g, fmt.Sprintf("c24-%d-%d", began.UnixNano(), n), n, again, read)
				mu.Lock()
				switch {
				case fault != "":
					y.faults = append(y.faults, fault)
				case again != nil:
					y.replays++
				case read != nil:
					y.reads++
				default:
					y.made = append(y.made, made)
				}
				mu.Unlock()
			}
		})
	}
	tick := time.NewTicker(time.Second / 200)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			close(work)
			workers.Wait()
			y.took = time.Since(began)
			return y
		case <-tick.C:
			work <- n
		}
	}
}

// one makes a create, sends one again, or reads. fault is what was wrong with the answer.
func (r *rotating) one(ctx context.Context, g *gateway, key string, n int, again, read *acknowledged) (made acknowledged, fault string) {
	switch {
	case again != nil:
		a := g.create(ctx, again.key, again.body)
		if a.status != http.StatusCreated || a.str("id") != again.id || a.header.Get("Idempotent-Replayed") != "true" {
			return made, fmt.Sprintf("%s was answered %s and is now %d %s", again.key, again.id, a.status, a.raw)
		}
	case read != nil:
		if a := g.send(ctx, "acme0000", http.MethodGet, "/v1/instruments/"+read.id, "", nil); a.status != http.StatusOK || a.header.Get("Gateway-Stale") != "" {
			return made, fmt.Sprintf("GET %s: %d %s", read.id, a.status, a.raw)
		}
	default:
		made = acknowledged{key: key, body: create(1+n%known, providers()[n/3%3])}
		if made.body["country"] != "CA" {
			made.body["customer_id"] = "cus-" + key // a customer of its own: the card is no duplicate
		}
		vaulted, _ := made.body["sources"].([]object)
		vaulted[1]["vault_token"] = "token-" + key
		a := g.create(ctx, key, made.body)
		if made.id = a.str("id"); a.status != http.StatusCreated {
			return made, fmt.Sprintf("create %s: %d %s", key, a.status, a.raw)
		}
	}
	return made, ""
}
