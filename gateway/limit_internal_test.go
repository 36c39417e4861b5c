package gateway

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"pgregory.net/rapid"
)

// far is a shared bucket that is some way off, and that can fail.
type far struct {
	Buckets

	away  time.Duration
	fails func() bool
	mu    sync.Mutex
	asked int
}

func (f *far) Draw(ctx context.Context, key string, r Rate, want int) (Drawn, error) {
	f.mu.Lock()
	f.asked++
	failing := f.fails != nil && f.fails()
	f.mu.Unlock()
	time.Sleep(f.away)
	if failing {
		return Drawn{}, limitError(errors.New("away"))
	}
	return f.Buckets.Draw(ctx, key, r, want)
}

// gateways are n limiters over one shared bucket.
func gateways(n int, shared Buckets) []*limiter {
	out := make([]*limiter, n)
	for i := range out {
		out[i] = &limiter{shared: shared, own: newMemoryBuckets(time.Now), log: zap.NewNop(), base: time.Now()}
	}
	return out
}

// requireWithin checks that in no interval more than rate * t + burst were let through.
func requireWithin(t require.TestingT, r Rate, at []time.Duration) {
	slices.Sort(at)
	// The most that can still come at each moment: a bucket that is followed is over iff
	// some interval is.
	level, last := float64(r.Burst), time.Duration(0)
	for i, now := range at {
		level = math.Min(float64(r.Burst), level+(now-last).Seconds()*r.PerSecond) - 1
		last = now
		require.GreaterOrEqual(t, level, -1e-6, "request %d of %d at %s is over %+v", i, len(at), now, r)
	}
}

func TestABucketNeverGivesTooMuch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{PerSecond: rapid.Float64Range(0.01, 10_000).Draw(t, "rate"), Burst: rapid.IntRange(1, 1000).Draw(t, "burst")}
		var b bucket
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		now := begin
		var at []time.Duration
		for range rapid.IntRange(1, 50).Draw(t, "draws") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "pause")))
			var out Drawn
			want := rapid.IntRange(1, 100).Draw(t, "want")
			b, out = b.draw(r, now, want)
			require.LessOrEqual(t, out.Granted, want)
			require.GreaterOrEqual(t, out.Left, 0.0)
			if out.Granted == 0 {
				require.Positive(t, out.Wait)
				_, later := b.draw(r, now.Add(out.Wait), 1)
				require.Equal(t, 1, later.Granted, "after the wait there is one")
			}
			for range out.Granted {
				at = append(at, now.Sub(begin))
			}
		}
		requireWithin(t, r, at)
	})
}

func TestABucketWhoseClockIsSetBackFillsNothing(t *testing.T) {
	t.Parallel()
	now, r := time.Now(), Rate{PerSecond: 1, Burst: 10}
	b, out := bucket{}.draw(r, now, 10)
	require.Equal(t, 10, out.Granted)
	b, out = b.draw(r, now.Add(-time.Hour), 10)
	require.Zero(t, out.Granted)
	_, out = b.draw(r, now.Add(-time.Hour+2*time.Second), 10)
	require.Equal(t, 2, out.Granted, "it goes on from there")
}

// TestGatewaysTogetherNeverLetTooManyThrough drives gateways that share a bucket, each
// with its own load, some way off the store.
func TestGatewaysTogetherNeverLetTooManyThrough(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(rt, "gateways")
		r := Rate{
			PerSecond: rapid.SampledFrom([]float64{0.5, 3, 20, 100, 333.3, 2000}).Draw(rt, "rate"),
			Burst:     rapid.SampledFrom([]int{1, 2, 10, 50, 300, 2000}).Draw(rt, "burst"),
		}
		away := time.Duration(rapid.Int64Range(0, int64(20*time.Millisecond)).Draw(rt, "away"))
		seed := rapid.SliceOfN(rapid.Int64Range(0, int64(40*time.Millisecond)), n*20, n*20).Draw(rt, "pauses")
		atOnce := rapid.SliceOfN(rapid.IntRange(1, 30), n*20, n*20).Draw(rt, "at once")
		var at []time.Duration
		synctest.Test(t, func(*testing.T) {
			begin, mu := time.Now(), sync.Mutex{}
			var wg sync.WaitGroup
			for g, l := range gateways(n, &far{Buckets: newMemoryBuckets(time.Now), away: away}) {
				tap := l.tap("x", r)
				wg.Go(func() {
					for i := range 20 {
						time.Sleep(time.Duration(seed[g*20+i]))
						for range atOnce[g*20+i] {
							wg.Go(func() {
								if tap.take(context.Background()) == 0 {
									mu.Lock()
									at = append(at, time.Since(begin))
									mu.Unlock()
								}
							})
						}
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Second) // what was drawn ahead has come
		})
		require.NotEmpty(rt, at)
		requireWithin(rt, r, at)
	})
}

func TestALargeLimitSeldomAsksAndIsUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &far{Buckets: newMemoryBuckets(time.Now), away: time.Millisecond}
		r := Rate{PerSecond: 1000, Burst: 1000}
		passed := 0
		tap := gateways(1, shared)[0].tap("x", r)
		for range 10 * 900 { // 900 a second
			time.Sleep(time.Second / 900)
			if tap.take(t.Context()) == 0 {
				passed++
			}
		}
		synctest.Wait()
		require.Equal(t, 9000, passed, "below the rate nobody is refused")
		require.Less(t, shared.asked, 300, "about a round trip for each chunk")

		passed = 0
		for range 10 * 2000 { // twice the rate
			time.Sleep(time.Second / 2000)
			if tap.take(t.Context()) == 0 {
				passed++
			}
		}
		synctest.Wait()
		require.InDelta(t, 10_400, passed, 600, "at twice the rate half is let through: the rate, and what was left of the burst")
		require.Less(t, shared.asked, 2000)
		time.Sleep(time.Second) // what was drawn ahead has come
	})
}

func TestASmallLimitIsExact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		both := gateways(2, newMemoryBuckets(time.Now))
		r := Rate{PerSecond: 2, Burst: 5}
		passed := 0
		for i := range 12 {
			if both[i%2].tap("x", r).take(t.Context()) == 0 {
				passed++
			}
		}
		require.Equal(t, 5, passed)
		wait := both[0].tap("x", r).take(t.Context())
		require.InDelta(t, 0.5, wait.Seconds(), 0.001)
		time.Sleep(wait)
		require.Zero(t, both[0].tap("x", r).take(t.Context()))
		require.Positive(t, both[1].tap("x", r).take(t.Context()))
	})
}

func TestAGatewayWhoseStoreIsAwayKeepsItsLimitsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := true
		shared := &far{Buckets: newMemoryBuckets(time.Now), fails: func() bool { return away }}
		l := gateways(1, shared)[0]
		tap := l.tap("x", Rate{PerSecond: 1, Burst: 3})
		passed := 0
		for range 10 {
			if tap.take(t.Context()) == 0 {
				passed++
			}
		}
		require.Equal(t, 3, passed, "a bucket of the same rate")
		require.Equal(t, 1, shared.asked, "the store is asked once a second")
		require.True(t, l.alone.Load())
		away = false
		time.Sleep(aloneFor)
		require.Zero(t, tap.take(t.Context()))
		require.False(t, l.alone.Load())
		require.Equal(t, 2, shared.asked)
	})
}

func TestAnotherRateIsAnotherLimit(t *testing.T) {
	t.Parallel()
	l := gateways(1, newMemoryBuckets(time.Now))[0]
	first := l.tap("x", Rate{PerSecond: 1, Burst: 3})
	require.Same(t, first, l.tap("x", Rate{PerSecond: 1, Burst: 3}))
	require.NotSame(t, first, l.tap("x", Rate{PerSecond: 2, Burst: 3}))
}

func TestTheNumbersOfATap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rate  Rate
		most  int
		burst int
	}{
		{Rate{PerSecond: 0.1, Burst: 1}, 1, 1},
		{Rate{PerSecond: 10, Burst: 20}, 1, 20},
		{Rate{PerSecond: 100, Burst: 100}, 10, 90},
		{Rate{PerSecond: 100, Burst: 10_000}, 25, 9975},
		{Rate{PerSecond: 100_000, Burst: 10}, 1, 10},
	} {
		tap := newTap(gateways(1, nil)[0], "x", tt.rate)
		require.Equal(t, tt.most, tap.most, "%+v", tt.rate)
		require.Equal(t, tt.burst, tap.from.Burst, "%+v", tt.rate)
	}
}

func BenchmarkTap(b *testing.B) {
	l := gateways(1, newMemoryBuckets(time.Now))[0]
	s := &Service{gates: l.gates(map[string]Tenant{"acme": {Limits: Limits{Tenant: Rate{1e5, 1e5}, Key: Rate{1e5, 1e5}}}})}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			a := s.Admit(context.Background(), "acme", "checkout")
			_ = a.Quotas()
		}
	})
}
