package gateway

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/polyvault/polyvault/normalize"
)

// saved is an entry as a backup or journal has it.
type saved struct {
	key   string
	entry Entry
}

// dumped is what a backup would hold.
func dumped(t *testing.T, s *memStore) (out []saved) {
	t.Helper()
	require.NoError(t, s.Dump(t.Context(), func(key string, e Entry) error {
		out = append(out, saved{key, e})
		return nil
	}))
	return out
}

// testingT is a [testing.T] or a [rapid.T].
type testingT interface {
	require.TestingT
	Context() context.Context
}

func restoreAll(t testingT, s Store, entries []saved) map[Restored]int {
	counts := map[Restored]int{}
	for _, e := range entries {
		done, err := Restore(t.Context(), s, testSealer(), e.key, e.entry, false)
		require.NoError(t, err)
		counts[done]++
	}
	return counts
}

// The store is flushed; a backup brings back every instrument under its old id,
// with its versions, indexes and claims.
func TestARestoredStoreIsTheOneThatWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ids := map[string]string{}
	for i, number := range []string{visa, mastercard, amex} {
		key := fmt.Sprint("key-", i)
		ids[key] = w.stores(t, acme, input("cus", card(number)), key).Instrument.ID
	}
	err := w.Delete(t.Context(), acme, ids["key-2"], ScopeProvider)
	require.NoError(t, err)
	backup := dumped(t, w.store)
	lost := w.store
	w.store = newMemStore()
	w.Service.store = w.store

	require.Equal(t, map[Restored]int{RestoredNew: len(backup)}, restoreAll(t, w.store, backup))
	require.Equal(t, map[Restored]int{RestoredNothing: len(backup)}, restoreAll(t, w.store, backup), "again does nothing")
	require.Equal(t, dumped(t, lost), dumped(t, w.store))
	require.Equal(t, lost.claims, w.store.claims)
	require.ElementsMatch(t, lost.indexed(), w.store.indexed())
	for i, number := range []string{visa, mastercard} {
		key := fmt.Sprint("key-", i)
		again := w.stores(t, acme, input("cus", card(number)), key)
		require.True(t, again.Replayed)
		require.Equal(t, ids[key], again.Instrument.ID)
	}
	require.Equal(t, 2, w.a.live())
}

func TestADryRestoreWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.stores(t, acme, input("cus", card(visa)), "key")
	empty := newMemStore()
	for _, e := range dumped(t, w.store) {
		done, err := Restore(t.Context(), empty, testSealer(), e.key, e.entry, true)
		require.NoError(t, err)
		require.Equal(t, RestoredNew, done)
	}
	require.Empty(t, empty.entries)
	require.Empty(t, empty.claims)
}

func TestWhatCannotBeRestoredIsRefused(t *testing.T) {
	t.Parallel()
	rec := inState(t, "completed")
	newer := rec
	newer.Schema = schemaVersion + 1
	for name, e := range map[string]saved{
		"no version":       {"cus/a/b", Entry{Value: []byte("{}")}},
		"no record":        {rec.ID, Entry{Value: []byte("{"), Version: 1}},
		"a later schema":   {rec.ID, Entry{Value: newer.encode(), Version: 1}},
		"another's record": {testKeys("k1")[0].instrumentID(acme, "other"), Entry{Value: rec.encode(), Version: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newMemStore()
			_, err := Restore(t.Context(), s, testSealer(), e.key, e.entry, false)
			require.Error(t, err)
			require.Empty(t, s.entries)
		})
	}
}

// The store is lost, a client sends its key again before the restore, and the
// provider stores the card a second time. The first instrument stays.
func TestOfTwoLivesOfAnIDTheOlderOneStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		rec := w.store.records()[0]
		backup := dumped(t, w.store)

		time.Sleep(time.Hour)
		w.store = newMemStore()
		w.Service.store = w.store
		second := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		require.Equal(t, first.ID, second.ID)
		require.Equal(t, 2, w.a.live())
		afterwards := dumped(t, w.store)

		require.Equal(t, 2, restoreAll(t, w.store, backup)[RestoredOver], "the record and its customer")
		require.Zero(t, restoreAll(t, w.store, append(backup, afterwards...))[RestoredOver], "in any order, any number of times")
		require.NoError(t, w.swept(t.Context()))
		require.Equal(t, 1, w.a.live(), "the surplus is deleted at the provider")
		after := w.store.records()[0]
		require.Equal(t, rec.Tokens, after.Tokens)
		require.Equal(t, rec.CreatedAt, after.CreatedAt)
		require.Empty(t, after.Late)
		for _, c := range rec.Claims {
			require.Equal(t, first.ID, w.store.owner(c))
		}
		got, err := w.Get(t.Context(), acme, first.ID, true)
		require.NoError(t, err)
		require.Equal(t, first.CreatedAt, got.Instrument.CreatedAt)
	})
}

// The same, but the second life's gateway died while it was sending.
func TestWhatASecondLifeMayHaveSentIsLookedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.stores(t, acme, input("cus", card(visa)), "key")
		backup := dumped(t, w.store)
		time.Sleep(time.Hour)
		w.store = newMemStore()
		w.Service.store = w.store
		w.stores(t, acme, input("cus", card(mastercard)), "other key") // the customer is known
		w.a.will("create", ambiguous(true))
		for range 3 {
			w.a.will("list", cannotBeAsked())
		}
		w.pends(t, input("cus", card(visa)), "key")
		require.Equal(t, 3, w.a.live())

		restoreAll(t, w.store, backup)
		for range 100 {
			time.Sleep(time.Second)
			require.NoError(t, w.swept(t.Context()))
		}
		require.Equal(t, 2, w.a.live())
	})
}

// After the loss a list finds the instrument at its provider, as if it were new. The
// id that was told first stays, and the other one leads to it.
func TestOneInstrumentIsNotRestoredBesideItself(t *testing.T) {
	t.Parallel()
	for _, findsFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("found before the restore: ", findsFirst), func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			first := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
			before := dumped(t, w.store)
			customers := slices.DeleteFunc(slices.Clone(before), func(s saved) bool { return ValidInstrumentID(s.key) })

			w.store = newMemStore()
			w.Service.store = w.store
			restoreAll(t, w.store, customers)
			page, err := w.ListCustomer(t.Context(), acme, "cus", 0, "")
			require.NoError(t, err)
			require.Len(t, page.Data, 1)
			found := page.Data[0].ID
			require.NotEqual(t, first.ID, found)
			after := dumped(t, w.store)

			if findsFirst {
				restoreAll(t, w.store, before)
			} else {
				w.store = newMemStore()
				w.Service.store = w.store
				restoreAll(t, w.store, before)
				restoreAll(t, w.store, after)
			}
			for _, id := range []string{first.ID, found} {
				got, err := w.Get(t.Context(), acme, id, false)
				require.NoError(t, err)
				require.Equal(t, first.ID, got.Instrument.ID)
			}
			page, err = w.ListCustomer(t.Context(), acme, "cus", 0, "")
			require.NoError(t, err)
			require.Len(t, page.Data, 1)
			require.Equal(t, first.ID, page.Data[0].ID)
			for _, rec := range w.store.records() {
				for _, c := range rec.Claims {
					require.Equal(t, rec.ID, w.store.owner(c))
				}
			}
			require.NoError(t, w.Delete(t.Context(), acme, found, ScopeProvider))
			require.Zero(t, w.a.live())
		})
	}
}

// Gateways serve while their store is restored: clients send their keys again, and
// change what is there already. Each id ends with one instrument, and the answer to
// its key is the one that was given before the loss.
func TestARestoreWhileGatewaysServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const cards = 20
		w := newWorld()
		in := func(i int) normalize.CreateInput {
			out := input(fmt.Sprint("cus", i%5), card(visa))
			out.Sources[0].Card.ExpYear += i // the same number: also for one customer
			return out
		}
		first := map[string]normalize.Instrument{}
		for i := range cards {
			out, err := w.Create(t.Context(), loose, in(i), fmt.Sprint("key", i))
			require.NoError(t, err)
			first[out.Instrument.ID] = out.Instrument
		}
		require.Equal(t, cards, w.a.live())
		backup := dumped(t, w.store)
		time.Sleep(time.Hour)
		w.store = newMemStore()
		w.Service.store = w.store

		var wg sync.WaitGroup
		for part := range 4 {
			wg.Go(func() {
				for i := part; i < len(backup); i += 4 {
					if _, err := Restore(t.Context(), w.store, testSealer(), backup[i].key, backup[i].entry, false); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		for i := range cards {
			wg.Go(func() {
				time.Sleep(time.Duration(i%6) * time.Millisecond)
				_, _ = w.Create(t.Context(), loose, in(i), fmt.Sprint("key", i)) // a conflict may be
			})
		}
		wg.Wait()
		restoreAll(t, w.store, backup)
		for range 120 {
			time.Sleep(time.Second)
			require.NoError(t, w.swept(t.Context()))
		}
		for id, was := range first {
			got, err := w.Get(t.Context(), loose, id, true)
			require.NoError(t, err)
			require.Equal(t, was.ProviderTokens[0].References, got.Instrument.ProviderTokens[0].References)
			require.Equal(t, was.CreatedAt, got.Instrument.CreatedAt)
		}
		require.Equal(t, cards, w.a.live(), "what was stored a second time is gone")
	})
}

// A record that was restored in the middle of its create is followed up like any.
func TestARestoredDoubtIsSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.a.will("create", ambiguous(true))
		w.a.will("list", cannotBeAsked())
		op := w.pends(t, input("cus", card(visa)), "key")
		backup := dumped(t, w.store)
		w.store = newMemStore()
		w.Service.store = w.store
		restoreAll(t, w.store, backup)
		time.Sleep(untilLeaseEnds)
		require.NoError(t, w.swept(t.Context()))
		got, err := w.Get(t.Context(), acme, op.ID, true)
		require.NoError(t, err)
		require.Equal(t, op.ID, got.Instrument.ID)
		require.Equal(t, 1, w.a.live())
	})
}

// Two keys had one card stored at a provider that answers with what it has. The
// number stays claimed by the one that stays.
func TestWhoKeepsAPlaceKeepsItsNumber(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.a.upsert = true
		first := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		before := dumped(t, w.store)
		customers := slices.DeleteFunc(slices.Clone(before), func(s saved) bool { return ValidInstrumentID(s.key) })
		time.Sleep(time.Hour)
		w.store = newMemStore()
		w.Service.store = w.store
		restoreAll(t, w.store, customers)
		second := w.stores(t, acme, input("cus", card(visa)), "other").Instrument
		require.NotEqual(t, first.ID, second.ID)
		require.Equal(t, 1, w.a.live())

		restoreAll(t, w.store, before)
		third := w.stores(t, acme, input("cus", card(visa)), "third")
		require.True(t, third.Deduplicated)
		require.Equal(t, first.ID, third.Instrument.ID)
		require.Equal(t, first.ID, w.stores(t, acme, input("cus", card(visa)), "key").Instrument.ID)
		got, err := w.Get(t.Context(), acme, second.ID, true)
		require.NoError(t, err)
		require.Equal(t, first.ID, got.Instrument.ID)
		for _, rec := range w.store.records() {
			for _, c := range rec.Claims {
				require.Equal(t, rec.ID, w.store.owner(c))
			}
		}
	})
}

// life is the states of a record from begin to end, as its journal has them.
func life(t *rapid.T, n int, began time.Time, mayBeDeleted bool) (out []saved) {
	key := testKeys("k1")[0]
	rec := newRecord(key.instrumentID(acme, "key"), acme, "cus", key, nil, began)
	version := uint64(0)
	step := func(r Record, err error) {
		require.NoError(t, err)
		rec = r
		version++
		out = append(out, saved{rec.ID, Entry{Value: rec.encode(), Version: version}})
	}
	step(rec.begin("alpha", "me", began, time.Minute))
	token := testToken("alpha")
	token.References = normalize.References{"instrument": fmt.Sprint("i", n)}
	done, err := rec.complete(token, testView(), began.Add(time.Second))
	done.Claims = []string{"num/a", fmt.Sprint("ref/alpha/", n)}
	step(done, err)
	for i := range rapid.IntRange(0, 3).Draw(t, "changes") {
		view := testView()
		view.Metadata = map[string]string{"n": fmt.Sprint(n, i)}
		step(rec.changed(token, view, began.Add(time.Duration(i+2)*time.Second)))
	}
	if mayBeDeleted && rapid.Bool().Draw(t, "deleted") {
		step(rec.deleted(ScopeProvider, began.Add(time.Minute)))
	}
	return out
}

// TestTheOrderOfARestoreDoesNotMatter restores the states of records of up to three
// lives, and of other entries, from files in any order, and some of them twice. What
// the store holds then, but for the versions' numbers, is always the same.
func TestTheOrderOfARestoreDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all []saved
		lives := rapid.IntRange(1, 3).Draw(t, "lives")
		deleted := rapid.IntRange(0, lives-1).Draw(t, "the life that may be deleted")
		for n := range lives {
			all = append(all, life(t, n, testTime.Add(time.Duration(n)*time.Hour), n == deleted)...)
		}
		for v := range rapid.Uint64Range(0, 3).Draw(t, "versions of another entry") {
			all = append(all, saved{"other/entry", Entry{Value: fmt.Append(nil, v), Version: v + 1}})
		}
		inOrder := newMemStore()
		restoreAll(t, inOrder, all)
		want := held(t, inOrder)

		source := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		again := slices.Clone(all)
		again = append(again, all[:rapid.IntRange(0, len(all)).Draw(t, "twice")]...)
		source.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		shuffled := newMemStore()
		restoreAll(t, shuffled, again)
		require.Equal(t, want, held(t, shuffled))
		restoreAll(t, shuffled, again) // a doubt may be found once more
		require.Equal(t, want, held(t, shuffled))
		writes := shuffled.trips["write"]
		restoreAll(t, shuffled, again)
		require.Equal(t, writes, shuffled.trips["write"], "what is there is not written again")
	})
}

// held is what a store holds, without what may differ: the number of a version, and
// a doubt, which only makes the reconciler look once more. It also checks that
// indexes and claims are those of the records.
func held(t *rapid.T, s *memStore) map[string]string {
	out := map[string]string{}
	var members []Member
	claims := map[string]string{}
	for key, e := range s.entries {
		if !ValidInstrumentID(key) {
			out[key] = fmt.Sprintf("%d %s", e.version, e.value)
			continue
		}
		rec, err := decodeRecord(e.value)
		require.NoError(t, err)
		for _, c := range rec.Claims {
			claims[c] = rec.ID
		}
		members = append(members, rec.members()...)
		own := stored{rec, e.version}.own()
		rec.Skew, rec.Doubt = 0, nil
		out[key] = fmt.Sprintf("%d %s", own, rec.encode())
	}
	require.ElementsMatch(t, members, s.indexed())
	require.Equal(t, claims, maps.Collect(maps.All(s.claims)))
	return out
}
