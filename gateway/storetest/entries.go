package storetest

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

const mib = 1 << 20

func createIfAbsent(tb testing.TB, open Open) {
	s := store(tb, open)
	out := write(tb, s, gateway.Write{Key: "k", Value: []byte("first"), Nonce: "a"})
	require.True(tb, out.Applied)
	requireEntry(tb, "first", 1, out.Current)
	out = write(tb, s, gateway.Write{Key: "k", Value: []byte("second"), Nonce: "b"})
	require.False(tb, out.Applied)
	requireEntry(tb, "first", 1, out.Current)
	requireEntry(tb, "first", 1, load(tb, s, "k")[0])
}

func conflict(tb testing.TB, open Open) {
	s := store(tb, open)
	put(tb, s, gateway.Write{Key: "k", Value: []byte("one"), Nonce: "a"})
	put(tb, s, gateway.Write{Key: "k", Expect: 1, Value: []byte("two"), Nonce: "b"})
	for _, expect := range []uint64{0, 1, 3, 1 << 62} {
		out := write(tb, s, gateway.Write{Key: "k", Expect: expect, Value: []byte("lost"), Nonce: "c"})
		require.False(tb, out.Applied, "expecting version %d", expect)
		requireEntry(tb, "two", 2, out.Current)
	}
	requireEntry(tb, "two", 2, load(tb, s, "k")[0])

	out := write(tb, s, gateway.Write{Key: "none", Expect: 1, Value: []byte("lost"), Nonce: "d"})
	require.False(tb, out.Applied)
	requireEntry(tb, "", 0, out.Current)
	requireEntry(tb, "", 0, load(tb, s, "none")[0])
}

func sentAgain(tb testing.TB, open Open) {
	s := store(tb, open)
	create := gateway.Write{Key: "k", Value: []byte("one"), Nonce: strings.Repeat("n", 64), Add: []gateway.Member{{Index: "i", Member: "m"}}}
	change := gateway.Write{Key: "k", Expect: 1, Value: []byte("two"), Nonce: "b", Claims: []gateway.Claim{{Key: "c", Owner: "o"}}}
	for i, w := range []gateway.Write{create, change} {
		version := uint64(i + 1)
		for range 3 {
			out := write(tb, s, w)
			require.True(tb, out.Applied)
			requireEntry(tb, string(w.Value), version, out.Current)
			// Reads in between make no difference.
			requireEntry(tb, string(w.Value), version, load(tb, s, "k")[0])
			require.Equal(tb, []string{"m"}, scan(tb, s, "i", "", 10, false))
		}
	}
}

func notSentAgain(tb testing.TB, open Open) {
	s := store(tb, open)
	create := gateway.Write{Key: "k", Value: []byte("one"), Nonce: "a"}
	put(tb, s, create)
	put(tb, s, gateway.Write{Key: "k", Expect: 1, Value: []byte("two"), Nonce: "b"})
	out := write(tb, s, create)
	require.False(tb, out.Applied, "the entry has been written by another since")
	requireEntry(tb, "two", 2, out.Current)
	out = write(tb, s, gateway.Write{Key: "k", Expect: 7, Value: []byte("three"), Nonce: "b"})
	require.False(tb, out.Applied, "the nonce is known, but from a write of another version")
	requireEntry(tb, "two", 2, out.Current)
	out = write(tb, s, gateway.Write{Key: "other", Value: []byte("one"), Nonce: "a"})
	require.True(tb, out.Applied, "a nonce belongs to one entry")
	requireEntry(tb, "one", 1, load(tb, s, "other")[0])
}

func lostUpdates(tb testing.TB, open Open) {
	const writers = 64
	s := store(tb, open)
	require.NoError(tb, together(writers, func(i int) error {
		return update(tb.Context(), s, "count", strconv.Itoa(i), func(old []byte) []byte {
			n, _ := strconv.Atoi(string(old)) // none yet: 0
			return []byte(strconv.Itoa(n + 1))
		})
	}))
	requireEntry(tb, strconv.Itoa(writers), writers, load(tb, s, "count")[0])
}

func anyBytes(tb testing.TB, open Open) {
	s := store(tb, open)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	names := []string{string(all), "\x00", "\xff", "{", "}", "}{", "{}", "a:b", "\r\n", "ключ", strings.Repeat("k", 1024)}
	for i, name := range names {
		out := write(tb, s, gateway.Write{
			Key: name, Value: append([]byte(name), all...), Nonce: "\x00\xff" + strconv.Itoa(i),
			Add: []gateway.Member{{Index: name, Member: name}}, Claims: []gateway.Claim{{Key: name, Owner: name}}, Load: []string{name},
		})
		require.True(tb, out.Applied)
		require.Equal(tb, []string{name}, out.Owners)
		requireEntry(tb, name+string(all), 1, out.Loaded[0])
	}
	for i, e := range load(tb, s, names...) {
		requireEntry(tb, names[i]+string(all), 1, e)
		require.Equal(tb, []string{names[i]}, scan(tb, s, names[i], "", 10, false))
	}
	put(tb, s, gateway.Write{Key: "empty", Value: nil, Nonce: "e"})
	requireEntry(tb, "", 1, load(tb, s, "empty")[0])
}

func valueSize(tb testing.TB, open Open) {
	s := store(tb, open)
	largest := bytes.Repeat([]byte{0xfe}, mib)
	put(tb, s, gateway.Write{Key: "k", Value: largest, Nonce: "a"})
	require.True(tb, bytes.Equal(largest, load(tb, s, "k")[0].Value))
	_, err := s.Write(tb.Context(), gateway.Write{Key: "k", Expect: 1, Value: make([]byte, mib+1), Nonce: "b"})
	require.ErrorIs(tb, err, gateway.ErrStore)
	require.Equal(tb, uint64(1), load(tb, s, "k")[0].Version)
}

func malformed(tb testing.TB, open Open) {
	s := store(tb, open)
	ok := gateway.Write{Key: "k", Value: []byte("v"), Nonce: "n"}
	for fault, breakIt := range map[string]func(w *gateway.Write){
		"no key":                  func(w *gateway.Write) { w.Key = "" },
		"a key of 1025 bytes":     func(w *gateway.Write) { w.Key = strings.Repeat("k", 1025) },
		"no nonce":                func(w *gateway.Write) { w.Nonce = "" },
		"a nonce of 65 bytes":     func(w *gateway.Write) { w.Nonce = strings.Repeat("n", 65) },
		"a negative time to live": func(w *gateway.Write) { w.TTL = -1 },
		"a version at its end":    func(w *gateway.Write) { w.Expect = ^uint64(0) },
		"a version that falls":    func(w *gateway.Write) { w.Expect, w.Version = 2, 1 },
		"no member":               func(w *gateway.Write) { w.Add = []gateway.Member{{Index: "i"}} },
		"no index":                func(w *gateway.Write) { w.Remove = []gateway.Member{{Member: "m"}} },
		"no owner":                func(w *gateway.Write) { w.Claims = []gateway.Claim{{Key: "c"}} },
		"a large value":           func(w *gateway.Write) { w.Value = make([]byte, mib+1) },
	} {
		w := ok
		w.Claims = []gateway.Claim{{Key: "name", Owner: "wrong"}}
		breakIt(&w)
		_, err := s.Write(tb.Context(), w)
		require.ErrorIs(tb, err, gateway.ErrStore, fault)
		require.NotContains(tb, err.Error(), strings.Repeat("k", 100), fault)
	}
	requireEntry(tb, "", 0, load(tb, s, "k")[0])
	ok.Claims = []gateway.Claim{{Key: "name", Owner: "right"}}
	require.Equal(tb, []string{"right"}, write(tb, s, ok).Owners)
}

func noAliasing(tb testing.TB, open Open) {
	s := store(tb, open)
	const size = 64 << 10 // a small value may be copied by chance, as part of its page
	value := strings.Repeat("v", size)
	given := []byte(value)
	put(tb, s, gateway.Write{Key: "k", Value: given, Nonce: "a"})
	clear(given)
	first := load(tb, s, "k")[0]
	requireEntry(tb, value, 1, first)
	clear(first.Value)
	requireEntry(tb, value, 1, load(tb, s, "k")[0])
}

func loadOrder(tb testing.TB, open Open) {
	s := store(tb, open)
	for _, key := range []string{"a", "b", "c"} {
		put(tb, s, gateway.Write{Key: key, Value: []byte(key + key), Nonce: key})
	}
	got := load(tb, s, "c", "none", "a", "b", "a")
	for i, want := range []string{"cc", "", "aa", "bb", "aa"} {
		require.Equal(tb, want, string(got[i].Value))
		require.Equal(tb, want != "", got[i].Version == 1)
	}
	require.Empty(tb, load(tb, s))
}

func writeLoads(tb testing.TB, open Open) {
	s := store(tb, open)
	put(tb, s, gateway.Write{Key: "other", Value: []byte("o"), Nonce: "a"})
	w := gateway.Write{Key: "k", Value: []byte("v"), Nonce: "b", Load: []string{"none", "k", "other"}}
	for _, applied := range []bool{true, false} {
		out := write(tb, s, w)
		require.Equal(tb, applied, out.Applied)
		require.Len(tb, out.Loaded, 3)
		requireEntry(tb, "", 0, out.Loaded[0])
		requireEntry(tb, "v", 1, out.Loaded[1])
		requireEntry(tb, "o", 1, out.Loaded[2])
		w.Nonce, w.Value = "c", []byte("lost") // loads are done all the same
	}
}
