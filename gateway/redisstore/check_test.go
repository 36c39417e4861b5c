package redisstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
	"github.com/polyvault/polyvault/normalize"
)

func TestOpenSaysWhatStrictLacks(t *testing.T) {
	t.Parallel()
	unverified := redistest.StartServer(t, synced()...)
	unverified.Do(t, "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-config")
	lonely := redistest.StartServer(t, replicated()...)
	lax := redistest.StartServer(t, synced()...)
	redistest.StartReplica(t, lax, synced()...)

	tests := map[string]struct {
		config Config
		want   string
	}{
		"eviction":                 {on(redistest.Start(t, synced("--maxmemory-policy", "allkeys-lru")...)), "set it to noeviction"},
		"no file":                  {on(redistest.Start(t)), "set appendonly yes"},
		"a file that is not there": {on(redistest.Start(t, "--appendonly", "yes")), `appendfsync is "everysec", so a power cut loses what was acknowledged: set it to always, or use Redis 7.2`},
		"a file that is not there during rewrites": {
			on(redistest.Start(t, synced("--no-appendfsync-on-rewrite", "yes")...)), "no-appendfsync-on-rewrite is \"yes\"",
		},
		"settings that are hidden": {
			Config{Addrs: []string{unverified.Addr}, Username: "app", Password: normalize.NewSecret("pw")},
			"appendfsync cannot be verified: allow CONFIG GET (ACL SETUSER … +config|get), or use Redis 7.2 or later",
		},
		"no replica": {
			Config{Addrs: []string{lonely.Addr}, Replicas: 1},
			"0 of the 1 replicas that must confirm each write are connected: start them, or lower Replicas",
		},
		"too few replicas": {
			Config{Addrs: []string{lax.Addr}, Replicas: 2},
			"1 of the 2 replicas that must confirm each write are connected",
		},
		"a master that goes on alone": {Config{Addrs: []string{lax.Addr}, Replicas: 1}, "min-replicas-to-write is 0"},
		"a Cluster without replicas": {
			Config{Addrs: redistest.StartCluster(t, 3), Cluster: true}, "0 of the 1 replicas",
		},
		"a master without replicas, with Sentinel": {
			Config{Addrs: []string{redistest.StartSentinel(t, "main", lonely.Addr)}, MasterName: "main"}, "0 of the 1 replicas",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.config.Durability = Strict
			_, err := Open(t.Context(), tt.config)
			require.ErrorIs(t, err, gateway.ErrStore)
			require.ErrorContains(t, err, "durability strict is not possible")
			require.ErrorContains(t, err, tt.want)
		})
	}

	t.Run("a user who may not wait", func(t *testing.T) {
		t.Parallel()
		server := redistest.StartServer(t, synced()...)
		server.Do(t, "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-wait")
		_, err := Open(t.Context(), Config{Addrs: []string{server.Addr}, Username: "app", Password: normalize.NewSecret("pw"), Durability: Strict})
		require.ErrorContains(t, err, "for strict +wait")
	})
	t.Run("one who wants no replica needs none", func(t *testing.T) {
		t.Parallel()
		c := Config{Addrs: []string{redistest.StartSentinel(t, "main", lonely.Addr)}, MasterName: "main", Durability: Strict, Replicas: -1}
		s := open(t, c)
		require.Zero(t, s.barrier.replicas)
		require.False(t, s.alone, "a failover may still lose something")
	})
	t.Run("standard asks for less, and says nothing of what it cannot see", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, open(t, on(redistest.Start(t, "--appendonly", "yes"))).Warnings())
		require.Empty(t, open(t, Config{Addrs: []string{unverified.Addr}, Username: "app", Password: normalize.NewSecret("pw")}).Warnings())
		never := open(t, on(redistest.Start(t, "--appendonly", "yes", "--appendfsync", "no"))).Warnings()
		require.Len(t, never, 1)
		require.Contains(t, never[0], "set it to everysec")
	})
}

func on(addr string) Config { return Config{Addrs: []string{addr}} }
