package gateway

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A customer that was made again while the store had lost it is one customer after
// the restore: the older reference is used, and what is stored under the other is
// found. In whatever order the states come, and however often.
func TestTwoLivesOfACustomerAreOne(t *testing.T) {
	t.Parallel()
	old, again := time.Unix(1000, 0).UTC(), time.Unix(2000, 0).UTC()
	entry := func(version uint64, created time.Time, refs map[string]string) Entry {
		b, err := json.Marshal(customer{Schema: clearSchema, Tenant: acme, ID: "cus", Refs: refs, CreatedAt: created, UpdatedAt: created})
		require.NoError(t, err)
		return Entry{Value: b, Version: version}
	}
	states := []Entry{
		entry(1, old, map[string]string{}),
		entry(3, old, map[string]string{"alpha": "first"}),
		entry(4, old, map[string]string{"alpha": "corrected"}),
		entry(2, again, map[string]string{"alpha": "second", "beta": "only"}),
	}
	key := customerEntryKey(acme, "cus")
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		w := newWorld()
		order := append(r.Perm(len(states)), r.Perm(len(states))...)
		for _, i := range order {
			_, err := Restore(t.Context(), w.store, testSealer(), key, states[i], false)
			require.NoError(t, err)
		}
		for _, state := range states {
			done, err := Restore(t.Context(), w.store, testSealer(), key, state, false)
			require.NoError(t, err)
			require.Equal(t, RestoredNothing, done, "seed %d: all is there", seed)
		}
		cust, err := w.loadCustomer(t.Context(), "test", acme, "cus")
		require.NoError(t, err)
		require.Equal(t, []string{"corrected", "second"}, cust.at("alpha"), "seed %d", seed)
		require.Equal(t, []string{"only"}, cust.at("beta"), "seed %d", seed)
	}
}

// What is stored under either reference of a customer is shown, and found by a look-up.
func TestAllReferencesOfACustomerAreAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(alone)
	w.stores(t, acme, input("cus", card(visa)), "key")
	cust, err := w.loadCustomer(t.Context(), "test", acme, "cus")
	require.NoError(t, err)
	_, err = w.changeCustomer(t.Context(), "test", cust, func(c *customer) bool {
		c.Also = map[string][]string{"alpha": {"other"}}
		return true
	})
	require.NoError(t, err)
	w.a.put("other")
	page, err := w.ListCustomer(t.Context(), acme, "cus", 10, "")
	require.NoError(t, err)
	require.Len(t, page.Data, 2)
}
