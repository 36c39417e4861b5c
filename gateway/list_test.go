package gateway

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// crowd stores n cards, a third of them of customer "cus".
func crowd(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld()
	for i := range n {
		in := input([]string{"cus", "b", "c"}[i%3], visaToken(fmt.Sprint("t", i)))
		in.Metadata = map[string]string{"n": fmt.Sprint("number-", i)}
		w.stores(t, acme, in, fmt.Sprint("key ", i))
		time.Sleep(time.Duration(i%5) * time.Microsecond) // in a bubble; some share a creation time
	}
	w.stores(t, loose, input("cus", visaToken("other-tenant")), "key")
	return w
}

func walkAll(t *testing.T, w *world, in ListInput) []normalize.Instrument {
	t.Helper()
	var all []normalize.Instrument
	for {
		page, err := w.List(t.Context(), acme, in)
		require.NoError(t, err)
		require.Equal(t, page.HasMore, page.NextCursor != "")
		require.LessOrEqual(t, len(page.Data), max(in.Limit, 20))
		all = append(all, page.Data...)
		if !page.HasMore {
			return all
		}
		in.Cursor = page.NextCursor
	}
}

func TestAListIsWalkedWithoutGapsOrRepeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 250)
		orders := map[string]func(a, b normalize.Instrument) int{
			"created_at": func(a, b normalize.Instrument) int { return a.CreatedAt.Compare(b.CreatedAt) },
			"updated_at": func(a, b normalize.Instrument) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
			"exp": func(a, b normalize.Instrument) int {
				return (a.Card.ExpYear*100 + a.Card.ExpMonth) - (b.Card.ExpYear*100 + b.Card.ExpMonth)
			},
		}
		for _, sort := range []string{"", "created_at", "updated_at", "-updated_at", "exp", "-exp"} {
			for _, limit := range []int{0, 7, 100} {
				for customer, want := range map[string]int{"": 250, "cus": 84} {
					in := ListInput{Sort: sort, Limit: limit}
					if customer != "" {
						in.Filter = []normalize.Clause{{Field: "customer_id", Values: []string{customer}}}
					}
					all := walkAll(t, w, in)
					require.Len(t, all, want, "%+v", in)
					ids := map[string]bool{}
					for _, ins := range all {
						ids[ins.ID] = true
					}
					require.Len(t, ids, want, "%+v", in)
					name, descending := strings.CutPrefix(cmp.Or(sort, "-created_at"), "-")
					if descending {
						slices.Reverse(all)
					}
					require.True(t, slices.IsSortedFunc(all, orders[name]), "%+v", in)
				}
			}
		}
	})
}

func TestAListFilters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 30)
		w.stores(t, acme, input("cus", card(mastercard)), "mastercard")
		fp := w.stores(t, acme, input("d", card(amex)), "amex").Instrument
		for rule, c := range map[string]struct {
			in   ListInput
			want int
		}{
			"nothing":                {ListInput{}, 32},
			"a brand":                {ListInput{Filter: []normalize.Clause{{Field: "brand", Values: []string{"mastercard", "amex"}}}}, 2},
			"not a brand":            {ListInput{Filter: []normalize.Clause{{Field: "brand", Values: []string{"visa"}, Negate: true}}}, 2},
			"a customer and a brand": {ListInput{Filter: []normalize.Clause{{Field: "customer_id", Values: []string{"cus"}}, {Field: "brand", Values: []string{"visa"}}}}, 10},
			"not a customer":         {ListInput{Filter: []normalize.Clause{{Field: "customer_id", Values: []string{"cus"}, Negate: true}}}, 21},
			"a fingerprint":          {ListInput{Filter: []normalize.Clause{{Field: "fingerprint", Values: []string{*fp.Fingerprint}}}}, 1},
			"text in metadata":       {ListInput{Query: "NUMBER-7"}, 1},
			"text that is nowhere":   {ListInput{Query: "zzz"}, 0},
			"the provider":           {ListInput{Filter: []normalize.Clause{{Field: "provider", Values: []string{"beta"}}}}, 0},
			"metadata":               {ListInput{Filter: []normalize.Clause{{Field: "metadata.n", Values: []string{"number-3"}}}}, 1},
		} {
			require.Len(t, walkAll(t, w, c.in), c.want, rule)
		}
		require.NoError(t, w.Delete(t.Context(), acme, fp.ID, ScopeProvider))
		require.Len(t, walkAll(t, w, ListInput{}), 31, "what is deleted is not listed")
	})
}

func TestACursorGoesOnWithItsOwnListOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 9)
		in := ListInput{Sort: "exp", Limit: 2, Query: "number"}
		page, err := w.List(t.Context(), acme, in)
		require.NoError(t, err)
		in.Cursor = page.NextCursor
		raw, err := base64.RawURLEncoding.DecodeString(page.NextCursor)
		require.NoError(t, err)
		raw[len(raw)-1] ^= 1
		bad := map[string]func(in *ListInput) string{
			"another tenant": func(*ListInput) string { return loose },
			"another order":  func(in *ListInput) string { in.Sort = "-exp"; return acme },
			"another query":  func(in *ListInput) string { in.Query = "n"; return acme },
			"another filter": func(in *ListInput) string {
				in.Filter = []normalize.Clause{{Field: "type", Values: []string{"card"}}}
				return acme
			},
			"tampered with":   func(in *ListInput) string { in.Cursor = base64.RawURLEncoding.EncodeToString(raw); return acme },
			"not base64":      func(in *ListInput) string { in.Cursor = "!"; return acme },
			"cut off":         func(in *ListInput) string { in.Cursor = in.Cursor[:8]; return acme },
			"a customer list": func(in *ListInput) string { in.Cursor = w.cursor("x", acme, "customer", "cus"); return acme },
		}
		for rule, edit := range bad {
			other := in
			tenant := edit(&other)
			_, err := w.List(t.Context(), tenant, other)
			require.Equal(t, normalize.InvalidCursor, normalize.CodeOf(err), rule)
		}
		_, err = w.List(t.Context(), acme, in)
		require.NoError(t, err)
		rotated := w.another(func(c *Config) { c.Keys = testKeys("k2", "k1") })
		_, err = rotated.List(t.Context(), acme, in)
		require.NoError(t, err, "a cursor survives a new reference key")
	})
}

func TestAListRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, in := range []ListInput{{Limit: -1}, {Limit: 101}, {Sort: "brand"}, {Sort: "-"}, {Sort: "--exp"}} {
		_, err := w.List(t.Context(), acme, in)
		require.Error(t, err, "%+v", in)
	}
	_, err := w.ListCustomer(t.Context(), acme, "cus", 101, "")
	require.Equal(t, normalize.OutOfRange, normalize.CodeOf(err))
	_, err = w.ListCustomer(t.Context(), acme, "no customer/", 0, "")
	require.Equal(t, normalize.NotFound, normalize.CodeOf(err))
}

func ids(page CustomerPage) []string {
	out := []string{}
	for _, ins := range page.Data {
		out = append(out, ins.ID)
	}
	return out
}

func (w *world) listCustomer(t *testing.T) CustomerPage {
	t.Helper()
	page, err := w.ListCustomer(t.Context(), acme, "cus", 0, "")
	require.NoError(t, err)
	return page
}

func TestACustomersListAdoptsWhatTheGatewayDidNotKnow(t *testing.T) {
	t.Parallel()
	w, known, ref := one(t)
	w.a.put(ref["customer"])
	w.a.put("somebody else")
	first := w.listCustomer(t)
	require.Len(t, first.Data, 2)
	require.False(t, first.Incomplete)
	require.Equal(t, []SourceStatus{{Provider: "alpha", Status: "ok"}}, first.Sources)
	second := w.another().listCustomer(t)
	require.Equal(t, ids(first), ids(second), "its id follows from its place")
	require.Contains(t, ids(first), known.ID)
	for _, ins := range first.Data {
		read, err := w.Get(t.Context(), acme, ins.ID, false)
		require.NoError(t, err)
		require.Equal(t, ETag(ins), ETag(read.Instrument))
	}
	t.Run("and so does one with a new reference key", func(t *testing.T) {
		t.Parallel()
		rotated := w.another(func(c *Config) { c.Keys = testKeys("k2", "k1") })
		require.Equal(t, ids(first), ids(rotated.listCustomer(t)))
	})
}

func TestACustomersListDoesNotBringBackWhatWasDeleted(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	require.NoError(t, w.Delete(t.Context(), acme, ins.ID, ScopeGateway))
	require.Equal(t, 1, w.a.live(), "the provider keeps it")
	for range 2 {
		require.Empty(t, w.listCustomer(t).Data)
		require.Empty(t, walkAll(t, w, ListInput{}))
	}
	t.Run("unless it is asked to", func(t *testing.T) {
		t.Parallel()
		out := w.stores(t, acme, input("cus", reference("alpha", ins.ProviderTokens[0].References)), "again")
		require.Equal(t, []string{out.Instrument.ID}, ids(w.listCustomer(t)))
	})
}

func TestACustomersListWhileACreateIsOpenAdoptsNothing(t *testing.T) {
	t.Parallel()
	w, known, _ := one(t)
	w.a.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: true})
	w.a.will("list", cannotBeAsked())
	w.pends(t, input("cus", card(mastercard)), "open")
	page := w.listCustomer(t)
	require.Equal(t, []string{known.ID}, ids(page), "the other may be the open create's")
}

func TestACustomersListShowsAsStoredWhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	w, known, _ := one(t)
	in := input("cus", card(mastercard))
	in.Provider = "beta"
	other := w.stores(t, acme, in, "at beta").Instrument
	both := []string{known.ID, other.ID}
	for rule, edit := range map[string]func(*Config){
		"a provider that fails":      func(*Config) {},
		"a provider without lists":   func(c *Config) { c.Providers[1].Adapter = creatorOnly{w.b} },
		"a provider that is no more": func(c *Config) { c.Providers, c.Routes = c.Providers[:1], nil },
	} {
		if rule == "a provider that fails" {
			w.b.will("list", step{err: failure(normalize.ProviderError, normalize.Unknown)})
		}
		page := w.another(edit).listCustomer(t)
		require.ElementsMatch(t, both, ids(page), rule)
		require.True(t, page.Incomplete, rule)
		require.Len(t, page.Sources, 2, rule)
		require.Equal(t, "stored", page.Sources[1].Status, rule)
	}
	require.False(t, w.listCustomer(t).Incomplete)
	t.Run("and leaves out what the provider no longer has", func(t *testing.T) {
		t.Parallel()
		w.b.lose(other.ProviderTokens[0].References)
		require.Equal(t, []string{known.ID}, ids(w.listCustomer(t)))
	})
}

func TestACustomersListIsPaged(t *testing.T) {
	t.Parallel()
	w, _, ref := one(t)
	for range 24 {
		w.a.put(ref["customer"])
	}
	w.a.change(normalize.References{"instrument": "i3"}, func(i *adapters.Instrument) { i.Status = normalize.StatusDeactivated })
	var all []string
	for cursor := ""; ; {
		page, err := w.ListCustomer(t.Context(), acme, "cus", 10, cursor)
		require.NoError(t, err)
		all = append(all, ids(page)...)
		if !page.HasMore {
			break
		}
		cursor = page.NextCursor
	}
	require.Len(t, all, 24, "all but the one that was deactivated before it was ever known")
	slices.Sort(all)
	require.Len(t, slices.Compact(all), 24)
	page, err := w.ListCustomer(t.Context(), acme, "cus", 10, "")
	require.NoError(t, err)
	_, err = w.ListCustomer(t.Context(), acme, "b", 10, page.NextCursor)
	require.Equal(t, normalize.InvalidCursor, normalize.CodeOf(err))
}

// A mirror has a record of its own, and is no instrument of its own.
func TestAMirrorIsNotListedByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		for _, in := range []ListInput{{}, {Filter: []normalize.Clause{{Field: "customer_id", Values: []string{"cus"}}}}} {
			for _, sort := range []string{"", "exp"} {
				in.Sort = sort
				all := walkAll(t, w, in)
				require.Len(t, all, 1)
				require.Equal(t, ins.ID, all[0].ID)
			}
		}
	})
}
