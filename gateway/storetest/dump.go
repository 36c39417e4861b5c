package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

// dump collects what a store dumps; of an entry that comes twice, the later version.
func dump(tb testing.TB, s gateway.Store) map[string]gateway.Entry {
	tb.Helper()
	out := map[string]gateway.Entry{}
	require.NoError(tb, s.Dump(tb.Context(), func(key string, e gateway.Entry) error {
		if e.Version >= out[key].Version {
			out[key] = e
		}
		return nil
	}))
	return out
}

// many writes entries, together, since one at a time waits for the disk each time.
func many(tb testing.TB, s gateway.Store, n int, key func(i int) string) {
	tb.Helper()
	const writers = 64
	require.NoError(tb, together(writers, func(w int) error {
		for i := w; i < n; i += writers {
			if _, err := s.Write(tb.Context(), gateway.Write{Key: key(i), Value: []byte("one"), Nonce: "a"}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// dumpAll writes more entries than any store has on one page.
func dumpAll(tb testing.TB, open Open) {
	s := store(tb, open)
	require.Empty(tb, dump(tb, s))
	want := map[string]gateway.Entry{}
	keep := func(key, value string) {
		put(tb, s, gateway.Write{
			Key: key, Value: []byte(value), Nonce: "a",
			Add: []gateway.Member{{Index: "i", Member: key}}, Claims: []gateway.Claim{{Key: key, Owner: "o"}},
		})
		want[key] = gateway.Entry{Value: []byte(value), Version: 1}
	}
	// Each key is the beginning of the next, so that none may be passed over at the
	// end of a page.
	key := func(i int) string { return strings.Repeat("k", i+1) }
	many(tb, s, 600, key)
	for i := range 600 {
		want[key(i)] = gateway.Entry{Value: []byte("one"), Version: 1}
	}
	for _, key := range []string{"\x00", "\xff", "{", "}", "{}", "claim:{c}", "idx:{i}", "*", strings.Repeat("k", 1024)} {
		keep(key, key+"\x00\xff")
	}
	keep("large", strings.Repeat("v", mib))
	put(tb, s, gateway.Write{Key: "kkk", Expect: 1, Value: []byte("again"), Nonce: "b"})
	want["kkk"] = gateway.Entry{Value: []byte("again"), Version: 2}
	put(tb, s, gateway.Write{Key: "passing", Value: []byte("v"), Nonce: "a", TTL: time.Hour})

	got := dump(tb, s)
	require.Len(tb, got, len(want))
	for key, e := range want {
		requireEntry(tb, string(e.Value), e.Version, got[key])
	}
}

func dumpWhileWriting(tb testing.TB, open Open) {
	const entries = 800
	s := store(tb, open)
	key := func(i int) string { return fmt.Sprintf("key %04d", i) }
	many(tb, s, entries, key)
	seen := map[string]uint64{}
	n := 0
	require.NoError(tb, s.Dump(tb.Context(), func(k string, e gateway.Entry) error {
		seen[k] = max(seen[k], e.Version)
		require.Equal(tb, map[uint64]string{1: "one", 2: "two"}[e.Version], string(e.Value), "a value with another version's number")
		if n++; n%8 != 0 {
			return nil
		}
		// Writes before and behind wherever the dump is.
		for _, w := range []gateway.Write{
			{Key: key((n * 7) % entries), Expect: 1, Value: []byte("two"), Nonce: "b"},
			{Key: fmt.Sprintf("new %d", n), Value: []byte("one"), Nonce: "a"},
		} {
			if _, err := s.Write(tb.Context(), w); err != nil {
				return err
			}
		}
		return nil
	}))
	for i := range entries {
		require.NotZero(tb, seen[key(i)], "%s was there all the time", key(i))
	}
}

func dumpEnds(tb testing.TB, open Open) {
	s := store(tb, open)
	for i := range 10 {
		put(tb, s, gateway.Write{Key: fmt.Sprint(i), Nonce: "a"})
	}
	broken := errors.New("broken")
	calls := 0
	err := s.Dump(tb.Context(), func(string, gateway.Entry) error {
		calls++
		return broken
	})
	require.Equal(tb, broken, err)
	require.Equal(tb, 1, calls)

	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	cancel()
	err = s.Dump(ctx, func(string, gateway.Entry) error { return nil })
	require.ErrorIs(tb, err, gateway.ErrStore)
	require.ErrorIs(tb, err, context.Canceled)
}

func givenVersion(tb testing.TB, open Open) {
	s := store(tb, open)
	restore := gateway.Write{Key: "k", Value: []byte("seventh"), Version: 7, Nonce: "a"}
	for range 2 { // it is idempotent like any other
		out := write(tb, s, restore)
		require.True(tb, out.Applied)
		requireEntry(tb, "seventh", 7, out.Current)
		requireEntry(tb, "seventh", 7, load(tb, s, "k")[0])
	}
	lost := write(tb, s, gateway.Write{Key: "k", Value: []byte("lost"), Version: 9, Nonce: "b"})
	require.False(tb, lost.Applied)
	requireEntry(tb, "seventh", 7, lost.Current)
	put(tb, s, gateway.Write{Key: "k", Expect: 7, Value: []byte("eighth"), Nonce: "c"})
	requireEntry(tb, "eighth", 8, load(tb, s, "k")[0])
	put(tb, s, gateway.Write{Key: "k", Expect: 8, Value: []byte("last"), Version: 1 << 62, Nonce: "d"})
	requireEntry(tb, "last", 1<<62, load(tb, s, "k")[0])
	for _, version := range []uint64{1, 1 << 62} {
		_, err := s.Write(tb.Context(), gateway.Write{Key: "k", Expect: 1 << 62, Version: version, Nonce: "e"})
		require.ErrorIs(tb, err, gateway.ErrStore, "a version that does not grow")
	}
}
