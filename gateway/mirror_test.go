package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// mirroring makes every instrument live at alpha and at beta.
func mirroring(c *Config) {
	c.Routes[0].Providers, c.Routes[0].Mirrors = []string{"alpha"}, []string{"beta"}
}

func mirrorInput() normalize.CreateInput {
	in := input("cus", card(visa))
	in.BillingAddress = &normalize.Address{City: "Linz", Country: "AT"}
	return in
}

// tokens are an instrument's, by provider.
func (w *world) tokens(t *testing.T, id string) map[string]normalize.ProviderToken {
	t.Helper()
	list, err := w.ProviderTokens(t.Context(), acme, id)
	require.NoError(t, err)
	out := map[string]normalize.ProviderToken{}
	for _, token := range list {
		out[token.Provider] = token
	}
	return out
}

// sweeps lets the reconciler work for a while.
func (w *world) sweeps(t *testing.T, n int) {
	t.Helper()
	for range n {
		require.NoError(t, w.swept(t.Context()))
		time.Sleep(time.Second)
	}
}

func TestACreateStoresItsMirrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		first := w.stores(t, acme, mirrorInput(), "key")
		require.Len(t, first.Instrument.ProviderTokens, 2)
		require.Equal(t, "alpha", first.Provider)
		mirror := first.Instrument.ProviderTokens[1]
		require.Equal(t, []any{"beta", normalize.RoleMirror, normalize.StatusActive}, []any{mirror.Provider, mirror.Role, mirror.Status})
		require.Equal(t, "Linz", w.b.creates[0].BillingAddress.City)
		again := w.stores(t, acme, mirrorInput(), "key")
		require.True(t, again.Replayed)
		require.Equal(t, first.Instrument, again.Instrument, "an answer is repeated with its mirrors")
		require.Equal(t, []int{1, 1}, []int{w.a.live(), w.b.live()})

		page, err := w.List(t.Context(), acme, ListInput{})
		require.NoError(t, err)
		require.Len(t, page.Data, 1, "a mirror is no instrument of its own")
		require.Len(t, w.listCustomer(t).Data, 1)
	})
}

func TestAMirrorThatIsRefusedTakesNothingBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		w.b.will("create", step{err: failure(normalize.CardDeclined, normalize.Rejected)})
		made := w.stores(t, acme, mirrorInput(), "key").Instrument
		require.Equal(t, normalize.StatusActive, made.Status)
		require.Equal(t, []any{normalize.StatusFailed, normalize.CardDeclined}, []any{made.ProviderTokens[1].Status, made.ProviderTokens[1].Code})

		// It can be added with a source that works.
		added, err := w.Change(t.Context(), acme, "", AddProviderToken{ID: made.ID, Input: normalize.MirrorInput{Sources: []normalize.Source{visaToken("t")}}})
		require.NoError(t, err)
		require.Equal(t, []any{"beta", normalize.StatusActive, true}, []any{added.Token.Provider, added.Token.Status, added.Created})
		there, err := w.Change(t.Context(), acme, "", AddProviderToken{
			ID: made.ID, Input: normalize.MirrorInput{Provider: "beta", Sources: []normalize.Source{visaToken("u")}},
		})
		require.NoError(t, err)
		require.False(t, there.Created)
		require.Equal(t, 1, w.b.live())
	})
}

func TestAnInstrumentWhoseMirrorIsUnknownIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		w.b.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: true})
		w.b.will("list", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
		first := w.stores(t, acme, mirrorInput(), "key")
		require.Equal(t, normalize.StatusPending, first.Instrument.ProviderTokens[1].Status)
		w.sweeps(t, 60)
		require.Equal(t, normalize.StatusActive, w.tokens(t, first.Instrument.ID)["beta"].Status, "the reconciler has found it")
		require.Equal(t, first.Instrument, w.stores(t, acme, mirrorInput(), "key").Instrument)
		require.Equal(t, 1, w.b.live())
	})
}

func TestAChangeReachesEveryProvider(t *testing.T) {
	t.Parallel()
	for away, f := range map[string]func(*world) (down, up *fake){
		"beta":  func(w *world) (*fake, *fake) { return w.b, w.a },
		"alpha": func(w *world) (*fake, *fake) { return w.a, w.b },
	} {
		t.Run(away+" is away", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(mirroring)
				id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
				down, up := f(w)
				gone := step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)}
				down.will("update", gone, gone, gone)
				after, err := w.Update(t.Context(), acme, id, normalize.UpdateInput{
					BillingAddress: normalize.AddressPatch{"city": new("Graz")}, ExpYear: new(2040),
				})
				require.NoError(t, err)
				require.Equal(t, "Graz", after.Instrument.BillingAddress.City)
				require.Equal(t, 2040, after.Instrument.Card.ExpYear)
				behind := w.tokens(t, id)[away].Behind
				require.NotNil(t, behind)
				require.Equal(t, []string{"billing_address", "card.exp"}, behind.Changes)
				require.Nil(t, w.tokens(t, id)[map[string]string{"alpha": "beta", "beta": "alpha"}[away]].Behind)
				live, err := w.Get(t.Context(), acme, id, false)
				require.NoError(t, err)
				require.Equal(t, "Graz", live.Instrument.BillingAddress.City, "what the provider does not have yet is not taken back")

				time.Sleep(3 * time.Second)
				w.sweeps(t, 1)
				lag := w.Backlog()
				require.Equal(t, []int{1, 1, 1}, []int{lag.Waiting, lag.Due, lag.Behind})
				require.Equal(t, 3*time.Second, lag.OldestLack.Truncate(time.Second))
				w.sweeps(t, 10)
				require.Zero(t, w.Backlog().Behind)
				require.Nil(t, w.tokens(t, id)[away].Behind)
				for _, f := range []*fake{up, down} {
					for _, ins := range f.held {
						require.Equal(t, "Graz", ins.BillingAddress.City)
						require.Equal(t, 2040, ins.Card.ExpYear)
					}
				}
				require.Empty(t, w.store.indexes[indexDue], "nothing is left to do")
			})
		})
	}
}

func TestMirrorsFollowWhatThePrimaryShows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		made := w.stores(t, acme, mirrorInput(), "key").Instrument
		w.a.change(made.ProviderTokens[0].References, func(ins *adapters.Instrument) { ins.Card.ExpYear = 2042 })
		read, err := w.Get(t.Context(), acme, made.ID, false)
		require.NoError(t, err)
		require.Equal(t, 2042, read.Instrument.Card.ExpYear)
		w.sweeps(t, 3)
		for _, ins := range w.b.held {
			require.Equal(t, 2042, ins.Card.ExpYear)
		}
		// The card was replaced there: its date is not the mirror's.
		w.a.change(made.ProviderTokens[0].References, func(ins *adapters.Instrument) { ins.Card.ExpYear, ins.Card.Last4 = 2044, "0005" })
		_, err = w.Get(t.Context(), acme, made.ID, false)
		require.NoError(t, err)
		w.sweeps(t, 3)
		for _, ins := range w.b.held {
			require.Equal(t, 2042, ins.Card.ExpYear)
		}
	})
}

func TestWhatAMirrorCannotDoIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		no := step{err: failure(normalize.UnsupportedOperation, normalize.NotSent)}
		w.b.will("update", no, step{}, no) // both, the address, the expiry date
		_, err := w.Update(t.Context(), acme, id, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": new("Graz")}, ExpYear: new(2040)})
		require.NoError(t, err)
		w.sweeps(t, 5)
		behind := w.tokens(t, id)["beta"].Behind
		require.NotNil(t, behind)
		require.Equal(t, []any{[]string{"card.exp"}, normalize.UnsupportedOperation, true}, []any{behind.Changes, behind.Code, behind.NextAt.IsZero()})
		require.Equal(t, 3, w.b.count("update"), "it is not asked again and again")
	})
}

func TestADeletionReachesEveryMirror(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		w.b.will("delete", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
		require.NoError(t, w.Delete(t.Context(), acme, id, ScopeProvider))
		require.Equal(t, []int{0, 1}, []int{w.a.live(), w.b.live()})
		w.sweeps(t, 10)
		require.Equal(t, 0, w.b.live())
		require.Empty(t, w.store.indexes[indexDue])
	})
}

func TestADeactivationForGoodReachesEveryMirror(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		_, err := w.Deactivate(t.Context(), acme, id)
		require.NoError(t, err)
		w.sweeps(t, 3)
		require.Equal(t, 0, w.b.live())
		require.Equal(t, normalize.StatusDeactivated, w.tokens(t, id)["beta"].Status)
	})
}

func TestAReadSurvivesItsProvider(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"it is down":          failure(normalize.ProviderTimeout, normalize.Unknown),
		"it has lost it":      failure(normalize.NotFound, normalize.Rejected),
		"it refuses our keys": failure(normalize.ProviderMisconfigured, normalize.Rejected),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(mirroring)
				id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
				w.a.will("get", step{err: err}, step{err: err})
				read, getErr := w.Get(t.Context(), acme, id, false)
				require.NoError(t, getErr)
				require.Equal(t, []any{"beta", false, id}, []any{read.Provider, read.Stale, read.Instrument.ID})
				w.b.will("get", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
				read, getErr = w.Get(t.Context(), acme, id, false)
				if name == "it has lost it" {
					require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(getErr))
					return
				}
				require.NoError(t, getErr)
				require.True(t, read.Stale)
			})
		})
	}
}

func TestAnInstrumentLeavesAProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		out, err := w.Change(t.Context(), acme, "", RemoveProviderToken{ID: id, Provider: "alpha"})
		require.NoError(t, err)
		require.Nil(t, out.Token, "it is gone at once")
		require.Equal(t, []int{0, 1}, []int{w.a.live(), w.b.live()})
		tokens := w.tokens(t, id)
		require.Len(t, tokens, 1)
		require.Equal(t, normalize.RolePrimary, tokens["beta"].Role)
		_, err = w.Update(t.Context(), acme, id, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": new("Graz")}})
		require.NoError(t, err)
		w.sweeps(t, 3)
		require.Len(t, w.listCustomer(t).Data, 1)
		require.Equal(t, id, w.listCustomer(t).Data[0].ID)

		// The card is known there: it is not stored again under another key.
		in := mirrorInput()
		in.Provider = "beta"
		require.Equal(t, id, w.stores(t, acme, in, "other").Instrument.ID)

		_, err = w.Change(t.Context(), acme, "", RemoveProviderToken{ID: id, Provider: "beta"})
		require.Equal(t, normalize.InvalidState, normalize.CodeOf(err), "it would live nowhere")
	})
}

func TestAMirrorThatCannotBeReachedLeavesLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		gone := step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)}
		w.b.will("delete", gone, gone)
		out, err := w.Change(t.Context(), acme, "", RemoveProviderToken{ID: id, Provider: "beta"})
		require.NoError(t, err)
		require.Equal(t, normalize.StatusDeactivated, out.Token.Status)
		w.sweeps(t, 10)
		require.Len(t, w.tokens(t, id), 1)
		require.Equal(t, 0, w.b.live())
		again, err := w.Change(t.Context(), acme, "", AddProviderToken{
			ID: id, Input: normalize.MirrorInput{Provider: "beta", Sources: []normalize.Source{card(visa)}},
		})
		require.NoError(t, err)
		require.True(t, again.Created)
		require.Equal(t, 1, w.b.live())
	})
}

func TestACardThatIsAMirrorIsNotStoredAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		in := input("cus", card(visa))
		in.Provider = "beta"
		other := w.stores(t, acme, in, "other")
		require.Equal(t, id, other.Instrument.ID)
		require.True(t, other.Deduplicated)
		require.Equal(t, 1, w.b.live())
	})
}

func TestAMirrorsRecordIsNobodysInstrument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		made := w.stores(t, acme, mirrorInput(), "key").Instrument
		recs, err := w.load(t.Context(), "test", made.ID)
		require.NoError(t, err)
		child := recs[0].Tokens[1].Record
		_, err = w.Get(t.Context(), acme, child, true)
		require.Equal(t, normalize.NotFound, normalize.CodeOf(err))
		require.Equal(t, normalize.NotFound, normalize.CodeOf(w.Delete(t.Context(), acme, child, ScopeProvider)))
		op, err := w.Operation(t.Context(), acme, child)
		require.NoError(t, err)
		require.Equal(t, made.ID, op.Instrument)
	})
}

func TestOneTimeTokensAreNotSpentTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		alone := w.stores(t, acme, input("cus", visaToken("a")), "one").Instrument
		require.Len(t, alone.ProviderTokens, 1, "there is no second token for a mirror")
		both := w.stores(t, acme, input("cus", visaToken("b"), visaToken("c")), "two").Instrument
		require.Len(t, both.ProviderTokens, 2)
		require.Equal(t, "c", w.b.creates[0].Source.RebillyToken.Token.Reveal())
	})
}

func TestATokenThatBringsAnotherCardEndsItsMirrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		w.a.will("update", step{edit: func(ins *adapters.Instrument) { ins.Card.Last4 = "9999" }})
		src := visaToken("new")
		_, err := w.Update(t.Context(), acme, id, normalize.UpdateInput{Source: &src})
		require.NoError(t, err)
		w.sweeps(t, 3)
		require.Equal(t, 0, w.b.live(), "nobody can charge the old card")
		require.Len(t, w.tokens(t, id), 1)
	})
}

func TestAnOperationNamesWhoWasPassedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) { c.Providers[0].Disabled = true })
	made := w.stores(t, acme, input("cus", card(visa)), "key")
	op, err := w.Operation(t.Context(), acme, made.Instrument.ID)
	require.NoError(t, err)
	require.Equal(t, notSentAt("alpha", ReasonDisabled), op.Attempts[0])
	require.Equal(t, normalize.Applied, op.Attempts[len(op.Attempts)-1].Outcome)
}
