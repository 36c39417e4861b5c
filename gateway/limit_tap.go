package gateway

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// drawTimeout bounds a round trip for tokens: a limit must not hold requests for
	// longer than it is worth.
	drawTimeout = 250 * time.Millisecond
	// aloneFor is for how long a gateway whose store could not be asked keeps limits by
	// itself before it asks again.
	aloneFor = time.Second
	// maxHold is for how long drawn tokens may be kept.
	maxHold = 250 * time.Millisecond
	// heldShare is the share of a burst, as one of so many, that may be kept drawn.
	heldShare = 10
	// leastChunk is the chunk that is worth keeping tokens for.
	leastChunk = 4
)

// limitError is an error of limits that live in this process.
func limitError(err error) error { return fmt.Errorf("%w: limits: %w", ErrStore, err) }

// limiter is what this gateway's limits draw from.
type limiter struct {
	shared Buckets // all gateways' limits
	own    Buckets // kept here, for when shared cannot be asked
	log    *zap.Logger
	base   time.Time // what tap's times are measured from, so that they are monotonic
	alone  atomic.Bool
	taps   sync.Map // by name: *tap
}

func newLimiter(store Store, log *zap.Logger) *limiter {
	own := newMemoryBuckets(time.Now)
	l := &limiter{shared: own, own: own, log: log, base: time.Now()}
	if shared, ok := store.(Buckets); ok {
		l.shared = shared
	}
	return l
}

// LimitsAlone reports whether this gateway keeps limits by itself, since the store that
// they are shared in cannot be asked.
func (s *Service) LimitsAlone() bool { return s.limiter.alone.Load() }

// elapsed is a clock that nobody can set.
func (l *limiter) elapsed() time.Duration { return time.Since(l.base) }

// tap returns the limit of that name. With another rate than before it is another one.
func (l *limiter) tap(name string, r Rate) *tap {
	if t, ok := l.taps.Load(name); ok && t.(*tap).rate == r { //nolint:forcetypeassert,errcheck // taps holds nothing else
		return t.(*tap) //nolint:forcetypeassert,errcheck // taps holds nothing else
	}
	t := newTap(l, name, r)
	l.taps.Store(name, t)
	return t
}

// draw asks the store, and this gateway's own buckets if that cannot answer.
func (l *limiter) draw(ctx context.Context, name string, r Rate, want int) (Drawn, error) {
	ctx, cancel := context.WithTimeout(ctx, drawTimeout)
	defer cancel()
	out, err := l.shared.Draw(ctx, name, r, want)
	l.heard(err)
	return out, err
}

// heard notes whether the store keeps the limits, and tells when that changes.
func (l *limiter) heard(err error) {
	alone := err != nil
	if l.alone.Load() == alone || !l.alone.CompareAndSwap(!alone, alone) {
		return
	}
	if alone {
		l.log.Warn("limits are kept by this gateway alone: the store cannot be asked", zap.Error(err))
	} else {
		l.log.Info("limits are shared again")
	}
}

// tap lets requests through as long as there are tokens. Tokens come from the shared
// bucket and from nowhere else, a chunk at a time, so that a request seldom asks for
// its own.
//
// A token that was drawn counts when it is used. So that not even two chunks at once
// exceed the rate, what is drawn is kept for at most hold, and the bucket's burst is
// less by what comes in in that time. Where that leaves too little each request draws
// its own token: small limits are exact.
type tap struct {
	*limiter

	name string
	rate Rate // as configured
	from Rate // what the shared bucket is: a smaller burst
	hold time.Duration
	most int // tokens in a chunk

	lot     atomic.Pointer[lot] // what is used now
	next    atomic.Pointer[lot] // what was drawn ahead
	filling atomic.Bool
	dry     atomic.Int64 // until then, as elapsed, the shared bucket has no token, or too few to ask
	apart   atomic.Int64 // until then the store is not asked
	level   atomic.Int64 // tokens in the shared bucket at the last draw
	levelAt atomic.Int64 // as elapsed, and 1 more; 0 before the first

	turn  chan struct{} // has room for the one who asks; a mutex would not do in a test's bubble
	chunk atomic.Int64
}

// lot is a chunk of tokens.
type lot struct {
	size  int64
	left  atomic.Int64
	until time.Duration // as elapsed
}

func newTap(l *limiter, name string, r Rate) *tap {
	t := &tap{limiter: l, name: name, rate: r, from: r, most: 1, turn: make(chan struct{}, 1)}
	hold := min(maxHold, time.Duration(float64(r.Burst)/r.PerSecond/heldShare*1e9))
	if held := int(r.PerSecond * hold.Seconds()); held >= leastChunk {
		t.hold, t.most = hold, held
		t.from.Burst = r.Burst - int(math.Ceil(r.PerSecond*hold.Seconds()))
	}
	t.chunk.Store(int64(min(leastChunk, t.most)))
	return t
}

// take takes a token. If there is none it returns how long to wait for one.
func (t *tap) take(ctx context.Context) (wait time.Duration) {
	now := t.elapsed()
	if l := t.lot.Load(); l.take(now) {
		if l.low() && now >= time.Duration(t.dry.Load()) && t.next.Load() == nil && t.filling.CompareAndSwap(false, true) {
			go t.fill(context.WithoutCancel(ctx))
		}
		return 0
	}
	if dry := time.Duration(t.dry.Load()); now < dry {
		return dry - now
	}
	return t.ask(ctx)
}

func (l *lot) take(now time.Duration) bool { return l != nil && now < l.until && l.left.Add(-1) >= 0 }

// low reports whether half of the lot is used.
func (l *lot) low() bool { return l.left.Load() <= l.size/2 }

// ask is for a request that finds no token here.
func (t *tap) ask(ctx context.Context) (wait time.Duration) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	now := t.elapsed()
	if t.lot.Load().take(now) {
		return 0 // who was here before has drawn
	}
	if ahead := t.next.Swap(nil); ahead.take(now) {
		t.use(ahead)
		return 0
	}
	if dry := time.Duration(t.dry.Load()); now < dry {
		return dry - now
	}
	if now < time.Duration(t.apart.Load()) {
		return t.askOwn(ctx)
	}
	drawn, ok := t.draw(context.WithoutCancel(ctx), int(t.chunk.Load()))
	if !ok {
		return t.askOwn(ctx)
	}
	if drawn == nil {
		return max(time.Duration(t.dry.Load())-t.elapsed(), time.Millisecond)
	}
	drawn.left.Add(-1)
	if t.hold > 0 {
		t.use(drawn)
	}
	return 0
}

// use makes a lot the current one, and the next chunk as large as what is used in
// the time for which one may be kept. It is the caller's turn.
func (t *tap) use(l *lot) {
	if was := t.lot.Load(); was != nil {
		if left := was.left.Load(); left <= 0 {
			t.chunk.Store(min(int64(t.most), 2*t.chunk.Load()))
		} else {
			t.chunk.Store(max(min(leastChunk, int64(t.most)), was.size-left))
		}
	}
	t.lot.Store(l)
}

// askOwn takes a token of this gateway's own bucket.
func (t *tap) askOwn(ctx context.Context) time.Duration {
	out, err := t.own.Draw(context.WithoutCancel(ctx), t.name, t.rate, 1)
	if err != nil {
		return 0 // it cannot fail; if it does, a limit is not worth a refusal
	}
	return out.Wait
}

// fill draws the next lot before the current one is used up.
func (t *tap) fill(ctx context.Context) {
	defer t.filling.Store(false)
	if drawn, _ := t.draw(ctx, int(t.chunk.Load())); drawn != nil {
		t.next.Store(drawn)
	}
}

// draw gets a lot of up to want tokens; nil if the shared bucket is empty. It is not ok
// if that could not be asked.
func (t *tap) draw(ctx context.Context, want int) (l *lot, ok bool) {
	before := t.elapsed() // the store's answer is of a later time, so that no token is kept for too long
	out, err := t.limiter.draw(ctx, t.name, t.from, want)
	now := t.elapsed()
	if err != nil {
		t.apart.Store(int64(now + aloneFor))
		return nil, false
	}
	t.level.Store(int64(out.Left))
	t.levelAt.Store(int64(now) + 1)
	if out.Granted < want {
		// A large limit that is used up is asked now and then, and not for each token:
		// what comes in meanwhile is not lost.
		t.dry.Store(int64(now + max(out.Wait, t.hold/8)))
	}
	if out.Granted == 0 {
		return nil, true
	}
	l = &lot{size: int64(out.Granted), until: before + t.hold}
	l.left.Store(l.size)
	return l, true
}

// remaining estimates how many requests may come at once now, and how long it takes
// until they are the whole burst again.
func (t *tap) remaining() (left int, full time.Duration) {
	since := max(0, t.elapsed()-time.Duration(t.levelAt.Load()))
	level := float64(t.level.Load()) + since.Seconds()*t.rate.PerSecond
	if t.levelAt.Load() == 0 {
		level = float64(t.rate.Burst)
	}
	if l := t.lot.Load(); l != nil && t.elapsed() < l.until {
		level += float64(max(0, l.left.Load()))
	}
	level = min(level, float64(t.rate.Burst))
	return int(level), time.Duration((float64(t.rate.Burst) - level) / t.rate.PerSecond * 1e9)
}
