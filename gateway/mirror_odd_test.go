package gateway

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// Mirrors where something else is odd as well: a failover, a deletion, a restore, a
// provider that is not configured any more.

// pendingMirror stores an instrument whose mirror's outcome nobody knows; there says
// whether beta has it.
func (w *world) pendingMirror(t *testing.T, there bool) normalize.Instrument {
	t.Helper()
	w.b.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: there})
	w.b.will("list", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
	made := w.stores(t, acme, mirrorInput(), "key").Instrument
	require.Equal(t, normalize.StatusPending, made.ProviderTokens[1].Status)
	return made
}

func TestAMirrorThatTheCreateWentToIsThePrimaryAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) {
			c.Routes[0].Providers, c.Routes[0].Mirrors = []string{"alpha", "beta"}, []string{"beta"}
		})
		w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
		made := w.stores(t, acme, mirrorInput(), "key").Instrument
		require.Len(t, made.ProviderTokens, 1)
		require.Equal(t, []any{"beta", normalize.RolePrimary}, []any{made.ProviderTokens[0].Provider, made.ProviderTokens[0].Role})
		w.sweeps(t, 5)
		require.Equal(t, []int{0, 1}, []int{w.a.live(), w.b.live()})
		require.Len(t, w.tokens(t, made.ID), 1)
		require.Empty(t, w.store.indexes[indexDue])
	})
}

func TestADeletionWhileAMirrorIsPending(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]bool{"it was stored": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(mirroring)
				made := w.pendingMirror(t, there)
				require.NoError(t, w.Delete(t.Context(), acme, made.ID, ScopeProvider))
				w.sweeps(t, 300)
				require.Equal(t, []int{0, 0}, []int{w.a.live(), w.b.live()})
				require.Empty(t, w.store.indexes[indexDue])
				_, err := w.Get(t.Context(), acme, made.ID, true)
				require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(err))
			})
		})
	}
}

// What a caller only forgets stays at its providers, also where a mirror is found later.
func TestAForgottenInstrumentsPendingMirrorStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		made := w.pendingMirror(t, true)
		require.NoError(t, w.Delete(t.Context(), acme, made.ID, ScopeGateway))
		w.sweeps(t, 300)
		require.Equal(t, []int{1, 1}, []int{w.a.live(), w.b.live()})
		require.Empty(t, w.store.indexes[indexDue])
	})
}

func TestTwoGatewaysBringAMirrorInStepOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		other := w.another(mirroring)
		for i, city := range []string{"Graz", "Wels", "Steyr"} {
			_, err := w.Update(t.Context(), acme, id, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": &city}})
			require.NoError(t, err)
			etag := ETag(w.stored(t, id))
			var both sync.WaitGroup
			for _, g := range []*world{w, other} {
				both.Go(func() {
					for range 3 {
						if err := g.swept(t.Context()); err != nil {
							t.Error(err)
						}
						time.Sleep(time.Second)
					}
				})
			}
			both.Wait()
			require.Equal(t, i+1, w.b.count("update"))
			require.Equal(t, etag, ETag(w.stored(t, id)), "that a mirror caught up is no change of the instrument")
			for _, ins := range w.b.held {
				require.Equal(t, city, ins.BillingAddress.City)
			}
		}
	})
}

// stored is an instrument as the record has it.
func (w *world) stored(t *testing.T, id string) normalize.Instrument {
	t.Helper()
	read, err := w.Get(t.Context(), acme, id, true)
	require.NoError(t, err)
	return read.Instrument
}

// A mirror that was given up is found after all. What was changed meanwhile reaches it.
func TestAMirrorThatIsFoundLateGetsWhatWasChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		made := w.pendingMirror(t, false)
		w.sweeps(t, 400)
		token := w.tokens(t, made.ID)["beta"]
		require.Equal(t, normalize.StatusFailed, token.Status)
		_, err := w.Update(t.Context(), acme, made.ID, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": new("Graz")}})
		require.NoError(t, err)

		rec := w.record(t, made.ID)
		child := w.record(t, rec.Tokens[1].Record)
		w.b.mu.Lock()
		ins := shown(w.b.add(w.customerAt(t, "beta"), card(visa)))
		w.b.held[ins.References["instrument"]].BillingAddress = &normalize.Address{City: "Linz", Country: "AT"}
		ins.BillingAddress = &normalize.Address{City: "Linz", Country: "AT"}
		w.b.mu.Unlock()
		_, err = w.lateResult(t.Context(), child, w.providers["beta"], ins)
		require.NoError(t, err)
		w.sweeps(t, 60)
		require.Equal(t, normalize.StatusActive, w.tokens(t, made.ID)["beta"].Status)
		require.Equal(t, 1, w.b.live())
		require.Equal(t, "Graz", w.b.held[ins.References["instrument"]].BillingAddress.City)
		require.Empty(t, w.store.indexes[indexDue])
	})
}

func (w *world) record(t *testing.T, id string) stored {
	t.Helper()
	recs, err := w.load(t.Context(), "test", id)
	require.NoError(t, err)
	require.NotNil(t, recs[0])
	return *recs[0]
}

func (w *world) customerAt(t *testing.T, provider string) string {
	t.Helper()
	cust, err := w.loadCustomer(t.Context(), "test", acme, "cus")
	require.NoError(t, err)
	refs := cust.at(provider)
	require.NotEmpty(t, refs)
	return refs[0]
}

// What is on its way out is not there: it is no answer to who wants a mirror there.
func TestAMirrorIsNotAddedWhereOneIsLeaving(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		gone := step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)}
		w.b.will("delete", gone, gone)
		_, err := w.Change(t.Context(), acme, "", RemoveProviderToken{ID: id, Provider: "beta"})
		require.NoError(t, err)
		add := AddProviderToken{ID: id, Input: normalize.MirrorInput{Provider: "beta", Sources: []normalize.Source{card(visa)}}}
		_, err = w.Change(t.Context(), acme, "", add)
		require.Equal(t, normalize.Conflict, normalize.CodeOf(err))
		w.sweeps(t, 10)
		out, err := w.Change(t.Context(), acme, "", add)
		require.NoError(t, err)
		require.True(t, out.Created)
		require.Equal(t, 1, w.b.live())
	})
}

// A mirror that its provider has lost can be stored there again.
func TestALostMirrorIsStoredAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		made := w.stores(t, acme, mirrorInput(), "key").Instrument
		w.b.lose(made.ProviderTokens[1].References)
		_, err := w.Update(t.Context(), acme, made.ID, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": new("Graz")}})
		require.NoError(t, err)
		w.sweeps(t, 5)
		require.Equal(t, normalize.StatusFailed, w.tokens(t, made.ID)["beta"].Status)
		out, err := w.Change(t.Context(), acme, "", AddProviderToken{ID: made.ID, Input: normalize.MirrorInput{Sources: []normalize.Source{card(visa)}}})
		require.NoError(t, err)
		require.Equal(t, []any{true, normalize.StatusActive}, []any{out.Created, out.Token.Status})
		require.Equal(t, 1, w.b.live())
		for _, ins := range w.b.held {
			require.Equal(t, "Graz", ins.BillingAddress.City)
		}
	})
}

// An instrument that a provider has already becomes a mirror as it is: read only.
func TestAnInstrumentThatIsThereBecomesAMirror(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		name := map[bool]string{false: "nobody knew it", true: "a list has adopted it"}[known]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(func(c *Config) { c.Routes[0].Providers = []string{"alpha"} })
				w.stores(t, acme, normalize.CreateInput{CustomerID: "cus", Provider: "beta", Sources: []normalize.Source{card(amex)}}, "at beta")
				id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
				ref := w.b.put(w.customerAt(t, "beta"))
				if known {
					require.Len(t, w.listCustomer(t).Data, 3)
				}
				add := AddProviderToken{ID: id, Input: normalize.MirrorInput{Sources: []normalize.Source{reference("beta", ref)}}}
				out, err := w.Change(t.Context(), acme, "k", add)
				if known {
					require.Equal(t, normalize.Conflict, normalize.CodeOf(err), "it is an instrument of its own")
					require.Len(t, w.listCustomer(t).Data, 3)
					return
				}
				require.NoError(t, err)
				require.Equal(t, []any{true, normalize.RoleMirror, normalize.StatusActive, ref["instrument"]},
					[]any{out.Created, out.Token.Role, out.Token.Status, out.Token.References["instrument"]})
				require.Equal(t, 1, w.b.count("create"), "that of the other card")
				again, err := w.Change(t.Context(), acme, "k", add)
				require.NoError(t, err)
				require.True(t, again.Replayed)
				require.Equal(t, out.Token, again.Token)
				require.Len(t, w.listCustomer(t).Data, 2)
				require.NoError(t, w.Delete(t.Context(), acme, id, ScopeProvider))
				w.sweeps(t, 5)
				require.Equal(t, []int{0, 1}, []int{w.a.live(), w.b.live()})
			})
		})
	}
}

// The answer to a key that added a mirror is repeated, also that nobody knows.
func TestAKeyThatAddedAMirrorIsReplayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(alone)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		w.b.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: true})
		w.b.will("list", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
		add := AddProviderToken{ID: id, Input: normalize.MirrorInput{Sources: []normalize.Source{card(visa)}}}
		_, err := w.Change(t.Context(), acme, "k", add)
		require.Equal(t, normalize.OutcomeUnknown, normalize.CodeOf(err))
		mirror := w.record(t, id).Tokens[1].Record
		op, err := w.Operation(t.Context(), acme, mirror)
		require.NoError(t, err)
		require.Equal(t, []any{StateUnknown, id}, []any{op.State, op.Instrument})
		page, err := w.ListOperations(t.Context(), acme, ListOperationsInput{State: StateUnknown})
		require.NoError(t, err)
		require.Len(t, page.Data, 1)
		require.Equal(t, mirror, page.Data[0].ID)
		_, err = w.RetryOperation(t.Context(), acme, mirror)
		require.NoError(t, err)
		w.sweeps(t, 60)
		require.Equal(t, normalize.StatusActive, w.tokens(t, id)["beta"].Status)
		out, err := w.Change(t.Context(), acme, "k", add)
		require.NoError(t, err, "the key is carried on")
		require.Equal(t, normalize.StatusActive, out.Token.Status)
		require.Equal(t, 1, w.b.live())
	})
}

func TestACustomersListWithoutTheMirrorsProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		for _, f := range []*fake{w.b, w.a} {
			f.will("list", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
			page := w.listCustomer(t)
			require.True(t, page.Incomplete)
			require.Len(t, page.Data, 1)
			require.Equal(t, id, page.Data[0].ID)
			require.Len(t, page.Data[0].ProviderTokens, 2)
		}
	})
}

// A configuration without a mirror's provider: the instrument goes on, what the mirror
// is behind by waits until the provider is configured again, and asks nobody meanwhile.
func TestAMirrorWhoseProviderIsNotConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
		less := w.another(func(c *Config) {
			c.Providers, c.Routes[0].Providers, c.Routes[0].Mirrors = c.Providers[:1], []string{"alpha"}, nil
		})
		_, err := less.Update(t.Context(), acme, id, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": new("Graz")}})
		require.NoError(t, err)
		res, err := less.Resolve(t.Context(), acme, id, ResolveInput{})
		require.NoError(t, err)
		require.Len(t, res.Candidates, 1)
		require.Equal(t, ExcludedNotConfigured, res.Excluded[0].Reason)
		before := less.store.trips["write"]
		less.sweeps(t, 300)
		require.NotNil(t, less.tokens(t, id)["beta"].Behind)
		require.Less(t, less.store.trips["write"]-before, 30, "it is not tried every second")
		_, err = less.Change(t.Context(), acme, "", RemoveProviderToken{ID: id, Provider: "beta"})
		require.NoError(t, err)
		require.NoError(t, less.Delete(t.Context(), acme, id, ScopeProvider))
		less.sweeps(t, 60)
		require.Equal(t, []int{0, 1}, []int{w.a.live(), w.b.live()})

		w.sweeps(t, 120)
		require.Equal(t, 0, w.b.live(), "it goes once its provider is configured again")
		require.Empty(t, w.store.indexes[indexDue])
	})
}

// The primary was away, and is back before anybody has brought it in step. What is
// changed then is what the instrument and both providers have in the end.
func TestAChangeWhileThePrimaryIsBehind(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]normalize.UpdateInput{
		"the same members":    {BillingAddress: normalize.AddressPatch{"city": new("Wels")}, ExpYear: new(2041)},
		"the address":         {BillingAddress: normalize.AddressPatch{"city": new("Wels")}},
		"the address is gone": {ClearBillingAddress: true},
		"the expiry date":     {ExpYear: new(2041)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(mirroring)
				id := w.stores(t, acme, mirrorInput(), "key").Instrument.ID
				w.a.will("update", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
				_, err := w.Update(t.Context(), acme, id, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": new("Graz")}, ExpYear: new(2040)})
				require.NoError(t, err)
				after, err := w.Update(t.Context(), acme, id, second)
				require.NoError(t, err)
				city, year := "Graz", 2040
				if second.BillingAddress != nil {
					city = "Wels"
				}
				if second.ClearBillingAddress {
					city = ""
				}
				if second.ExpYear != nil {
					year = 2041
				}
				is := func(who string, a *normalize.Address, c *normalize.Card) {
					t.Helper()
					if a == nil {
						a = new(normalize.Address)
					}
					require.Equal(t, []any{city, year}, []any{a.City, c.ExpYear}, who)
				}
				is("answer", after.Instrument.BillingAddress, after.Instrument.Card)
				w.sweeps(t, 10)
				for who, f := range map[string]*fake{"alpha": w.a, "beta": w.b} {
					for _, ins := range f.held {
						is(who, ins.BillingAddress, ins.Card)
					}
				}
				got := w.stored(t, id)
				is("record", got.BillingAddress, got.Card)
			})
		})
	}
}

// A mirror whose provider takes nothing now is not there, and that it is not there shows.
func TestAMirrorAtADrainedProviderIsShownAsFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, edit := range map[string]func(*Config){
			"disabled": func(c *Config) { c.Providers[1].Disabled = true },
			"drained":  func(*Config) {},
		} {
			w := newWorld(mirroring, edit)
			if name == "drained" {
				_, err := w.Drain(t.Context(), "beta", "ops", normalize.DrainInput{})
				require.NoError(t, err)
			}
			made := w.stores(t, acme, mirrorInput(), "key").Instrument
			require.Len(t, made.ProviderTokens, 2, name)
			code := map[string]normalize.Code{"disabled": normalize.NoEligibleProvider, "drained": normalize.ProviderUnavailable}[name]
			require.Equal(t, []any{normalize.StatusFailed, code}, []any{made.ProviderTokens[1].Status, made.ProviderTokens[1].Code})
			require.Equal(t, []int{1, 0}, []int{w.a.live(), w.b.live()})
			w.sweeps(t, 3)
			require.Empty(t, w.store.indexes[indexDue])
		}
	})
}

// Many are deleted at once, and none is left at a mirror.
func TestABulkDeletionReachesEveryMirror(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		var items []ImportItem
		for _, number := range []string{visa, mastercard, amex} {
			items = append(items, ImportItem{Key: number[:4], Input: input("cus", card(number))})
		}
		var ids []string
		for _, res := range w.Import(t.Context(), acme, items) {
			require.NoError(t, res.Err)
			require.Len(t, res.Created.Instrument.ProviderTokens, 2)
			ids = append(ids, res.Created.Instrument.ID)
		}
		require.Equal(t, []int{3, 3}, []int{w.a.live(), w.b.live()})
		w.b.will("delete", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
		for _, res := range w.BulkDelete(t.Context(), acme, ids, ScopeProvider) {
			require.NoError(t, res.Err)
		}
		w.sweeps(t, 10)
		require.Equal(t, []int{0, 0}, []int{w.a.live(), w.b.live()})
		require.Empty(t, w.store.indexes[indexDue])
	})
}
