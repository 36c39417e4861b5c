package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

// passing is what events and notices ask of a store: an entry lives for ever while
// somebody waits for it, then for a time only, and for ever again when it is waited for
// anew. A dump has it in the first case and in the last. The index members that were
// written with it outlive it, and go with a write of another entry.
func passing(tb testing.TB, open Open) {
	const ttl = 300 * time.Millisecond
	s := store(tb, open)
	waits, settled := gateway.Member{Index: "due", Member: "1|e"}, gateway.Member{Index: "all", Member: "1|e"}
	put(tb, s, gateway.Write{Key: "e", Value: []byte("waits"), Nonce: "a", Add: []gateway.Member{waits, settled}})
	put(tb, s, gateway.Write{Key: "e", Expect: 1, Value: []byte("settled"), Nonce: "b", TTL: time.Hour, Add: []gateway.Member{settled}, Remove: []gateway.Member{waits}})
	require.NotContains(tb, dump(tb, s), "e", "it goes away by itself")
	require.Empty(tb, scan(tb, s, "due", "", 10, false))
	put(tb, s, gateway.Write{Key: "e", Expect: 2, Value: []byte("waits again"), Nonce: "c", Add: []gateway.Member{waits}})
	require.Equal(tb, gateway.Entry{Value: []byte("waits again"), Version: 3}, dump(tb, s)["e"])

	// One that was sealed anew keeps a time to live of its own; the version counts on.
	put(tb, s, gateway.Write{Key: "e", Expect: 3, Value: []byte("settled"), Nonce: "d", TTL: ttl, Remove: []gateway.Member{waits}})
	require.False(tb, write(tb, s, gateway.Write{Key: "e", Expect: 3, Value: []byte("late"), Nonce: "e", TTL: ttl}).Applied)
	require.Eventually(tb, gone(tb, s, "e"), patience, poll)
	require.Equal(tb, []string{"1|e"}, scan(tb, s, "all", "", 10, false), "an index is not cleaned by itself")
	put(tb, s, gateway.Write{Key: "gone", Value: []byte("{}"), Nonce: "f", TTL: ttl, Remove: []gateway.Member{settled}})
	require.Empty(tb, scan(tb, s, "all", "", 10, false))

	// A key whose entry is over is free again, for one taker.
	won := make([]bool, 20)
	require.NoError(tb, together(len(won), func(i int) error {
		out, err := s.Write(tb.Context(), gateway.Write{Key: "e", Value: []byte("taken"), Nonce: fmt.Sprint(i), TTL: time.Hour})
		won[i] = out.Applied
		return err
	}))
	n := 0
	for _, w := range won {
		if w {
			n++
		}
	}
	require.Equal(tb, 1, n, "one of many takes it")
	requireEntry(tb, "taken", 1, load(tb, s, "e")[0])
}
