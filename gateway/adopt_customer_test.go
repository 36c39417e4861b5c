package gateway

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// listed are the places of a customer's instruments, asked of the providers.
func (w *world) listed(t *testing.T, customerID string) []string {
	t.Helper()
	page, err := w.ListCustomer(t.Context(), acme, customerID, 100, "")
	require.NoError(t, err)
	require.False(t, page.Incomplete, "%+v", page.Sources)
	var out []string
	for _, ins := range page.Data {
		out = append(out, ins.ProviderTokens[0].References["instrument"])
	}
	return out
}

func TestAnAdoptionTellsWhereItsCustomerIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld()
	refs := w.a.put("theirs")
	w.stores(t, acme, input("cus", reference("alpha", refs)), "key 1")
	c, err := w.GetCustomer(t.Context(), acme, "cus")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"alpha": "theirs"}, c.ProviderReferences)
	other := w.a.put("theirs") // which nobody has adopted
	require.ElementsMatch(t, []string{refs["instrument"], other["instrument"]}, w.listed(t, "cus"), "lists ask for it")
	made := w.stores(t, acme, input("cus", card(visa)), "key 2")
	require.Zero(t, w.a.count("create_customer"), "no second customer is made there")
	require.Equal(t, "theirs", made.Instrument.ProviderTokens[0].References["customer"])
}

func TestAnAdoptionLeavesTheReferenceThatIsInUse(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.stores(t, acme, input("cus", card(visa)), "key 1")
	second, third := w.a.put("theirs"), w.a.put("theirs")
	w.stores(t, acme, input("cus", reference("alpha", second)), "key 2")
	w.stores(t, acme, input("cus", reference("alpha", third)), "key 3")
	c, err := w.GetCustomer(t.Context(), acme, "cus")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"alpha": "c1"}, c.ProviderReferences)
	cur, err := w.loadCustomer(t.Context(), "test", acme, "cus")
	require.NoError(t, err)
	require.Equal(t, []string{"c1", "theirs"}, cur.at("alpha"))
	require.Len(t, w.listed(t, "cus"), 3)
}

func TestACustomerOfTooManyReferencesLearnsNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for i := range maxReferences + 5 {
		w.stores(t, acme, input("guest", reference("alpha", w.a.put(fmt.Sprint("theirs-", i)))), fmt.Sprint("key ", i))
	}
	cur, err := w.loadCustomer(t.Context(), "test", acme, "guest")
	require.NoError(t, err)
	require.Len(t, cur.at("alpha"), maxReferences)
}

// Two adoptions are two round trips each; the first of a customer has one more.
func TestAnAdoptionCostsTwoRoundTrips(t *testing.T) {
	t.Parallel()
	w := newWorld()
	trips := 0
	w.store.fail(func(int, Write) fate {
		trips++
		return works
	})
	loads := 0
	w.store.onLoad = func(int, []string) error {
		loads++
		return nil
	}
	cost := func(key string, refs normalize.References) (int, int) {
		trips, loads = 0, 0
		w.stores(t, acme, input("cus", reference("alpha", refs)), key)
		return trips, loads
	}
	cost("clock", w.a.put("others")) // the store's clock is learned
	writes, reads := cost("key 1", w.a.put("theirs"))
	require.Equal(t, []int{3, 0}, []int{writes, reads}, "the customer's reference is new")
	writes, reads = cost("key 2", w.a.put("theirs"))
	require.Equal(t, []int{2, 0}, []int{writes, reads})
	require.Equal(t, 3, w.a.count("get"))
}

func TestAnAdoptionWhoseCustomerCannotBeWrittenIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(alone)
	refs := w.a.put("theirs")
	w.store.fail(func(_ int, wr Write) fate {
		if wr.Key == customerEntryKey(acme, "cus") {
			return failsBefore
		}
		return works
	})
	w.refuses(t, acme, input("cus", reference("alpha", refs)), "key", normalize.StoreUnavailable, normalize.NotSent)
	w.store.fail(nil)
	require.False(t, w.stores(t, acme, input("cus", reference("alpha", refs)), "key").Replayed)
	require.Equal(t, []string{refs["instrument"]}, w.listed(t, "cus"))
}

// What an earlier release adopted has no owner on file: to adopt it again tells.
func TestAnAdoptionOnceMoreTellsTheOwner(t *testing.T) {
	t.Parallel()
	w := newWorld()
	refs := w.a.put("theirs")
	w.stores(t, acme, input("cus", reference("alpha", refs)), "key 1")
	cur, err := w.loadCustomer(t.Context(), "test", acme, "cus")
	require.NoError(t, err)
	_, err = w.changeCustomer(t.Context(), "test", cur, func(c *customer) bool {
		delete(c.Refs, "alpha")
		return true
	})
	require.NoError(t, err)
	require.True(t, w.stores(t, acme, input("cus", reference("alpha", refs)), "key 2").Deduplicated)
	c, err := w.GetCustomer(t.Context(), acme, "cus")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"alpha": "theirs"}, c.ProviderReferences)
}

// Creates of a customer that was adopted go to a place where the merchant has stored
// cards by itself: what was there before an attempt began is not its surplus.
func TestADoubtDeletesNothingThatIsOlder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for age, kept := range map[time.Duration]bool{24 * time.Hour: true, 0: false} {
			w := newWorld()
			w.stores(t, acme, input("cus", reference("alpha", w.a.put("theirs"))), "adoption")
			ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
			recs, err := w.load(t.Context(), "test", ins.ID)
			require.NoError(t, err)
			want := wanted(card(visa), input("cus", card(visa)))
			w.doubt(t.Context(), *recs[0], Doubt{Provider: "alpha", At: recs[0].CreatedAt, Want: &want})
			other, err := w.a.Create(t.Context(), adapters.CreateInput{Customer: "theirs", Source: card(visa)})
			require.NoError(t, err)
			w.a.change(other.References, func(i *adapters.Instrument) { i.CreatedAt = time.Now().Add(-age) })
			for range 8 {
				time.Sleep(time.Minute)
				require.NoError(t, w.swept(t.Context()))
			}
			_, err = w.a.Get(t.Context(), other.References)
			require.Equal(t, kept, err == nil, "%s old: %v", age, err)
		}
	})
}
