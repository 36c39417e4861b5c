package redisstore

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// replicated are the arguments of servers that [Strict] takes with replicas.
func replicated() []string { return synced("--min-replicas-to-write", "1") }

// pair is a master with one replica.
func pair(tb testing.TB) (master, replica *redistest.Server) {
	tb.Helper()
	master = redistest.StartServer(tb, replicated()...)
	return master, redistest.StartReplica(tb, master, replicated()...)
}

func strict(s *redistest.Server) Config {
	return Config{Addrs: []string{s.Addr}, Durability: Strict, Replicas: 1, ReadTimeout: time.Second}
}

func note(key, nonce string) gateway.Write {
	return gateway.Write{Key: key, Value: []byte(nonce), Nonce: nonce}
}

func TestStrictPassesTheSuite(t *testing.T) {
	t.Parallel()
	t.Run("on one server", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, opener(Config{Addrs: []string{redistest.Start(t, synced()...)}, Durability: Strict}))
	})
	t.Run("with Sentinels", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartSentinelSet(t, replicated()...)
		storetest.Run(t, opener(Config{Addrs: set.Addrs(), MasterName: set.Name, Durability: Strict, ReadTimeout: 10 * time.Second}))
	})
	t.Run("on a Cluster", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartClusterSet(t, 3, 1, replicated()...)
		storetest.Run(t, opener(Config{Addrs: set.Addrs(), Cluster: true, Durability: Strict, ReadTimeout: 10 * time.Second}))
	})
}

func TestAStrictWriteIsNotDoneUntilAReplicaHasIt(t *testing.T) {
	t.Parallel()
	master, replica := pair(t)
	s := open(t, strict(master))
	mustWrite(t, s, note("before", "n"))

	replica.Freeze(t) // the link stays: only WAIT tells
	for range 2 {
		err := writeErr(t, s, note("k", "mine"))
		require.ErrorIs(t, err, gateway.ErrStore)
		require.ErrorIs(t, err, errShort)
		require.ErrorContains(t, err, "0 of 1 replicas confirmed it within 500ms")
	}
	require.ErrorIs(t, writeErr(t, s, note("k", "theirs")), errShort, "what it met is not durable either")
	require.ErrorIs(t, writeErr(t, s, gateway.Write{
		Key: "k2", Expect: 7, Nonce: "n", Claims: []gateway.Claim{{Key: "c", Owner: "o"}},
	}), errShort, "the claim is not durable")

	replica.Thaw(t)
	mustWrite(t, s, note("k", "mine"))
	out, err := s.Write(t.Context(), note("k", "mine"))
	require.NoError(t, err)
	require.True(t, out.Applied)
	require.Equal(t, uint64(1), out.Current.Version, "applied once")
	require.Equal(t, "1", replica.Do(t, "HGET", "pv:{k}", "v"))
	out, err = s.Write(t.Context(), note("k", "theirs"))
	require.NoError(t, err)
	require.False(t, out.Applied)
	require.Equal(t, "mine", string(out.Current.Value))
}

// mustWrite writes, and waits for a machine that is too busy to confirm it at once.
func mustWrite(tb testing.TB, s *Store, w gateway.Write) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		out, err := s.Write(tb.Context(), w)
		return err == nil && out.Applied
	}, 20*time.Second, 10*time.Millisecond)
}

func writeErr(tb testing.TB, s *Store, w gateway.Write) error {
	tb.Helper()
	_, err := s.Write(tb.Context(), w)
	return err
}

// TestAFailoverLosesWhatNoReplicaHas is how an acknowledged write is lost, and that
// strict does not acknowledge it.
func TestAFailoverLosesWhatNoReplicaHas(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Standard, Strict} {
		t.Run(string(durability), func(t *testing.T) {
			t.Parallel()
			master, replica := pair(t)
			c := strict(master)
			c.Durability = durability
			s := open(t, c)
			mustWrite(t, s, note("kept", "n"))
			require.Eventually(t, func() bool { return replica.Do(t, "EXISTS", "pv:{kept}") == int64(1) }, 5*time.Second, time.Millisecond)
			// Else the master itself would refuse the write, which is not what this is about.
			master.Do(t, "CONFIG", "SET", "min-replicas-to-write", 0)
			replica.Do(t, "CONFIG", "SET", "min-replicas-to-write", 0)

			replica.Do(t, "REPLICAOF", "127.0.0.1", 1)
			err := writeErr(t, s, note("k", "n"))
			master.Stop()
			replica.Do(t, "REPLICAOF", "NO", "ONE")

			after := open(t, Config{Addrs: []string{replica.Addr}})
			out, loadErr := after.Load(t.Context(), "kept", "k")
			require.NoError(t, loadErr)
			require.Equal(t, uint64(1), out.Entries[0].Version)
			require.Zero(t, out.Entries[1].Version, "the replica never had it")
			if durability == Strict {
				require.ErrorIs(t, err, gateway.ErrStore)
				require.ErrorContains(t, err, "0 of 1 replicas")
			} else {
				require.NoError(t, err, "acknowledged, and lost")
			}
			require.WithinDuration(t, time.Now(), after.ForgotAt(), 5*time.Second, "noticed by the gateway that comes after")
		})
	}
}

func TestStrictRefusesWritesWithoutReplicas(t *testing.T) {
	t.Parallel()
	master, replica := pair(t)
	s := open(t, strict(master))
	replica.Stop()
	require.Eventually(t, func() bool {
		err := writeErr(t, s, note("k", "n"))
		return redis.HasErrorPrefix(err, "NOREPLICAS")
	}, 10*time.Second, 10*time.Millisecond)
	require.Zero(t, master.Do(t, "EXISTS", "pv:{k}"))
	replica.Restart(t)
	mustWrite(t, s, note("k", "n"))
}

func TestStrictRoundTrips(t *testing.T) {
	t.Parallel()
	t.Run("on one server", func(t *testing.T) {
		t.Parallel()
		master, _ := pair(t)
		p := startProxy(t, master.Addr)
		c := strict(master)
		c.Addrs, c.ReadTimeout = []string{p.addr}, 10*time.Second
		s := open(t, c)
		for version := range uint64(5) {
			before := p.trips.Load()
			require.NoError(t, writeErr(t, s, busyWrite(version)))
			if version > 0 { // the connection is made
				require.Equal(t, int64(1), p.trips.Load()-before)
			}
		}
	})
	t.Run("on a Cluster", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartClusterSet(t, 3, 1, replicated()...)
		s := open(t, Config{Addrs: set.Addrs(), Cluster: true, Durability: Strict, ReadTimeout: 10 * time.Second})
		var counted counter
		s.client.AddHook(&counted)
		require.NoError(t, writeErr(t, s, busyWrite(0)))
		require.Equal(t, int64(2), counted.Load(), "as without strict")
	})
}

// TestAClusterBarrierStandsOnEveryNodeThatWasWritten counts WAIT at the nodes, and
// then takes each node's replica away.
func TestAClusterBarrierStandsOnEveryNodeThatWasWritten(t *testing.T) {
	t.Parallel()
	set := redistest.StartClusterSet(t, 3, 1, replicated()...)
	c := Config{Addrs: set.Addrs(), Cluster: true, Durability: Strict, ReadTimeout: 10 * time.Second}
	s := open(t, c)
	entry := func(node int) string { return nameOn(t, s, set.Masters[node], s.entryKey) }
	claim := func(node int) string { return nameOn(t, s, set.Masters[node], s.claimKey) }
	index := func(node int) string { return nameOn(t, s, set.Masters[node], s.indexKey) }

	tests := map[string]struct {
		write gateway.Write
		waits [3]int // on each node
	}{
		"an entry alone":             {gateway.Write{Key: entry(0), Nonce: "a"}, [3]int{1, 0, 0}},
		"a load is not waited for":   {gateway.Write{Key: entry(1), Nonce: "b", Load: []string{entry(2)}}, [3]int{0, 1, 0}},
		"claims elsewhere":           {gateway.Write{Key: entry(2), Nonce: "c", Claims: []gateway.Claim{{Key: claim(0), Owner: "o"}, {Key: claim(1), Owner: "o"}}}, [3]int{1, 1, 1}},
		"an index, in the follow-up": {gateway.Write{Key: entry(0), Nonce: "d", Add: []gateway.Member{{Index: index(1), Member: "m"}}}, [3]int{1, 1, 0}},
		"releases, in the follow-up": {gateway.Write{
			Key: entry(1), Nonce: "e", Release: []gateway.Claim{{Key: claim(2), Owner: "o"}}, Claims: []gateway.Claim{{Key: claim(0), Owner: "o"}},
		}, [3]int{2, 1, 1}},
	}
	for name, tt := range tests { // one after the other: the nodes' counters are shared
		before := waits(t, set)
		require.NoError(t, writeErr(t, s, tt.write), name)
		after := waits(t, set)
		for node := range after {
			require.Equal(t, tt.waits[node], after[node]-before[node], "%s: WAITs on node %d", name, node)
		}
	}

	c.ReadTimeout = 600 * time.Millisecond
	s = open(t, c)
	for node := range set.Masters {
		replica := set.Replicas[node][0]
		replica.Freeze(t)
		other := (node + 1) % 3
		w := gateway.Write{Key: entry(other), Nonce: "x", Claims: []gateway.Claim{{Key: claim(node), Owner: fmt.Sprint(node)}}}
		require.ErrorIs(t, writeErr(t, s, w), errShort, "the claim's node")
		w = gateway.Write{Key: entry(node), Nonce: "y"}
		require.ErrorIs(t, writeErr(t, s, w), errShort, "the entry's node")
		w = gateway.Write{Key: entry(other), Nonce: "z", Add: []gateway.Member{{Index: index(node), Member: "m"}}}
		require.ErrorIs(t, writeErr(t, s, w), errShort, "the index' node")
		mustWrite(t, s, gateway.Write{Key: entry(other), Nonce: "w"})
		replica.Thaw(t)
		mustWrite(t, s, w)
	}
}

// TestAStrictWriteAlwaysWrites is about Redis 7.2 and later, where WAIT waits for nothing
// if its connection wrote nothing.
func TestAStrictWriteAlwaysWrites(t *testing.T) {
	t.Parallel()
	set := redistest.StartClusterSet(t, 3, 1, replicated()...)
	c := Config{Addrs: set.Addrs(), Cluster: true, Durability: Strict, ReadTimeout: 10 * time.Second}
	s := open(t, c)
	c.Durability = Standard
	lax := open(t, c)
	w := gateway.Write{
		Key: nameOn(t, s, set.Masters[0], s.entryKey), Value: []byte("v"), Nonce: "n",
		Claims:  []gateway.Claim{{Key: nameOn(t, s, set.Masters[1], s.claimKey), Owner: "o"}},
		Release: []gateway.Claim{{Key: nameOn(t, s, set.Masters[2], s.claimKey), Owner: "o"}},
	}
	mustWrite(t, s, w)
	other := w
	other.Nonce, other.Release = "other", nil
	for name, write := range map[string]gateway.Write{
		"the same once more":   w,
		"what meets another's": other,
	} {
		for _, store := range []*Store{s, lax} {
			before := written(t, set)
			_, err := store.Write(t.Context(), write)
			require.NoError(t, err)
			after := written(t, set)
			for node := range after {
				// In strict each node that is waited for has something to wait for.
				if store == s && (node < 2 || write.Release != nil) {
					require.Greater(t, after[node], before[node], "%s: node %d", name, node)
				}
				if store == lax && (node > 0 || write.Release == nil) {
					require.Equal(t, before[node], after[node], "%s: node %d, without strict", name, node)
				}
			}
		}
	}

	index := gateway.Write{
		Key: nameOn(t, s, set.Masters[0], s.entryKey), Nonce: "n",
		Add:    []gateway.Member{{Index: nameOn(t, s, set.Masters[1], s.indexKey), Member: "m"}},
		Remove: []gateway.Member{{Index: nameOn(t, s, set.Masters[2], s.indexKey), Member: "m"}},
	}
	mustWrite(t, s, index)
	before := written(t, set)
	mustWrite(t, s, index)
	after := written(t, set)
	for node := range after {
		require.Greater(t, after[node], before[node], "an index, node %d", node)
	}
	members, err := s.Scan(t.Context(), index.Add[0].Index, "", 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"m"}, members)
	members, err = s.Scan(t.Context(), index.Remove[0].Index, "", 10, false)
	require.NoError(t, err)
	require.Empty(t, members)
}

// written is the size of each master's append-only file.
func written(tb testing.TB, set *redistest.ClusterSet) [3]int {
	tb.Helper()
	var sizes [3]int
	for i, master := range set.Masters {
		text, ok := master.Do(tb, "INFO", "persistence").(string)
		require.True(tb, ok)
		size, err := strconv.Atoi(parseInfo(text)["aof_current_size"])
		require.NoError(tb, err)
		sizes[i] = size
	}
	return sizes
}

// nameOn makes a new name whose key is on the master.
func nameOn(tb testing.TB, s *Store, master *redistest.Server, key func(string) string) string {
	tb.Helper()
	cluster, ok := s.client.(*redis.ClusterClient)
	require.True(tb, ok)
	for n := time.Now().UnixNano(); ; n++ {
		name := strconv.FormatInt(n, 36)
		node, err := cluster.MasterForKey(tb.Context(), key(name))
		require.NoError(tb, err)
		if node.Options().Addr == master.Addr {
			return name
		}
	}
}

// waits counts the WAIT commands that each master ran.
func waits(tb testing.TB, set *redistest.ClusterSet) [3]int {
	tb.Helper()
	var counts [3]int
	for i, master := range set.Masters {
		text, ok := master.Do(tb, "INFO", "commandstats").(string)
		require.True(tb, ok)
		if found := regexp.MustCompile(`cmdstat_wait:calls=(\d+)`).FindStringSubmatch(text); found != nil {
			n, err := strconv.Atoi(found[1])
			require.NoError(tb, err)
			counts[i] = n
		}
	}
	return counts
}

// TestWaitAOF is about Redis 7.2 and later: there the disk is waited for, too.
func TestWaitAOF(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--appendonly", "yes") // everysec
	reply := "*2\r\n:1\r\n:2\r\n"
	p := startScripted(t, server.Addr, func(args []string) (string, bool) {
		switch {
		case args[0] == "waitaof" && args[1] == "0":
			return "*2\r\n:0\r\n:0\r\n", true
		case args[0] == "waitaof":
			return reply, true
		}
		return "", false
	})
	c := Config{Addrs: []string{p.addr}, Durability: Strict, ReadTimeout: time.Second}
	s := open(t, c)
	require.NoError(t, writeErr(t, s, busyWrite(0)))
	sent := p.sent()
	require.Equal(t, []string{"waitaof", "1", "0", "500"}, sent[len(sent)-1], "after the write, and needing no replica")

	p.change(func() { reply = "*2\r\n:0\r\n:0\r\n" })
	err := writeErr(t, s, busyWrite(1))
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorContains(t, err, "it was not on disk within 500ms")
	p.change(func() { reply = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n" })
	err = writeErr(t, s, busyWrite(1))
	require.ErrorIs(t, err, errShort)
	require.ErrorContains(t, err, "appendonly is disabled")
	p.change(func() { reply = "*2\r\n:1\r\n:0\r\n" })
	require.NoError(t, writeErr(t, s, busyWrite(1)))
	_, err = s.Load(t.Context(), "k")
	require.NoError(t, err)
}

func TestWaitAOFOnARealServer(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--appendonly", "yes")
	c := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	if err := c.Do(t.Context(), "WAITAOF", 0, 0, 1).Err(); err != nil {
		t.Skipf("the redis-server in PATH is older than 7.2: %v", err)
	}
	s := open(t, Config{Addrs: []string{server.Addr}, Durability: Strict})
	require.True(t, s.barrier.fsync)
	require.NoError(t, writeErr(t, s, busyWrite(0)))
	server.Do(t, "CONFIG", "SET", "appendonly", "no")
	require.ErrorIs(t, writeErr(t, s, busyWrite(1)), errShort)
}

func TestAWriteThatIsGivenUpWhileItWaitsIsAnError(t *testing.T) {
	t.Parallel()
	master, replica := pair(t)
	s := open(t, strict(master))
	mustWrite(t, s, note("k0", "n"))
	replica.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Write(ctx, note("k", "n"))
	require.ErrorIs(t, err, gateway.ErrStore)
	replica.Thaw(t)
	mustWrite(t, s, note("k", "n"))
}
