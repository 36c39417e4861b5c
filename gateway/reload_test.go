package gateway

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// reloaded is the world under another configuration. The old one can still be used.
func (w *world) reloaded(t *testing.T, edit ...func(*Config)) *world {
	t.Helper()
	next, err := w.Reload(w.config(edit...))
	require.NoError(t, err)
	return &world{next, w.store, w.a, w.b}
}

func betaFirst(c *Config) { c.Routes[0].Providers = []string{"beta"} }

func TestAReloadKeepsWhatHasNotChanged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		edit  func(*Config)
		keeps bool
	}{
		"the routes":             {betaFirst, true},
		"the tenants":            {func(c *Config) { c.Tenants = c.Tenants[:1] }, true},
		"the reconciler's rate":  {func(c *Config) { c.ReconcileRate = 7 }, true},
		"another provider":       {func(c *Config) { c.Providers[1].Timeout = 2 * time.Second }, true},
		"the other one is gone":  {func(c *Config) { alone(c); c.Providers = c.Providers[:1] }, true},
		"a default spelled out":  {func(c *Config) { c.Providers[0].MaxInFlight = 64 }, true},
		"it is disabled":         {func(c *Config) { c.Providers[0].Disabled = true }, true},
		"its timeout":            {func(c *Config) { c.Providers[0].Timeout = 2 * time.Second }, false},
		"its limit":              {func(c *Config) { c.Providers[0].MaxInFlight = 3 }, false},
		"its breaker's settings": {func(c *Config) { c.Providers[0].Breaker.ConsecutiveFailures = 4 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			alpha := w.providers["alpha"]
			for range 5 {
				_ = ends(alpha, alpha.write, failure(normalize.ProviderTimeout, normalize.Unknown))
			}
			w.Service = w.reloaded(t, tc.edit).Service
			status, err := w.Provider("alpha")
			require.NoError(t, err)
			want := map[bool]string{true: "open", false: "closed"}[tc.keeps]
			require.Equal(t, want, status.Classes["write"].Breaker)
			require.Equal(t, tc.keeps, w.providers["alpha"] == alpha)
			require.Equal(t, name == "it is disabled", status.Disabled)
		})
	}
}

func TestANewAdapterIsAnotherProvider(t *testing.T) {
	t.Parallel()
	w := newWorld()
	was := w.providers["alpha"]
	c := w.config()
	c.Providers[0].Adapter = newFake()
	next, err := w.Reload(c)
	require.NoError(t, err)
	require.NotSame(t, was, next.providers["alpha"])
	require.Same(t, w.providers["beta"], next.providers["beta"])
	require.Same(t, was, w.providers["alpha"], "a generation never changes")
}

func TestARequestEndsInTheConfigurationThatItBeganIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(alone)
		hold := make(chan struct{})
		w.a.will("create", step{blocks: hold})
		answer := make(chan Created)
		go func() {
			created, _ := w.Create(t.Context(), acme, input("cus", card(visa)), "before")
			answer <- created
		}()
		synctest.Wait()
		next := w.reloaded(t, betaFirst, func(c *Config) { c.Providers = c.Providers[1:] })
		require.Equal(t, "beta", next.stores(t, acme, input("cus-2", card(visa)), "after").Provider)
		close(hold)
		require.Equal(t, "alpha", (<-answer).Provider)
		again := next.stores(t, acme, input("cus", card(visa)), "before")
		require.True(t, again.Replayed, "a key that was used before is known after")
	})
}

func TestARefusedReloadChangesNothing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		edit func(*Config)
		says string
	}{
		"an unknown provider":     {func(c *Config) { c.Routes[0].Providers = []string{"gamma"} }, `"gamma", which is not configured`},
		"a lease too short":       {func(c *Config) { c.Lease = 5 * time.Second }, "too short"},
		"no key":                  {func(c *Config) { c.Keys = nil }, "a reference key is required"},
		"a new first key":         {func(c *Config) { c.Keys = testKeys("k2", "k1") }, "add it behind the others first"},
		"another key":             {func(c *Config) { c.Keys = testKeys("k2") }, "add it behind the others first"},
		"a key with a new secret": {func(c *Config) { c.Keys[0].Secret = append(c.Keys[0].Secret, 1) }, "another secret than before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			_, err := w.Reload(w.config(tc.edit))
			require.ErrorContains(t, err, tc.says)
			require.Same(t, w.Service, w.latest.Load())
		})
	}
}

func TestKeysAreRotatedStepByStep(t *testing.T) {
	t.Parallel()
	w := newWorld()
	first := w.stores(t, acme, input("cus", card(visa)), "key")
	for _, ring := range [][]string{{"k1", "k2"}, {"k2", "k1"}} {
		w = w.reloaded(t, func(c *Config) { c.Keys = testKeys(ring...) })
		again := w.stores(t, acme, input("cus", card(visa)), "key")
		require.True(t, again.Replayed)
		require.Equal(t, first.Instrument.ID, again.Instrument.ID)
	}
	_, err := w.Reload(w.config(func(c *Config) { c.Keys = testKeys("k1") }))
	require.ErrorContains(t, err, "cannot be left out")
}

// Reloads that come faster than its ticks do not keep the reconciler from its work,
// and each tick works under the configuration that is in force.
func TestReloadsDoNotStarveTheReconciler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.a.will("create", ambiguous(true))
		w.a.will("list", cannotBeAsked())
		op := w.pends(t, input("cus", card(visa)), "key")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Reconcile(ctx)
		}()
		now := w
		for i := range 100 {
			time.Sleep(100 * time.Millisecond)
			now = now.reloaded(t, func(c *Config) { c.ReconcileEvery = time.Second + time.Duration(i%2)*time.Millisecond })
		}
		stop()
		<-ended
		after, err := now.Operation(t.Context(), acme, op.ID)
		require.NoError(t, err)
		require.Equal(t, StateCompleted, after.State)
	})
}
