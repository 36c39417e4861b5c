package redisstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// TestAPowerCut kills Redis while it is written to, and takes the end of its file
// away, as a power cut takes what was not on disk. A killed process loses nothing of
// the sort by itself, and what was on disk cannot be told from the file: so in strict
// the cut stays behind what the file had when the last write was acknowledged, for
// this much was synced. Without strict nothing was, and the cut goes anywhere.
func TestAPowerCut(t *testing.T) {
	t.Parallel()
	t.Run("takes nothing that strict acknowledged", func(t *testing.T) {
		t.Parallel()
		lost, torn := powerCuts(t, Strict, 200, synced()...)
		require.Zero(t, lost, "acknowledged writes are lost")
		t.Logf("200 power cuts took %d writes that nobody was told of, and %d that were acknowledged", torn, lost)
		require.NotZero(t, torn)
	})
	t.Run("takes what dev acknowledged", func(t *testing.T) {
		t.Parallel()
		lost, _ := powerCuts(t, Dev, 20, "--appendonly", "yes")
		t.Logf("20 power cuts lost %d acknowledged writes", lost)
		require.NotZero(t, lost)
	})
}

// powerCuts returns how many acknowledged writes were lost, and how many cuts tore a
// write that nobody was told of.
func powerCuts(t *testing.T, durability Durability, rounds int, args ...string) (lost, torn int) {
	t.Helper()
	const most = 4 << 10
	random := rand.New(rand.NewPCG(1, 2)) // the same every time
	server := redistest.StartServer(t, args...)
	file := filepath.Join(server.Dir, "appendonlydir", "appendonly.aof.1.incr.aof")
	size := func() int64 {
		info, err := os.Stat(file)
		require.NoError(t, err)
		return info.Size()
	}
	s := open(t, Config{Addrs: []string{server.Addr}, Durability: durability})
	for round := range rounds {
		write := func(name string) string {
			key := fmt.Sprintf("%d-%s", round, name)
			mustWrite(t, s, gateway.Write{
				Key: key, Value: []byte(key), Nonce: key, Add: []gateway.Member{{Index: fmt.Sprint(round), Member: key}},
			})
			return key
		}
		var keys []string
		for n := range 1 + random.IntN(10) {
			keys = append(keys, write(fmt.Sprint(n)))
		}
		synced := size()
		keys = append(keys, write("unanswered")) // as if its answer had met the power cut
		whole := size()
		server.Stop()

		left := max(0, whole-random.Int64N(most))
		if durability == Strict {
			left = synced + random.Int64N(whole-synced)
		}
		require.NoError(t, os.Truncate(file, left))
		server.Restart(t)

		require.Eventually(t, func() bool { return s.Ping(t.Context()) == nil }, 10*time.Second, time.Millisecond)
		loaded, err := s.Load(t.Context(), keys...)
		require.NoError(t, err)
		members, err := s.Scan(t.Context(), fmt.Sprint(round), "", len(keys), false)
		require.NoError(t, err)
		for i, entry := range loaded.Entries {
			switch {
			case entry.Version != 0:
				require.Contains(t, members, keys[i], "a write is half done")
			case i == len(keys)-1:
				torn++
			default:
				lost++
			}
			if entry.Version == 0 {
				require.NotContains(t, members, keys[i], "a write is half done")
			}
		}
	}
	return lost, torn
}
