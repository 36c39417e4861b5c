package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

func claims(tb testing.TB, open Open) {
	s := store(tb, open)
	first := write(tb, s, gateway.Write{Key: "a", Nonce: "a", Claims: []gateway.Claim{{Key: "x", Owner: "a"}, {Key: "y", Owner: "a"}}})
	require.Equal(tb, []string{"a", "a"}, first.Owners)
	second := write(tb, s, gateway.Write{Key: "b", Nonce: "b", Claims: []gateway.Claim{{Key: "z", Owner: "b"}, {Key: "x", Owner: "b"}}})
	require.Equal(tb, []string{"b", "a"}, second.Owners)

	lost := write(tb, s, gateway.Write{Key: "a", Nonce: "c", Claims: []gateway.Claim{{Key: "w", Owner: "c"}, {Key: "y", Owner: "c"}}})
	require.False(tb, lost.Applied)
	require.Equal(tb, []string{"c", "a"}, lost.Owners, "claims are made even if the entry is not written")
	requireEntry(tb, "", 0, load(tb, s, "x")[0]) // claims are not entries
	require.Empty(tb, write(tb, s, gateway.Write{Key: "d", Nonce: "d"}).Owners)
}

func releases(tb testing.TB, open Open) {
	s := store(tb, open)
	put(tb, s, gateway.Write{Key: "a", Nonce: "a", Claims: []gateway.Claim{{Key: "x", Owner: "a"}, {Key: "y", Owner: "a"}}})
	lost := write(tb, s, gateway.Write{Key: "a", Nonce: "b", Release: []gateway.Claim{{Key: "x", Owner: "a"}}, Claims: []gateway.Claim{{Key: "x", Owner: "b"}}})
	require.False(tb, lost.Applied)
	require.Equal(tb, []string{"a"}, lost.Owners, "nothing is given up if the entry is not written")
	foreign := write(tb, s, gateway.Write{Key: "c", Nonce: "c", Release: []gateway.Claim{{Key: "x", Owner: "c"}}, Claims: []gateway.Claim{{Key: "x", Owner: "c"}}})
	require.Equal(tb, []string{"a"}, foreign.Owners, "a name is given up by its owner only")
	takeover := gateway.Write{
		Key: "d", Nonce: "d", Release: []gateway.Claim{{Key: "x", Owner: "a"}, {Key: "none", Owner: "a"}}, Claims: []gateway.Claim{{Key: "x", Owner: "d"}, {Key: "y", Owner: "d"}},
	}
	for range 2 { // sent again it changes nothing more
		out := write(tb, s, takeover)
		require.True(tb, out.Applied)
		require.Equal(tb, []string{"d", "a"}, out.Owners, "a name is released before it is claimed")
	}
}

func claimRace(tb testing.TB, open Open) {
	const claimers = 50
	s := store(tb, open)
	told := make([]string, claimers)
	require.NoError(tb, together(claimers, func(i int) error {
		me := fmt.Sprintf("claimer-%d", i)
		out, err := s.Write(tb.Context(), gateway.Write{Key: me, Nonce: me, Claims: []gateway.Claim{{Key: "name", Owner: me}}})
		if err != nil {
			return err
		}
		told[i] = out.Owners[0]
		return nil
	}))
	slices.Sort(told)
	require.Len(tb, slices.Compact(told), 1, "the claimers were told of several owners")
	require.True(tb, strings.HasPrefix(told[0], "claimer-"))
}

// add puts members into index "i", several in a write.
func add(tb testing.TB, s gateway.Store, key string, members ...string) {
	tb.Helper()
	w := gateway.Write{Key: key, Nonce: key}
	for _, m := range members {
		w.Add = append(w.Add, gateway.Member{Index: "i", Member: m})
	}
	put(tb, s, w)
}

func indexOrder(tb testing.TB, open Open) {
	s := store(tb, open)
	sorted := []string{"\x00", "\x00\xff", "\x01", "A", "B", "a", "a\x00", "aa", "b", "z", "é", "日本", "\xfe\xff", "\xff", "\xff\x00", "\xff\xff"}
	require.True(tb, slices.IsSorted(sorted))
	shuffled := slices.Clone(sorted)
	for i := range shuffled { // a fixed permutation: 7 and 16 have no common divisor
		shuffled[i] = sorted[i*7%len(sorted)]
	}
	add(tb, s, "k", shuffled...)
	// Neighbours whose names a store could take for a part of this index.
	put(tb, s, gateway.Write{Key: "l", Nonce: "l", Add: []gateway.Member{
		{Index: "h", Member: "\xff"}, {Index: "i\x00", Member: "m"}, {Index: "ia", Member: "m"}, {Index: "j", Member: "\x00"},
	}})
	reversed := slices.Clone(sorted)
	slices.Reverse(reversed)
	for reverse, want := range map[bool][]string{false: sorted, true: reversed} {
		require.Equal(tb, want, scan(tb, s, "i", "", 100, reverse))
		require.Equal(tb, want[:3], scan(tb, s, "i", "", 3, reverse))
		for n, member := range want {
			require.Equal(tb, want[n+1:], append([]string{}, scan(tb, s, "i", member, 100, reverse)...), "after %q", member)
		}
	}
	require.Equal(tb, "a\x00", scan(tb, s, "i", "a\x00\x00", 1, true)[0], "what is scanned after need not be a member")
	require.Equal(tb, "aa", scan(tb, s, "i", "a\x00\x00", 1, false)[0])
	require.Empty(tb, scan(tb, s, "i", "", 0, false))
	require.Empty(tb, scan(tb, s, "i", "", -1, true))
	require.Empty(tb, scan(tb, s, "none", "", 10, false))
	require.Empty(tb, scan(tb, s, "none", "", 10, true))
}

func indexChanges(tb testing.TB, open Open) {
	s := store(tb, open)
	add(tb, s, "a", "m", "m", "n")
	add(tb, s, "b", "m")
	require.Equal(tb, []string{"m", "n"}, scan(tb, s, "i", "", 10, false))
	remove := gateway.Write{Key: "c", Nonce: "c", Remove: []gateway.Member{{Index: "i", Member: "m"}, {Index: "i", Member: "none"}, {Index: "none", Member: "m"}}}
	put(tb, s, remove)
	put(tb, s, remove)
	require.Equal(tb, []string{"n"}, scan(tb, s, "i", "", 10, false))
	require.Empty(tb, scan(tb, s, "none", "", 10, false))
	both := []gateway.Member{{Index: "i", Member: "n"}}
	put(tb, s, gateway.Write{Key: "d", Nonce: "d", Add: both, Remove: both})
	require.Equal(tb, []string{"n"}, scan(tb, s, "i", "", 10, false))
}

func indexUntouched(tb testing.TB, open Open) {
	s := store(tb, open)
	add(tb, s, "k", "kept")
	lost := write(tb, s, gateway.Write{
		Key: "k", Nonce: "other",
		Add:    []gateway.Member{{Index: "i", Member: "added"}},
		Remove: []gateway.Member{{Index: "i", Member: "kept"}},
	})
	require.False(tb, lost.Applied)
	require.Equal(tb, []string{"kept"}, scan(tb, s, "i", "", 10, false))
}

func paging(tb testing.TB, open Open) {
	const members, page = 60, 7
	s := store(tb, open)
	var stable []string
	for n := range members {
		stable = append(stable, fmt.Sprintf("m%03d", n))
	}
	add(tb, s, "stable", stable...)

	ctx, stop := context.WithCancel(tb.Context())
	var writers sync.WaitGroup
	errs := make([]error, 4)
	defer writers.Wait()
	defer stop()
	for i := range errs {
		writers.Go(func() { errs[i] = churn(ctx, s, fmt.Sprintf("w%d", i), members) })
	}
	for _, reverse := range []bool{false, true} {
		for range 5 {
			seen := pages(tb, s, page, reverse)
			seen = slices.DeleteFunc(seen, func(m string) bool { return len(m) > len(stable[0]) })
			if reverse {
				slices.Reverse(seen)
			}
			require.Equal(tb, stable, seen)
		}
	}
	stop()
	writers.Wait()
	require.NoError(tb, errors.Join(errs...))
}

// pages reads a whole index page by page; the members must be in strict order.
func pages(tb testing.TB, s gateway.Store, page int, reverse bool) []string {
	tb.Helper()
	var seen []string
	after := ""
	for {
		got := scan(tb, s, "i", after, page, reverse)
		require.LessOrEqual(tb, len(got), page)
		if len(got) == 0 {
			return seen
		}
		for _, m := range got {
			if after != "" {
				require.Equal(tb, !reverse, m > after, "%q came after %q", m, after)
			}
			after = m
		}
		seen = append(seen, got...)
	}
}

// churn adds and removes members in between the stable ones until ctx is done.
func churn(ctx context.Context, s gateway.Store, writer string, members int) error {
	for version := uint64(0); ctx.Err() == nil; version++ {
		m := []gateway.Member{{Index: "i", Member: fmt.Sprintf("m%03d-%s", version/2%uint64(members), writer)}} //nolint:gosec // members is a small positive constant
		w := gateway.Write{Key: writer, Expect: version, Nonce: fmt.Sprint(version), Add: m}
		if version%2 == 1 {
			w.Add, w.Remove = nil, m
		}
		// The write itself is not cancelled, or its outcome would be unknown.
		if _, err := s.Write(context.WithoutCancel(ctx), w); err != nil {
			return err
		}
	}
	return nil
}
