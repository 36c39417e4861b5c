package redisstore

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// batches is what a Trace is told.
type batches struct {
	mu    sync.Mutex
	began map[string]int // by operation
	sizes []int
	ended int
	fails int
}

func (b *batches) trace(ctx context.Context, operation string, commands int) (context.Context, func(error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.began == nil {
		b.began = map[string]int{}
	}
	b.began[operation]++
	b.sizes = append(b.sizes, commands)
	return ctx, func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ended++
		if err != nil {
			b.fails++
		}
	}
}

// count is how many of an operation there were; all have ended, and none has failed.
func (b *batches) count(t *testing.T, operation string) int {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for _, n := range b.began {
		total += n
	}
	require.Equal(t, total, b.ended)
	require.Zero(t, b.fails)
	return b.began[operation]
}

func TestWhatGoesToServersIsTraced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{
		"one server": {Addrs: []string{redistest.Start(t)}},
		"Cluster":    {Addrs: redistest.StartCluster(t, 3), Cluster: true},
		"Sentinel":   {Addrs: []string{redistest.StartSentinel(t, "m", redistest.Start(t))}, MasterName: "m"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b batches
			c.Trace, c.Durability = b.trace, Dev
			s, err := Open(t.Context(), c)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			before := b.count(t, "pipeline")
			_, err = s.Load(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, before+1, b.count(t, "pipeline"), "a load is one batch")
			_, err = s.Write(t.Context(), gateway.Write{Key: "a", Value: []byte("v"), Nonce: "n"})
			require.NoError(t, err)
			require.Greater(t, b.count(t, "pipeline"), before+1)
			scans := b.count(t, "zrange")
			_, err = s.Scan(t.Context(), "i", "", 1, false)
			require.NoError(t, err)
			require.Equal(t, scans+1, b.count(t, "zrange"))
			for _, op := range []string{"hello", "auth", "client", "select", "info"} {
				require.Zero(t, b.count(t, op), "what makes a connection belongs to no request")
			}
		})
	}
}

func TestPool(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, err := Open(t.Context(), Config{Addrs: []string{server}, Durability: Dev, PoolSize: 7})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	before := s.Pool()
	require.Equal(t, 7+redis.DefaultPipelinePoolSize, before.Limit)
	require.Positive(t, before.Total)
	require.Positive(t, before.Misses, "the first request had to open a connection")
	_, err = s.Load(t.Context(), "a")
	require.NoError(t, err)
	after := s.Pool()
	require.Greater(t, after.Hits+after.Misses, before.Hits+before.Misses)
	require.Eventually(t, func() bool { p := s.Pool(); return p.Idle == p.Total }, 5*time.Second, time.Millisecond)
}
