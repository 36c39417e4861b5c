package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

const (
	slots          = 16384
	clusterTimeout = 20 * time.Second
	poll           = 20 * time.Millisecond
)

// StartCluster runs a Redis Cluster of that many masters, 1 to 16, without
// replicas until the test ends, and returns their host:port.
func StartCluster(tb testing.TB, masters int) (addrs []string) {
	tb.Helper()
	nodes := make([]*redis.Client, masters)
	busPorts := make([]int, masters)
	for i := range masters {
		s := start(tb, func(port int) []string {
			// The default bus port, 10000 above, may be no port at all.
			busPorts[i] = freePort(tb)
			return []string{
				"--port", strconv.Itoa(port), "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(busPorts[i]),
				"--cluster-node-timeout", "5000", "--save", "", "--appendonly", "no",
			}
		})
		addrs = append(addrs, s.Addr)
		nodes[i] = redis.NewClient(&redis.Options{Addr: s.Addr})
		tb.Cleanup(func() { _ = nodes[i].Close() })
	}
	ctx := tb.Context()
	for i, node := range nodes {
		// Distinct epochs, or the nodes must first settle which of them is newer.
		require.NoError(tb, node.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		require.NoError(tb, node.ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err())
		host, port, err := net.SplitHostPort(addrs[i])
		require.NoError(tb, err)
		require.NoError(tb, nodes[0].Do(ctx, "CLUSTER", "MEET", host, port, busPorts[i]).Err())
	}
	for _, node := range nodes {
		require.Eventually(tb, func() bool { return agreed(ctx, node, masters) }, clusterTimeout, poll, "the cluster did not form")
	}
	return addrs
}

// agreed reports whether the node sees all slots served, and every node by name.
func agreed(ctx context.Context, node *redis.Client, masters int) bool {
	info, err := node.ClusterInfo(ctx).Result()
	if err != nil || !strings.Contains(info, "cluster_state:ok") {
		return false
	}
	shards, err := node.ClusterShards(ctx).Result()
	return err == nil && len(shards) == masters
}

// StartSentinel runs one Sentinel that watches the server at master under the
// given name until the test ends, and returns its host:port.
func StartSentinel(tb testing.TB, name, master string) (addr string) {
	tb.Helper()
	host, port, err := net.SplitHostPort(master)
	require.NoError(tb, err)
	// A Sentinel keeps its state in its configuration file.
	file := filepath.Join(tb.TempDir(), "sentinel.conf")
	require.NoError(tb, os.WriteFile(file, fmt.Appendf(nil, "sentinel monitor %s %s %s 1\n", name, host, port), 0o600))
	return start(tb, func(port int) []string {
		return []string{file, "--sentinel", "--port", strconv.Itoa(port)}
	}).Addr
}
