package redisstore

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
	"github.com/polyvault/polyvault/normalize"
)

func TestMain(m *testing.M) {
	SilenceClient()
	// The client looks every second whether a server that was away is back, and whether
	// it was closed itself.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// open opens a store and closes it when the test ends.
func open(tb testing.TB, c Config) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), c)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

// synced are the arguments of a server that has on disk what it answered.
func synced(more ...string) []string {
	return append([]string{"--appendonly", "yes", "--appendfsync", "always"}, more...)
}

// opener opens stores on one server that do not see each other.
func opener(c Config) storetest.Open {
	var n atomic.Int64
	return func(tb testing.TB) gateway.Store {
		own := c
		own.KeyPrefix = fmt.Sprintf("test%d:", n.Add(1))
		return open(tb, own)
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(Config{URL: "redis://" + redistest.Start(t)}))
}

func TestStoreOnCluster(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(Config{Addrs: redistest.StartCluster(t, 3), Cluster: true}))
}

func TestStoreWithSentinel(t *testing.T) {
	t.Parallel()
	addr := redistest.StartSentinel(t, "main", redistest.Start(t))
	s := open(t, Config{Addrs: []string{addr}, MasterName: "main"})
	out, err := s.Write(t.Context(), gateway.Write{Key: "k", Value: []byte("v"), Nonce: "n", Add: []gateway.Member{{Index: "i", Member: "m"}}})
	require.NoError(t, err)
	require.True(t, out.Applied)
	require.NoError(t, s.Ping(t.Context()))

	_, err = Open(t.Context(), Config{Addrs: []string{addr}, MasterName: "other"})
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorContains(t, err, "check MasterName")
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	const password, wrong = "open sesame", "open barley"
	free := redistest.Start(t)
	guarded := redistest.Start(t, "--requirepass", password)
	evicting := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	cluster := redistest.StartCluster(t, 3)
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 1")
	stopped := redistest.StartServer(t)
	stopped.Stop()

	tests := map[string]struct {
		config Config
		want   []string
	}{
		"nothing is set":              {Config{}, []string{"URL: set it, or Addrs"}},
		"a URL and addresses":         {Config{URL: "redis://h", Addrs: []string{"h"}}, []string{"not both"}},
		"a URL of another kind":       {Config{URL: "http://u:" + wrong + "@h"}, []string{"must be redis://"}},
		"a URL that cannot be parsed": {Config{URL: "redis://u:" + wrong + "@h:port"}, []string{"must be redis://"}},
		"a URL without a host":        {Config{URL: "redis://"}, []string{"must be redis://"}},
		"a URL with a bad database":   {Config{URL: "redis://u:" + wrong + "@h/x"}, []string{"must be redis://"}},
		"a URL with options":          {Config{URL: "redis://h?max_retries=9"}, []string{"must not have a query"}},
		"a Cluster's other database":  {Config{URL: "redis://h/2", Cluster: true}, []string{"only database 0"}},
		"many servers of no kind":     {Config{Addrs: []string{"a", "b"}}, []string{"need Cluster, or MasterName"}},
		"Sentinel and Cluster":        {Config{Addrs: []string{"a"}, Cluster: true, MasterName: "m"}, []string{"MasterName"}},
		"a durability unheard of":     {Config{URL: "redis://h", Durability: "high"}, []string{"Durability"}},
		"negative numbers":            {Config{URL: "redis://h", DialTimeout: -1, PoolSize: -1, Replicas: -2}, []string{"DialTimeout", "PoolSize", "Replicas"}},
		"too many replicas":           {Config{URL: "redis://h", Replicas: 10}, []string{"Replicas: must be from -1 to 9"}},

		"nobody listens":                {Config{Addrs: []string{stopped.Addr}}, []string{stopped.Addr, "is it running", "refused"}},
		"no password":                   {Config{Addrs: []string{guarded}}, []string{guarded, "check Username and Password"}},
		"a wrong password":              {Config{Addrs: []string{guarded}, Password: normalize.NewSecret(wrong)}, []string{"check Username and Password"}},
		"a wrong password in the URL":   {Config{URL: "redis://:open%20barley@" + guarded}, []string{"check Username and Password"}},
		"TLS to a server without":       {Config{URL: "rediss://" + free}, []string{"TLS"}},
		"a Cluster taken for a server":  {Config{Addrs: cluster[:1]}, []string{"set Cluster"}},
		"a server taken for a Cluster":  {Config{Addrs: []string{free}, Cluster: true}, []string{"unset Cluster"}},
		"a database that is not":        {Config{URL: "redis://" + free + "/99"}, []string{"choose a lower number in URL", "out of range"}},
		"a replica":                     {Config{Addrs: []string{replica}}, []string{"is a replica"}},
		"strict with eviction, no file": {Config{Addrs: []string{evicting}, Durability: Strict}, []string{"noeviction", "appendonly yes"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(t.Context(), tt.config)
			require.ErrorIs(t, err, gateway.ErrStore)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), wrong)
			require.NotContains(t, err.Error(), password)
		})
	}

	t.Run("the right password opens", func(t *testing.T) {
		t.Parallel()
		open(t, Config{Addrs: []string{guarded}, Password: normalize.NewSecret(password)})
		open(t, Config{URL: "redis://:open%20sesame@" + guarded + "/3"})
		open(t, Config{URL: "redis://:wrong@" + guarded, Password: normalize.NewSecret(password)})
	})
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	evicting := Config{Addrs: []string{redistest.Start(t, "--maxmemory-policy", "allkeys-lru")}}
	s := open(t, evicting)
	require.Equal(t, Standard, s.Durability())
	require.Len(t, s.Warnings(), 2)
	require.Contains(t, s.Warnings()[0], "appendonly is off")
	require.Contains(t, s.Warnings()[1], `maxmemory-policy is "allkeys-lru"`)

	evicting.Durability = Dev
	require.Len(t, open(t, evicting).Warnings(), 1, "dev asks for no file, but eviction surprises there too")

	sound := Config{Addrs: []string{redistest.Start(t, synced()...)}, Durability: Strict}
	require.Empty(t, open(t, sound).Warnings())

	blind := redis.NewClient(&redis.Options{Addr: sound.Addrs[0]})
	t.Cleanup(func() { require.NoError(t, blind.Close()) })
	require.NoError(t, blind.Do(t.Context(), "ACL", "SETUSER", "blind", "on", ">pw", "~*", "+@all", "-info").Err())
	sound.Username, sound.Password, sound.Durability = "blind", normalize.NewSecret("pw"), Standard
	s = open(t, sound)
	require.Len(t, s.Warnings(), 1)
	require.Contains(t, s.Warnings()[0], "may not call INFO")
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for version, old := range map[string]bool{
		"5.0.14": true, "6.0.16": true, "6.2.0": false, "7.0.15": false, "8.2.1": false, "10.0": false, "": false, "next": false, "a.b": false,
	} {
		require.Equal(t, old, tooOld(version), version)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := Config{URL: "rediss://user:pw@h/4"}.options()
	require.NoError(t, err)
	require.Equal(t, []string{"h:6379"}, o.Addrs)
	require.Equal(t, []any{"user", "pw", 4}, []any{o.Username, o.Password, o.DB})
	require.Equal(t, "h", o.TLSConfig.ServerName)
	require.Equal(t, uint16(tls.VersionTLS12), o.TLSConfig.MinVersion)
	require.Equal(t, 2*time.Second, o.DialTimeout)
	require.Equal(t, 2*time.Second, o.ReadTimeout)

	own := &tls.Config{ServerName: "other", MinVersion: tls.VersionTLS13}
	o, err = Config{URL: "rediss://user:pw@h", Username: "u", Password: normalize.NewSecret("p"), TLS: own, ReadTimeout: time.Minute}.options()
	require.NoError(t, err)
	require.Equal(t, []any{"u", "p", own}, []any{o.Username, o.Password, o.TLSConfig})
	require.Equal(t, time.Minute, o.WriteTimeout)
}

// busyWrite does everything that a write can do.
func busyWrite(expect uint64) gateway.Write {
	return gateway.Write{
		Key: "k", Expect: expect, Value: []byte("v"), Nonce: fmt.Sprintf("n%d", expect), TTL: time.Hour,
		Add:    []gateway.Member{{Index: "i", Member: "m"}, {Index: "j", Member: "m"}},
		Remove: []gateway.Member{{Index: "i", Member: "o"}},
		Claims: []gateway.Claim{{Key: "c", Owner: "o"}, {Key: "d", Owner: "o"}},
		Load:   []string{"k", "l", "m"},
	}
}

func TestRoundTripsOnOneServer(t *testing.T) {
	t.Parallel()
	p := startProxy(t, redistest.Start(t))
	s := open(t, Config{Addrs: []string{p.addr}, PoolSize: 1})
	version := uint64(0)
	methods := map[string]func() error{
		"load": func() error { _, err := s.Load(t.Context(), "a", "b", "c"); return err },
		"scan": func() error { _, err := s.Scan(t.Context(), "i", "", 10, true); return err },
		"write": func() error {
			out, err := s.Write(t.Context(), busyWrite(version))
			require.True(t, out.Applied)
			version++
			return err
		},
	}
	for _, method := range methods { // connections are made
		require.NoError(t, method())
	}
	for name, method := range methods {
		before := p.trips.Load()
		require.NoError(t, method())
		require.Equal(t, int64(1), p.trips.Load()-before, name)
	}
}

func TestRoundTripsOnCluster(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: redistest.StartCluster(t, 3), Cluster: true})
	var counted counter
	s.client.AddHook(&counted)
	trips := func(f func() error) int64 {
		before := counted.Load()
		require.NoError(t, f())
		return counted.Load() - before
	}
	write := func(w gateway.Write, applied bool) func() error {
		return func() error {
			out, err := s.Write(t.Context(), w)
			require.Equal(t, applied, out.Applied)
			return err
		}
	}
	plain := gateway.Write{Key: "p", Nonce: "n", Claims: []gateway.Claim{{Key: "c", Owner: "o"}}, Load: []string{"a", "b", "c"}}
	require.Equal(t, int64(1), trips(func() error { _, err := s.Load(t.Context(), "a", "b", "c", "d"); return err }))
	require.Equal(t, int64(1), trips(func() error { _, err := s.Scan(t.Context(), "i", "", 10, false); return err }))
	require.Equal(t, int64(1), trips(write(plain, true)))
	require.Equal(t, int64(2), trips(write(busyWrite(0), true)))
	require.Equal(t, int64(1), trips(write(busyWrite(7), false)), "indexes are left alone if the entry was not written")
}
