package redisstore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
	"github.com/polyvault/polyvault/normalize"
)

func TestANewStoreForgotNothing(t *testing.T) {
	t.Parallel()
	c := Config{Addrs: []string{redistest.Start(t)}}
	for _, key := range []string{"k", "l"} {
		s := open(t, c)
		mustWrite(t, s, note(key, "n"))
		require.Zero(t, s.ForgotAt())
	}
}

func TestARestartIsNoticedBeforeTheFirstAnswer(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--appendonly", "yes")
	c := Config{Addrs: []string{server.Addr}}
	s := open(t, c)
	mustWrite(t, s, note("k", "n"))
	require.Zero(t, s.ForgotAt())

	before := time.Now()
	server.Restart(t)
	require.Eventually(t, func() bool {
		_, err := s.Load(t.Context(), "k")
		return err == nil
	}, 10*time.Second, time.Millisecond)
	noticed := s.ForgotAt()
	require.WithinRange(t, noticed, before, time.Now())

	later := open(t, c)
	require.WithinDuration(t, noticed, later.ForgotAt(), time.Second, "a gateway that is started later knows it, too")
	// As if it had been long ago.
	id := replid(t, server)
	met := time.Now().Add(-time.Hour)
	server.Do(t, "HSET", "pv:replids", id, met.UnixMicro())
	require.WithinDuration(t, met, open(t, c).ForgotAt(), 5*time.Second)

	_, err := s.Load(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, noticed, s.ForgotAt(), "noticed once")
}

func TestAReconnectForgetsNothing(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := open(t, Config{Addrs: []string{server.Addr}})
	for _, nonce := range []string{"a", "b", "c"} {
		mustWrite(t, s, note(nonce, nonce))
		server.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	}
	mustWrite(t, s, note("d", "d"))
	require.Zero(t, s.ForgotAt())
}

func TestAFormerMasterIsNoticedToo(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	id := "first"
	p := startScripted(t, server.Addr, func(args []string) (string, bool) {
		text := "role:master\r\nmaster_replid:" + id + "\r\n"
		return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text), len(args) == 2 && args[0] == "info"
	})
	s := open(t, on(p.addr))
	var last time.Time
	for _, now := range []string{"second", "first", "second"} {
		p.change(func() { id = now })
		server.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		_, err := s.Load(t.Context(), "k")
		require.NoError(t, err)
		require.True(t, s.ForgotAt().After(last), now)
		last = s.ForgotAt()
	}
}

func TestStrictOnOneServerForgetsNothing(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, synced()...)
	c := Config{Addrs: []string{server.Addr}, Durability: Strict}
	s := open(t, c)
	mustWrite(t, s, note("k", "n"))
	server.Restart(t)
	mustWrite(t, s, note("l", "n"))
	require.Zero(t, s.ForgotAt())
	require.Zero(t, open(t, c).ForgotAt())
	c.Durability = Standard
	require.NotZero(t, open(t, c).ForgotAt(), "the restart is on record")
}

// TestAReplicaThatBecomesAMasterIsNoticedOnAnOldConnection is about a Cluster, which
// closes no connection when it changes roles.
func TestAReplicaThatBecomesAMasterIsNoticedOnAnOldConnection(t *testing.T) {
	t.Parallel()
	set := redistest.StartClusterSet(t, 3, 1)
	// The nodes are learnt from the replica, so that a connection to it is there.
	c := Config{Addrs: []string{set.Replicas[0][0].Addr}, Cluster: true, PoolSize: 1}
	s := open(t, c)
	key := nameOn(t, s, set.Masters[0], s.entryKey)
	mustWrite(t, s, note(key, "n"))
	warm(t, s, set.Replicas[0][0])
	require.Zero(t, s.ForgotAt())
	require.Zero(t, open(t, c).ForgotAt())

	before := time.Now()
	set.Replicas[0][0].Do(t, "CLUSTER", "FAILOVER")
	require.Eventually(t, func() bool {
		return strings.Contains(replication(t, set.Replicas[0][0]), "role:master")
	}, 20*time.Second, time.Millisecond)
	_, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	require.WithinRange(t, s.ForgotAt(), before, time.Now())
	require.WithinDuration(t, s.ForgotAt(), open(t, c).ForgotAt(), time.Second)
}

// warm makes connections of the store's client to a node, in every pool that it has.
func warm(tb testing.TB, s *Store, node *redistest.Server) {
	tb.Helper()
	cluster, ok := s.client.(*redis.ClusterClient)
	require.True(tb, ok)
	require.NoError(tb, cluster.ForEachShard(tb.Context(), func(ctx context.Context, c *redis.Client) error {
		if c.Options().Addr != node.Addr {
			return nil
		}
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error { return p.Ping(ctx).Err() })
		return err
	}))
}

func TestAStoreThatCannotBeWrittenIsOpenedAndRemembersLater(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	server.Do(t, "CONFIG", "SET", "maxmemory", 1)
	s := open(t, Config{Addrs: []string{server.Addr}})
	require.Zero(t, server.Do(t, "EXISTS", "pv:replids"))
	server.Do(t, "CONFIG", "SET", "maxmemory", 0)
	require.Eventually(t, func() bool {
		_, err := s.Load(t.Context(), "k")
		return err == nil && server.Do(t, "HGET", "pv:replids", replid(t, server)) == "0"
	}, 10*time.Second, 10*time.Millisecond)
	require.Zero(t, s.ForgotAt())
}

func TestAUserWithoutINFONoticesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--appendonly", "yes")
	server.Do(t, "ACL", "SETUSER", "blind", "on", ">pw", "~*", "+@all", "-info")
	s := open(t, Config{Addrs: []string{server.Addr}, Username: "blind", Password: normalize.NewSecret("pw")})
	for version := range uint64(3) {
		require.NoError(t, writeErr(t, s, busyWrite(version)))
	}
	require.True(t, s.lineage.blind)
	require.Zero(t, s.ForgotAt())
}

func TestForeignRepliesAboutTheLineageAreErrors(t *testing.T) {
	t.Parallel()
	for _, reply := range [][]string{nil, {"1", "2"}, {"1", "x", "3"}, {"1", "2", "x"}} {
		_, err := latest(reply, 1)
		require.ErrorIs(t, err, errReply, reply)
	}
}

func replication(tb testing.TB, s *redistest.Server) string {
	tb.Helper()
	text, ok := s.Do(tb, "INFO", "replication").(string)
	require.True(tb, ok)
	return text
}

func replid(tb testing.TB, s *redistest.Server) string {
	tb.Helper()
	return parseInfo(replication(tb, s))["master_replid"]
}
