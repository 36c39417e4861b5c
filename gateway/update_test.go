package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

func TestAPatchChangesWhatItNames(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		patch normalize.UpdateInput
		check func(t *testing.T, before, after normalize.Instrument)
		calls int
	}{
		"members of the address": {
			normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": new("Wien"), "line1": nil}},
			func(t *testing.T, _, after normalize.Instrument) {
				require.Equal(t, normalize.Address{City: "Wien"}, *after.BillingAddress)
			}, 1,
		},
		"the whole address": {
			normalize.UpdateInput{ClearBillingAddress: true},
			func(t *testing.T, _, after normalize.Instrument) { require.Nil(t, after.BillingAddress) }, 1,
		},
		"half of the expiry date": {
			normalize.UpdateInput{ExpMonth: new(3)},
			func(t *testing.T, _, after normalize.Instrument) {
				require.Equal(t, 3, after.Card.ExpMonth)
				require.Equal(t, 2031, after.Card.ExpYear)
			}, 1,
		},
		"the other half": {
			normalize.UpdateInput{ExpYear: new(2040)},
			func(t *testing.T, _, after normalize.Instrument) {
				require.Equal(t, 12, after.Card.ExpMonth)
				require.Equal(t, 2040, after.Card.ExpYear)
			}, 1,
		},
		"metadata alone, which the provider never sees": {
			normalize.UpdateInput{Metadata: map[string]*string{"k": nil, "n": new("1")}},
			func(t *testing.T, _, after normalize.Instrument) {
				require.Equal(t, map[string]string{"n": "1"}, after.Metadata)
			}, 0,
		},
		"all metadata": {
			normalize.UpdateInput{ClearMetadata: true},
			func(t *testing.T, _, after normalize.Instrument) { require.Empty(t, after.Metadata) }, 0,
		},
		"nothing": {
			normalize.UpdateInput{},
			func(t *testing.T, before, after normalize.Instrument) { require.Equal(t, ETag(before), ETag(after)) }, 0,
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			w, ins, _ := one(t)
			read, err := w.Update(t.Context(), acme, ins.ID, c.patch)
			require.NoError(t, err)
			c.check(t, ins, read.Instrument)
			require.Equal(t, c.calls, w.a.count("update"))
			stored, err := w.Get(t.Context(), acme, ins.ID, true)
			require.NoError(t, err)
			require.Equal(t, asJSON(t, read.Instrument), asJSON(t, stored.Instrument))
			live, err := w.Get(t.Context(), acme, ins.ID, false)
			require.NoError(t, err)
			require.Equal(t, ETag(read.Instrument), ETag(live.Instrument))
		})
	}
}

func TestAnAddressThatTheProviderDoesNotShowIsKept(t *testing.T) {
	t.Parallel()
	w, ins, ref := one(t)
	w.a.will("update", step{edit: hideAddress}, step{edit: hideAddress})
	read, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"city": new("Wien")}})
	require.NoError(t, err)
	require.Equal(t, "Wien", read.Instrument.BillingAddress.City)
	read, err = w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ClearBillingAddress: true})
	require.NoError(t, err)
	require.Nil(t, read.Instrument.BillingAddress)
	require.NotNil(t, ref)
}

func TestTheDefaultMoves(t *testing.T) {
	t.Parallel()
	w := newWorld()
	in := input("cus", card(visa))
	in.Default = true
	first := w.stores(t, acme, in, "1").Instrument
	in.Sources = []normalize.Source{card(mastercard)}
	second := w.stores(t, acme, in, "2").Instrument
	stranger := w.stores(t, acme, normalize.CreateInput{CustomerID: "other", Sources: []normalize.Source{card(visa)}, Default: true}, "3").Instrument
	elsewhere := normalize.CreateInput{CustomerID: "cus", Sources: []normalize.Source{card(amex)}, Default: true, Provider: "beta"}
	beta := w.stores(t, acme, elsewhere, "4").Instrument
	is := func(id string) bool {
		read, err := w.Get(t.Context(), acme, id, true)
		require.NoError(t, err)
		return read.Instrument.Default
	}
	require.False(t, is(first.ID))
	require.True(t, is(second.ID))
	read, err := w.Update(t.Context(), acme, first.ID, normalize.UpdateInput{Default: new(true), ExpYear: new(2040)})
	require.NoError(t, err)
	require.True(t, read.Instrument.Default)
	require.Equal(t, 2040, read.Instrument.Card.ExpYear)
	require.Equal(t, 1, w.a.count("update"))
	require.Equal(t, 1, w.a.count("set_default"))
	require.True(t, is(first.ID))
	require.False(t, is(second.ID))
	require.True(t, is(stranger.ID), "another customer's")
	require.True(t, is(beta.ID), "another provider's")
}

func currentTag(t *testing.T, w *world, id string) string {
	t.Helper()
	read, err := w.Get(t.Context(), acme, id, true)
	require.NoError(t, err)
	return ETag(read.Instrument)
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	t.Run("another version is refused before anything is sent", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		for _, patch := range []normalize.UpdateInput{{ExpYear: new(2040)}, {Metadata: map[string]*string{"a": new("b")}}} {
			patch.IfMatch = `"other"`
			_, err := w.Update(t.Context(), acme, ins.ID, patch)
			require.Equal(t, normalize.VersionMismatch, normalize.CodeOf(err))
		}
		require.Zero(t, w.a.count("update"))
	})
	t.Run("the same version is passed on as the provider's", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		for i, c := range []struct{ match, version string }{
			{ETag(ins), "1"}, {`"x", ` + ETag(ins), "2"}, {"*", "3"}, {"", ""},
		} {
			c.match = strings.ReplaceAll(c.match, ETag(ins), currentTag(t, w, ins.ID))
			_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2031 + i), IfMatch: c.match})
			require.NoError(t, err)
			require.Equal(t, c.version, w.a.updates[i].Version)
		}
	})
	t.Run("of two patches of one version that meet, one is refused", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		cur, err := w.loadLive(t.Context(), "test", acme, ins.ID)
		require.NoError(t, err)
		patch := func(v string) normalize.UpdateInput {
			return normalize.UpdateInput{Metadata: map[string]*string{"k": &v}, IfMatch: ETag(ins)}
		}
		_, err = w.update(t.Context(), cur, patch("1"))
		require.NoError(t, err)
		_, err = w.update(t.Context(), cur, patch("2"))
		require.Equal(t, normalize.VersionMismatch, normalize.CodeOf(err))
		_, err = w.update(t.Context(), cur, normalize.UpdateInput{Metadata: map[string]*string{"n": new("3")}})
		require.NoError(t, err, "without If-Match it is applied to what is there")
	})
}

func TestAnUpdateThatCannotBe(t *testing.T) {
	t.Parallel()
	t.Run("at a provider without updates", func(t *testing.T) {
		t.Parallel()
		w, ins := plain(t)
		for _, patch := range []normalize.UpdateInput{{ExpYear: new(2040)}, {Default: new(true)}} {
			_, err := w.Update(t.Context(), acme, ins.ID, patch)
			require.Equal(t, normalize.UnsupportedOperation, normalize.CodeOf(err))
			require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
		}
		_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{Metadata: map[string]*string{"a": new("b")}})
		require.NoError(t, err)
	})
	t.Run("with half of what it asks, does neither half", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		half := w.another(func(c *Config) { c.Providers[0].Adapter = noDefault{creatorOnly{w.a}, w.a} })
		_, err := half.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2040), Default: new(true)})
		require.Equal(t, normalize.UnsupportedOperation, normalize.CodeOf(err))
		require.Zero(t, w.a.count("update"))
	})
	t.Run("when the second half fails, keeps the first and says unknown", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		w.a.will("set_default", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
		_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2040), Default: new(true)})
		require.Equal(t, normalize.ProviderUnavailable, normalize.CodeOf(err))
		require.Equal(t, normalize.Unknown, normalize.OutcomeOf(err))
		read, err := w.Get(t.Context(), acme, ins.ID, true)
		require.NoError(t, err)
		require.Equal(t, 2040, read.Instrument.Card.ExpYear)
	})
	t.Run("when it cannot be recorded, says that it was applied", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		w.store.fail(func(int, Write) fate { return failsBefore })
		_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2040)})
		require.Equal(t, normalize.StoreUnavailable, normalize.CodeOf(err))
		require.Equal(t, normalize.Applied, normalize.OutcomeOf(err))
		_, err = w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ClearMetadata: true})
		require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
		err = w.Delete(t.Context(), acme, ins.ID, ScopeProvider)
		require.Equal(t, normalize.Applied, normalize.OutcomeOf(err))
		w.store.fail(nil)
		require.NoError(t, w.Delete(t.Context(), acme, ins.ID, ScopeProvider))
	})
	t.Run("with more metadata than an instrument may have", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		for i := range 30 {
			_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{Metadata: map[string]*string{fmt.Sprint("n", i): new("")}})
			if i < 19 {
				require.NoError(t, err)
			} else {
				require.Equal(t, normalize.OutOfRange, normalize.CodeOf(err))
			}
		}
	})
	t.Run("of what is no card, or with a number", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		account := normalize.Source{Type: normalize.SourceBankAccount, BankAccount: &normalize.BankAccountSource{
			AccountNumber: normalize.NewSecret("123456789"), RoutingNumber: "021000021", AccountType: normalize.AccountChecking,
		}}
		ins := w.stores(t, acme, input("cus", account), "key").Instrument
		_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2040)})
		require.Equal(t, normalize.InvalidField, normalize.CodeOf(err))
		_, err = w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{Source: new(card(visa))})
		require.Equal(t, normalize.UnsupportedSource, normalize.CodeOf(err))
	})
	t.Run("of what is gone at the provider", func(t *testing.T) {
		t.Parallel()
		w, ins, ref := one(t)
		w.a.lose(ref)
		_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2040)})
		require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(err))
	})
	t.Run("of what became an alias or was deleted meanwhile", func(t *testing.T) {
		t.Parallel()
		for _, state := range []string{"alias", "deleted"} {
			w, ins, _ := one(t)
			cur, err := w.loadLive(t.Context(), "test", acme, ins.ID)
			require.NoError(t, err)
			next := inState(t, state)
			next.ID, next.Tenant = cur.ID, cur.Tenant
			_, _, err = w.put(t.Context(), "test", cur, next)
			require.NoError(t, err)
			for _, patch := range []normalize.UpdateInput{{ExpYear: new(2040)}, {ClearMetadata: true}} {
				_, err = w.update(t.Context(), cur, patch)
				require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(err))
			}
		}
	})
}

func TestATokenThatBringsAnotherNumberFreesTheOldOne(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	require.NotNil(t, ins.Fingerprint)
	read, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{Source: new(visaToken("new"))})
	require.NoError(t, err)
	require.Nil(t, read.Instrument.Fingerprint)
	out := w.stores(t, acme, input("cus", card(visa)), "key 2")
	require.False(t, out.Deduplicated, "that instrument may have another number now")
}
