// Package storetest is the suite that every [gateway.Store] passes: what the
// interface promises, checked against a real store.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

// Open opens an empty store. The suite closes it, possibly twice.
type Open func(tb testing.TB) gateway.Store

// patience is how long the suite waits for what takes time by itself, and poll
// how often it looks.
const (
	patience = 3 * time.Second
	poll     = 5 * time.Millisecond
)

// Run checks the stores that open opens. The checks run in parallel, each with a
// store of its own.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			c.run(t, open)
		})
	}
}

// check is one rule. It takes a testing.TB so that the suite's own tests can
// show that it fails for a store that breaks the rule.
type check struct {
	rule string
	run  func(tb testing.TB, open Open)
}

func checks() []check {
	return []check{
		{"an entry is created only if there is none", createIfAbsent},
		{"a write with another version changes nothing and returns the entry as it is", conflict},
		{"the same write sent again is applied once and reported as applied", sentAgain},
		{"a write is not mistaken for an earlier one", notSentAgain},
		{"64 writers of one entry lose no update", lostUpdates},
		{"values and names are any bytes", anyBytes},
		{"a value may have 1 MiB and no more", valueSize},
		{"a malformed write is refused and does nothing", malformed},
		{"what a store returned is the caller's own", noAliasing},
		{"entries are loaded in the order of their keys", loadOrder},
		{"a write loads further entries, and itself as it is afterwards", writeLoads},
		{"the first to claim a name keeps it", claims},
		{"a name is released by its owner, with the entry, and before claims", releases},
		{"of 50 claimers at the same time one wins and all are told", claimRace},
		{"an index is ordered by bytes, forward and in reverse", indexOrder},
		{"index changes are idempotent, and adding wins over removing", indexChanges},
		{"a write that is not applied changes no index", indexUntouched},
		{"paging misses and repeats no member while others write", paging},
		{"an entry with a time to live goes away", expiry},
		{"a rewrite without a time to live keeps the entry", persist},
		{"an entry that lives for a time is left out of dumps, and free when it is over", passing},
		{"the store's time is the present and never runs backwards", storeTime},
		{"a dump gives every entry that lives for ever, and nothing else", dumpAll},
		{"a dump misses nothing while others write", dumpWhileWriting},
		{"a dump ends with its caller", dumpEnds},
		{"a write gives the entry the version that it names", givenVersion},
		{"a cancelled context stops every method", cancelled},
		{"a closed store fails with ErrStore", closed},
		{"a store does what a map would", likeMap},
	}
}

// store opens a store and closes it when the test ends.
func store(tb testing.TB, open Open) gateway.Store {
	tb.Helper()
	s := open(tb)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func write(tb testing.TB, s gateway.Store, w gateway.Write) gateway.Written {
	tb.Helper()
	out, err := s.Write(tb.Context(), w)
	require.NoError(tb, err)
	return out
}

// put is a write that must be applied.
func put(tb testing.TB, s gateway.Store, w gateway.Write) {
	tb.Helper()
	require.True(tb, write(tb, s, w).Applied, "the write was not applied")
}

func load(tb testing.TB, s gateway.Store, keys ...string) []gateway.Entry {
	tb.Helper()
	out, err := s.Load(tb.Context(), keys...)
	require.NoError(tb, err)
	require.Len(tb, out.Entries, len(keys))
	return out.Entries
}

func scan(tb testing.TB, s gateway.Store, index, after string, limit int, reverse bool) []string {
	tb.Helper()
	members, err := s.Scan(tb.Context(), index, after, limit, reverse)
	require.NoError(tb, err)
	return members
}

func requireEntry(tb testing.TB, want string, version uint64, got gateway.Entry) {
	tb.Helper()
	require.Equal(tb, version, got.Version, "version")
	require.Equal(tb, want, string(got.Value), "value")
}

// together runs f(0) to f(n-1) at the same time and joins their errors. f must
// not call FailNow: only a test's own goroutine may.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errors.Join(errs...)
}

// update is compare-and-swap until it is applied. It is what a gateway does.
func update(ctx context.Context, s gateway.Store, key, writer string, change func(old []byte) []byte) error {
	loaded, err := s.Load(ctx, key)
	if err != nil {
		return err
	}
	current := loaded.Entries[0]
	for try := 0; ; try++ {
		out, err := s.Write(ctx, gateway.Write{
			Key: key, Expect: current.Version, Value: change(current.Value), Nonce: fmt.Sprintf("%s-%d", writer, try),
		})
		if err != nil || out.Applied {
			return err
		}
		current = out.Current
	}
}
