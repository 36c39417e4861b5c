package redisstore

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// mostUnavailable is how long writes may fail when a master is lost.
const mostUnavailable = 15 * time.Second

// TestAFailoverKeepsWhatStrictAcknowledged kills a master with SIGKILL while many write.
func TestAFailoverKeepsWhatStrictAcknowledged(t *testing.T) {
	t.Parallel()
	t.Run("with Sentinels", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartSentinelSet(t, replicated()...)
		c := Config{Addrs: set.Addrs(), MasterName: set.Name, Durability: Strict}
		failover(t, c, set.Servers[0])
	})
	t.Run("on a Cluster", func(t *testing.T) {
		t.Parallel()
		// Two replicas of each: one to take over and one to confirm. An election that
		// fails, since both want to, is repeated after four of these times.
		set := redistest.StartClusterSet(t, 3, 2, append(replicated(), "--cluster-node-timeout", "1500")...)
		c := Config{Addrs: set.Addrs(), Cluster: true, Durability: Strict}
		failover(t, c, set.Masters[0])
	})
}

func failover(t *testing.T, c Config, master *redistest.Server) {
	t.Helper()
	const writers = 8
	s := open(t, c)
	mustWrite(t, s, note("warm", "n"))

	var mu sync.Mutex
	acknowledged := map[string]time.Time{} // by key
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				key := fmt.Sprintf("w%d-%d", w, n)
				out, err := s.Write(t.Context(), gateway.Write{
					Key: key, Value: []byte(key), Nonce: key,
					Add:    []gateway.Member{{Index: "all", Member: key}},
					Claims: []gateway.Claim{{Key: key, Owner: "o"}},
				})
				if err == nil && out.Applied {
					mu.Lock()
					acknowledged[key] = time.Now()
					mu.Unlock()
				}
			}
		})
	}
	written := func(least int, after time.Time) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			n := 0
			for _, at := range acknowledged {
				if at.After(after) {
					n++
				}
			}
			return n >= least
		}
	}
	require.Eventually(t, written(200, time.Time{}), 20*time.Second, 10*time.Millisecond)
	probe := "probe"
	if c.Cluster { // only the keys of one master are away
		probe = nameOn(t, s, master, s.entryKey)
	}
	killed := time.Now()
	master.Stop()
	require.Eventually(t, func() bool {
		out, err := s.Write(t.Context(), note(probe, "n"))
		return err == nil && out.Current.Version > 0
	}, 60*time.Second, 10*time.Millisecond)
	away := time.Since(killed)
	t.Logf("writable again %s after the master was killed", away.Round(10*time.Millisecond))
	require.Less(t, away, mostUnavailable)
	require.Eventually(t, written(100, time.Now()), 20*time.Second, 10*time.Millisecond)
	close(done)
	wg.Wait()
	master.Restart(t) // with what it had, as a replica

	require.NotZero(t, s.ForgotAt(), "a replica that did not confirm might have been chosen")
	for key := range acknowledged {
		loaded, err := s.Load(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, key, string(loaded.Entries[0].Value), "an acknowledged write is lost")
		owner, err := s.client.Get(t.Context(), s.claimKey(key)).Result()
		require.NoError(t, err, "an acknowledged claim is lost")
		require.Equal(t, "o", owner)
	}
	members, err := s.Scan(t.Context(), "all", "", 1<<20, false)
	require.NoError(t, err)
	in := strings.Join(members, " ") + " "
	for key := range acknowledged {
		require.Contains(t, in, key+" ", "an acknowledged member of an index is lost")
	}
	t.Logf("all %d acknowledged writes are there", len(acknowledged))
}
