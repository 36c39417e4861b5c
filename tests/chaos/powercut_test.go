package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// C4 where the store promises less than strict: the power fails just after creates
// were acknowledged, and the end of Redis' file was not on the disk yet. What the store
// has forgotten is found at the provider: who sends a key again gets the same
// instrument, and none is stored twice.
func TestC4PowerCutInStandard(t *testing.T) {
	t.Parallel()
	for _, provider := range providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			onlyFull(t)
			redis := redistest.StartServer(t, "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction")
			w := newWorldOver(t, 3, redis.Addr, "standard")
			file := filepath.Join(redis.Dir, "appendonlydir", "appendonly.aof.1.incr.aof")
			country := map[string]string{cybersource: "US", rebilly: "GB", bigcommerce: "CA"}[provider]
			const customers, rounds = 20, 11
			y := newTally()
			store := func(round, n int) job {
				return job{key: fmt.Sprintf("k-%d-%d", round, n), body: request(fmt.Sprintf("cus-%d", n+1), country, published()[round%len(published())], round, 2031, true)}
			}
			// The customers themselves were made long before.
			for n := range customers {
				w.know(t, n+1)
			}
			inParallel(customers, func(n int) { w.persist(t.Context(), y, store(0, n), store(0, n).body, 0, n, time.Minute) })
			time.Sleep(1100 * time.Millisecond) // the file is on the disk by now

			r := rand.New(rand.NewPCG(4, 0))
			var forgotten atomic.Int64
			for round := 1; round <= rounds; round++ {
				inParallel(customers, func(n int) { w.persist(t.Context(), y, store(round, n), store(round, n).body, 0, n, time.Minute) })
				redis.Stop()
				info, err := os.Stat(file)
				require.NoError(t, err)
				require.NoError(t, os.Truncate(file, max(0, info.Size()-int64(r.IntN(64<<10)))))
				redis.Restart(t)
				// Everybody comes back at once, though some need not: the gateways look for
				// what may be forgotten for a lease and a settle time.
				var back sync.WaitGroup
				for n := range customers {
					back.Go(func() {
						again := store(round, n)
						a := w.until(t.Context(), time.Minute, again.key, again.body)
						y.note(again.key, 0, a)
						y.end(again, a)
						if a.header.Get("Idempotent-Replayed") == "" {
							forgotten.Add(1)
						}
					})
				}
				back.Wait()
				time.Sleep(1100 * time.Millisecond)
			}
			require.Empty(t, y.open)
			require.Empty(t, y.rejected)
			v := w.rest(t, y, redis.Dir)
			t.Logf("%s: %d power cuts, %d of %d records forgotten: D %d  L %d", provider, rounds, forgotten.Load(), rounds*customers, len(v.D), len(v.L))
			require.NotZero(t, forgotten.Load(), "no cut lost anything")
			require.Empty(t, v.faults())
		})
	}
}
