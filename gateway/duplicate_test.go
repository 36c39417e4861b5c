package gateway

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func TestStoringTheSameCardAgainUpdatesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) { c.Providers[0].MaxInFlight = 1 }) // the update needs no second place
	first := w.stores(t, acme, input("cus", card(visa)), "key 1")
	in := input("cus", card(visa))
	in.Sources[0].Card.ExpYear = 2035
	in.BillingAddress = &normalize.Address{City: "Graz"}
	in.Metadata = map[string]string{"k": "v"}
	in.Default = true
	second := w.stores(t, acme, in, "key 2")
	require.True(t, second.Deduplicated)
	require.Equal(t, first.Instrument.ID, second.Instrument.ID)
	require.Equal(t, 2035, second.Instrument.Card.ExpYear)
	require.Equal(t, "Graz", second.Instrument.BillingAddress.City)
	require.Equal(t, "v", second.Instrument.Metadata["k"])
	require.True(t, second.Instrument.Default)
	require.Equal(t, 1, w.a.count("create"))
	require.Len(t, w.a.updates, 1)
	require.Equal(t, 2035, *w.a.updates[0].ExpYear)
	require.Equal(t, "Graz", w.a.updates[0].BillingAddress.City)

	again := w.stores(t, acme, in, "key 2")
	require.True(t, again.Replayed && again.Deduplicated)
	require.Equal(t, asJSON(t, second.Instrument), asJSON(t, again.Instrument))
	alias := w.current().instrumentID(acme, "key 2")
	for _, stored := range []bool{true, false} {
		read, err := w.Get(t.Context(), acme, alias, stored)
		require.NoError(t, err)
		require.Equal(t, first.Instrument.ID, read.Instrument.ID)
	}
	op, err := w.Operation(t.Context(), acme, alias)
	require.NoError(t, err)
	require.Equal(t, first.Instrument.ID, op.Instrument)
}

func TestWhatIsNoDuplicateIsStored(t *testing.T) {
	t.Parallel()
	t.Run("the tenant allows duplicates", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.stores(t, loose, input("cus", card(visa)), "key 1")
		require.False(t, w.stores(t, loose, input("cus", card(visa)), "key 2").Deduplicated)
		require.Equal(t, 2, w.a.live())
	})
	t.Run("another customer", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.stores(t, acme, input("cus", card(visa)), "key 1")
		require.False(t, w.stores(t, acme, input("cus-2", card(visa)), "key 2").Deduplicated)
		require.Equal(t, 2, w.a.live())
	})
	t.Run("another account number", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		account := func(n string) normalize.Source {
			return normalize.Source{Type: normalize.SourceBankAccount, BankAccount: &normalize.BankAccountSource{
				AccountNumber: normalize.NewSecret(n), RoutingNumber: "021000021", AccountType: normalize.AccountChecking,
			}}
		}
		w.stores(t, acme, input("cus", account("123456789")), "key 1")
		require.False(t, w.stores(t, acme, input("cus", account("123456780")), "key 2").Deduplicated)
		require.True(t, w.stores(t, acme, input("cus", account("123456789")), "key 3").Deduplicated)
		require.Equal(t, 2, w.a.live())
	})
}

func TestAClaimWhoseHolderIsGoneIsTakenOver(t *testing.T) {
	t.Parallel()
	ways := map[string]func(t *testing.T, w *world){
		"it was rejected": func(t *testing.T, w *world) {
			w.a.will("create", step{err: failure(normalize.CardDeclined, normalize.Rejected)})
			w.refuses(t, acme, input("cus", card(visa)), "key 1", normalize.CardDeclined, normalize.Rejected)
		},
		"it was not sent": func(t *testing.T, w *world) {
			w.a.will("create", step{err: failure(normalize.ProviderRateLimited, normalize.NotSent)})
			w.refuses(t, acme, input("cus", card(visa)), "key 1", normalize.ProviderRateLimited, normalize.NotSent)
		},
		"it was deleted": func(t *testing.T, w *world) {
			out := w.stores(t, acme, input("cus", card(visa)), "key 1")
			require.NoError(t, w.Delete(t.Context(), acme, out.Instrument.ID, ScopeProvider))
		},
		"the provider deactivated it for good": func(t *testing.T, w *world) {
			out := w.stores(t, acme, input("cus", card(visa)), "key 1")
			_, err := w.Deactivate(t.Context(), acme, out.Instrument.ID)
			require.NoError(t, err)
		},
		"it is gone at the provider": func(t *testing.T, w *world) {
			out := w.stores(t, acme, input("cus", card(visa)), "key 1")
			w.a.lose(out.Instrument.ProviderTokens[0].References)
		},
	}
	for rule, way := range ways {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(alone)
			way(t, w)
			out := w.stores(t, acme, input("cus", card(visa)), "key 2")
			require.False(t, out.Deduplicated)
			require.Equal(t, 1, w.a.live())
			require.True(t, w.stores(t, acme, input("cus", card(visa)), "key 3").Deduplicated)
			require.Equal(t, 1, w.a.live())
		})
	}
	t.Run("though its release was lost", func(t *testing.T) {
		t.Parallel()
		w := newWorld(alone)
		ways["it was not sent"](t, w)
		for _, claim := range w.claimsOf() {
			w.store.claims[claim] = w.current().instrumentID(acme, "key 1")
		}
		require.False(t, w.stores(t, acme, input("cus", card(visa)), "key 2").Deduplicated)
		require.Equal(t, w.current().instrumentID(acme, "key 2"), w.store.owner(w.claimsOf()[0]))
	})
	t.Run("and its own retry finds the new holder", func(t *testing.T) {
		t.Parallel()
		w := newWorld(alone)
		ways["it was not sent"](t, w)
		second := w.stores(t, acme, input("cus", card(visa)), "key 2")
		first := w.stores(t, acme, input("cus", card(visa)), "key 1")
		require.True(t, first.Deduplicated)
		require.Equal(t, second.Instrument.ID, first.Instrument.ID)
		require.Equal(t, 1, w.a.live())
	})
	t.Run("but not if the holder came back to life meanwhile", func(t *testing.T) {
		t.Parallel()
		w := newWorld(alone)
		ways["it was not sent"](t, w)
		id := w.current().instrumentID(acme, "key 1")
		claim := w.claimsOf()[0]
		w.store.claims[claim] = id
		rec, err := w.load(t.Context(), "test", id)
		require.NoError(t, err)
		mine := newRecord(w.current().instrumentID(acme, "key 2"), acme, "cus", w.current(), nil, time.Now())
		mine.Claims = []string{claim}
		cur, _, err := w.put(t.Context(), "test", stored{}, mine)
		require.NoError(t, err)
		again, err := rec[0].begin("alpha", "other", time.Now(), time.Minute)
		require.NoError(t, err)
		w.store.entries[id] = memEntry{w.encode(again), rec[0].version + 1, "x"}
		_, err = w.takeOver(t.Context(), cur, id, rec[0], []string{claim})
		require.Equal(t, normalize.Conflict, normalize.CodeOf(err))
	})
	t.Run("and that the holder was sealed anew meanwhile is no life", func(t *testing.T) {
		t.Parallel()
		w := newWorld(alone)
		ways["it was not sent"](t, w)
		id := w.current().instrumentID(acme, "key 1")
		claim := w.claimsOf()[0]
		w.store.claims[claim] = id
		rec, err := w.load(t.Context(), "test", id)
		require.NoError(t, err)
		mine := newRecord(w.current().instrumentID(acme, "key 2"), acme, "cus", w.current(), nil, time.Now())
		mine.Claims = []string{claim}
		cur, _, err := w.put(t.Context(), "test", stored{}, mine)
		require.NoError(t, err)
		w.store.entries[id] = memEntry{w.encode(rec[0].Record), rec[0].version + 1, "x"}
		_, err = w.takeOver(t.Context(), cur, id, rec[0], []string{claim})
		require.NoError(t, err)
	})
}

// claimsOf are the claims on the card of customer "cus" at alpha.
func (w *world) claimsOf() []string {
	c := &creation{s: w.Service, tenant: w.tenant(acme), in: input("cus")}
	return c.claims(w.providers["alpha"], card(visa))
}

func TestACardThatIsBeingStoredIsAConflict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		release := make(chan struct{})
		w.a.will("create", step{blocks: release})
		done := make(chan error)
		go func() {
			_, err := w.Create(t.Context(), acme, input("cus", card(visa)), "key 1")
			done <- err
		}()
		synctest.Wait()
		f := w.refuses(t, acme, input("cus", card(visa)), "key 2", normalize.Conflict, normalize.NotSent)
		require.Positive(t, f.Err.RetryAfter)
		require.Zero(t, w.b.count("create"), "it is not stored elsewhere instead")
		close(release)
		require.NoError(t, <-done)
		require.True(t, w.stores(t, acme, input("cus", card(visa)), "key 2").Deduplicated)
		require.Equal(t, 1, w.a.live())
		require.Zero(t, w.Providers()[0].Classes["write"].InFlight)
	})
}

func TestACardThatMayHaveBeenStoredIsAConflict(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.a.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: true})
	w.a.will("list", cannotBeAsked())
	w.pends(t, input("cus", card(visa)), "key 1")
	w.refuses(t, acme, input("cus", card(visa)), "key 2", normalize.Conflict, normalize.NotSent)
	require.Equal(t, 1, w.a.live()+w.b.live())
}

func TestAKeyThatIsUsedForAnotherCardDoesNotTakeThatCard(t *testing.T) {
	t.Parallel()
	w := newWorld()
	first := w.stores(t, acme, input("cus", card(visa)), "key 1")
	w.refuses(t, acme, input("cus", card(mastercard)), "key 1", normalize.IdempotencyKeyReused, normalize.NotSent)
	second := w.stores(t, acme, input("cus", card(mastercard)), "key 2")
	require.False(t, second.Deduplicated)
	require.NotEqual(t, first.Instrument.ID, second.Instrument.ID)
	require.Equal(t, "4444", second.Instrument.Card.Last4)
	require.True(t, w.stores(t, acme, input("cus", card(mastercard)), "key 3").Deduplicated)
}

func TestADuplicateThatCannotBeUpdated(t *testing.T) {
	t.Parallel()
	t.Run("keeps the key free to try again, and says what is known", func(t *testing.T) {
		t.Parallel()
		w := newWorld(alone)
		w.stores(t, acme, input("cus", card(visa)), "key 1")
		w.a.will("update", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
		w.refuses(t, acme, input("cus", card(visa)), "key 2", normalize.ProviderTimeout, normalize.Unknown)
		require.True(t, w.stores(t, acme, input("cus", card(visa)), "key 2").Deduplicated)
	})
	t.Run("since the provider has no update, is answered as it is", func(t *testing.T) {
		t.Parallel()
		w := newWorld(func(c *Config) { c.Providers[0].Adapter = creatorOnly{newFake()} }, alone)
		_, _, err := w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "cus", ProviderReferences: map[string]string{"alpha": "c1"}})
		require.NoError(t, err)
		w.stores(t, acme, input("cus", card(visa)), "key 1")
		in := input("cus", card(visa))
		in.Default, in.Metadata = true, map[string]string{"k": "v"}
		out := w.stores(t, acme, in, "key 2")
		require.True(t, out.Deduplicated)
		require.Equal(t, "v", out.Instrument.Metadata["k"])
	})
	t.Run("since the store fails, leaves no attempt behind", func(t *testing.T) {
		t.Parallel()
		w := newWorld(alone)
		holder := w.stores(t, acme, input("cus", card(visa)), "key 1").Instrument.ID
		w.store.onLoad = func(_ int, keys []string) error {
			if len(keys) == 1 && keys[0] == holder {
				return errInjected
			}
			return nil
		}
		w.refuses(t, acme, input("cus", card(visa)), "key 2", normalize.StoreUnavailable, normalize.NotSent)
		w.store.onLoad = nil
		require.True(t, w.stores(t, acme, input("cus", card(visa)), "key 2").Deduplicated, "at once, without waiting for a lease")
	})
	t.Run("since taking its claim over fails, leaves no attempt behind", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(alone)
			holder := w.stores(t, acme, input("cus", card(visa)), "key 1").Instrument.ID
			_, err := w.Deactivate(t.Context(), acme, holder)
			require.NoError(t, err)
			w.store.fail(func(n int, wr Write) fate {
				if len(wr.Release) > 0 && wr.Release[0].Owner == holder {
					return failsBefore
				}
				return works
			})
			w.refuses(t, acme, input("cus", card(visa)), "key 2", normalize.StoreUnavailable, normalize.NotSent)
			w.store.fail(nil)
			require.False(t, w.stores(t, acme, input("cus", card(visa)), "key 2").Deduplicated, "at once, without waiting for a lease")
			require.Equal(t, 1, w.a.live())
		})
	})
	t.Run("since its end cannot be recorded, is an operation", func(t *testing.T) {
		t.Parallel()
		w := newWorld(alone)
		w.stores(t, acme, input("cus", card(visa)), "key 1")
		id := w.current().instrumentID(acme, "key 2")
		w.store.fail(func(n int, wr Write) fate {
			if wr.Key == id && n > 1 {
				return failsBefore
			}
			return works
		})
		w.pends(t, input("cus", card(visa)), "key 2")
	})
}

func TestADuplicateThatTheGatewayHeldIsActiveAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) { c.Providers[0].Adapter = creatorOnly{newFake()} }, alone)
	_, _, err := w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "cus", ProviderReferences: map[string]string{"alpha": "c1"}})
	require.NoError(t, err)
	first := w.stores(t, acme, input("cus", card(visa)), "key 1")
	_, err = w.Deactivate(t.Context(), acme, first.Instrument.ID)
	require.NoError(t, err)
	again := w.stores(t, acme, input("cus", card(visa)), "key 2")
	require.Equal(t, first.Instrument.ID, again.Instrument.ID)
	require.Equal(t, normalize.StatusActive, again.Instrument.Status)
}

func TestAProviderThatAnswersWithWhatItHad(t *testing.T) {
	t.Parallel()
	t.Run("makes an alias of the instrument that is known", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.a.upsert = true
		first := w.stores(t, loose, input("cus", card(visa)), "key 1")
		in := input("cus", card(visa))
		in.Sources[0].Card.ExpYear, in.Metadata = 2034, map[string]string{"k": "v"}
		second := w.stores(t, loose, in, "key 2")
		require.True(t, second.Deduplicated)
		require.Equal(t, first.Instrument.ID, second.Instrument.ID)
		require.Equal(t, 2034, second.Instrument.Card.ExpYear)
		require.Equal(t, "v", second.Instrument.Metadata["k"])
		again := w.stores(t, loose, in, "key 2")
		require.True(t, again.Deduplicated)
		require.Equal(t, asJSON(t, second.Instrument), asJSON(t, again.Instrument))
		require.Equal(t, 1, w.a.live())
	})
	t.Run("is told so when the gateway did not know it, also in the replay", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.a.will("create", step{edit: func(i *adapters.Instrument) { i.Existing = true }})
		require.True(t, w.stores(t, acme, input("cus", card(visa)), "key").Deduplicated)
		require.True(t, w.stores(t, acme, input("cus", card(visa)), "key").Deduplicated)
	})
	t.Run("and that was deleted here gives the place to the new one", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.a.upsert = true
		first := w.stores(t, acme, input("cus", card(visa)), "key 1")
		require.NoError(t, w.Delete(t.Context(), acme, first.Instrument.ID, ScopeGateway))
		second := w.stores(t, acme, input("cus", card(visa)), "key 2")
		require.NotEqual(t, first.Instrument.ID, second.Instrument.ID)
		_, err := w.Get(t.Context(), acme, first.Instrument.ID, false)
		require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(err))
		require.Equal(t, second.Instrument.ID, w.store.owner(w.referenceClaims(w.providers["alpha"], second.Instrument.ProviderTokens[0].References)[0]))
	})
}

func TestAdoptingAPlace(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ref := w.a.put("somebody")
	out := w.stores(t, shy, input("cus", reference("alpha", ref)), "key 1")
	require.Zero(t, w.a.count("create"))
	require.Equal(t, 1, w.a.count("get"))
	t.Run("again answers with the one that has it", func(t *testing.T) {
		t.Parallel()
		again := w.stores(t, shy, input("cus", reference("alpha", ref)), "key 2")
		require.True(t, again.Deduplicated)
		require.Equal(t, out.Instrument.ID, again.Instrument.ID)
	})
	t.Run("of another customer or tenant is as if it were not there", func(t *testing.T) {
		t.Parallel()
		f := w.refuses(t, shy, input("cus-2", reference("alpha", ref)), "key 3", normalize.NotFound, normalize.Rejected)
		g := w.refuses(t, acme, input("cus", reference("alpha", ref)), "key 3", normalize.NotFound, normalize.Rejected)
		require.Equal(t, f.Err.Msg, g.Err.Msg)
	})
	t.Run("that is not there is refused for good", func(t *testing.T) {
		t.Parallel()
		in := input("cus", reference("alpha", normalize.References{"instrument": "i99"}))
		w.refuses(t, shy, in, "key 4", normalize.NotFound, normalize.Rejected)
	})
	t.Run("of a provider that cannot be asked may be tried again", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		ref := w.a.put("somebody")
		w.a.will("get", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
		in := input("cus", reference("alpha", ref))
		w.refuses(t, shy, in, "key", normalize.ProviderTimeout, normalize.NotSent)
		w.stores(t, shy, in, "key")
	})
	t.Run("a provider that is not configured is a mistake in the request", func(t *testing.T) {
		t.Parallel()
		w.refuses(t, shy, input("cus", reference("gamma", ref)), "key 5", normalize.InvalidField, normalize.NotSent)
	})
}

func TestOneCardUnderManyKeysAtTheSameTimeIsStoredOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		gateways := []*world{w, w.another()}
		ids := make([]string, 50)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				for {
					out, err := gateways[i%2].Create(t.Context(), acme, input("cus", card(visa)), fmt.Sprint("key ", i))
					switch normalize.CodeOf(err) {
					case "":
						ids[i] = out.Instrument.ID
						return
					case normalize.Conflict, normalize.IdempotencyKeyInUse:
						time.Sleep(time.Duration(i+1) * 10 * time.Millisecond)
					default:
						t.Errorf("key %d: %v", i, err)
						return
					}
				}
			})
		}
		wg.Wait()
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
		require.Equal(t, 1, w.a.live())
		require.Zero(t, w.b.live())
	})
}
