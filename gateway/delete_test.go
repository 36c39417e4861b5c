package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// plain makes a world whose alpha can only store and read, with one stored card.
func plain(t *testing.T) (*world, normalize.Instrument) {
	t.Helper()
	w := newWorld(func(c *Config) {
		c.Providers[0].Adapter = creatorOnly{c.Providers[0].Adapter.(*fake)} //nolint:errcheck // it is what newWorld put there
	}, alone)
	_, _, err := w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "cus", ProviderReferences: map[string]string{"alpha": "c1"}})
	require.NoError(t, err)
	return w, w.stores(t, acme, input("cus", card(visa)), "key").Instrument
}

func TestDeactivate(t *testing.T) {
	t.Parallel()
	t.Run("is the provider's where it can, and final", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		for range 2 {
			read, err := w.Deactivate(t.Context(), acme, ins.ID)
			require.NoError(t, err)
			require.Equal(t, normalize.StatusDeactivated, read.Instrument.Status)
		}
		require.Equal(t, 2, w.a.count("deactivate"))
		_, err := w.Activate(t.Context(), acme, ins.ID)
		require.Equal(t, normalize.InvalidState, normalize.CodeOf(err))
	})
	t.Run("is held by the gateway where the provider cannot, and lifted by it", func(t *testing.T) {
		t.Parallel()
		w, ins := plain(t)
		for range 2 {
			read, err := w.Deactivate(t.Context(), acme, ins.ID)
			require.NoError(t, err)
			require.Equal(t, normalize.StatusDeactivated, read.Instrument.Status)
		}
		live, err := w.Get(t.Context(), acme, ins.ID, false)
		require.NoError(t, err)
		require.Equal(t, normalize.StatusDeactivated, live.Instrument.Status)
		for range 2 {
			read, err := w.Activate(t.Context(), acme, ins.ID)
			require.NoError(t, err)
			require.Equal(t, normalize.StatusActive, read.Instrument.Status)
		}
	})
}

func callsOf(w *world) []int { return []int{w.a.count("delete"), w.a.count("delete_vault")} }

func TestDelete(t *testing.T) {
	t.Parallel()
	for scope, calls := range map[DeleteScope][]int{ScopeProvider: {1, 0}, ScopeVault: {0, 1}, ScopeGateway: {0, 0}} {
		t.Run("scope "+string(scope), func(t *testing.T) {
			t.Parallel()
			w, ins, _ := one(t)
			for range 3 {
				require.NoError(t, w.Delete(t.Context(), acme, ins.ID, scope), "a repeat is a success")
			}
			require.Equal(t, calls, callsOf(w))
			for _, stored := range []bool{true, false} {
				_, err := w.Get(t.Context(), acme, ins.ID, stored)
				require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(err))
			}
			in := input("cus", card(visa))
			in.BillingAddress, in.Metadata = &normalize.Address{City: "Graz", Line1: "Ring 1"}, map[string]string{"k": "v"}
			again := w.stores(t, acme, in, "key")
			require.True(t, again.Replayed, "its key replays and never resurrects")
			require.Equal(t, asJSON(t, ins), asJSON(t, again.Instrument))
			if scope != ScopeGateway {
				require.Zero(t, w.a.live())
			}
			fresh := w.stores(t, acme, in, "key 2")
			require.False(t, fresh.Deduplicated, "the card can be stored again")
			require.NotEqual(t, ins.ID, fresh.Instrument.ID)
		})
	}
	t.Run("a failure at the provider deletes nothing here", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		w.a.will("delete", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: true})
		err := w.Delete(t.Context(), acme, ins.ID, ScopeProvider)
		require.Equal(t, normalize.Unknown, normalize.OutcomeOf(err))
		_, err = w.Get(t.Context(), acme, ins.ID, true)
		require.NoError(t, err)
		require.NoError(t, w.Delete(t.Context(), acme, ins.ID, ScopeProvider))
	})
	t.Run("a provider that cannot delete", func(t *testing.T) {
		t.Parallel()
		w, ins := plain(t)
		require.Equal(t, normalize.UnsupportedOperation, normalize.CodeOf(w.Delete(t.Context(), acme, ins.ID, ScopeProvider)))
		require.NoError(t, w.Delete(t.Context(), acme, ins.ID, ScopeGateway))
	})
	t.Run("an alias deletes its instrument", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		w.stores(t, acme, input("cus", card(visa)), "alias")
		require.NoError(t, w.Delete(t.Context(), acme, w.current().instrumentID(acme, "alias"), ScopeProvider))
		_, err := w.Get(t.Context(), acme, ins.ID, true)
		require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(err))
	})
}

func TestDeletingTheDefault(t *testing.T) {
	t.Parallel()
	three := func(t *testing.T, promote bool) (w *world, def, older, newer normalize.Instrument) {
		t.Helper()
		w = newWorld(func(c *Config) { c.PromoteDefault = promote })
		in := input("cus", card(visa))
		in.Default = true
		def = w.stores(t, acme, in, "1").Instrument
		older = w.stores(t, acme, input("cus", card(mastercard)), "2").Instrument
		newer = w.stores(t, acme, input("cus", card(amex)), "3").Instrument
		return w, def, older, newer
	}
	stored := func(t *testing.T, w *world, id string) normalize.Instrument {
		t.Helper()
		read, err := w.Get(t.Context(), acme, id, true)
		require.NoError(t, err)
		return read.Instrument
	}
	t.Run("is refused where another must be chosen first", func(t *testing.T) {
		t.Parallel()
		w, def, older, newer := three(t, false)
		require.Equal(t, normalize.DefaultInstrumentInUse, normalize.CodeOf(w.Delete(t.Context(), acme, def.ID, ScopeProvider)))
		require.Zero(t, w.a.count("delete"))
		require.NoError(t, w.Delete(t.Context(), acme, older.ID, ScopeProvider))
		require.NoError(t, w.Delete(t.Context(), acme, newer.ID, ScopeProvider))
		require.NoError(t, w.Delete(t.Context(), acme, def.ID, ScopeProvider), "the only one may always go")
	})
	t.Run("makes the newest other one the default", func(t *testing.T) {
		t.Parallel()
		w, def, older, newer := three(t, true)
		require.NoError(t, w.Delete(t.Context(), acme, def.ID, ScopeProvider))
		require.True(t, stored(t, w, newer.ID).Default)
		require.False(t, stored(t, w, older.ID).Default)
	})
	t.Run("passes over one that the provider lost", func(t *testing.T) {
		t.Parallel()
		w, def, older, newer := three(t, true)
		w.a.lose(newer.ProviderTokens[0].References)
		require.NoError(t, w.Delete(t.Context(), acme, def.ID, ScopeProvider))
		require.True(t, stored(t, w, older.ID).Default)
	})
	t.Run("promotes at the provider what only the provider knows", func(t *testing.T) {
		t.Parallel()
		inUse := failure(normalize.DefaultInstrumentInUse, normalize.Rejected)
		for promote, code := range map[bool]normalize.Code{true: "", false: normalize.DefaultInstrumentInUse} {
			w, ins, ref := one(t, func(c *Config) { c.PromoteDefault = promote })
			unknown := w.a.put(ref["customer"])
			w.a.will("delete", step{err: inUse})
			require.Equal(t, code, normalize.CodeOf(w.Delete(t.Context(), acme, ins.ID, ScopeProvider)))
			if promote {
				require.True(t, w.a.held[unknown["instrument"]].Default)
			}
		}
	})
	t.Run("when the provider knows no other either, is refused", func(t *testing.T) {
		t.Parallel()
		w, ins, ref := one(t)
		dead := w.a.put(ref["customer"])
		w.a.change(dead, func(i *adapters.Instrument) { i.Status = normalize.StatusExpired })
		w.a.will("delete", step{err: failure(normalize.DefaultInstrumentInUse, normalize.Rejected)})
		require.Equal(t, normalize.DefaultInstrumentInUse, normalize.CodeOf(w.Delete(t.Context(), acme, ins.ID, ScopeProvider)))
	})
}
