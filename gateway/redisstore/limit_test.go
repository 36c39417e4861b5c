package redisstore

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

func bucketsOf(c Config) storetest.OpenBuckets {
	var n atomic.Int64
	return func(tb testing.TB) gateway.Buckets {
		own := c
		own.KeyPrefix = fmt.Sprintf("limits%d:", n.Add(1))
		return open(tb, own)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	storetest.RunBuckets(t, bucketsOf(Config{URL: "redis://" + redistest.Start(t)}))
}

func TestLimitsOnCluster(t *testing.T) {
	t.Parallel()
	storetest.RunBuckets(t, bucketsOf(Config{Addrs: redistest.StartCluster(t, 3), Cluster: true}))
}

func TestLimitsInStrict(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t, synced()...)
	storetest.RunBuckets(t, bucketsOf(Config{URL: "redis://" + addr, Durability: Strict}))
}

func TestLimitsGoAwayByThemselvesAndAreNotDumped(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t)
	s := open(t, Config{URL: "redis://" + addr})
	_, err := s.Draw(t.Context(), "a", gateway.Rate{PerSecond: 10, Burst: 20}, 10)
	require.NoError(t, err)
	_, err = s.Count(t.Context(), gateway.Count{Key: "b", Span: gateway.Span{Limit: 2, Per: time.Minute}, Name: "x", Do: gateway.CountTake})
	require.NoError(t, err)
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = client.Close() })
	for key, most := range map[string]time.Duration{"pv:limit:{a}": 2 * time.Second, "pv:limit:{b}": 2 * time.Minute} {
		left, err := client.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		require.Positive(t, left, key)
		require.LessOrEqual(t, left, most, key)
	}
	require.NoError(t, s.Dump(t.Context(), func(key string, _ gateway.Entry) error {
		return fmt.Errorf("%s was dumped", key)
	}))
	require.NoError(t, client.ScriptFlush(t.Context()).Err())
	out, err := s.Draw(t.Context(), "a", gateway.Rate{PerSecond: 10, Burst: 20}, 1)
	require.NoError(t, err, "a server that forgot its scripts is told again")
	require.Equal(t, 1, out.Granted)
}

// TestGatewaysShareTheirLimits has two gateways on one server.
func TestGatewaysShareTheirLimits(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t)
	gateways := make([]*gateway.Service, 2)
	for i := range gateways {
		var err error
		gateways[i], err = gateway.New(gateway.Config{
			Store: open(t, Config{URL: "redis://" + addr}), Owner: fmt.Sprint("gateway-", i), Keys: gateway.Keys{{ID: "k1", Secret: make([]byte, 32)}},
			Tenants: []gateway.Tenant{{Name: "acme", Limits: gateway.Limits{Tenant: gateway.Rate{PerSecond: 0.01, Burst: 7}}}},
		})
		require.NoError(t, err)
	}
	through := 0
	for i := range 20 {
		if a := gateways[i%2].Admit(t.Context(), "acme", "key"); a.Wait == 0 {
			through++
		}
	}
	require.Equal(t, 7, through)
}
