package adaptertest

import (
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// collect follows the pages of a list to its end.
func (b *bench) collect(in adapters.ListInput) []adapters.Instrument {
	b.tb.Helper()
	l := must[adapters.Lister](b)
	var items []adapters.Instrument
	for pages := 1; pages <= 50; pages++ {
		page, err := l.List(b.ctx(), in)
		b.requireNoError(err, "list")
		for _, ins := range page.Items {
			b.requireInstrument(ins)
		}
		// A provider without paging may answer with everything at once.
		require.False(b.tb, in.Limit > 0 && len(page.Items) > in.Limit && (page.Next != "" || pages > 1), "more items than the limit on one of several pages")
		require.GreaterOrEqual(b.tb, page.Total, -1)
		items = append(items, page.Items...)
		if page.Total >= 0 && page.Next == "" {
			require.GreaterOrEqual(b.tb, page.Total, len(items), "total counts all that match")
		}
		if page.Next == "" {
			return items
		}
		require.NotEqual(b.tb, in.Cursor, page.Next, "a list that does not advance")
		in.Cursor = page.Next
	}
	require.Fail(b.tb, "the list does not end")
	return nil
}

func checkList(b *bench) {
	l := must[adapters.Lister](b)
	items := b.collect(adapters.ListInput{Customer: b.h.Customer, Limit: 1})
	require.Empty(b.tb, items, "a customer without instruments has an empty list")
	want := map[string]adapters.Instrument{}
	for range 5 {
		ins := b.create()
		ins.References = b.listed(ins.References)
		want[key(ins.References)] = ins
	}
	require.Len(b.tb, want, 5, "five cards are five instruments")
	for _, limit := range []int{1, 2, 5, 100, 0} {
		items := b.collect(adapters.ListInput{Customer: b.h.Customer, Limit: limit})
		require.Len(b.tb, items, len(want), "limit %d", limit)
		seen := map[string]bool{}
		for _, got := range items {
			k := key(got.References)
			require.False(b.tb, seen[k], "limit %d: listed twice", limit)
			seen[k] = true
			require.Contains(b.tb, want, k, "limit %d: the references in a list are those of the create", limit)
			b.requireSame(want[k], got)
		}
	}
	_, err := l.List(b.ctx(), adapters.ListInput{Customer: b.h.Customer, Limit: 1, Cursor: "no cursor of ours"})
	e := b.seen(err, "list with a cursor that it never gave")
	require.NotEqual(b.tb, normalize.Unknown, e.Outcome)
}

// checkListRefusals: what a provider cannot filter, sort or search is refused, never ignored.
func checkListRefusals(b *bench) {
	l := must[adapters.Lister](b)
	b.create()
	clause := func(field, value string) []normalize.Clause {
		return []normalize.Clause{{Field: field, Values: []string{value}}}
	}
	for name, in := range map[string]adapters.ListInput{
		"a filter that no instrument passes":     {Filter: clause("last4", "0000")},
		"a brand that no instrument has":         {Filter: clause("brand", "hipercard")},
		"metadata that no instrument has":        {Filter: clause("metadata.absent", "x")},
		"a field that does not exist":            {Filter: clause("no_such_field", "x")},
		"a value that would end a filter clause": {Filter: clause("last4", "1111;status:active")},
	} {
		in.Customer = b.h.Customer
		before := b.requests()
		page, err := l.List(b.ctx(), in)
		if err != nil {
			b.requireUnsent(err, before, name, normalize.UnsupportedOperation, normalize.InvalidField)
			continue
		}
		require.Empty(b.tb, page.Items, "%s: the filter was ignored", name)
	}
	before := b.requests()
	_, err := l.List(b.ctx(), adapters.ListInput{Customer: b.h.Customer, Sort: []string{"no_such_field"}})
	b.requireUnsent(err, before, "a sort by a field that does not exist", normalize.UnsupportedOperation, normalize.InvalidField)
}
