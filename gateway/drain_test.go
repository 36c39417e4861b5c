package gateway

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

func (w *world) drains(t *testing.T, name, reason string) ProviderStatus {
	t.Helper()
	out, err := w.Drain(t.Context(), name, "ops", normalize.DrainInput{Reason: reason})
	require.NoError(t, err)
	require.True(t, out.Drained)
	return out
}

func notSentAt(provider string, code Reason) AttemptView {
	return AttemptView{Provider: provider, Outcome: normalize.NotSent, Code: normalize.Code(code)}
}

// The other gateway has been told nothing: its very next create must not go there.
func TestADrainHoldsForTheNextCreateOfEveryGateway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		other := w.another()
		before := other.stores(t, acme, input("cus", visaToken("1")), "before")
		require.Equal(t, "alpha", before.Provider)
		creates := w.a.count("create")

		status := w.drains(t, "alpha", "maintenance")
		require.Equal(t, []any{"ops", "maintenance", time.Now().UTC()}, []any{status.DrainedBy, status.DrainReason, status.DrainedSince})
		require.False(t, other.Providers()[0].Drained, "nothing was said to it")
		after := other.stores(t, acme, input("cus", visaToken("2")), "after")
		require.Equal(t, "beta", after.Provider)
		op, err := other.Operation(t.Context(), acme, after.Instrument.ID)
		require.NoError(t, err)
		require.Equal(t, notSentAt("alpha", ReasonDrained), op.Attempts[0])
		require.Equal(t, normalize.Applied, op.Attempts[1].Outcome)
		require.True(t, other.Providers()[0].Drained, "now it knows")
		require.Equal(t, ReasonDrained, other.decideCreate(acme, input("cus", card(visa))).Candidates[0].Reason)
		require.Equal(t, creates, w.a.count("create"))
		require.Equal(t, breakerClosed, other.Providers()[0].Classes["write"].Breaker)
		require.Zero(t, other.Providers()[0].Classes["write"].InFlight)

		asked := input("cus", visaToken("3"))
		asked.Provider = "alpha"
		for key, w := range map[string]*world{"knows": other, "does not know yet": w.another()} {
			f := w.refuses(t, acme, asked, key, normalize.ProviderUnavailable, normalize.NotSent)
			require.Contains(t, f.Err.Msg, "drained")
			require.Equal(t, []AttemptView{notSentAt("alpha", ReasonDrained)}, f.Attempts)
		}
		require.Equal(t, creates, w.a.count("create"))

		// What it holds is as it was.
		id := before.Instrument.ID
		read, err := other.Get(t.Context(), acme, id, false)
		require.NoError(t, err)
		require.False(t, read.Stale)
		_, err = other.Update(t.Context(), acme, id, normalize.UpdateInput{ExpMonth: new(3)})
		require.NoError(t, err)
		require.NoError(t, other.Delete(t.Context(), acme, id, ScopeProvider))

		shown, err := w.Undrain(t.Context(), "alpha", "ops", normalize.DrainInput{})
		require.NoError(t, err)
		require.False(t, shown.Drained)
		require.True(t, shown.DrainedSince.IsZero())
		require.Equal(t, "alpha", w.stores(t, acme, asked, "knows").Provider, "the same key may try again")
		require.NoError(t, other.readDrains(t.Context()))
		require.Equal(t, "alpha", other.stores(t, acme, input("cus", visaToken("5")), "last").Provider)
	})
}

func TestTheReconcilerSeesWhoIsDrained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.drains(t, "beta", "")
		other := w.another()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { other.Reconcile(ctx); close(done) }()
		synctest.Wait()
		require.True(t, other.Providers()[1].Drained, "as soon as it runs")
		_, err := w.Undrain(t.Context(), "beta", "ops", normalize.DrainInput{})
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		require.False(t, other.Providers()[1].Drained)

		w.store.mu.Lock()
		w.store.entries[drainedKey] = memEntry{value: []byte(`{"schema":99,"providers":{"alpha":{}}}`), version: 9}
		w.store.mu.Unlock()
		time.Sleep(3 * time.Second)
		require.Equal(t, "alpha", other.stores(t, acme, input("cus", card(visa)), "key").Provider, "what cannot be read stops nothing")
		_, err = other.Drain(t.Context(), "alpha", "ops", normalize.DrainInput{})
		require.Equal(t, normalize.StoreUnavailable, normalize.CodeOf(err), "and is not written over")
		cancel()
		<-done
	})
}

func TestDrainAndUndrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx := t.Context()
		for reason, code := range map[string]normalize.Code{
			"card " + visa: normalize.PANInUnexpectedField, strings.Repeat("x", 201): normalize.OutOfRange, "a\x00b": normalize.InvalidField,
		} {
			_, err := w.Drain(ctx, "alpha", "ops", normalize.DrainInput{Reason: reason})
			require.Equal(t, code, normalize.CodeOf(err))
			_, err = w.Undrain(ctx, "alpha", "ops", normalize.DrainInput{Reason: reason})
			require.Equal(t, code, normalize.CodeOf(err))
		}
		_, err := w.Drain(ctx, "gamma", "ops", normalize.DrainInput{})
		require.Equal(t, normalize.NotFound, normalize.CodeOf(err))
		_, err = w.Undrain(ctx, "gamma", "ops", normalize.DrainInput{})
		require.Equal(t, normalize.NotFound, normalize.CodeOf(err))
		require.Zero(t, w.store.trips["write"])

		since := w.drains(t, "alpha", "one").DrainedSince
		time.Sleep(time.Minute)
		again := w.drains(t, "alpha", "two")
		require.Equal(t, []any{since, "two"}, []any{again.DrainedSince, again.DrainReason})
		writes := w.store.trips["write"]
		w.drains(t, "alpha", "two")
		_, err = w.Undrain(ctx, "beta", "ops", normalize.DrainInput{})
		require.NoError(t, err)
		require.Equal(t, writes, w.store.trips["write"], "what changes nothing writes nothing")

		// Who is configured no more stays in the entry, and is in nobody's way.
		fewer := w.another(func(c *Config) { c.Providers, c.Routes[0].Providers = c.Providers[1:], []string{"beta"} })
		fewer.drains(t, "beta", "")
		require.Len(t, fewer.Providers(), 1)
		_, err = fewer.Undrain(ctx, "beta", "ops", normalize.DrainInput{})
		require.NoError(t, err)
		require.Equal(t, "beta", fewer.stores(t, acme, input("cus", card(visa)), "key").Provider)
		require.NoError(t, w.readDrains(ctx))
		require.True(t, w.Providers()[0].Drained)

		w.store.fail(func(int, Write) fate { return failsBefore })
		_, err = w.Undrain(ctx, "alpha", "ops", normalize.DrainInput{})
		require.Equal(t, normalize.StoreUnavailable, normalize.CodeOf(err))
		require.True(t, w.Providers()[0].Drained)
	})
}

func TestDrainsAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) {
			for i := range 8 {
				c.Providers = append(c.Providers, ProviderConfig{Name: fmt.Sprint("p", i), Adapter: newFake()})
			}
		})
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() { w.drains(t, fmt.Sprint("p", i), "") })
		}
		all.Wait()
		require.NoError(t, w.readDrains(t.Context()))
		for _, p := range w.Providers()[2:] {
			require.True(t, p.Drained, p.Name)
		}
	})
}

// The provider was called, or may have been: a drain does not change what is owed.
func TestADrainDoesNotTouchWhatIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.a.will("create", step{err: down(), commits: true})
		w.a.will("list", step{err: down()})
		op := w.pends(t, input("cus", visaToken("1111.a")), "key")
		w.drains(t, "alpha", "")
		time.Sleep(time.Hour)
		require.NoError(t, w.swept(t.Context()))
		after, err := w.Operation(t.Context(), acme, op.ID)
		require.NoError(t, err)
		require.Equal(t, StateCompleted, after.State, "it was found where it was sent")
		require.Zero(t, w.b.count("create"))
	})
}

func TestADrainIsRestored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		entry := func(w *world) Entry {
			res, err := w.store.Load(ctx, drainedKey)
			require.NoError(t, err)
			return res.Entries[0]
		}
		drained := func(w *world) [2]bool {
			require.NoError(t, w.readDrains(ctx))
			return [2]bool{w.Providers()[0].Drained, w.Providers()[1].Drained}
		}
		restores := func(w *world, e Entry, want Restored) {
			t.Helper()
			got, err := Restore(ctx, w.store, testSealer(), drainedKey, e, true)
			require.NoError(t, err)
			require.Equal(t, want, got, "dry")
			got, err = Restore(ctx, w.store, testSealer(), drainedKey, e, false)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		w := newWorld()
		w.drains(t, "alpha", "x")
		first := entry(w)
		_, err := w.Undrain(ctx, "alpha", "ops", normalize.DrainInput{})
		require.NoError(t, err)
		second := entry(w)

		restores(w, first, RestoredNothing)
		require.Equal(t, [2]bool{}, drained(w), "an older file takes nothing back")
		empty := newWorld()
		restores(empty, first, RestoredNew)
		require.Equal(t, [2]bool{true, false}, drained(empty))
		restores(empty, second, RestoredOver)
		require.Equal(t, [2]bool{}, drained(empty))

		// The store was lost, and an operator drained the other one meanwhile.
		time.Sleep(time.Minute)
		lost := newWorld()
		lost.drains(t, "beta", "")
		restores(lost, first, RestoredOver)
		require.Equal(t, [2]bool{true, true}, drained(lost))
		restores(lost, first, RestoredNothing)
		_, err = lost.Undrain(ctx, "alpha", "ops", normalize.DrainInput{})
		require.NoError(t, err)
		restores(lost, first, RestoredNothing)
		require.Equal(t, [2]bool{false, true}, drained(lost), "nor is it drained again")

		_, err = Restore(ctx, lost.store, testSealer(), drainedKey, Entry{Value: []byte("{"), Version: 3}, false)
		require.ErrorIs(t, err, ErrStore)
	})
}

// One provider's outage must not become the next one's.
func TestTheRetryBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) {
			c.Providers[0].Breaker = BreakerConfig{ConsecutiveFailures: 8}
			c.Providers[1].RetryBudget = 3
		})
		away := step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)}
		w.a.will("create", away, away, away, away, away, away, away, away)
		at := func(n int) normalize.CreateInput { return input(fmt.Sprint("cus", n), visaToken(fmt.Sprint(n))) }
		for n := range 3 {
			require.Equal(t, "beta", w.stores(t, acme, at(n), fmt.Sprint(n)).Provider)
		}
		f := w.refuses(t, acme, at(3), "3", normalize.NoEligibleProvider, normalize.NotSent)
		require.Equal(t, normalize.ProviderUnavailable, f.Attempts[1].Code, "what was tried")
		require.Equal(t, notSentAt("beta", ReasonRetryBudget), f.Attempts[0])
		require.Equal(t, soon, f.Err.RetryAfter)
		require.EqualValues(t, 1, w.Providers()[1].Counters.RefusedBudget)
		require.Zero(t, w.Providers()[1].Classes["write"].InFlight)
		direct := at(4)
		direct.Provider = "beta"
		require.Equal(t, "beta", w.stores(t, acme, direct, "4").Provider, "its own creates have no such bound")

		time.Sleep(400 * time.Millisecond)
		require.Equal(t, "beta", w.stores(t, acme, at(5), "5").Provider, "a third of a second makes room for another")
		w.refuses(t, acme, at(6), "6", normalize.NoEligibleProvider, normalize.NotSent)
		time.Sleep(time.Hour)
		require.Equal(t, "beta", w.stores(t, acme, at(7), "7").Provider)
		require.Equal(t, "beta", w.stores(t, acme, at(8), "8").Provider)
		for range 8 {
			trip(w.providers["alpha"], w.providers["alpha"].write)
		}
		require.Equal(t, breakerOpen, w.Providers()[0].Classes["write"].Breaker)
		for n := 10; n < 20; n++ {
			out := w.stores(t, acme, at(n), fmt.Sprint(n))
			require.Equal(t, "beta", out.Provider, "one that is passed over was not tried")
		}
		w.Close()
	})
}
