package redisstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

func forget(ctx context.Context, master *redis.Client) error { return master.ScriptFlush(ctx).Err() }

func TestForgottenScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{
		"one server": {Addrs: []string{redistest.Start(t)}},
		"cluster":    {Addrs: redistest.StartCluster(t, 3), Cluster: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, c)
			for version := range uint64(3) {
				require.NoError(t, s.eachMaster(t.Context(), forget))
				out, err := s.Write(t.Context(), busyWrite(version))
				require.NoError(t, err)
				require.True(t, out.Applied)
				require.Equal(t, version+1, out.Current.Version)
				require.Equal(t, []string{"o", "o"}, out.Owners)
				require.Equal(t, version+1, out.Loaded[0].Version)
			}
			require.NoError(t, s.eachMaster(t.Context(), forget))
			_, err := s.Load(t.Context(), "k")
			require.NoError(t, err)
		})
	}
}

func TestLostReplyIsNotASecondWrite(t *testing.T) {
	t.Parallel()
	p := startProxy(t, redistest.Start(t))
	s := open(t, Config{Addrs: []string{p.addr}, PoolSize: 1})
	for version := range uint64(5) {
		p.severing.Store(true)
		out, err := s.Write(t.Context(), busyWrite(version))
		require.NoError(t, err)
		require.False(t, p.severing.Load(), "the reply was not lost")
		require.True(t, out.Applied)
		require.Equal(t, version+1, out.Current.Version)
	}
	loaded, err := s.Load(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, uint64(5), loaded.Entries[0].Version)
}

func TestClusterWriteSentAgainMendsItsIndexes(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: redistest.StartCluster(t, 3), Cluster: true})
	w := busyWrite(0)
	_, err := s.Write(t.Context(), w)
	require.NoError(t, err)
	// As if the process had died between the two round trips.
	require.NoError(t, s.client.ZRem(t.Context(), s.indexKey("j"), "m").Err())
	out, err := s.Write(t.Context(), w)
	require.NoError(t, err)
	require.True(t, out.Applied)
	members, err := s.Scan(t.Context(), "j", "", 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"m"}, members)
}

// requireRefused checks that a write fails as ErrStore says, and does nothing at all.
func requireRefused(tb testing.TB, s *Store, why string) {
	tb.Helper()
	_, err := s.Write(tb.Context(), busyWrite(0))
	require.ErrorIs(tb, err, gateway.ErrStore)
	require.ErrorContains(tb, err, why)
}

// requireWhole checks that a write that was refused works now, once and in full.
func requireWhole(tb testing.TB, s *Store) {
	tb.Helper()
	mustWrite(tb, s, busyWrite(0))
	loaded, err := s.Load(tb.Context(), "k")
	require.NoError(tb, err)
	require.Equal(tb, uint64(1), loaded.Entries[0].Version)
	for _, index := range []string{"i", "j"} {
		members, err := s.Scan(tb.Context(), index, "", 10, false)
		require.NoError(tb, err)
		require.Equal(tb, []string{"m"}, members)
	}
	out, err := s.Write(tb.Context(), busyWrite(0))
	require.NoError(tb, err)
	require.Equal(tb, []string{"o", "o"}, out.Owners)
}

func TestServerOutOfMemoryRefusesTheWholeWrite(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := open(t, on(server.Addr))
	server.Do(t, "CONFIG", "SET", "maxmemory", "1")
	requireRefused(t, s, "OOM")
	require.Equal(t, []any{"pv:replids"}, server.Do(t, "KEYS", "*"))
	_, err := s.Load(t.Context(), "k")
	require.NoError(t, err, "it can still be read")
	server.Do(t, "CONFIG", "SET", "maxmemory", "0")
	requireWhole(t, s)
}

func TestMasterThatBecameAReplicaRefusesTheWholeWrite(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := open(t, on(server.Addr))
	server.Do(t, "REPLICAOF", "127.0.0.1", "1")
	requireRefused(t, s, "READONLY")
	server.Do(t, "REPLICAOF", "NO", "ONE")
	require.Equal(t, []any{"pv:replids"}, server.Do(t, "KEYS", "*"))
	requireWhole(t, s)
	require.NotZero(t, s.ForgotAt(), "another may have been the master in the meantime")
}

func TestServerThatLoadsIsWaitedForAndThenGivenUp(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	var loading atomic.Int64
	p := startScripted(t, server.Addr, func(args []string) (string, bool) {
		if args[0] != "info" && loading.Add(-1) >= 0 {
			return "-LOADING Redis is loading the dataset in memory\r\n", true
		}
		return "", false
	})
	s := open(t, on(p.addr))
	loading.Store(1 << 30)
	requireRefused(t, s, "LOADING")
	_, err := s.Load(t.Context(), "k")
	require.ErrorIs(t, err, gateway.ErrStore)
	require.Equal(t, []any{"pv:replids"}, server.Do(t, "KEYS", "*"))
	loading.Store(8) // the first answers of the next write
	out, err := s.Write(t.Context(), busyWrite(0))
	require.NoError(t, err, "it is tried again by itself")
	require.True(t, out.Applied)
	requireWhole(t, s)
}

func TestServerThatSendsElsewhereIsAnError(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	for _, reply := range []string{"MOVED 1 127.0.0.1:1", "ASK 1 127.0.0.1:1", "CLUSTERDOWN The cluster is down", "NOREPLICAS Not enough good replicas to write.", "MASTERDOWN Link with MASTER is down"} {
		var wrong atomic.Bool
		p := startScripted(t, server.Addr, func(args []string) (string, bool) {
			return "-" + reply + "\r\n", wrong.Load() && args[0] != "info"
		})
		s := open(t, Config{Addrs: []string{p.addr}, KeyPrefix: reply[:3] + ":"})
		wrong.Store(true)
		requireRefused(t, s, reply)
		wrong.Store(false)
		requireWhole(t, s)
	}
}

// TestASlotThatMoves is about MOVED and ASK of a real Cluster, whose client follows them.
func TestASlotThatMoves(t *testing.T) {
	t.Parallel()
	set := redistest.StartClusterSet(t, 3, 1, replicated()...)
	s := open(t, Config{Addrs: set.Addrs(), Cluster: true, Durability: Strict, ReadTimeout: 10 * time.Second})
	from, to := set.Masters[0], set.Masters[1]
	key := nameOn(t, s, from, s.entryKey)
	slot := from.Do(t, "CLUSTER", "KEYSLOT", s.entryKey(key))
	idFrom, idTo := from.Do(t, "CLUSTER", "MYID"), to.Do(t, "CLUSTER", "MYID")

	to.Do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", idFrom)
	from.Do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", idTo)
	before := waits(t, set)
	w := gateway.Write{Key: key, Value: []byte("v"), Nonce: "n", Add: []gateway.Member{{Index: key, Member: "m"}}}
	out, err := s.Write(t.Context(), w) // ASK: the entry is not at the old place
	require.NoError(t, err)
	require.True(t, out.Applied)
	after := waits(t, set)
	require.Greater(t, after[1], before[1], "the barrier stands where the entry went")
	require.Equal(t, int64(2), to.Do(t, "CLUSTER", "COUNTKEYSINSLOT", slot), "the entry and the index")
	require.Zero(t, from.Do(t, "CLUSTER", "COUNTKEYSINSLOT", slot))

	for _, node := range []*redistest.Server{to, from} {
		node.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", idTo)
	}
	out, err = s.Write(t.Context(), gateway.Write{Key: key, Expect: 1, Nonce: "n2"}) // MOVED
	require.NoError(t, err)
	require.True(t, out.Applied)
	require.Equal(t, uint64(2), out.Current.Version)
	loaded, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, uint64(2), loaded.Entries[0].Version)
}

func TestSlowServerAppliesAWriteOnce(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := open(t, Config{Addrs: []string{server.Addr}, ReadTimeout: 50 * time.Millisecond})
	server.Do(t, "CLIENT", "PAUSE", 60_000, "WRITE") // so that it can be ended
	for range 2 {
		_, err := s.Write(t.Context(), busyWrite(0))
		require.ErrorIs(t, err, gateway.ErrStore)
	}
	server.Do(t, "CLIENT", "UNPAUSE")
	requireWhole(t, s)
}

func TestFrozenServerAppliesAWriteOnce(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := open(t, Config{Addrs: []string{server.Addr}, ReadTimeout: 50 * time.Millisecond})
	server.Freeze(t)
	_, err := s.Write(t.Context(), busyWrite(0))
	require.ErrorIs(t, err, gateway.ErrStore)
	server.Thaw(t) // and now it runs all that was sent
	requireWhole(t, s)
}

func TestServerAway(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := open(t, Config{Addrs: []string{server.Addr}})
	server.Stop()
	_, errLoad := s.Load(t.Context(), "secret")
	_, errWrite := s.Write(t.Context(), gateway.Write{Key: "secret", Value: []byte("secret"), Nonce: "secret"})
	_, errScan := s.Scan(t.Context(), "secret", "secret", 1, false)
	for _, err := range []error{errLoad, errWrite, errScan, s.Ping(t.Context())} {
		require.ErrorIs(t, err, gateway.ErrStore)
		require.ErrorContains(t, err, server.Addr)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestSilentServerIsLeftAtTheDeadline(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: []string{redistest.Start(t)}})
	require.NoError(t, s.client.Do(t.Context(), "CLIENT", "PAUSE", 60_000, "ALL").Err())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := s.Load(ctx, "k")
	require.ErrorIs(t, err, gateway.ErrStore)
	require.Less(t, time.Since(begun), time.Second, "the read timeout, not the deadline, ended the call")
}

// TestErrorsTellNoArguments is about errors of Redis that quote what they were asked.
func TestErrorsTellNoArguments(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t, "--rename-command", "EVALSHA", "", "--rename-command", "ZRANGE", "")
	s := open(t, Config{Addrs: []string{addr}})
	_, err := s.Write(t.Context(), gateway.Write{Key: "secret", Value: []byte("secret"), Nonce: "secret", Add: []gateway.Member{{Index: "secret", Member: "secret"}}})
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorContains(t, err, "store: redis: write: ERR unknown command")
	require.NotContains(t, err.Error(), "secret")
	_, err = s.Scan(t.Context(), "secret", "secret", 1, false)
	require.ErrorContains(t, err, "ERR unknown command")
	require.NotContains(t, err.Error(), "secret")

	unreadable := errors.New("redis: can't parse reply " + strconv.Quote("secret"))
	require.NotContains(t, failed("load", unreadable).Error(), "secret")
	require.ErrorIs(t, failed("load", unreadable), unreadable)
}

func TestForeignDataIsAnError(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: []string{redistest.Start(t)}})
	for key, fields := range map[string][]any{
		"no data":     {"v", "1"},
		"no number":   {"v", "one", "d", "x"},
		"too large":   {"v", strings.Repeat("9", 30), "d", "x"},
		"of no store": nil,
	} {
		if fields == nil {
			require.NoError(t, s.client.Set(t.Context(), s.entryKey(key), "x", 0).Err())
		} else {
			require.NoError(t, s.client.HSet(t.Context(), s.entryKey(key), fields...).Err())
		}
		_, err := s.Load(t.Context(), key)
		require.ErrorIs(t, err, gateway.ErrStore, key)
		_, err = s.Write(t.Context(), gateway.Write{Key: key, Nonce: "n"})
		require.ErrorIs(t, err, gateway.ErrStore, key)
	}
}
