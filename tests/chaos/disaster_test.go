package chaos

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// C25: a Redis that loses everything in the middle of the load is rebuilt from a
// backup, which was made while gateways served, and from their journals: every
// instrument that a client was ever told about resolves by its old id, and nothing is
// stored twice. The same records then go to bbolt, and back to Redis.
func TestC25TotalLoss(t *testing.T) {
	t.Parallel()
	redis := redistest.StartServer(t, kept()...)
	folder := t.TempDir()
	journal, backup := filepath.Join(folder, "journal"), filepath.Join(folder, "backup.pvb")
	onRedis := fmt.Sprintf("redis: {url: \"redis://%s/0\", durability: strict}\n  journal: {path: %s}", redis.Addr, journal)
	w := newWorldIn(t, 3, onRedis)
	for n := range known {
		w.know(t, n+1)
	}
	jobs := differentCards(size(300, 10_000))
	done := make(chan struct{})
	var y *tally
	go func() {
		defer close(done)
		y = w.load(t.Context(), jobs, 32, 2*time.Minute)
	}()
	w.awaitStored(t, len(jobs)/3)
	w.command(t, w.gateways[0], "backup", "--out", backup)
	w.awaitStored(t, 2*len(jobs)/3)
	redis.Do(t, "FLUSHALL")
	begun := time.Now()
	said := w.command(t, w.gateways[0], "restore", backup, journal)
	t.Logf("C25: restored after FLUSHALL within %s:\n%s", time.Since(begun).Round(time.Millisecond), said)
	<-done
	require.Empty(t, y.open)
	for key, why := range y.rejected {
		// The store did not know BigCommerce's customers for a moment: nothing was sent.
		require.Contains(t, why, "customer_reference_required", key)
	}
	v := w.rest(t, y, redis.Dir)
	require.Empty(t, v.faults())
	t.Logf("C25: %d acknowledged instruments resolve", w.resolveAll(t, y))

	for _, g := range w.gateways {
		require.NoError(t, g.Terminate(t))
	}
	moved := filepath.Join(folder, "moved.pvb")
	w.command(t, w.gateways[0], "backup", "--out", moved)
	onBolt := fmt.Sprintf("bolt: {path: %s}", filepath.Join(folder, "polyvault.db"))
	g := w.gateways[0]
	w.gateways = w.gateways[:1]
	w.restoreInto(t, g, onRedis, onBolt, moved, y)

	back := filepath.Join(folder, "back.pvb")
	w.command(t, g, "backup", "--out", back)
	redis.Do(t, "FLUSHALL")
	w.restoreInto(t, g, onBolt, onRedis, back, y)
}

// restoreInto moves a stopped gateway from one store to an empty one, by a backup, and
// asks for everything.
func (w *world) restoreInto(t *testing.T, g *gateway, from, to, backup string, y *tally) {
	t.Helper()
	raw, err := os.ReadFile(g.config)
	require.NoError(t, err)
	require.Contains(t, string(raw), from)
	require.NoError(t, os.WriteFile(g.config, []byte(strings.Replace(string(raw), from, to, 1)), 0o600))
	begun := time.Now()
	said := w.command(t, g, "restore", backup)
	t.Logf("C25: into %.5s within %s:\n%s", to, time.Since(begun).Round(time.Millisecond), said)
	w.run(t, g)
	t.Logf("C25: %d acknowledged instruments resolve", w.resolveAll(t, y))
	require.NoError(t, g.Terminate(t))
}

// differentCards are creates of which no two are of one card of one customer, so that
// what is stored twice was stored twice by the gateway.
func differentCards(n int) []job {
	jobs := make([]job, n)
	numbers := published()
	for i := range jobs {
		country := []string{"US", "GB", "CA"}[i%3]
		vaulted, nth := country == "CA", i/3/known
		customer := fmt.Sprintf("cus-%d", 1+i/3%known)
		if !vaulted {
			nth = i / 3 % len(numbers)
			customer = fmt.Sprintf("card-%s-%d", country, i/3/len(numbers))
		}
		jobs[i] = job{
			key: fmt.Sprintf("c25-%d", i), customer: customer,
			body: request(customer, country, numbers[nth%len(numbers)], nth, 2030+nth/len(numbers)%40, vaulted),
		}
	}
	return jobs
}

// awaitStored waits until so many instruments are live at the providers.
func (w *world) awaitStored(t *testing.T, n int) {
	t.Helper()
	eventually(t, 5*time.Minute, fmt.Sprintf("%d instruments are stored", n), func() bool {
		live := 0
		for _, p := range providers() {
			live += len(w.live(t, p))
		}
		return live >= n
	})
}

// command runs a command of the binary with a gateway's configuration, and returns
// what it printed.
func (w *world) command(t *testing.T, g *gateway, name string, args ...string) string {
	t.Helper()
	stdout, stderr, err := programs.Run(t, g.env, append([]string{name, "--config", g.config}, args...)...)
	require.NoError(t, err, "%s: %s", name, stderr)
	return stdout + stderr
}

// resolveAll reads every id that a client was told, and counts them.
func (w *world) resolveAll(t *testing.T, y *tally) int {
	t.Helper()
	var ids []string
	for _, k := range y.keys {
		ids = append(ids, k.ids...)
	}
	statuses := make([]int, len(ids))
	inParallel(len(ids), func(i int) {
		statuses[i] = w.ask(t.Context(), i, "/v1/instruments/"+ids[i]+"?read=stored").status
	})
	for i, status := range statuses {
		require.Equal(t, http.StatusOK, status, ids[i])
	}
	return len(ids)
}
