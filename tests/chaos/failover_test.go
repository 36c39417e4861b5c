package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// kept are the arguments of a Redis that has every write on disk before it answers.
func kept() []string {
	return []string{"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"}
}

// guarded are kept, and for masters that stop when no replica has what they write. A
// replica that hears of a new master only by its ping, every 10 seconds unless told
// otherwise, is of no use to it until then.
func guarded() []string {
	return append(kept(), "--min-replicas-to-write", "1", "--repl-ping-replica-period", "1")
}

// silence is how long no create may succeed while a master is replaced.
const silence = 15 * time.Second

// C5: the master that holds the records is lost in the middle of the load of S1, and
// a replica takes over; it comes back later. Creates succeed again within 15
// seconds, and nothing that was acknowledged is lost.
//
//nolint:tparallel // one after the other: each runs many servers
func TestC5Failover(t *testing.T) {
	t.Parallel()
	n := size(300, 1000)
	t.Run("Sentinel", func(t *testing.T) {
		onlyFull(t)
		set := redistest.StartSentinelSet(t, guarded()...)
		w := newWorldIn(t, 3, fmt.Sprintf(`redis: {addrs: [%s], master_name: %s, durability: strict}`, quoted(set.Addrs()), set.Name))
		w.failOver(t, "Sentinel", n, set.Servers[0], func() bool {
			m := set.Master(t)
			return m != nil && m != set.Servers[0]
		})
	})
	t.Run("Cluster", func(t *testing.T) {
		onlyFull(t)
		set := redistest.StartClusterSet(t, 3, 1, guarded()...)
		w := newWorldIn(t, 3, fmt.Sprintf(`redis: {addrs: [%s], cluster: true, durability: strict}`, quoted(set.Addrs())))
		w.failOver(t, "Cluster", n, set.Masters[0], func() bool {
			role, _ := set.Replicas[0][0].Do(t, "ROLE").([]any)
			return len(role) > 0 && role[0] == "master"
		})
	})
}

func quoted(addrs []string) string { return `"` + strings.Join(addrs, `", "`) + `"` }

// failOver runs the load, kills a master in its middle, and starts it again a while
// after another one has taken over.
func (w *world) failOver(t *testing.T, name string, n int, master *redistest.Server, over func() bool) {
	t.Helper()
	y := w.stress(t, "C5 "+name, plan(5, n), master.Dir, func(t *testing.T, done <-chan struct{}) string {
		t.Helper()
		pausing(t.Context(), done, 4*time.Second)
		begun := time.Now()
		master.Stop()
		eventually(t, 30*time.Second, "a replica takes over", over)
		took := time.Since(begun)
		pausing(t.Context(), done, 3*time.Second)
		master.Restart(t)
		return fmt.Sprintf("a master lost, replaced after %.1f s", took.Seconds())
	})
	gap := longestGap(y.success)
	t.Logf("C5 %s: the longest time without a create that succeeded was %.1f s", name, gap.Seconds())
	require.LessOrEqual(t, gap, silence)
}

// pausing waits, but not longer than until done.
func pausing(ctx context.Context, done <-chan struct{}, d time.Duration) {
	select {
	case <-time.After(d):
	case <-done:
	case <-ctx.Done():
	}
}

// longestGap is the longest time between two successes, but for the last ones, when
// few clients are left.
func longestGap(success []time.Time) time.Duration {
	at := slices.Clone(success)
	slices.SortFunc(at, time.Time.Compare)
	at = at[:max(0, len(at)-32)]
	var gap time.Duration
	for i := 1; i < len(at); i++ {
		gap = max(gap, at[i].Sub(at[i-1]))
	}
	return gap
}
