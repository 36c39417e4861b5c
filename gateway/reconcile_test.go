package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func ambiguous(commits bool) step {
	return step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: commits}
}

// A create whose effect is unknown is looked up at once, and is found.
func TestWhatTheProviderDidAllTheSameIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.a.will("create", ambiguous(true))
	in := input("cus", card(visa))
	in.Metadata = map[string]string{"order": "A-1"}
	out := w.stores(t, acme, in, "key")
	require.False(t, out.Replayed)
	require.Equal(t, "1111", out.Instrument.Card.Last4)
	require.Equal(t, "A-1", out.Instrument.Metadata["order"], "what the request brought is not lost")
	require.NotNil(t, out.Instrument.Fingerprint)
	require.Equal(t, 1, w.a.count("create"))
	require.Equal(t, 1, w.a.live())
	require.True(t, w.stores(t, acme, in, "key").Replayed)
	require.True(t, w.stores(t, acme, in, "another key").Deduplicated, "its number is known")
}

// Absence takes two looks a settle time apart; then the same key stores it, once,
// and only where it was looked for.
func TestAbsenceTakesTwoLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.a.will("create", ambiguous(false))
		op := w.pends(t, input("cus", card(visa)), "key")
		require.Equal(t, normalize.Unknown, op.Outcome)
		w.pends(t, input("cus", card(visa)), "key")
		require.Equal(t, 1, w.a.count("create"), "a settle time has not passed")
		time.Sleep(3 * time.Second)
		w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
		w.refuses(t, acme, input("cus", card(visa)), "key", normalize.NoEligibleProvider, normalize.NotSent)
		require.Zero(t, w.b.count("create"), "it was not looked for there")
		out := w.stores(t, acme, input("cus", card(visa)), "key")
		require.Equal(t, "alpha", out.Provider)
		require.Equal(t, 1, w.a.live())
		require.Zero(t, w.b.count("create"))
	})
}

// A provider that cannot be asked proves nothing: no second attempt, ever.
func TestUnreachableIsNotAbsence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.a.will("create", ambiguous(true))
		for range 6 {
			w.a.will("list", cannotBeAsked())
		}
		for range 6 {
			w.pends(t, input("cus", card(visa)), "key")
			time.Sleep(20 * time.Second)
		}
		require.Equal(t, 1, w.a.count("create"))
		w.stores(t, acme, input("cus", card(visa)), "key")
		require.Equal(t, 1, w.a.live())
	})
}

// The reconciler finishes what no client comes back for.
func TestTheReconcilerFinishesAlone(t *testing.T) {
	t.Parallel()
	for name, commits := range map[string]bool{"it was stored": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.a.will("create", ambiguous(commits))
				w.a.will("list", cannotBeAsked())
				op := w.pends(t, input("cus", card(visa)), "key")
				for range 8 {
					require.NoError(t, w.swept(t.Context()))
					time.Sleep(time.Second)
				}
				after, err := w.Operation(t.Context(), acme, op.ID)
				require.NoError(t, err)
				if commits {
					require.Equal(t, StateCompleted, after.State)
					ins, err := w.Get(t.Context(), acme, op.ID, false)
					require.NoError(t, err)
					require.Equal(t, "1111", ins.Instrument.Card.Last4)
				} else {
					require.Equal(t, StateFailed, after.State)
					require.Equal(t, normalize.NotSent, after.Outcome)
				}
				due, err := w.Service.store.Scan(t.Context(), indexDue, "", 10, false)
				require.NoError(t, err)
				require.Empty(t, due, "nothing is left to do")
				require.Equal(t, 1, w.a.count("create"))
			})
		})
	}
}

// A gateway that sleeps through its lease in the middle of a call finds its record
// finished by another: what it stored is one too many, and is deleted.
func TestALateResultIsDeletedAtTheProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.stores(t, acme, input("cus", card(mastercard)), "makes the customer")
		recs, err := w.load(t.Context(), "test", w.stores(t, acme, input("cus", card(visa)), "key").Instrument.ID)
		require.NoError(t, err)
		customer := first.Instrument.ProviderTokens[0].References["customer"]
		surplus := w.a.put(customer)
		require.Equal(t, 3, w.a.live())
		p := w.providers["alpha"]
		after, err := w.lateResult(t.Context(), *recs[0], p, adapters.Instrument{
			References: surplus, Type: normalize.TypeCard, Status: normalize.StatusActive,
		})
		require.NoError(t, err)
		require.Equal(t, StateCompleted, after.State)
		require.Empty(t, after.Late)
		require.Equal(t, 2, w.a.live(), "the surplus one is gone")
		_, err = w.Get(t.Context(), acme, recs[0].ID, false)
		require.NoError(t, err)
	})
}

// What came late for a record that still needs it completes it.
func TestALateResultCompletesWhatIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.a.will("create", ambiguous(true))
		w.a.will("list", cannotBeAsked())
		op := w.pends(t, input("cus", card(visa)), "key")
		recs, err := w.load(t.Context(), "test", op.ID)
		require.NoError(t, err)
		cust, err := w.GetCustomer(t.Context(), acme, "cus")
		require.NoError(t, err)
		page, err := w.a.List(t.Context(), adapters.ListInput{Customer: cust.ProviderReferences["alpha"]})
		require.NoError(t, err)
		after, err := w.lateResult(t.Context(), *recs[0], w.providers["alpha"], page.Items[0])
		require.NoError(t, err)
		require.Equal(t, StateCompleted, after.State)
		require.Equal(t, 1, w.a.live())
	})
}

// A gateway that comes back without an answer, after its record was finished by
// another, leaves a doubt: what the provider stored a second time is looked for and
// deleted, and nothing else is.
func TestADoubtIsResolved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.stores(t, acme, input("cus", card(mastercard)), "another card")
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		recs, err := w.load(t.Context(), "test", ins.ID)
		require.NoError(t, err)
		want := wanted(card(visa), input("cus", card(visa)))
		w.doubt(t.Context(), *recs[0], Doubt{Provider: "alpha", At: recs[0].CreatedAt, Want: &want})
		surplus, err := w.a.Create(t.Context(), adapters.CreateInput{
			Customer: first.Instrument.ProviderTokens[0].References["customer"], Source: card(visa),
		})
		require.NoError(t, err)
		require.Equal(t, 3, w.a.live())
		for range 4 {
			time.Sleep(time.Second)
			require.NoError(t, w.swept(t.Context()))
		}
		require.Equal(t, 2, w.a.live(), "the surplus one is gone")
		_, err = w.a.Get(t.Context(), surplus.References)
		require.Error(t, err)
		for _, id := range []string{ins.ID, first.Instrument.ID} {
			_, err := w.Get(t.Context(), acme, id, false)
			require.NoError(t, err, "what the records have is kept")
		}
		for range 4 {
			time.Sleep(time.Minute)
			require.NoError(t, w.swept(t.Context()))
		}
		due, err := w.store.Scan(t.Context(), indexDue, "", 10, false)
		require.NoError(t, err)
		require.Empty(t, due, "a doubt ends")
	})
}

// A one-time token that is spent when its create is tried again may have been spent by
// the attempt before, whose gateway only slept: that is no proof that nothing is stored.
func TestASpentTokenIsNoProofWhileAnAttemptIsInDoubt(t *testing.T) {
	t.Parallel()
	spent := failure(normalize.TokenAlreadyUsed, normalize.Rejected)
	inDoubt := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(alone)
		w.a.will("create", ambiguous(false))
		op := w.pends(t, input("cus", visaToken("once")), "key")
		time.Sleep(3 * time.Second)
		require.NoError(t, w.swept(t.Context()))
		recs, err := w.load(t.Context(), "test", op.ID)
		require.NoError(t, err)
		require.Equal(t, StateFailed, recs[0].State)
		last := recs[0].Attempts[len(recs[0].Attempts)-1]
		w.doubt(t.Context(), *recs[0], Doubt{Provider: "alpha", At: last.At, Want: &Want{}})
		return w
	}
	synctest.Test(t, func(t *testing.T) {
		w := inDoubt(t)
		w.a.will("create", step{err: spent, commits: true}) // the sleeper was faster
		w.stores(t, acme, input("cus", visaToken("once")), "key")
		require.Equal(t, 1, w.a.live())
	})
	synctest.Test(t, func(t *testing.T) {
		w := inDoubt(t)
		w.a.will("create", step{err: spent})
		w.pends(t, input("cus", visaToken("once")), "key")
		for range 200 { // in the end it is one
			time.Sleep(time.Second)
			require.NoError(t, w.swept(t.Context()))
		}
		w.a.will("create", step{err: spent})
		w.refuses(t, acme, input("cus", visaToken("once")), "key", normalize.TokenAlreadyUsed, normalize.Rejected)
		require.Zero(t, w.a.live())
	})
}
