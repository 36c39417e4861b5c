package gateway

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// A backup keeps where the mirrors are, and what they are behind by.
func TestARestoreKeepsMirrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		made := w.stores(t, acme, mirrorInput(), "key").Instrument
		gone := step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)}
		w.b.will("update", gone, gone)
		_, err := w.Update(t.Context(), acme, made.ID, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": new("Graz")}})
		require.NoError(t, err)
		before, backup := w.tokens(t, made.ID), dumped(t, w.store)
		slices.Reverse(backup)
		w.loses()
		restoreAll(t, w.store, backup)
		require.Equal(t, before, w.tokens(t, made.ID))
		w.sweeps(t, 10)
		require.Nil(t, w.tokens(t, made.ID)["beta"].Behind)
		for _, ins := range w.b.held {
			require.Equal(t, "Graz", ins.BillingAddress.City)
		}
		require.Equal(t, made.ID, w.stores(t, acme, mirrorInput(), "key").Instrument.ID)
		require.Equal(t, []int{1, 1}, []int{w.a.live(), w.b.live()})
		require.NoError(t, w.Delete(t.Context(), acme, made.ID, ScopeProvider))
		w.sweeps(t, 5)
		require.Equal(t, []int{0, 0}, []int{w.a.live(), w.b.live()})
	})
}

// loses is a store that lost everything.
func (w *world) loses() {
	w.store = newMemStore()
	w.Service.store = w.store
}

// The store is lost, and the client sends its key again before the restore: of both
// the instrument and its mirror the older one stays. A mirror that only the later life
// had, since it was added then or since the first one had no source for it, is not
// left behind where nobody knows it.
func TestTwoLivesOfAMirroredInstrument(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"mirrored", "alone", "deleted"} {
		t.Run("the first was "+first, func(t *testing.T) {
			t.Parallel()
			for _, backwards := range []bool{false, true} {
				t.Run(fmt.Sprint("backwards: ", backwards), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(mirroring)
						var id string
						if first == "alone" {
							id = w.another(alone).stores(t, acme, mirrorInput(), "key").Instrument.ID
						} else {
							id = w.stores(t, acme, mirrorInput(), "key").Instrument.ID
						}
						if first == "deleted" {
							require.NoError(t, w.Delete(t.Context(), acme, id, ScopeProvider))
							w.sweeps(t, 5)
						}
						backup := dumped(t, w.store)
						time.Sleep(time.Hour)
						w.loses()
						require.Equal(t, id, w.stores(t, acme, mirrorInput(), "key").Instrument.ID)
						if backwards {
							slices.Reverse(backup)
						}
						restoreAll(t, w.store, backup)
						w.sweeps(t, 120)
						live := map[string][]int{"mirrored": {1, 1}, "alone": {1, 1}, "deleted": {0, 0}}[first]
						require.Equal(t, live[0], w.a.live())
						require.LessOrEqual(t, w.b.live(), live[1])
						if first != "deleted" {
							for _, token := range w.tokens(t, id) {
								require.Equal(t, normalize.StatusActive, token.Status)
							}
							require.Len(t, w.tokens(t, id), 1+w.b.live(), "each that lives is known")
							require.NoError(t, w.Delete(t.Context(), acme, id, ScopeProvider))
							w.sweeps(t, 60)
						}
						require.Equal(t, []int{0, 0}, []int{w.a.live(), w.b.live()})
					})
				})
			}
		})
	}
}
