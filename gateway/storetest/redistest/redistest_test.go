package redistest_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ping(ctx context.Context, addr, password string) error {
	c := redis.NewClient(&redis.Options{Addr: addr, Password: password, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true})
	defer func() { _ = c.Close() }()
	return c.Ping(ctx).Err()
}

func TestStart(t *testing.T) {
	t.Parallel()
	t.Run("a server answers, and is gone once it is stopped", func(t *testing.T) {
		t.Parallel()
		s := redistest.StartServer(t)
		require.NoError(t, ping(t.Context(), s.Addr, ""))
		s.Stop()
		s.Stop()
		var op *net.OpError
		require.ErrorAs(t, ping(t.Context(), s.Addr, ""), &op)
	})
	t.Run("options reach the server", func(t *testing.T) {
		t.Parallel()
		addr := redistest.Start(t, "--requirepass", "open sesame")
		require.ErrorContains(t, ping(t.Context(), addr, ""), "NOAUTH")
		require.NoError(t, ping(t.Context(), addr, "open sesame"))
	})
}

func TestStartCluster(t *testing.T) {
	t.Parallel()
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: redistest.StartCluster(t, 3)})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		require.NoError(t, c.Set(t.Context(), key, key, 0).Err())
	}
}

func TestStartSentinel(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	c := redis.NewSentinelClient(&redis.Options{Addr: redistest.StartSentinel(t, "main", master)})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	host, port, err := net.SplitHostPort(master)
	require.NoError(t, err)
	addr, err := c.GetMasterAddrByName(t.Context(), "main").Result()
	require.NoError(t, err)
	require.Equal(t, []string{host, port}, addr)
}

func TestServerIsFrozenKilledAndRestarted(t *testing.T) {
	t.Parallel()
	s := redistest.StartServer(t, "--appendonly", "yes", "--appendfsync", "always")
	s.Do(t, "SET", "k", "v")
	s.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var timeout net.Error
	require.ErrorAs(t, ping(ctx, s.Addr, ""), &timeout)
	require.True(t, timeout.Timeout())
	s.Thaw(t)
	require.NoError(t, ping(t.Context(), s.Addr, ""))
	s.Stop()
	require.Error(t, ping(t.Context(), s.Addr, ""))
	s.Restart(t)
	require.Equal(t, "v", s.Do(t, "GET", "k"))
}

func TestReplicaHasTheMastersData(t *testing.T) {
	t.Parallel()
	master := redistest.StartServer(t)
	master.Do(t, "SET", "k", "v")
	require.Equal(t, "v", redistest.StartReplica(t, master).Do(t, "GET", "k"))
}

func TestSentinelsReplaceALostMaster(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinelSet(t, "--appendonly", "yes")
	first := set.Master(t)
	require.Equal(t, set.Servers[0], first)
	first.Stop()
	var second *redistest.Server
	require.Eventually(t, func() bool {
		second = set.Master(t)
		return second != nil && second != first
	}, 30*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return role(t, second) == "master" }, 5*time.Second, 50*time.Millisecond)
	first.Restart(t)
	require.Eventually(t, func() bool { return role(t, first) == "slave" }, 30*time.Second, 50*time.Millisecond)
	second.Restart(t)
	require.Equal(t, "master", role(t, second), "a role outlives a restart")
}

func TestClusterReplacesALostMaster(t *testing.T) {
	t.Parallel()
	set := redistest.StartClusterSet(t, 3, 1)
	require.Len(t, set.Addrs(), 6)
	lost, heir := set.Masters[1], set.Replicas[1][0]
	lost.Stop()
	require.Eventually(t, func() bool { return role(t, heir) == "master" }, 30*time.Second, 50*time.Millisecond)
	lost.Restart(t)
	require.Eventually(t, func() bool { return role(t, lost) == "slave" }, 30*time.Second, 50*time.Millisecond)
}

func role(tb testing.TB, s *redistest.Server) string {
	tb.Helper()
	reply, ok := s.Do(tb, "ROLE").([]any)
	require.True(tb, ok)
	name, ok := reply[0].(string)
	require.True(tb, ok)
	return name
}
