package bigcommerce_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/normalize"
)

// walk follows a list to its end and returns the tokens, page by page.
func walk(tb testing.TB, a *bigcommerce.Adapter, in adapters.ListInput) (pages [][]string, totals []int) {
	tb.Helper()
	for range 100 {
		page, err := a.List(tb.Context(), in)
		require.NoError(tb, err)
		var tokens []string
		for _, i := range page.Items {
			tokens = append(tokens, i.References["token"])
		}
		pages, totals = append(pages, tokens), append(totals, page.Total)
		if page.Next == "" {
			return pages, totals
		}
		in.Cursor = page.Next
	}
	require.Fail(tb, "the list does not end")
	return nil, nil
}

func tokensOf(instruments []adapters.Instrument) []string {
	var out []string
	for _, i := range instruments {
		out = append(out, i.References["token"])
	}
	return out
}

func TestListOfACustomerIsCutIntoPages(t *testing.T) {
	t.Parallel()
	a, _ := sandbox(t, bigcommercetest.Options{})
	want := tokensOf(mustCreate(t, a, cards(5)...))
	pages, totals := walk(t, a, adapters.ListInput{Customer: customer, Limit: 2})
	require.Equal(t, [][]string{want[:2], want[2:4], want[4:]}, pages)
	require.Equal(t, []int{5, 5, 5}, totals)
	pages, _ = walk(t, a, adapters.ListInput{Customer: "7"})
	require.Equal(t, [][]string{nil}, pages)
	pages, _ = walk(t, a, adapters.ListInput{Customer: customer, Cursor: "99"})
	require.Equal(t, [][]string{nil}, pages, "behind the end is an empty page")
}

func TestListOfEverybody(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]bigcommercetest.Options{
		"by cursor": {}, "by page where there are no cursors": {PagesOnly: true}, "integers as strings": {StringNumbers: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := sandbox(t, o)
			var want []string
			for i, source := range cards(7) {
				in := createInput(source)
				in.Customer = []string{"1", "2", "3"}[i%3]
				ins, err := a.Create(t.Context(), in)
				require.NoError(t, err)
				want = append(want, ins.References["token"])
			}
			for _, limit := range []int{1, 3, 7, 0} {
				pages, totals := walk(t, a, adapters.ListInput{Limit: limit})
				var got []string
				for _, p := range pages {
					got = append(got, p...)
				}
				require.Equal(t, want, got, "limit %d", limit)
				require.Equal(t, 7, totals[0])
			}
			page, err := a.List(t.Context(), adapters.ListInput{})
			require.NoError(t, err)
			require.Equal(t, "2", page.Items[1].Customer, "management rows name the customer")
			require.Equal(t, "2", page.Items[1].References["customer"])
			for _, r := range s.State().Requests {
				require.Less(t, r.Status, 400)
			}
		})
	}
}

func TestListRefuses(t *testing.T) {
	t.Parallel()
	a, s := sandbox(t, bigcommercetest.Options{})
	for name, tt := range map[string]struct {
		in   adapters.ListInput
		code normalize.Code
	}{
		"a filter":                        {adapters.ListInput{Filter: []normalize.Clause{{Field: "status", Values: []string{"active"}}}}, normalize.UnsupportedOperation},
		"a sort":                          {adapters.ListInput{Sort: []string{"-created_at"}}, normalize.UnsupportedOperation},
		"a search":                        {adapters.ListInput{Query: "x"}, normalize.UnsupportedOperation},
		"a customer that is no integer":   {adapters.ListInput{Customer: "cus_1"}, normalize.InvalidField},
		"a customer's cursor":             {adapters.ListInput{Customer: customer, Cursor: "after:x"}, normalize.InvalidCursor},
		"a customer's negative cursor":    {adapters.ListInput{Customer: customer, Cursor: "-1"}, normalize.InvalidCursor},
		"a cursor without a kind":         {adapters.ListInput{Cursor: "Mw=="}, normalize.InvalidCursor},
		"an empty cursor of a kind":       {adapters.ListInput{Cursor: "after:"}, normalize.InvalidCursor},
		"an endless cursor":               {adapters.ListInput{Cursor: "after:" + strings.Repeat("a", 600)}, normalize.InvalidCursor},
		"a page zero":                     {adapters.ListInput{Limit: 50, Cursor: "page:0/50"}, normalize.InvalidCursor},
		"a page counted in another limit": {adapters.ListInput{Limit: 20, Cursor: "page:2/50"}, normalize.InvalidCursor},
	} {
		_, err := a.List(t.Context(), tt.in)
		requireError(t, err, tt.code, normalize.NotSent)
		require.Empty(t, s.State().Requests, name)
	}
	_, err := a.List(t.Context(), adapters.ListInput{Cursor: "after:not-base64"})
	requireError(t, err, normalize.InvalidCursor, normalize.Rejected)
}

func TestListDoesNotGoRoundInCircles(t *testing.T) {
	t.Parallel()
	a, _ := answering(t, 200, `{"data":[`+cardRow+`],"meta":{"cursor_pagination":{"end_cursor":"Mw==","links":{"next":"?after=Mw%3D%3D"}}}}`)
	page, err := a.List(t.Context(), adapters.ListInput{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "after:Mw==", page.Next)
	page, err = a.List(t.Context(), adapters.ListInput{Limit: 1, Cursor: page.Next})
	require.NoError(t, err)
	require.Empty(t, page.Next, "a page that leads to itself is the last")
}

// TestOnlyAWholeListProvesAnAbsence: from anything but a 200 with a list, nothing
// follows about what is not in it.
func TestOnlyAWholeListProvesAnAbsence(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{`202 []`, `206 []`, `204 `, `200 {}`, `200 {"data":null}`, `200 [null]`, `200 `} {
		a, _ := sequence(t, answer)
		_, err := a.Get(t.Context(), reference())
		requireError(t, err, normalize.ProviderBadResponse, normalize.Unknown)
		for _, customer := range []string{customer, ""} {
			_, err := a.List(t.Context(), adapters.ListInput{Customer: customer})
			requireError(t, err, normalize.ProviderBadResponse, normalize.Unknown)
		}
	}
}

func TestListLeavesOutWhatCannotBeNamed(t *testing.T) {
	t.Parallel()
	a, _ := answering(t, 200, `{"data":[{"type":"credit_card","customer_id":1},`+cardRow+`]}`)
	page, err := a.List(t.Context(), adapters.ListInput{})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Equal(t, -1, page.Total)
}
