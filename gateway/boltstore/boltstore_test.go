package boltstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/goleak"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(tb testing.TB) gateway.Store { return open(tb, Config{}) })
}

// open opens a store in a file of its own unless c names one.
func open(tb testing.TB, c Config) *Store {
	tb.Helper()
	if c.Path == "" {
		c.Path = filepath.Join(tb.TempDir(), "store.db")
	}
	s, err := Open(c)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

func put(tb testing.TB, s *Store, w gateway.Write) {
	tb.Helper()
	out, err := s.Write(tb.Context(), w)
	require.NoError(tb, err)
	require.True(tb, out.Applied)
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noise := filepath.Join(dir, "noise")
	require.NoError(t, os.WriteFile(noise, []byte(strings.Repeat("not a store ", 10_000)), 0o600))
	locked := filepath.Join(dir, "locked")
	open(t, Config{Path: locked})
	newer := filepath.Join(dir, "newer")
	s := open(t, Config{Path: newer})
	require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFormat), []byte("99"))
	}))
	require.NoError(t, s.Close())

	tests := map[string]struct {
		config Config
		want   string
	}{
		"no path":                         {Config{}, "Path: must be set"},
		"a negative timeout":              {Config{Path: "x", Timeout: -1}, "Timeout: must not be negative"},
		"a negative limit":                {Config{Path: "x", MaxBytes: -1}, "MaxBytes: must not be negative"},
		"a directory that does not exist": {Config{Path: filepath.Join(dir, "none", "f")}, "no such file or directory"},
		"a file that is open already":     {Config{Path: locked, Timeout: time.Millisecond}, "another process has the file open"},
		"a file of another kind":          {Config{Path: noise}, "not a store's file"},
		"a file in a newer format":        {Config{Path: newer}, "another version of polyvault"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(tt.config)
			require.ErrorIs(t, err, gateway.ErrStore)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestReopenedStoreHoldsEverything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, Config{Path: path})
	w := gateway.Write{
		Key: "k", Value: []byte("v"), Nonce: "n", TTL: time.Hour,
		Add: []gateway.Member{{Index: "i", Member: "m"}}, Claims: []gateway.Claim{{Key: "c", Owner: "o"}},
	}
	put(t, s, w)
	require.NoError(t, s.Close())

	s = open(t, Config{Path: path})
	w.Claims[0].Owner = "late"
	out, err := s.Write(t.Context(), w)
	require.NoError(t, err)
	require.True(t, out.Applied, "the nonce is known after a restart too")
	require.Equal(t, gateway.Entry{Value: []byte("v"), Version: 1}, out.Current)
	require.Equal(t, []string{"o"}, out.Owners)
	members, err := s.Scan(t.Context(), "i", "", 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"m"}, members)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestFullFileRefusesWritesAndServesReads(t *testing.T) {
	t.Parallel()
	s := open(t, Config{MaxBytes: 1 << 20})
	put(t, s, gateway.Write{Key: "small", Value: []byte("v"), Nonce: "a"})
	_, err := s.Write(t.Context(), gateway.Write{Key: "large", Value: make([]byte, 1<<20), Nonce: "b"})
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorIs(t, err, bolterrors.ErrMaxSizeReached)
	loaded, err := s.Load(t.Context(), "small", "large")
	require.NoError(t, err)
	require.Equal(t, []gateway.Entry{{Value: []byte("v"), Version: 1}, {}}, loaded.Entries)
	put(t, s, gateway.Write{Key: "small", Expect: 1, Value: []byte("w"), Nonce: "c"})
}

// rows counts what is in a bucket, whether expired or not.
func rows(tb testing.TB, s *Store, bucket string) (n int) {
	tb.Helper()
	require.NoError(tb, s.db.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket([]byte(bucket)).Stats().KeyN
		return nil
	}))
	return n
}

func TestExpiredEntriesAreFreedByLaterWrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Path: path})
		const expiring = 3 * sweepStep
		for i := range expiring {
			put(t, s, gateway.Write{Key: "k" + strconv.Itoa(i), Nonce: "a", TTL: time.Minute})
		}
		put(t, s, gateway.Write{Key: "k0", Expect: 1, Nonce: "b", TTL: time.Hour}) // renewed
		put(t, s, gateway.Write{Key: "k1", Expect: 1, Nonce: "b"})                 // kept for ever
		require.Equal(t, expiring-1, rows(t, s, bucketExpiry), "a rewrite leaves no row of the old expiry")
		time.Sleep(time.Minute - time.Millisecond)
		loaded, err := s.Load(t.Context(), "k2")
		require.NoError(t, err)
		require.Equal(t, uint64(1), loaded.Entries[0].Version, "not over yet")
		time.Sleep(time.Millisecond)
		loaded, err = s.Load(t.Context(), "k0", "k1", "k2")
		require.NoError(t, err)
		require.Equal(t, []uint64{2, 2, 0}, []uint64{loaded.Entries[0].Version, loaded.Entries[1].Version, loaded.Entries[2].Version})

		require.Equal(t, expiring, rows(t, s, bucketEntries), "reading frees nothing")
		put(t, s, gateway.Write{Key: "other", Nonce: "a"})
		require.Equal(t, expiring+1-sweepStep, rows(t, s, bucketEntries), "one write frees a few")
		for version := range uint64(3) {
			put(t, s, gateway.Write{Key: "other", Expect: version + 1, Nonce: "b"})
		}
		require.Equal(t, 3, rows(t, s, bucketEntries), "k0, k1 and other are left")
		require.Equal(t, 1, rows(t, s, bucketExpiry), "k0 is to expire")
	})
}

func TestClockSetBackHoldsStill(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	ahead := time.Now().Add(time.Hour)
	s.clock.Store(ahead.UnixNano())
	loaded, err := s.Load(t.Context())
	require.NoError(t, err)
	require.True(t, loaded.Now.Equal(ahead))
}

// transactions counts the writing transactions of the file's whole life.
func transactions(tb testing.TB, s *Store) (n int) {
	tb.Helper()
	require.NoError(tb, s.db.View(func(tx *bbolt.Tx) error {
		n = tx.ID()
		return nil
	}))
	return n
}

// holdLead keeps a transaction open, and so any other write from being committed,
// until release is called.
func holdLead(tb testing.TB, s *Store) (release func()) {
	tb.Helper()
	begun, end := make(chan struct{}), make(chan struct{})
	failure := make(chan error)
	go func() {
		failure <- s.commits.Do(tb.Context(), func(*bbolt.Tx) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		require.NoError(tb, <-failure)
	}
}

func TestConcurrentWritesShareTransactions(t *testing.T) {
	t.Parallel()
	const writers = maxBatch + 10
	s := open(t, Config{})
	release := holdLead(t, s)
	before := transactions(t, s)
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			_, errs[i] = s.Write(t.Context(), gateway.Write{Key: strconv.Itoa(i), Nonce: "n"})
		})
	}
	require.Eventually(t, func() bool { return s.commits.Waiting() == writers }, 5*time.Second, time.Millisecond)
	release()
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, writers, rows(t, s, bucketEntries))
	require.Equal(t, 1+2, transactions(t, s)-before, "the one that was held, and two")
}

func TestWriteGivenUpWhileWaitingIsLeftOut(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	release := holdLead(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	failure := make(chan error)
	go func() {
		_, err := s.Write(ctx, gateway.Write{Key: "given up", Nonce: "n"})
		failure <- err
	}()
	require.Eventually(t, func() bool { return s.commits.Waiting() == 1 }, 5*time.Second, time.Millisecond)
	cancel()
	err := <-failure
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorIs(t, err, context.Canceled)
	release()
	put(t, s, gateway.Write{Key: "next", Nonce: "n"})
	require.Equal(t, 1, rows(t, s, bucketEntries))
}

func TestFailedTransactionFailsItsWholeBatch(t *testing.T) {
	t.Parallel()
	s := open(t, Config{})
	release := holdLead(t, s)
	broken := errors.New("broken")
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i, apply := range []func(*bbolt.Tx) error{
		func(*bbolt.Tx) error { return broken },
		func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketEntries)).Put([]byte("k"), nil) },
	} {
		wg.Go(func() { errs[i] = s.commits.Do(t.Context(), apply) })
	}
	require.Eventually(t, func() bool { return s.commits.Waiting() == 2 }, 5*time.Second, time.Millisecond)
	release()
	wg.Wait()
	require.ErrorIs(t, errs[0], broken)
	require.ErrorIs(t, errs[1], broken)
	require.Zero(t, rows(t, s, bucketEntries))
}

func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 32} {
		b.Run(strconv.Itoa(writers)+" writers", func(b *testing.B) {
			s := open(b, Config{})
			value := make([]byte, 1024)
			var wg sync.WaitGroup
			b.ResetTimer()
			for i := range writers {
				wg.Go(func() {
					for n := range uint64(b.N / writers) {
						_, err := s.Write(b.Context(), gateway.Write{Key: strconv.Itoa(i), Expect: n, Value: value, Nonce: "n"})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
