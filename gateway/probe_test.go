package gateway

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// trip opens one class at once.
func trip(p *Provider, c *class) { _ = ends(p, c, down()) }

func TestAProbeDecides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := probing{newFake()}
		f.will("probe", step{err: down()}, step{panics: true}, step{blocks: make(chan struct{})})
		p := aProvider(f, BreakerConfig{ConsecutiveFailures: 1})
		trip(p, p.write)
		since := p.write.status().Since
		for i, reason := range []string{"probe failed: provider_error", "probe failed: internal_error", "probe failed: provider_timeout"} {
			time.Sleep(openFor(t, p))
			if i == 2 {
				require.Equal(t, soon, asError(ends(p, p.write, nil)).RetryAfter, "it is being found out")
				time.Sleep(p.timeout)
			}
			synctest.Wait()
			got := p.write.status()
			require.Equal(t, i+1, f.count("probe"))
			require.Equal(t, breakerOpen, got.Breaker)
			require.Equal(t, reason, got.Reason)
			require.Equal(t, since, got.Since, "it was never anything else meanwhile")
			requireJitter(t, min(30*time.Second<<i, 2*time.Minute), openFor(t, p))
		}
		time.Sleep(openFor(t, p))
		synctest.Wait()
		require.Equal(t, breakerHalfOpen, p.write.status().Breaker)
		require.Equal(t, breakerClosed, p.read.status().Breaker)
		require.EqualValues(t, 1, p.write.status().Counters.Trips)
		require.NoError(t, ends(p, p.write, nil))
		require.Equal(t, breakerClosed, p.write.status().Breaker)
		counted := p.status(false, nil).Counters
		require.Equal(t, ProviderCounters{ProbesOK: 1, ProbesFailed: 3}, counted)
	})
}

// stubborn hangs in its probe, whatever its context says.
type stubborn struct {
	*fake
	wakes chan struct{}
}

func (s stubborn) Probe(ctx context.Context) error {
	_, err := s.do(ctx, "probe", func() (adapters.Instrument, error) { return adapters.Instrument{}, nil })
	<-s.wakes
	return err
}

func TestAProbeThatHangsIsAskedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := stubborn{newFake(), make(chan struct{})}
		p := aProvider(f, BreakerConfig{ConsecutiveFailures: 1})
		trip(p, p.write)
		trip(p, p.read)
		time.Sleep(10 * time.Minute)
		require.Equal(t, 1, f.count("probe"), "both classes, and all that come later, wait for the same one")
		require.Equal(t, "probe failed: provider_timeout", p.write.status().Reason)
		require.Equal(t, "probe failed: provider_timeout", p.read.status().Reason)
		close(f.wakes)
		time.Sleep(3 * time.Minute)
		require.Equal(t, breakerHalfOpen, p.write.status().Breaker)
		require.Equal(t, breakerHalfOpen, p.read.status().Breaker)
	})
}

func TestAClosedProviderAsksNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := probing{newFake()}
		w := newWorld(func(c *Config) {
			c.Providers[0].Adapter, c.Providers[0].Breaker = f, BreakerConfig{ConsecutiveFailures: 1}
		})
		p := w.providers["alpha"]
		trip(p, p.write)
		f.will("probe", step{blocks: make(chan struct{})})
		time.Sleep(18 * time.Second)
		require.Equal(t, 1, f.count("probe"))
		start := time.Now()
		w.Close()
		synctest.Wait()
		require.Zero(t, time.Since(start), "one that is under way is broken off")
		time.Sleep(time.Hour)
		require.Equal(t, 1, f.count("probe"))
		require.NoError(t, ends(p, p.write, nil), "who still has it is not shut out for ever")
		trip(p, p.read)
		time.Sleep(time.Hour)
		require.Equal(t, 1, f.count("probe"))
		require.NoError(t, ends(p, p.read, nil))
	})
}

func TestAReloadEndsTheProbesOfWhatItReplaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := probing{newFake()}
		edit := func(c *Config) {
			c.Providers[0].Adapter, c.Providers[0].Breaker = f, BreakerConfig{ConsecutiveFailures: 1}
		}
		w := newWorld(edit)
		w.drains(t, "beta", "")
		trip(w.providers["alpha"], w.providers["alpha"].write)
		kept := w.reloaded(t, edit, betaFirst)
		require.Equal(t, breakerOpen, kept.Providers()[0].Classes["write"].Breaker)
		require.True(t, kept.Providers()[1].Drained, "what is drained stays so")
		replaced := kept.reloaded(t, edit, func(c *Config) { c.Providers[0].MaxInFlight = 3 })
		require.Equal(t, breakerClosed, replaced.Providers()[0].Classes["write"].Breaker)
		trip(replaced.providers["alpha"], replaced.providers["alpha"].write)
		w.Close() // of the configuration in force, whichever generation is asked
		time.Sleep(time.Hour)
		require.Zero(t, f.count("probe"))
	})
}

func TestRefusedCredentialsRaiseAnAlarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.ErrorLevel)
		p := newProvider(ProviderConfig{Name: "alpha", Adapter: newFake(), Breaker: BreakerConfig{ConsecutiveFailures: 1000, MinRequests: 1000}}, 20, unobserved{}, zap.New(core))
		shut := failure(normalize.ProviderMisconfigured, normalize.Rejected)
		require.Nil(t, p.status(false, nil).Alarm)
		began := time.Now().UTC()
		for range 90 {
			_ = ends(p, p.write, shut)
			_ = ends(p, p.write, down()) // says nothing about credentials
			_ = ends(p, p.write, &normalize.Error{Code: normalize.ProviderTimeout, Outcome: normalize.Unknown, Err: context.Canceled})
			time.Sleep(time.Second)
		}
		_ = ends(p, p.read, shut)
		require.Equal(t, &Alarm{Code: normalize.ProviderMisconfigured, Since: began, Last: time.Now().UTC(), Count: 91}, p.status(false, nil).Alarm)
		require.Equal(t, 3, logs.Len(), "at once, a minute later, and of the reads")
		require.NoError(t, ends(p, p.read, nil))
		require.EqualValues(t, 90, p.status(false, nil).Alarm.Count, "a read that works says nothing of writes")
		_ = ends(p, p.write, failure(normalize.CardDeclined, normalize.Rejected))
		require.Nil(t, p.status(false, nil).Alarm)
		_ = ends(p, p.write, shut)
		require.EqualValues(t, 1, p.status(false, nil).Alarm.Count)
		require.Equal(t, 3, logs.Len(), "to begin again does not fill the log")
		require.EqualValues(t, 2, p.write.status().Counters.Alarms)
	})
}

func TestAProbeWithRefusedCredentialsIsNoRecovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := probing{newFake()}
		f.will("probe", step{err: failure(normalize.ProviderMisconfigured, normalize.Rejected)})
		p := aProvider(f, BreakerConfig{ConsecutiveFailures: 1})
		trip(p, p.write)
		time.Sleep(18 * time.Second)
		synctest.Wait()
		require.Equal(t, breakerOpen, p.write.status().Breaker)
		require.NotNil(t, p.status(false, nil).Alarm)
		p.close()
	})
}
