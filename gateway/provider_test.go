package gateway

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func aProvider(f adapters.Adapter, b BreakerConfig) *Provider {
	return newProvider(ProviderConfig{Name: "alpha", Adapter: f, Breaker: b, MaxInFlight: 4}, 20, unobserved{}, zap.NewNop())
}

// ends makes one call that ends with err.
func ends(p *Provider, c *class, err error) error {
	_, out := call(context.Background(), p, c, "get", func(context.Context) (int, error) { return 0, err })
	return out
}

func TestWhichResultsTripTheBreaker(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		err   error
		trips bool
	}{
		"no answer":                    {failure(normalize.ProviderTimeout, normalize.Unknown), true},
		"no connection":                {failure(normalize.ProviderUnavailable, normalize.NotSent), true},
		"its own failure":              {failure(normalize.ProviderError, normalize.Unknown), true},
		"an answer without sense":      {failure(normalize.ProviderBadResponse, normalize.Unknown), true},
		"an unknown outcome":           {failure(normalize.InvalidField, normalize.Unknown), true},
		"an error of another type":     {errForeign, true},
		"a declined card":              {failure(normalize.CardDeclined, normalize.Rejected), false},
		"an unknown instrument":        {failure(normalize.NotFound, normalize.Rejected), false},
		"our credentials":              {failure(normalize.ProviderMisconfigured, normalize.Rejected), false},
		"its rate limit":               {failure(normalize.ProviderRateLimited, normalize.Unknown), false},
		"what the adapter refused":     {failure(normalize.OutOfRange, normalize.NotSent), false},
		"a customer that is not known": {failure(normalize.CustomerReferenceRequired, normalize.NotSent), false},
		"our store":                    {failure(normalize.StoreUnavailable, normalize.NotSent), false},
		"a caller that hung up":        {&normalize.Error{Code: normalize.ProviderTimeout, Outcome: normalize.Unknown, Err: context.Canceled}, false},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			p := aProvider(newFake(), BreakerConfig{ConsecutiveFailures: 3})
			for range 3 {
				err := ends(p, p.write, c.err)
				require.ErrorContains(t, err, "alpha: ", "the provider's name is put on it")
			}
			want := "closed"
			if c.trips {
				want = "open"
				err := ends(p, p.write, nil)
				require.Equal(t, normalize.ProviderUnavailable, normalize.CodeOf(err))
				require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
			}
			require.Equal(t, want, p.write.status().Breaker)
			require.Equal(t, "closed", p.read.status().Breaker, "reads are apart from writes")
			require.NoError(t, ends(p, p.read, nil))
		})
	}
}

func TestTheBreakerTripsByRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := aProvider(newFake(), BreakerConfig{})
		bad := failure(normalize.ProviderError, normalize.Unknown)
		for i := range 19 {
			require.Equal(t, "closed", p.write.status().Breaker)
			if i%2 == 0 {
				_ = ends(p, p.write, bad)
			} else {
				_ = ends(p, p.write, nil)
			}
			_ = ends(p, p.write, failure(normalize.ProviderMisconfigured, normalize.Rejected)) // must not dilute the rate
		}
		_ = ends(p, p.write, bad)
		require.Equal(t, "open", p.write.status().Breaker)

		old := aProvider(newFake(), BreakerConfig{})
		for range 30 {
			_ = ends(old, old.write, nil)
			_ = ends(old, old.write, bad)
			time.Sleep(10 * time.Second) // few within a window
		}
		require.Equal(t, "closed", old.write.status().Breaker)
	})
}

func TestAHalfOpenBreakerLosesNoProbe(t *testing.T) {
	t.Parallel()
	for rule, probe := range map[string]func(p *Provider){
		"the probe's result is excluded": func(p *Provider) {
			_ = ends(p, p.write, failure(normalize.ProviderRateLimited, normalize.Unknown))
		},
		"the permit was given back": func(p *Provider) {
			m, err := p.admit(p.write)
			if err == nil {
				m.release()
				m.release()
			}
		},
		"the probe panicked": func(p *Provider) {
			_, _ = call(context.Background(), p, p.write, "get", func(context.Context) (int, error) { panic("x") })
			time.Sleep(time.Minute)
		},
		"the probe hung": func(p *Provider) {
			_, _ = call(context.Background(), p, p.write, "get", func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, failure(normalize.ProviderTimeout, normalize.Unknown)
			})
			time.Sleep(time.Minute)
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := aProvider(newFake(), BreakerConfig{ConsecutiveFailures: 1})
				_ = ends(p, p.write, failure(normalize.ProviderError, normalize.Unknown))
				require.Equal(t, "open", p.write.status().Breaker)
				time.Sleep(time.Minute)
				require.Equal(t, "half_open", p.write.status().Breaker)
				probe(p)
				require.Zero(t, p.write.status().InFlight)
				require.Empty(t, p.write.slots)
				require.NoError(t, ends(p, p.write, nil))
				require.Equal(t, "closed", p.write.status().Breaker)
			})
		})
	}
	t.Run("and lets no more through than it may", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := aProvider(newFake(), BreakerConfig{ConsecutiveFailures: 1})
			_ = ends(p, p.write, failure(normalize.ProviderError, normalize.Unknown))
			time.Sleep(time.Minute)
			first, err := p.admit(p.write)
			require.NoError(t, err)
			_, err = p.admit(p.write)
			require.Equal(t, normalize.ProviderUnavailable, normalize.CodeOf(err))
			require.Len(t, p.write.slots, 1)
			first.release()
		})
	})
}

func TestOneProvidersHangDoesNotTouchAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) { c.Providers[0].MaxInFlight = 2 })
		release := make(chan struct{})
		in := func(provider, token string) normalize.CreateInput {
			out := input("cus", visaToken(token))
			out.Provider = provider
			return out
		}
		w.stores(t, acme, in("alpha", "0"), "0")
		w.a.will("create", step{blocks: release}, step{blocks: release})
		for _, key := range []string{"a", "b"} {
			go func() { _, _ = w.Create(t.Context(), acme, in("alpha", key), key) }()
		}
		synctest.Wait()
		w.refuses(t, acme, in("alpha", "c"), "c", normalize.ProviderUnavailable, normalize.NotSent)
		start := time.Now()
		for _, key := range []string{"d", "e", "f"} {
			w.stores(t, acme, in("beta", key), key)
		}
		_, err := w.Get(t.Context(), acme, w.current().instrumentID(acme, "0"), false)
		require.NoError(t, err, "nor reads of the same provider")
		require.Zero(t, time.Since(start))
		close(release)
		synctest.Wait()
		require.Zero(t, w.Providers()[0].Classes["write"].InFlight)
	})
}

func TestACallHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(ProviderConfig{Name: "alpha", Adapter: newFake(), Timeout: time.Hour, MaxInFlight: -1}, 20, unobserved{}, zap.NewNop())
		require.Equal(t, maxTimeout, p.timeout, "an attempt must end well inside its lease")
		start := time.Now()
		_, err := call(t.Context(), p, p.read, "get", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, &normalize.Error{Code: normalize.ProviderTimeout, Outcome: normalize.Unknown, Err: ctx.Err()}
		})
		require.Equal(t, maxTimeout, time.Since(start))
		require.Equal(t, normalize.ProviderTimeout, normalize.CodeOf(err))
		require.InDelta(t, 1, p.read.status().SlowRate, 0)
		require.InDelta(t, 0, p.write.status().SlowRate, 0)
		time.Sleep(3 * time.Minute)
		require.InDelta(t, 0, p.read.status().SlowRate, 0, "what was slow once is not slow for ever")
		for range 3 {
			require.NoError(t, ends(p, p.read, nil))
		}
		require.InDelta(t, 0, p.read.status().SlowRate, 0)
	})
}

func TestAProvidersStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) { c.Providers[1].Disabled, c.Providers[1].Adapter = true, creatorOnly{newFake()} })
	all := w.Providers()
	require.Equal(t, []string{"alpha", "beta"}, []string{all[0].Name, all[1].Name})
	require.True(t, all[1].Disabled)
	require.False(t, all[1].Drained)
	require.Equal(t, []adapters.Capability{adapters.CanCreate}, all[1].Capabilities)
	require.Contains(t, all[0].SourceTypes, normalize.SourceProviderReference)
	one, err := w.Provider("beta")
	require.NoError(t, err)
	require.Equal(t, all[1], one)
	_, err = w.Provider("gamma")
	require.Equal(t, normalize.NotFound, normalize.CodeOf(err))
	require.NoError(t, w.Ready(t.Context()))
}
