package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/normalize"
)

// The states of a breaker.
const (
	breakerClosed   = "closed"
	breakerOpen     = "open"      // nothing is let through until the open time is over and a probe succeeded
	breakerHalfOpen = "half_open" // a few calls are let through, and decide
)

// breaker guards one class of calls to a provider. gobreaker counts and decides;
// in front of it stands a gate of ours, since its open time is fixed and over for
// everybody at once: ours grows with each opening in a row, and ends with a probe.
type breaker struct {
	config BreakerConfig
	inner  *gobreaker.TwoStepCircuitBreaker[any]
	slow   slowRate
	log    *zap.Logger
	// ripe is called when the open time is over, on a goroutine of its own. It
	// calls reopen or halfOpen.
	ripe  func()
	trips atomic.Int64

	// mu is never held while inner is called, which calls back under its own lock.
	mu        sync.Mutex
	state     string
	since     time.Time // when the state began
	reason    string    // why it opened; "" while it is closed
	why       string    // of the opening that is about to come
	openUntil time.Time // while open: when it may be probed
	opened    int       // how often it has opened in a row
	timer     *time.Timer
	stopped   bool
}

func newBreaker(name string, c BreakerConfig, log *zap.Logger, ripe func()) *breaker {
	b := &breaker{config: c, slow: newSlowRate(c.Window), log: log, ripe: ripe, state: breakerClosed, since: time.Now()}
	b.inner = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:         name,
		MaxRequests:  uint32(c.Probes), //nolint:gosec // a small configured number
		Interval:     c.Window,
		BucketPeriod: c.Window / slowBuckets,
		Timeout:      1, // over at once: the gate is what keeps calls out
		ReadyToTrip:  b.readyToTrip,
		IsSuccessful: func(err error) bool { return !errors.Is(err, errSlow) && healthy(err) },
		IsExcluded:   func(err error) bool { return !errors.Is(err, errSlow) && excluded(err) },
		// It runs under gobreaker's lock: nothing here may block or call it.
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				b.tripped()
			case gobreaker.StateClosed:
				b.enter(breakerClosed)
			case gobreaker.StateHalfOpen: // it becomes so when it is looked at; ours says when it counts
			}
		},
	})
	return b
}

// errSlow is what gobreaker is told of a call that succeeded and was so slow that
// it counts as failed.
var errSlow = errors.New("slow")

// readyToTrip runs under gobreaker's lock after each failure.
func (b *breaker) readyToTrip(n gobreaker.Counts) bool {
	// Requests counts calls under way and excluded ones, too: they must not dilute the rate.
	judged := n.TotalSuccesses + n.TotalFailures
	calls, slow := b.slow.counts(time.Now())
	switch {
	case int(n.ConsecutiveFailures) >= b.config.ConsecutiveFailures:
		b.expect(fmt.Sprintf("%d consecutive failures", n.ConsecutiveFailures))
	case int(judged) >= b.config.MinRequests && float64(n.TotalFailures) >= b.config.FailureRatio*float64(judged):
		b.expect(fmt.Sprintf("%s of %d calls failed", percent(int(n.TotalFailures), int(judged)), judged))
	case b.tooSlow(calls, slow):
		b.expect(percent(slow, calls) + " of calls slow")
	default:
		return false
	}
	return true
}

func (b *breaker) tooSlow(calls, slow int) bool {
	return calls >= b.config.MinRequests && float64(slow) >= b.config.SlowRatio*float64(calls)
}

func percent(part, whole int) string {
	return fmt.Sprintf("%.0f %%", math.Floor(100*float64(part)/float64(whole)))
}

func (b *breaker) expect(why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.why = why
}

// allow lets a call through or refuses it, with how long the breaker stays open. A
// trial is a call of a half-open breaker. done must be called once.
func (b *breaker) allow() (done func(err error, took time.Duration), trial bool, retry time.Duration) {
	if state, wait := b.gate(); state == breakerOpen {
		return nil, false, wait
	}
	return b.pastGate()
}

// pastGate asks gobreaker for a call that the gate let through.
func (b *breaker) pastGate() (done func(err error, took time.Duration), trial bool, retry time.Duration) {
	end, err := b.inner.Allow()
	if err != nil {
		// The trials are all under way, or it has opened this very moment.
		_, wait := b.gate()
		return nil, false, wait
	}
	// It may have opened since the gate was looked at. gobreaker, whose own open time
	// is over at once, would take this call for a trial.
	state, wait := b.gate()
	if state == breakerOpen {
		end(context.Canceled)
		return nil, false, wait
	}
	trial = state == breakerHalfOpen
	return func(err error, took time.Duration) { end(b.verdict(err, took, trial)) }, trial, 0
}

// soon is how long a caller is told to wait for what is about to be decided.
const soon = time.Second

func (b *breaker) gate() (state string, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != breakerOpen {
		return b.state, soon
	}
	if wait = time.Until(b.openUntil); wait > 0 {
		return b.state, wait
	}
	if b.stopped {
		b.become(breakerHalfOpen, b.reason)
	}
	return b.state, soon // the probe is under way
}

// verdict is what gobreaker is told of a call's end: of a slow one that it failed,
// if it was a trial or if it makes the slow ones too many.
func (b *breaker) verdict(err error, took time.Duration, trial bool) error {
	if excluded(err) {
		return err
	}
	slow := took > b.config.SlowCall
	if trial {
		switch {
		case !healthy(err):
			b.expect("a call while half open failed")
		case slow:
			b.expect("a call while half open was slow")
			return errSlow
		}
		return err
	}
	if calls, n := b.slow.add(time.Now(), slow); slow && healthy(err) && b.tooSlow(calls, n) {
		return errSlow
	}
	return err
}

// tripped runs under gobreaker's lock.
func (b *breaker) tripped() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.state == breakerClosed && now.Sub(b.since) >= b.config.Window {
		b.opened = 0 // it was well for long enough
	}
	b.trips.Add(1)
	b.slow.clear()
	b.become(breakerOpen, b.why)
	b.schedule()
}

// schedule sets when an open breaker may be probed.
func (b *breaker) schedule() {
	wait := b.config.openTime(b.opened)
	b.opened++
	b.openUntil = time.Now().Add(wait)
	if !b.stopped {
		b.timer = time.AfterFunc(wait, b.ripe)
	}
}

// reopen keeps the breaker open, for longer than before.
func (b *breaker) reopen(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != breakerOpen || b.stopped {
		return
	}
	b.reason = reason
	b.schedule()
	b.log.Warn("circuit breaker stays open", zap.String("reason", reason), zap.Time("retry_at", b.openUntil))
}

// halfOpen lets the first calls through, if the breaker is open.
func (b *breaker) halfOpen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == breakerOpen {
		b.become(breakerHalfOpen, b.reason)
	}
}

// enter runs under gobreaker's lock.
func (b *breaker) enter(state string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slow.clear()
	b.become(state, "")
}

// become changes the state. zap's write is all that it does besides.
func (b *breaker) become(state, reason string) {
	b.log.Warn("circuit breaker changed", zap.String("from", b.state), zap.String("to", state), zap.String("reason", reason))
	b.state, b.reason, b.since, b.openUntil = state, reason, time.Now(), time.Time{}
}

// stop ends the probing. A breaker that is open then becomes half open by time alone,
// for the requests that still go through it.
func (b *breaker) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if b.timer != nil {
		b.timer.Stop()
	}
}

// status is the breaker's part of a class's status.
func (b *breaker) status() ClassStatus {
	n := b.inner.Counts()
	out := ClassStatus{Requests: n.Requests}
	if judged := n.TotalSuccesses + n.TotalFailures; judged > 0 {
		out.ErrorRate = float64(n.TotalFailures) / float64(judged)
	}
	if calls, slow := b.slow.counts(time.Now()); calls > 0 {
		out.SlowRate = float64(slow) / float64(calls)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out.Breaker, out.Since, out.Reason, out.RetryAt = b.state, b.since.UTC(), b.reason, b.openUntil.UTC()
	return out
}

// healthy says which results speak for the provider: successes, and definitive
// answers about the request itself.
func healthy(err error) bool {
	return err == nil || normalize.OutcomeOf(err) == normalize.Rejected
}

// excluded says which results say nothing about the provider's health: callers
// that hung up, our own credentials, its rate limit, and all that was refused
// before it was sent, be it by the adapter, the store or the gateway itself.
func excluded(err error) bool {
	if errors.Is(err, context.Canceled) {
		return true
	}
	switch normalize.CodeOf(err) {
	case normalize.ProviderMisconfigured, normalize.ProviderRateLimited:
		return true
	case normalize.ProviderUnavailable, normalize.ProviderTimeout, normalize.ProviderError, normalize.ProviderBadResponse, normalize.OutcomeUnknown:
		return false
	default:
		return normalize.OutcomeOf(err) == normalize.NotSent
	}
}
