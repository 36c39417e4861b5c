package redistest_test

import (
	"context"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ping(ctx context.Context, addr, password string) error {
	c := redis.NewClient(&redis.Options{Addr: addr, Password: password, MaxRetries: -1})
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
