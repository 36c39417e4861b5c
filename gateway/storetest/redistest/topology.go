package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	slots   = 16384
	patient = 30 * time.Second
	poll    = 20 * time.Millisecond
)

// await waits until what is claimed holds.
func await(tb testing.TB, claim string, holds func() bool) {
	tb.Helper()
	for end := time.Now().Add(patient); !holds(); time.Sleep(poll) {
		if time.Now().After(end) {
			tb.Fatalf("after %s it does not hold that %s", patient, claim)
		}
	}
}

// ClusterSet is a Redis Cluster.
type ClusterSet struct {
	Masters  []*Server   // those that were masters at the start
	Replicas [][]*Server // the replicas that each of them had
}

// Servers are all of the Cluster, masters first.
func (c *ClusterSet) Servers() []*Server {
	all := append([]*Server(nil), c.Masters...)
	for _, replicas := range c.Replicas {
		all = append(all, replicas...)
	}
	return all
}

// Addrs are the host:port of all servers.
func (c *ClusterSet) Addrs() []string { return addrs(c.Servers()) }

func addrs(servers []*Server) []string {
	out := make([]string, len(servers))
	for i, s := range servers {
		out[i] = s.Addr
	}
	return out
}

// StartCluster runs a Redis Cluster of that many masters, 1 to 16, without
// replicas until the test ends, and returns their host:port.
func StartCluster(tb testing.TB, masters int) (addrs []string) {
	tb.Helper()
	return StartClusterSet(tb, masters, 0, "--cluster-node-timeout", "5000").Addrs()
}

// StartClusterSet runs a Redis Cluster of that many masters, 1 to 16, with so many
// replicas of each. args are for every server. A replica takes over from a master
// that is away for 2 seconds; it needs the votes of more than half of the masters.
func StartClusterSet(tb testing.TB, masters, replicasEach int, args ...string) *ClusterSet {
	tb.Helper()
	c := &ClusterSet{Replicas: make([][]*Server, masters)}
	buses := map[*Server]int{}
	node := func() *Server {
		var bus int
		s := start(tb, func(port int) []string {
			// The default bus port, 10000 above, may be no port at all.
			bus = freePort(tb)
			return slices.Concat(plain(port), []string{
				// A replica without a word from its master counts as loading.
				"--repl-ping-replica-period", "1",
				"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "2000",
			}, args)
		})
		buses[s] = bus
		return s
	}
	for i := range masters {
		s := node()
		c.Masters = append(c.Masters, s)
		// Distinct epochs, or the nodes must first settle which of them is newer.
		s.Do(tb, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		s.Do(tb, "CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
		for range replicasEach {
			c.Replicas[i] = append(c.Replicas[i], node())
		}
	}
	servers := c.Servers()
	for i, s := range servers {
		host, port := s.hostPort(tb)
		for _, other := range servers[:i] { // all with all: gossip would take its time
			other.Do(tb, "CLUSTER", "MEET", host, port, buses[s])
		}
	}
	for i, master := range c.Masters {
		id := master.Do(tb, "CLUSTER", "MYID")
		for _, replica := range c.Replicas[i] {
			await(tb, "a replica knows its master", func() bool {
				_, err := replica.try(tb.Context(), "CLUSTER", "REPLICATE", id)
				return err == nil
			})
		}
	}
	for i, replicas := range c.Replicas {
		for _, replica := range replicas {
			replica.awaitLink(tb, c.Masters[i])
		}
	}
	for _, s := range servers {
		await(tb, "all of the Cluster agree", func() bool { return agreed(tb.Context(), s, masters, replicasEach) })
	}
	return c
}

// agreed reports whether the node sees all slots served, and every node in its role.
func agreed(ctx context.Context, s *Server, masters, replicasEach int) bool {
	node := s.client()
	defer func() { _ = node.Close() }()
	info, err := node.ClusterInfo(ctx).Result()
	if err != nil || !strings.Contains(info, "cluster_state:ok") {
		return false
	}
	shards, err := node.ClusterShards(ctx).Result()
	if err != nil || len(shards) != masters {
		return false
	}
	for _, shard := range shards {
		online := 0
		for _, n := range shard.Nodes {
			if n.Health == "online" {
				online++
			}
		}
		if len(shard.Slots) == 0 || online != 1+replicasEach {
			return false
		}
	}
	return true
}

// StartSentinel runs one Sentinel that watches the server at master under the
// given name until the test ends, and returns its host:port.
func StartSentinel(tb testing.TB, name, master string) (addr string) {
	tb.Helper()
	return startSentinel(tb, name, master, 1).Addr
}

func startSentinel(tb testing.TB, name, master string, quorum int, more ...string) *Server {
	tb.Helper()
	host, port, err := net.SplitHostPort(master)
	require.NoError(tb, err)
	// A Sentinel keeps its state in its configuration file.
	text := strings.Join(append([]string{fmt.Sprintf("sentinel monitor %s %s %s %d", name, host, port, quorum)}, more...), "\n")
	file := filepath.Join(tb.TempDir(), "sentinel.conf")
	require.NoError(tb, os.WriteFile(file, []byte(text+"\n"), 0o600))
	return start(tb, func(port int) []string {
		return []string{file, "--sentinel", "--port", strconv.Itoa(port)}
	})
}

// SentinelSet is a master with replicas, and the Sentinels that put one of them in
// its place when it is lost.
type SentinelSet struct {
	Name      string    // the master's, at the Sentinels
	Servers   []*Server // the first is the master at the start
	Sentinels []*Server
}

// Addrs are the host:port of the Sentinels.
func (s *SentinelSet) Addrs() []string { return addrs(s.Sentinels) }

// Master is the server that most Sentinels hold to be the master; nil if they are
// not of one mind.
func (s *SentinelSet) Master(tb testing.TB) *Server {
	tb.Helper()
	votes := map[string]int{}
	for _, sentinel := range s.Sentinels {
		if reply, err := sentinel.try(tb.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.Name); err == nil {
			if addr, ok := reply.([]any); ok && len(addr) == 2 {
				votes[fmt.Sprintf("%s:%s", addr...)]++
			}
		}
	}
	for _, server := range s.Servers {
		if votes[server.Addr] > len(s.Sentinels)/2 {
			return server
		}
	}
	return nil
}

// StartSentinelSet runs a master with two replicas and three Sentinels, two of which
// must agree that the master is away, for one second, before a replica takes over.
// args are for the master and the replicas. What a Sentinel tells them to be they
// stay when they are restarted.
func StartSentinelSet(tb testing.TB, args ...string) *SentinelSet {
	tb.Helper()
	s := &SentinelSet{Name: "main"}
	for i := range 3 {
		// Their role is kept in a configuration file.
		file, role := filepath.Join(tb.TempDir(), "redis.conf"), ""
		if i > 0 {
			host, port := s.Servers[0].hostPort(tb)
			role = fmt.Sprintf("replicaof %s %s\n", host, port)
		}
		require.NoError(tb, os.WriteFile(file, []byte(role), 0o600))
		s.Servers = append(s.Servers, start(tb, func(port int) []string {
			return slices.Concat([]string{file}, plain(port), args)
		}))
	}
	for _, replica := range s.Servers[1:] {
		replica.awaitLink(tb, s.Servers[0])
	}
	for range 3 {
		s.Sentinels = append(s.Sentinels, startSentinel(tb, s.Name, s.Servers[0].Addr, 2,
			"sentinel down-after-milliseconds "+s.Name+" 1000", "sentinel failover-timeout "+s.Name+" 3000"))
	}
	for _, sentinel := range s.Sentinels {
		await(tb, "a Sentinel knows all others and the replicas", func() bool {
			reply, err := sentinel.try(tb.Context(), "SENTINEL", "MASTER", s.Name)
			known := pairs(reply)
			return err == nil && known["num-slaves"] == "2" && known["num-other-sentinels"] == "2"
		})
	}
	return s
}

// pairs makes a map of a reply that is a list of names and values.
func pairs(reply any) map[string]string {
	list, ok := reply.([]any)
	if !ok {
		return nil
	}
	m := make(map[string]string)
	for i := 0; i+1 < len(list); i += 2 {
		m[fmt.Sprint(list[i])] = fmt.Sprint(list[i+1])
	}
	return m
}
