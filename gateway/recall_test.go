package gateway

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// A store that has lost the record of a create, in a power cut, is noticed: the same
// key finds what the provider stored for it, and stores nothing.
func TestWhatTheStoreForgotIsFoundAtTheProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		in := input("cus", card(visa))
		first := w.stores(t, acme, in, "key")
		w.store.forget(first.Instrument.ID)
		again := w.stores(t, acme, in, "key")
		require.Equal(t, first.Instrument.ID, again.Instrument.ID)
		require.Equal(t, first.Instrument.ProviderTokens[0].References, again.Instrument.ProviderTokens[0].References)
		require.False(t, again.Replayed)
		require.Equal(t, 1, w.a.count("create"))
		require.True(t, w.stores(t, acme, in, "key").Replayed)

		w.store.forget(first.Instrument.ID)
		require.False(t, w.stores(t, acme, input("cus", card(mastercard)), "key").Replayed, "another card is not what was forgotten")
		require.Equal(t, 2, w.a.live())

		time.Sleep(time.Minute)
		lists := w.a.count("list")
		w.stores(t, acme, input("cus", card(amex)), "key 2")
		require.Equal(t, lists, w.a.count("list"), "it is not asked for ever")
	})
}

// While the store may have forgotten, a provider that cannot be asked is not sent a
// create either: it is refused, and nothing has happened.
func TestWhileTheStoreMayHaveForgottenTheProviderMustAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		in := input("cus", card(visa))
		first := w.stores(t, acme, in, "key")
		w.store.forget(first.Instrument.ID)
		w.a.will("list", cannotBeAsked())
		w.refuses(t, acme, in, "key", normalize.ProviderUnavailable, normalize.NotSent)
		require.Equal(t, 1, w.a.count("create"))
		w.stores(t, acme, in, "key")
		require.Equal(t, 1, w.a.live())
	})
}

// A provider that hangs keeps no other provider's records waiting, and none is asked
// more often than its rate allows.
func TestTheReconcilerIsFairAndBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) {
			c.ReconcileRate = 2
			c.Providers[0].Breaker = BreakerConfig{ConsecutiveFailures: 1000, MinRequests: 1000}
		})
		for i := range 40 { // at alpha, which hangs
			w.a.will("create", ambiguous(true))
			w.a.will("list", cannotBeAsked())
			w.pends(t, input(customerName(i), card(visa)), "alpha "+customerName(i))
		}
		in := input("cus", card(visa))
		in.Provider = "beta"
		w.b.will("create", ambiguous(true))
		w.b.will("list", cannotBeAsked())
		op := w.pends(t, in, "beta")
		time.Sleep(5 * time.Second)
		for range 100 {
			w.a.will("list", step{blocks: make(chan struct{})})
		}
		before := w.a.count("list")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Reconcile(ctx)
		}()
		time.Sleep(3 * time.Second)
		after, err := w.Operation(t.Context(), acme, op.ID)
		require.NoError(t, err)
		require.Equal(t, StateCompleted, after.State)
		require.LessOrEqual(t, w.a.count("list")-before, reconcileAtOnce)
		time.Sleep(27 * time.Second)
		require.LessOrEqual(t, w.a.count("list")-before, 4*reconcileAtOnce, "each hangs for 10 s")
		cancel()
		<-done
	})
}

func customerName(i int) string { return "cus-" + string(rune('a'+i/26)) + string(rune('a'+i%26)) }
