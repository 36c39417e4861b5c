package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// newKnowing is a world whose providers can tell which card a token stands for.
func newKnowing() *world {
	w := newWorld(alone)
	w.a.knows = true
	return w
}

// tokenOfVisa is another one-time token of the same card.
func tokenOfVisa(name string) normalize.Source { return visaToken("1111." + name) }

// Two one-time tokens of one card cannot be told apart before the provider has
// stored both: the second one is deleted there, and the first answers for it.
func TestTwoTokensOfOneCardAreOneInstrument(t *testing.T) {
	t.Parallel()
	w := newKnowing()
	first := w.stores(t, acme, input("cus", tokenOfVisa("one")), "key 1")
	in := input("cus", tokenOfVisa("two"))
	in.BillingAddress = &normalize.Address{City: "Graz"}
	in.Metadata = map[string]string{"k": "v"}
	second := w.stores(t, acme, in, "key 2")
	require.True(t, second.Deduplicated)
	require.Equal(t, first.Instrument.ID, second.Instrument.ID)
	require.Equal(t, "Graz", second.Instrument.BillingAddress.City)
	require.Equal(t, "v", second.Instrument.Metadata["k"])
	require.Equal(t, 1, w.a.live())
	require.True(t, w.stores(t, acme, in, "key 2").Replayed)
	w.due(t)

	require.False(t, w.stores(t, acme, input("cus-2", tokenOfVisa("three")), "key 3").Deduplicated)
	require.False(t, w.stores(t, loose, input("cus", tokenOfVisa("four")), "key 4").Deduplicated)
	require.False(t, w.stores(t, loose, input("cus", tokenOfVisa("five")), "key 5").Deduplicated, "its tenant allows duplicates")
	require.Equal(t, 4, w.a.live())
}

// A number and a token of the same card are one instrument, in either order.
func TestANumberAndATokenOfOneCardAreOneInstrument(t *testing.T) {
	t.Parallel()
	for name, sources := range map[string][]normalize.Source{
		"the number first": {card(visa), tokenOfVisa("one")},
		"the token first":  {tokenOfVisa("one"), card(visa)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newKnowing()
			first := w.stores(t, acme, input("cus", sources[0]), "key 1")
			second := w.stores(t, acme, input("cus", sources[1]), "key 2")
			require.True(t, second.Deduplicated)
			require.Equal(t, first.Instrument.ID, second.Instrument.ID)
			require.Equal(t, 1, w.a.live())
			w.due(t)
		})
	}
}

// What is adopted by its reference is kept, whatever card it is.
func TestAdoptionDeletesNothing(t *testing.T) {
	t.Parallel()
	w := newKnowing()
	first := w.stores(t, acme, input("cus", tokenOfVisa("one")), "key 1")
	other := w.a.put(first.Instrument.ProviderTokens[0].References["customer"])
	w.a.held[other["instrument"]].Identity = "1111"
	second := w.stores(t, acme, input("cus", reference("alpha", other)), "key 2")
	require.NotEqual(t, first.Instrument.ID, second.Instrument.ID)
	require.Equal(t, 2, w.a.live())
}

// Fifty requests with fifty tokens of one card leave one instrument, and all their
// answers name it; however many of them lose their answer on the way.
func TestFiftyTokensOfOneCardAtTheSameTime(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]int{"all goes well": 0, "every answer of ten is lost": 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newKnowing()
				w.stores(t, acme, input("cus", card(mastercard)), "makes the customer")
				for range lost {
					w.a.will("create", ambiguous(true))
				}
				ids := make([]string, 50)
				var wg sync.WaitGroup
				for i := range ids {
					wg.Go(func() {
						in := input("cus", tokenOfVisa(fmt.Sprint(i)))
						for range 2000 {
							out, err := w.Create(context.Background(), acme, in, fmt.Sprintf("key %d", i))
							if err == nil && out.Operation == nil {
								ids[i] = out.Instrument.ID
								return
							}
							time.Sleep(time.Second)
							_ = w.swept(context.Background())
						}
					})
				}
				wg.Wait()
				for _, id := range ids {
					require.Equal(t, ids[0], id)
				}
				for range 200 {
					time.Sleep(time.Minute)
					require.NoError(t, w.swept(t.Context()))
				}
				require.Equal(t, 2, w.a.live(), "and the one that made the customer")
				read, err := w.Get(t.Context(), acme, ids[0], false)
				require.NoError(t, err)
				require.Equal(t, normalize.StatusActive, read.Instrument.Status)
				w.due(t)
			})
		})
	}
}

// A gateway that dies right after it has claimed the card leaves nothing behind that
// a reconciler does not finish.
func TestAClaimedCardWhoseGatewayDiedIsFinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newKnowing()
		first := w.stores(t, acme, input("cus", tokenOfVisa("one")), "key 1")
		w.store.fail(func(n int, _ Write) fate {
			if n > 2 { // begin, then the claim; nothing after them
				return failsBefore
			}
			return works
		})
		w.pends(t, input("cus", tokenOfVisa("two")), "key 2")
		w.store.fail(nil)
		require.Equal(t, 2, w.a.live())
		for range 10 {
			time.Sleep(untilLeaseEnds)
			require.NoError(t, w.swept(t.Context()))
		}
		require.Equal(t, 1, w.a.live())
		second := w.stores(t, acme, input("cus", tokenOfVisa("two")), "key 2")
		require.Equal(t, first.Instrument.ID, second.Instrument.ID)
		w.due(t)
	})
}

// due requires that nothing is left to do.
func (w *world) due(t *testing.T) {
	t.Helper()
	due, err := w.store.Scan(t.Context(), indexDue, "", 10, false)
	require.NoError(t, err)
	require.Empty(t, due)
}
