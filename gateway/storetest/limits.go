package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

// OpenBuckets opens limits that nothing was drawn from.
type OpenBuckets func(tb testing.TB) gateway.Buckets

// RunBuckets checks the limits that open opens. The checks run in parallel.
func RunBuckets(t *testing.T, open OpenBuckets) {
	t.Helper()
	for _, c := range []struct {
		rule string
		run  func(t *testing.T, b gateway.Buckets)
	}{
		{"a bucket is full at first and never gives more than it has", bucketBurst},
		{"a bucket fills at its rate, and no further than its burst", bucketFills},
		{"buckets with other keys do not meet", bucketKeys},
		{"who draws at the same time gets no more than there is", bucketRace},
		{"a bucket whose burst was lowered has no more than that", bucketLowered},
		{"a name counts once, and no more names than the limit fit in a span", spanTake},
		{"a name that is dropped makes room", spanDrop},
		{"what is noted counts beyond the limit, and the oldest is forgotten", spanNote},
		{"a span ends", spanEnds},
		{"counts are made in their order, each by itself", spanMany},
		{"of 50 that count at the same time no more fit in than the limit", spanRace},
		{"what is malformed is refused", limitsMalformed},
		{"a cancelled context stops limits", limitsCancelled},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

func draw(t *testing.T, b gateway.Buckets, key string, r gateway.Rate, want int) gateway.Drawn {
	t.Helper()
	out, err := b.Draw(t.Context(), key, r, want)
	require.NoError(t, err)
	return out
}

// slow is a rate at which nothing comes in during a test.
func slow(burst int) gateway.Rate { return gateway.Rate{PerSecond: 0.01, Burst: burst} }

func bucketBurst(t *testing.T, b gateway.Buckets) {
	t.Helper()
	require.Equal(t, 3, draw(t, b, "a", slow(5), 3).Granted)
	out := draw(t, b, "a", slow(5), 3)
	require.Equal(t, 2, out.Granted, "what is left")
	require.Zero(t, out.Wait)
	out = draw(t, b, "a", slow(5), 1)
	require.Zero(t, out.Granted)
	require.InDelta(t, 100, out.Wait.Seconds(), 5)
	require.Less(t, out.Left, 1.0)
}

func bucketFills(t *testing.T, b gateway.Buckets) {
	t.Helper()
	r := gateway.Rate{PerSecond: 100, Burst: 10}
	begin := time.Now()
	total := draw(t, b, "a", r, 10).Granted
	require.Equal(t, 10, total)
	for time.Since(begin) < 300*time.Millisecond {
		out := draw(t, b, "a", r, 10)
		if total += out.Granted; out.Granted == 0 {
			require.Positive(t, out.Wait)
			require.LessOrEqual(t, out.Wait, 10*time.Millisecond)
		}
		require.LessOrEqual(t, float64(total), 10+time.Since(begin).Seconds()*100+1)
		time.Sleep(poll)
	}
	require.GreaterOrEqual(t, total, 15, "it fills")
	time.Sleep(250 * time.Millisecond)
	require.LessOrEqual(t, draw(t, b, "a", r, 100).Granted, 10, "no further than its burst")
}

func bucketKeys(t *testing.T, b gateway.Buckets) {
	t.Helper()
	for _, key := range []string{"a", "A", "a/b", "a}b", strings.Repeat("x", gateway.MaxName)} {
		require.Equal(t, 2, draw(t, b, key, slow(2), 5).Granted, key)
	}
}

func bucketRace(t *testing.T, b gateway.Buckets) {
	t.Helper()
	var granted atomic.Int64
	require.NoError(t, together(20, func(int) error {
		for range 10 {
			out, err := b.Draw(t.Context(), "a", slow(57), 3)
			if err != nil {
				return err
			}
			granted.Add(int64(out.Granted))
		}
		return nil
	}))
	require.EqualValues(t, 57, granted.Load())
}

func bucketLowered(t *testing.T, b gateway.Buckets) {
	t.Helper()
	require.Equal(t, 1, draw(t, b, "a", slow(100), 1).Granted)
	require.Equal(t, 4, draw(t, b, "a", slow(4), 50).Granted)
}

func count(t *testing.T, b gateway.Buckets, counts ...gateway.Count) []gateway.Counted {
	t.Helper()
	out, err := b.Count(t.Context(), counts...)
	require.NoError(t, err)
	require.Len(t, out, len(counts))
	return out
}

// one counts a name towards a span of an hour with room for two.
func one(t *testing.T, b gateway.Buckets, name string, do gateway.CountAction) gateway.Counted {
	t.Helper()
	return count(t, b, gateway.Count{Key: "k", Span: gateway.Span{Limit: 2, Per: time.Hour}, Name: name, Do: do})[0]
}

func spanTake(t *testing.T, b gateway.Buckets) {
	t.Helper()
	require.True(t, one(t, b, "", gateway.CountLook).OK)
	for range 3 {
		require.True(t, one(t, b, "x", gateway.CountTake).OK)
	}
	require.True(t, one(t, b, "", gateway.CountLook).OK)
	require.True(t, one(t, b, "y", gateway.CountTake).OK)
	for _, refused := range []gateway.Counted{one(t, b, "z", gateway.CountTake), one(t, b, "", gateway.CountLook)} {
		require.False(t, refused.OK)
		require.InDelta(t, 3600, refused.Wait.Seconds(), 5)
	}
	require.True(t, one(t, b, "x", gateway.CountTake).OK, "it counts already")
}

func spanDrop(t *testing.T, b gateway.Buckets) {
	t.Helper()
	one(t, b, "x", gateway.CountTake)
	one(t, b, "y", gateway.CountTake)
	require.True(t, one(t, b, "x", gateway.CountDrop).OK)
	require.True(t, one(t, b, "nobody", gateway.CountDrop).OK)
	require.True(t, one(t, b, "z", gateway.CountTake).OK)
	require.False(t, one(t, b, "x", gateway.CountTake).OK)
}

func spanNote(t *testing.T, b gateway.Buckets) {
	t.Helper()
	for _, name := range []string{"w", "x", "y", "y", "z"} {
		require.True(t, one(t, b, name, gateway.CountNote).OK)
		time.Sleep(time.Millisecond) // so that they have an order
	}
	require.False(t, one(t, b, "", gateway.CountLook).OK)
	one(t, b, "z", gateway.CountDrop)
	require.True(t, one(t, b, "", gateway.CountLook).OK, "no more than the limit are remembered")
}

func spanEnds(t *testing.T, b gateway.Buckets) {
	t.Helper()
	c := gateway.Count{Key: "k", Span: gateway.Span{Limit: 1, Per: 200 * time.Millisecond}, Name: "x", Do: gateway.CountTake}
	require.True(t, count(t, b, c)[0].OK)
	c.Name = "y"
	refused := count(t, b, c)[0]
	require.False(t, refused.OK)
	require.LessOrEqual(t, refused.Wait, 200*time.Millisecond)
	time.Sleep(refused.Wait)
	require.Eventually(t, func() bool { return count(t, b, c)[0].OK }, patience, poll)
}

func spanMany(t *testing.T, b gateway.Buckets) {
	t.Helper()
	span := gateway.Span{Limit: 1, Per: time.Hour}
	out := count(t, b,
		gateway.Count{Key: "a", Span: span, Name: "x", Do: gateway.CountTake},
		gateway.Count{Key: "a", Span: span, Name: "y", Do: gateway.CountTake},
		gateway.Count{Key: "b", Span: span, Name: "y", Do: gateway.CountTake},
		gateway.Count{Key: "a", Span: span, Name: "x", Do: gateway.CountDrop},
		gateway.Count{Key: "a", Span: span},
	)
	var fits []bool
	for _, c := range out {
		fits = append(fits, c.OK)
	}
	require.Equal(t, []bool{true, false, true, true, true}, fits)
	require.Empty(t, count(t, b))
}

func spanRace(t *testing.T, b gateway.Buckets) {
	t.Helper()
	var fits atomic.Int64
	require.NoError(t, together(50, func(i int) error {
		out, err := b.Count(t.Context(), gateway.Count{Key: "k", Span: gateway.Span{Limit: 7, Per: time.Hour}, Name: fmt.Sprint(i), Do: gateway.CountTake})
		if err == nil && out[0].OK {
			fits.Add(1)
		}
		return err
	}))
	require.EqualValues(t, 7, fits.Load())
}

func limitsMalformed(t *testing.T, b gateway.Buckets) {
	t.Helper()
	for _, d := range []struct {
		key  string
		rate gateway.Rate
		want int
	}{
		{"", slow(1), 1}, {strings.Repeat("x", gateway.MaxName+1), slow(1), 1}, {"a", gateway.Rate{}, 1}, {"a", gateway.Rate{PerSecond: 1}, 1}, {"a", slow(1), 0},
	} {
		_, err := b.Draw(t.Context(), d.key, d.rate, d.want)
		require.ErrorIs(t, err, gateway.ErrStore)
	}
	span := gateway.Span{Limit: 1, Per: time.Hour}
	for _, c := range []gateway.Count{
		{Span: span, Name: "x"},
		{Key: "k", Name: "x"},
		{Key: "k", Span: span, Do: gateway.CountTake},
		{Key: "k", Span: span, Do: gateway.CountNote},
		{Key: "k", Span: span, Name: strings.Repeat("x", gateway.MaxName+1)},
	} {
		_, err := b.Count(t.Context(), gateway.Count{Key: "k", Span: span, Name: "y", Do: gateway.CountTake}, c)
		require.ErrorIs(t, err, gateway.ErrStore)
	}
	require.True(t, count(t, b, gateway.Count{Key: "k", Span: span})[0].OK, "nothing was done")
}

func limitsCancelled(t *testing.T, b gateway.Buckets) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Draw(ctx, "a", slow(1), 1)
	require.ErrorIs(t, err, gateway.ErrStore)
	_, err = b.Count(ctx, gateway.Count{Key: "a", Span: gateway.Span{Limit: 1, Per: time.Second}})
	require.ErrorIs(t, err, gateway.ErrStore)
}
