package gateway_test

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// mishap is what happens to a gateway at one point.
type mishap string

const (
	none       mishap = ""
	crash      mishap = "crash"       // the gateway is dead for good, and another one takes its place
	freeze     mishap = "freeze"      // it sleeps past its lease, and goes on as if nothing had been
	freezeLost mishap = "freeze-lost" // it sleeps past its lease; what it waits for happens, but it does not learn so
	storeFails mishap = "store-fails" // before: nothing is written; after: the answer is lost
	storeHangs mishap = "store-hangs" // the same, and it is told only when its time is over
	refused    mishap = "refused"     // the provider accepts no connection
	limited    mishap = "limited"     // the provider's own 429
	reset      mishap = "reset"       // the connection breaks
	timeout    mishap = "timeout"     // no answer in time
	broken     mishap = "500"         // an answer that proves nothing
	truncated  mishap = "truncated"   // the answer breaks off
	garbled    mishap = "garbled"     // the answer is no JSON
	latecomer  mishap = "latecomer"   // no answer in time, and only then does the provider do it
)

// frozenFor is longer than a lease.
const frozenFor = 45 * time.Second

// point is a place at which a gateway can meet a fault: before or after a round
// trip to the store or a request to a provider takes effect.
type point struct {
	what  string
	http  bool
	after bool
}

// faults are those that fit a point.
func (p point) mishaps() []mishap {
	switch {
	case p.what == clientPoint:
		return nil
	case p.http && p.after:
		return []mishap{crash, reset, timeout, broken, truncated, garbled, freeze, freezeLost}
	case p.http:
		return []mishap{crash, refused, limited, reset, timeout, broken, latecomer, freeze, freezeLost}
	case p.after:
		return []mishap{crash, storeFails, storeHangs, freeze}
	default:
		return []mishap{crash, storeFails, storeHangs, freeze, freezeLost}
	}
}

func (p point) String() string {
	if p.after {
		return "after " + p.what
	}
	return "before " + p.what
}

// waiting is a goroutine of a gateway that stands at a point.
type waiting struct {
	point
	gw    *gate
	actor string
	meets chan mishap
	thaw  mishap // what it meets once its gateway thaws
}

// schedule lets one goroutine of all gateways run at a time, from one point to the
// next, so that a run is the same every time. It belongs to a synctest bubble.
type schedule struct {
	mu      sync.Mutex
	queue   []*waiting
	lost    []*waiting // of dead gateways
	over    bool
	wake    chan struct{}
	trace   []string
	verbose bool                  // trace every point
	pick    func(n int) int       // which of n to let run
	meet    func(*waiting) mishap // what it meets
	crashed func(*gate)           // a gateway died
}

func newSchedule() *schedule {
	return &schedule{
		wake: make(chan struct{}, 1), pick: func(int) int { return 0 }, meet: func(*waiting) mishap { return none }, crashed: func(*gate) {},
	}
}

type actorKey struct{}

// acting names who does what is done under ctx.
func acting(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// pass stands at a point until the schedule says what happens there.
func (g *gate) pass(ctx context.Context, p point) mishap {
	s := g.w.schedule
	actor, _ := ctx.Value(actorKey{}).(string)
	w := &waiting{point: p, gw: g, actor: actor, meets: make(chan mishap, 1)}
	s.mu.Lock()
	switch {
	case s.over:
		s.mu.Unlock()
		runtime.Goexit()
	case g.dead:
		s.lost = append(s.lost, w)
	default:
		s.queue = append(s.queue, w)
	}
	s.mu.Unlock()
	s.nudge()
	f, ok := <-w.meets
	if !ok {
		runtime.Goexit()
	}
	return f
}

func (s *schedule) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// next takes the goroutine that runs next out of the queue; nil if none may.
func (s *schedule) next(now time.Time) *waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ready []*waiting
	for _, w := range s.queue {
		if !now.Before(w.gw.frozen) {
			ready = append(ready, w)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	slices.SortStableFunc(ready, func(a, b *waiting) int {
		return cmp.Or(cmp.Compare(a.actor, b.actor), cmp.Compare(a.what, b.what))
	})
	w := ready[s.pick(len(ready))]
	s.queue = slices.DeleteFunc(s.queue, func(x *waiting) bool { return x == w })
	return w
}

// release lets one goroutine meet what it is to meet.
func (s *schedule) release(w *waiting) {
	f := w.thaw
	switch f {
	case none:
		f = s.meet(w)
	case freeze:
		f = none // as if nothing had been
	default:
	}
	if f != none || w.thaw != none || s.verbose {
		s.note("%s %s: %s", w.actor, w.point, cmp.Or(f, "goes on"))
	}
	switch {
	case f == crash:
		s.kill(w)
		return
	case (f == freeze || f == freezeLost) && w.thaw == none:
		w.thaw, w.gw.frozen = f, time.Now().Add(frozenFor)
		s.mu.Lock()
		s.queue = append(s.queue, w)
		s.mu.Unlock()
		return
	}
	w.meets <- f
}

func (s *schedule) kill(w *waiting) {
	s.mu.Lock()
	w.gw.dead = true
	s.lost = append(s.lost, w)
	s.queue = slices.DeleteFunc(s.queue, func(x *waiting) bool {
		if x.gw == w.gw {
			s.lost = append(s.lost, x)
		}
		return x.gw == w.gw
	})
	s.mu.Unlock()
	s.crashed(w.gw)
}

func (s *schedule) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, fmt.Sprintf("%9s ", time.Since(bubbleStart()).Truncate(time.Millisecond))+fmt.Sprintf(format, args...))
}

// bubbleStart is when every synctest bubble begins.
func bubbleStart() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// run lets the gateways run until done holds, which is asked while all of them
// stand still; false if it does not hold after limit.
func (s *schedule) run(limit time.Duration, done func() bool) bool {
	deadline := time.Now().Add(limit)
	for {
		synctest.Wait()
		if done() {
			return true
		}
		now := time.Now()
		if w := s.next(now); w != nil {
			s.release(w)
			continue
		}
		wait := deadline.Sub(now)
		if wait <= 0 {
			return false
		}
		s.mu.Lock()
		for _, w := range s.queue {
			if w.gw.frozen.After(now) {
				wait = min(wait, w.gw.frozen.Sub(now))
			}
		}
		s.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-s.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// end lets no goroutine go on: those that stand at a point end there.
func (s *schedule) end() {
	s.mu.Lock()
	s.over = true
	for _, w := range slices.Concat(s.queue, s.lost) {
		close(w.meets)
	}
	s.queue, s.lost = nil, nil
	s.mu.Unlock()
}
