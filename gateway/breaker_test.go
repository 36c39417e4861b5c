package gateway

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// takes makes one call that ends with err after d.
func takes(p *Provider, c *class, d time.Duration, err error) error {
	_, out := call(context.Background(), p, c, "get", func(context.Context) (int, error) { time.Sleep(d); return 0, err })
	return out
}

func down() *normalize.Error { return failure(normalize.ProviderError, normalize.Unknown) }

// A provider that answers everything, too late for any use, is as bad as one that
// fails: its calls take the bulkhead.
func TestSlowCallsTripTheBreaker(t *testing.T) {
	t.Parallel()
	const slow, fast = 6 * time.Second, time.Millisecond // the default is half of the 10 s that a call may take
	for rule, c := range map[string]struct {
		config      BreakerConfig
		slow, fast  int
		err         error
		reason      string // "" if it stays closed
		inARow      bool
		afterWindow bool
	}{
		"eight of ten":                    {slow: 16, fast: 4, reason: "80 % of calls slow"},
		"all of them":                     {slow: 20, reason: "100 % of calls slow"},
		"less than eight of ten":          {slow: 15, fast: 5},
		"too few to judge":                {slow: 19},
		"a ratio of one":                  {config: BreakerConfig{SlowRatio: 1}, slow: 20, reason: "100 % of calls slow"},
		"a ratio of one, and a fast call": {config: BreakerConfig{SlowRatio: 1}, slow: 40, fast: 1},
		"a lower bound of slow":           {config: BreakerConfig{SlowCall: 7 * time.Second}, slow: 40},
		"rejections are slow as well":     {slow: 20, err: failure(normalize.CardDeclined, normalize.Rejected), reason: "100 % of calls slow"},
		"what says nothing is not judged": {slow: 40, err: failure(normalize.ProviderMisconfigured, normalize.Rejected)},
		"slow ones too far apart":         {slow: 40, inARow: true},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newProvider(ProviderConfig{Name: "alpha", Adapter: newFake(), Breaker: c.config}, 20, unobserved{}, zap.NewNop())
				var calls sync.WaitGroup
				for range c.fast {
					calls.Go(func() { _ = takes(p, p.write, fast, nil) })
				}
				calls.Wait()
				for range c.slow {
					if c.inARow {
						_ = takes(p, p.write, slow, c.err)
					} else {
						calls.Go(func() { _ = takes(p, p.write, slow, c.err) })
					}
				}
				calls.Wait()
				got := p.write.status()
				require.Equal(t, c.reason, got.Reason)
				if c.reason == "" {
					require.Equal(t, breakerClosed, got.Breaker)
					return
				}
				require.Equal(t, breakerOpen, got.Breaker)
				require.EqualValues(t, 1, got.Counters.Trips)
				require.Equal(t, breakerClosed, p.read.status().Breaker)
				p.close()
			})
		})
	}
}

func TestWhyABreakerOpened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := aProvider(newFake(), BreakerConfig{})
		for range 5 {
			_ = ends(p, p.write, down())
		}
		got := p.write.status()
		require.Equal(t, "5 consecutive failures", got.Reason)
		require.Equal(t, time.Now().UTC(), got.Since)
		require.True(t, got.RetryAt.After(got.Since))

		for i := range 24 {
			_ = ends(p, p.read, []error{nil, down(), down(), down()}[i%4])
		}
		require.Equal(t, "75 % of 20 calls failed", p.read.status().Reason)
		time.Sleep(20 * time.Second)
		require.NoError(t, ends(p, p.read, nil))
		got = p.read.status()
		require.Equal(t, breakerClosed, got.Breaker)
		require.Empty(t, got.Reason)
		require.True(t, got.RetryAt.IsZero())
		require.Equal(t, time.Now().UTC(), got.Since)
	})
}

// openFor is how long the breaker says that it stays open, to the caller and in its status.
func openFor(t *testing.T, p *Provider) time.Duration {
	t.Helper()
	_, err := p.admit(p.write)
	require.Equal(t, ReasonBreakerOpen, Reason(attemptCode(err)))
	e := asError(err)
	require.Equal(t, e.RetryAfter, time.Until(p.write.status().RetryAt), "the caller is told the true remaining time")
	return e.RetryAfter
}

func requireJitter(t *testing.T, want, got time.Duration) {
	t.Helper()
	require.InDelta(t, float64(want), float64(got), 0.2*float64(want))
}

func TestAnOpenBreakerStaysOpenForLongerEachTimeInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := aProvider(newFake(), BreakerConfig{ConsecutiveFailures: 1})
		_ = ends(p, p.write, down())
		for _, want := range []time.Duration{15, 30, 60, 120, 120, 120} {
			got := openFor(t, p)
			requireJitter(t, want*time.Second, got)
			time.Sleep(got - 1)
			synctest.Wait()
			require.Equal(t, breakerOpen, p.write.status().Breaker, "not a moment too early")
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			require.Equal(t, breakerHalfOpen, p.write.status().Breaker)
			_ = ends(p, p.write, down())
			require.Equal(t, "a call while half open failed", p.write.status().Reason)
		}
		recovers := func() {
			time.Sleep(openFor(t, p))
			synctest.Wait()
			require.NoError(t, ends(p, p.write, nil))
			require.Equal(t, breakerClosed, p.write.status().Breaker)
		}
		recovers()
		time.Sleep(59 * time.Second)
		_ = ends(p, p.write, down())
		requireJitter(t, 2*time.Minute, openFor(t, p)) // it had not been well for a window
		recovers()
		time.Sleep(time.Minute)
		_ = ends(p, p.write, down())
		requireJitter(t, 15*time.Second, openFor(t, p))
		p.close()
	})
}

func TestOpenTimesDiffer(t *testing.T) {
	t.Parallel()
	c := BreakerConfig{OpenFor: time.Minute, OpenForMax: time.Second}.withDefaults(time.Second)
	require.Equal(t, time.Minute, c.OpenForMax)
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		d := c.openTime(3)
		least, most = min(least, d), max(most, d)
	}
	require.GreaterOrEqual(t, least, 48*time.Second)
	require.LessOrEqual(t, most, 72*time.Second)
	require.Greater(t, most-least, 12*time.Second, "gateways do not come back together")
}

func TestASlowTrialIsAFailedOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := aProvider(newFake(), BreakerConfig{ConsecutiveFailures: 1})
		_ = ends(p, p.write, down())
		time.Sleep(20 * time.Second)
		require.NoError(t, takes(p, p.write, 5001*time.Millisecond, nil))
		got := p.write.status()
		require.Equal(t, breakerOpen, got.Breaker)
		require.Equal(t, "a call while half open was slow", got.Reason)
		time.Sleep(40 * time.Second)
		require.NoError(t, takes(p, p.write, 5*time.Second, nil))
		require.Equal(t, breakerClosed, p.write.status().Breaker)
	})
}

// A call that was let past the gate just before the breaker opened: gobreaker, whose
// own open time is over at once, would make it the first of its half-open calls.
func TestACallThatPassedTheGateTooEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := aProvider(newFake(), BreakerConfig{ConsecutiveFailures: 1})
		state, _ := p.write.breaker.gate()
		require.Equal(t, breakerClosed, state)
		_ = ends(p, p.write, down())
		time.Sleep(time.Second)
		done, _, wait := p.write.breaker.pastGate()
		require.Nil(t, done)
		require.Greater(t, wait, 10*time.Second)
		require.Equal(t, breakerOpen, p.write.status().Breaker)
		time.Sleep(20 * time.Second)
		require.NoError(t, ends(p, p.write, nil), "nor has it used up the place of a call while half open")
		require.Equal(t, breakerClosed, p.write.status().Breaker)
	})
}

// A thousand clients wait for a provider to come back. Until a probe has found it
// well nothing goes out, and then no more than may.
func TestAStampedeAtAHalfOpenBreaker(t *testing.T) {
	t.Parallel()
	for _, trials := range []int{1, 3} {
		t.Run(fmt.Sprint(trials), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := probing{newFake()}
				p := newProvider(ProviderConfig{
					Name: "alpha", Adapter: f, MaxInFlight: 2000, Breaker: BreakerConfig{ConsecutiveFailures: 1, Probes: trials},
				}, 20, unobserved{}, zap.NewNop())
				_ = ends(p, p.write, down())
				answers := make(chan struct{})
				f.will("probe", step{err: down()}, step{blocks: answers})
				var sent, refused atomic.Int64
				ctx, cancel := context.WithCancel(t.Context())
				release := make(chan struct{})
				var clients sync.WaitGroup
				for range 1000 {
					clients.Go(func() {
						for ctx.Err() == nil {
							_, err := call(ctx, p, p.write, "get", func(context.Context) (int, error) {
								sent.Add(1)
								<-release
								return 0, nil
							})
							if wasRefused(err) {
								refused.Add(1)
							}
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
				defer cancel()
				for f.count("probe") < 2 {
					require.Equal(t, breakerOpen, p.write.status().Breaker)
					time.Sleep(100 * time.Millisecond)
				}
				require.Contains(t, p.write.status().Reason, "probe failed", "the first; the second is under way")
				time.Sleep(5 * time.Second)
				require.Equal(t, breakerOpen, p.write.status().Breaker)
				require.Zero(t, sent.Load(), "nobody's call finds out what a probe can")
				require.Greater(t, refused.Load(), int64(100_000))

				close(answers)
				time.Sleep(2 * time.Second)
				require.Equal(t, breakerHalfOpen, p.write.status().Breaker)
				require.EqualValues(t, trials, sent.Load())
				close(release)
				time.Sleep(150 * time.Millisecond)
				require.Equal(t, breakerClosed, p.write.status().Breaker)
				require.GreaterOrEqual(t, sent.Load(), int64(1000), "then everybody's")
				require.Equal(t, 2, f.count("probe"))
				cancel()
				clients.Wait()
			})
		})
	}
}

// An adapter that ignores its context must not keep a breaker half open for ever.
func TestACallThatHangsIsAnsweredForAtItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := aProvider(newFake(), BreakerConfig{ConsecutiveFailures: 1})
		wakes := make(chan struct{})
		hang := func() {
			_, _ = call(t.Context(), p, p.write, "get", func(context.Context) (int, error) { <-wakes; return 0, nil })
		}
		go hang()
		time.Sleep(p.timeout + hangGrace - 1)
		require.Equal(t, breakerClosed, p.write.status().Breaker)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		got := p.write.status()
		require.Equal(t, breakerOpen, got.Breaker)
		require.Equal(t, 1, got.InFlight, "its place stays taken: it is still there")
		require.Len(t, p.write.slots, 1)

		time.Sleep(20 * time.Second)
		go hang()
		synctest.Wait()
		require.Equal(t, breakerHalfOpen, p.write.status().Breaker)
		require.Equal(t, ReasonBreakerOpen, Reason(attemptCode(ends(p, p.write, nil))))
		time.Sleep(p.timeout + hangGrace)
		synctest.Wait()
		require.Equal(t, breakerOpen, p.write.status().Breaker)
		time.Sleep(40 * time.Second)
		require.NoError(t, ends(p, p.write, nil), "the next one can find out")
		require.Equal(t, breakerClosed, p.write.status().Breaker)

		close(wakes)
		synctest.Wait()
		got = p.write.status()
		require.Equal(t, breakerClosed, got.Breaker, "what comes late is not counted again")
		require.Zero(t, got.InFlight)
		require.Empty(t, p.write.slots)
	})
}

// Between admission and call lie store writes. A store that hangs must not use up
// the calls of a half-open breaker, nor may more go out than may.
func TestATrialThatIsNotMadeInTimeMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := aProvider(newFake(), BreakerConfig{ConsecutiveFailures: 1})
		_ = ends(p, p.write, down())
		time.Sleep(20 * time.Second)
		late, err := p.admit(p.write)
		require.NoError(t, err)
		time.Sleep(permitWait - 1)
		require.True(t, wasRefused(ends(p, p.write, nil)))
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, breakerHalfOpen, p.write.status().Breaker)
		next, err := p.admit(p.write)
		require.NoError(t, err)
		_, err = run(t.Context(), late, "get", func(context.Context) (int, error) { panic("it is not made any more") })
		require.Equal(t, normalize.ProviderUnavailable, normalize.CodeOf(err))
		require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
		require.Len(t, p.write.slots, 1)
		_, err = run(t.Context(), next, "get", func(context.Context) (int, error) { return 0, nil })
		require.NoError(t, err)
		require.Equal(t, breakerClosed, p.write.status().Breaker)
		require.Empty(t, p.write.slots)

		m, err := p.admit(p.write)
		require.NoError(t, err)
		time.Sleep(2 * permitWait)
		_, err = run(t.Context(), m, "get", func(context.Context) (int, error) { return 0, nil })
		require.NoError(t, err, "while it is closed there is no such hurry")
	})
}

func TestWhatAClassCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(ProviderConfig{Name: "alpha", Adapter: newFake(), MaxInFlight: 1, Breaker: BreakerConfig{ConsecutiveFailures: 1}}, 20, unobserved{}, zap.NewNop())
		m, err := p.admit(p.write)
		require.NoError(t, err)
		require.Equal(t, ReasonBulkheadFull, Reason(attemptCode(ends(p, p.write, nil))))
		m.release()
		require.NoError(t, ends(p, p.write, nil))
		_ = ends(p, p.write, failure(normalize.CardDeclined, normalize.Rejected))
		_ = ends(p, p.write, failure(normalize.OutOfRange, normalize.NotSent))
		_ = ends(p, p.write, down())
		_ = ends(p, p.write, nil)
		require.Equal(t, ClassCounters{
			Calls: map[normalize.Outcome]int64{normalize.Applied: 1, normalize.Rejected: 1, normalize.NotSent: 1, normalize.Unknown: 1},
			Trips: 1, RefusedBreaker: 1, RefusedBulkhead: 1,
		}, p.write.status().Counters)
		p.close()
	})
}

// Each failed create shows, for each provider, why nothing came of it there.
func TestTheCodesOfAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) {
			for i, name := range []string{"open", "full", "drained", "disabled", "tokens"} {
				pc := ProviderConfig{Name: name, Adapter: newFake(), MaxInFlight: 1, Disabled: name == "disabled", Breaker: BreakerConfig{ConsecutiveFailures: 1}}
				if name == "tokens" {
					pc.Adapter = tokensOnly{newFake()}
				}
				c.Providers = append(c.Providers[:i], pc)
			}
			c.Routes[0].Providers = []string{"open", "full", "drained", "disabled", "tokens"}
		})
		p := w.providers["open"]
		_ = ends(p, p.write, down())
		full, err := w.providers["full"].admit(w.providers["full"].write)
		require.NoError(t, err)
		_, err = w.Drain(t.Context(), "drained", "ops", normalize.DrainInput{})
		require.NoError(t, err)
		f := w.refuses(t, acme, input("cus", card(visa)), "key", normalize.NoEligibleProvider, normalize.NotSent)
		none := func(provider, code string) AttemptView {
			return AttemptView{Provider: provider, Outcome: normalize.NotSent, Code: normalize.Code(code)}
		}
		require.Equal(t, []AttemptView{
			none("open", "breaker_open"), none("full", "bulkhead_full"), none("drained", "drained"),
			none("disabled", "disabled"), none("tokens", "unsupported_source"),
		}, f.Attempts)
		require.Greater(t, f.Err.RetryAfter, 10*time.Second, "when the open one may be asked again")
		full.release()
		w.Close()
	})
}

// probing is a fake with a probe.
type probing struct{ *fake }

func (p probing) Probe(ctx context.Context) error {
	_, err := p.do(ctx, "probe", func() (adapters.Instrument, error) { return adapters.Instrument{}, nil })
	return err
}
