package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

// gone reports whether there is no entry under the key.
func gone(tb testing.TB, s gateway.Store, key string) func() bool {
	return func() bool {
		out, err := s.Load(tb.Context(), key)
		return err == nil && out.Entries[0].Version == 0 && out.Entries[0].Value == nil
	}
}

func expiry(tb testing.TB, open Open) {
	s := store(tb, open)
	put(tb, s, gateway.Write{Key: "shortest", Value: []byte("v"), Nonce: "a", TTL: 1})
	put(tb, s, gateway.Write{Key: "short", Value: []byte("v"), Nonce: "b", TTL: 50 * time.Millisecond})
	put(tb, s, gateway.Write{Key: "long", Value: []byte("v"), Nonce: "c", TTL: time.Hour})
	require.Eventually(tb, gone(tb, s, "shortest"), patience, poll)
	require.Eventually(tb, gone(tb, s, "short"), patience, poll)
	requireEntry(tb, "v", 1, load(tb, s, "long")[0])

	late := write(tb, s, gateway.Write{Key: "short", Expect: 1, Value: []byte("late"), Nonce: "d", Load: []string{"short"}})
	require.False(tb, late.Applied)
	requireEntry(tb, "", 0, late.Current)
	requireEntry(tb, "", 0, late.Loaded[0])
	put(tb, s, gateway.Write{Key: "short", Value: []byte("new"), Nonce: "e"})
	requireEntry(tb, "new", 1, load(tb, s, "short")[0])
}

func persist(tb testing.TB, open Open) {
	const ttl = 300 * time.Millisecond
	s := store(tb, open)
	put(tb, s, gateway.Write{Key: "k", Value: []byte("one"), Nonce: "a", TTL: ttl})
	put(tb, s, gateway.Write{Key: "k", Expect: 1, Value: []byte("two"), Nonce: "b"})
	put(tb, s, gateway.Write{Key: "renewed", Value: []byte("one"), Nonce: "a", TTL: ttl})
	put(tb, s, gateway.Write{Key: "renewed", Expect: 1, Value: []byte("two"), Nonce: "b", TTL: time.Hour})
	put(tb, s, gateway.Write{Key: "shortened", Value: []byte("one"), Nonce: "a"})
	// Written last, so once it is gone the first lives of the others are over too.
	put(tb, s, gateway.Write{Key: "shortened", Expect: 1, Value: []byte("two"), Nonce: "b", TTL: ttl})
	require.Eventually(tb, gone(tb, s, "shortened"), patience, poll)
	requireEntry(tb, "two", 2, load(tb, s, "k")[0])
	requireEntry(tb, "two", 2, load(tb, s, "renewed")[0])
}

func storeTime(tb testing.TB, open Open) {
	s := store(tb, open)
	before := time.Now()
	var last time.Time
	seen := func(now time.Time) {
		require.False(tb, now.Before(last), "the store's time ran backwards from %s to %s", last, now)
		last = now
	}
	for version := range uint64(20) {
		seen(write(tb, s, gateway.Write{Key: "k", Expect: version, Nonce: "n"}).Now)
		loaded, err := s.Load(tb.Context(), "k", "other")
		require.NoError(tb, err)
		seen(loaded.Now)
		seen(write(tb, s, gateway.Write{Key: "k", Expect: 1 << 40, Nonce: "lost"}).Now)
		loaded, err = s.Load(tb.Context())
		require.NoError(tb, err)
		seen(loaded.Now)
	}
	require.WithinRange(tb, last, before.Add(-time.Minute), time.Now().Add(time.Minute))
}

// methods calls every method but Close.
func methods(ctx context.Context, s gateway.Store) map[string]error {
	_, errLoad := s.Load(ctx, "k")
	_, errWrite := s.Write(ctx, gateway.Write{Key: "k", Nonce: "n"})
	_, errScan := s.Scan(ctx, "i", "", 10, false)
	errDump := s.Dump(ctx, func(string, gateway.Entry) error { return nil })
	return map[string]error{"Load": errLoad, "Write": errWrite, "Scan": errScan, "Dump": errDump, "Ping": s.Ping(ctx)}
}

func cancelled(tb testing.TB, open Open) {
	s := store(tb, open)
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	for name, err := range methods(ctx, s) {
		require.ErrorIs(tb, err, gateway.ErrStore, name)
		require.ErrorIs(tb, err, context.Canceled, name)
	}
	requireEntry(tb, "", 0, load(tb, s, "k")[0])
	for name, err := range methods(tb.Context(), s) {
		require.NoError(tb, err, name)
	}
}

func closed(tb testing.TB, open Open) {
	s := store(tb, open)
	put(tb, s, gateway.Write{Key: "k", Nonce: "n"})
	require.NoError(tb, s.Close())
	for name, err := range methods(tb.Context(), s) {
		require.ErrorIs(tb, err, gateway.ErrStore, name)
	}
	require.NoError(tb, s.Close(), "closing twice is harmless")
}
