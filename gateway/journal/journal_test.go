package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
	"github.com/polyvault/polyvault/gateway/storetest"
)

// disk makes files that fail where a test wants.
type disk struct {
	mu      sync.Mutex
	room    int  // bytes that may still be written; negative: any
	noSync  bool // fsync fails
	noFiles bool // no file can be made
	syncs   int
	before  func() // called before each sync
}

type diskFile struct {
	*os.File
	disk *disk
}

func newDisk() *disk { return &disk{room: -1} }

func (d *disk) create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noFiles {
		return nil, syscall.ENOSPC
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	return &diskFile{f, d}, err
}

func (d *disk) set(change func(d *disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// count is how often a file was synced.
func (d *disk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

func (f *diskFile) Write(b []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if room := f.disk.room; room >= 0 && len(b) > room {
		n, _ := f.File.Write(b[:room])
		f.disk.room = 0
		return n, syscall.ENOSPC
	}
	n, err := f.File.Write(b)
	if f.disk.room >= 0 {
		f.disk.room -= n
	}
	return n, err
}

func (f *diskFile) Sync() error {
	f.disk.mu.Lock()
	f.disk.syncs++
	failing, before := f.disk.noSync, f.disk.before
	f.disk.mu.Unlock()
	if before != nil {
		before()
	}
	if failing {
		return syscall.EIO
	}
	return f.File.Sync()
}

func openOn(tb testing.TB, d *disk, c Config) *Journal {
	tb.Helper()
	if c.Folder == "" {
		c.Folder = tb.TempDir()
	}
	c.Key = testKey("k1")
	j, err := open(c, d.create)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = j.Close() })
	return j
}

// readAll reads every file of a folder, and lists the keys.
func readAll(tb testing.TB, folder string) (keys []string) {
	tb.Helper()
	for _, name := range files(tb, folder) {
		b, err := os.ReadFile(name)
		require.NoError(tb, err)
		got, c, err := read(b, ring("k1"))
		require.NoError(tb, err)
		require.Zero(tb, c.Torn)
		for _, e := range got {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "b")
	j, err := Open(Config{Folder: folder, Key: testKey("k1")})
	require.NoError(t, err)
	require.NoError(t, j.Append(t.Context(), testEntry(1)))
	names := files(t, folder)
	require.Len(t, names, 1)
	require.Equal(t, []string{testEntry(1).Key}, readAll(t, folder), "it is readable while it is written, and after a crash")
	require.NoError(t, j.Close())
	require.NoError(t, j.Close(), "closing twice is harmless")
	require.ErrorIs(t, j.Append(t.Context(), testEntry(1)), gateway.ErrStore)
	for name, mode := range map[string]os.FileMode{folder: 0o700, names[0]: 0o600} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm())
	}
}

func TestAFolderThatCannotBeUsedIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	taken := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(taken, nil, 0o600))
	_, err := Open(Config{Folder: filepath.Join(taken, "journal"), Key: testKey("k1")})
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorContains(t, err, "the folder must be one that this user may create or write to")

	full := newDisk()
	full.room = 3
	folder := t.TempDir()
	_, err = open(Config{Folder: folder, Key: testKey("k1")}, full.create)
	require.ErrorIs(t, err, syscall.ENOSPC)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAFileEndsAtItsSize(t *testing.T) {
	t.Parallel()
	j := openOn(t, newDisk(), Config{MaxBytes: 300})
	for _, e := range tenEntries() {
		require.NoError(t, j.Append(t.Context(), e))
	}
	require.NoError(t, j.Close())
	require.Greater(t, len(files(t, j.config.Folder)), 2)
	require.Len(t, readAll(t, j.config.Folder), 10)
}

func TestAfterAFullDiskTheNextAppendBeginsAFile(t *testing.T) {
	t.Parallel()
	d := newDisk()
	j := openOn(t, d, Config{Sync: true})
	require.NoError(t, j.Append(t.Context(), testEntry(0)))
	d.set(func(d *disk) { d.room = 40 }) // half a frame
	err := j.Append(t.Context(), testEntry(1))
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorIs(t, j.Append(t.Context(), testEntry(1)), syscall.ENOSPC, "not even a header has room")
	d.set(func(d *disk) { d.noFiles = true })
	require.ErrorIs(t, j.Append(t.Context(), testEntry(1)), syscall.ENOSPC)
	require.Len(t, files(t, j.config.Folder), 1)
	d.set(func(d *disk) { d.room, d.noFiles = -1, false })
	require.NoError(t, j.Append(t.Context(), testEntry(1)))
	require.NoError(t, j.Append(t.Context(), testEntry(2)))
	require.NoError(t, j.Close())
	require.ElementsMatch(t, []string{"key-000", "key-001", "key-002"}, readAll(t, j.config.Folder), "the half frame was cut off")
	require.Len(t, files(t, j.config.Folder), 2)
}

func TestAFullDiskDoesNotFillWithHeaders(t *testing.T) {
	t.Parallel()
	d := newDisk()
	j := openOn(t, d, Config{Sync: true})
	for range 10 {
		d.set(func(d *disk) { d.room = 60 }) // a header, and half a frame
		require.ErrorIs(t, j.Append(t.Context(), testEntry(1)), syscall.ENOSPC)
	}
	require.Empty(t, files(t, j.config.Folder))
}

func TestAFailedSyncFailsTheAppend(t *testing.T) {
	t.Parallel()
	d := newDisk()
	j := openOn(t, d, Config{Sync: true})
	d.set(func(d *disk) { d.noSync = true })
	require.ErrorIs(t, j.Append(t.Context(), testEntry(0)), syscall.EIO)
	require.ErrorIs(t, j.Append(t.Context(), testEntry(0)), syscall.EIO)
	d.set(func(d *disk) { d.noSync = false })
	require.NoError(t, j.Append(t.Context(), testEntry(0)))
	require.NoError(t, j.Close())
	require.Contains(t, readAll(t, j.config.Folder), "key-000")
}

func TestConcurrentAppendsShareASync(t *testing.T) {
	t.Parallel()
	const writers = 20
	d := newDisk()
	j := openOn(t, d, Config{Sync: true})
	held, release := make(chan struct{}), make(chan struct{})
	d.set(func(d *disk) {
		d.syncs = 0
		d.before = sync.OnceFunc(func() {
			close(held)
			<-release
		})
	})
	var wg sync.WaitGroup
	errs := make([]error, writers+1)
	wg.Go(func() { errs[writers] = j.Append(t.Context(), testEntry(writers)) })
	<-held
	for i := range writers {
		wg.Go(func() { errs[i] = j.Append(t.Context(), testEntry(i)) })
	}
	require.Eventually(t, func() bool { return j.commits.Waiting() == writers }, 5*time.Second, time.Millisecond)
	close(release)
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	d.set(func(d *disk) { require.Equal(t, 2, d.syncs) })
	require.Len(t, readAll(t, j.config.Folder), writers+1)
}

func TestWithoutSyncTheDiskFollowsWithinASecond(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		var told error
		j := openOn(t, d, Config{Folder: folder, OnError: func(err error) { told = err }})
		d.set(func(d *disk) { d.syncs = 0 })
		require.NoError(t, j.Append(t.Context(), testEntry(0)))
		require.Zero(t, d.count())
		time.Sleep(syncEvery + time.Millisecond)
		synctest.Wait()
		require.Equal(t, 1, d.count())
		time.Sleep(10 * syncEvery)
		synctest.Wait()
		require.Equal(t, 1, d.count(), "nothing was written")

		d.set(func(d *disk) { d.noSync = true })
		require.NoError(t, j.Append(t.Context(), testEntry(1)))
		time.Sleep(syncEvery)
		synctest.Wait()
		require.ErrorIs(t, told, syscall.EIO)
		d.set(func(d *disk) { d.noSync = false })
		require.NoError(t, j.Append(t.Context(), testEntry(2)))
		require.Len(t, files(t, folder), 2, "the file whose sync failed is not written any more")
		require.NoError(t, j.Close())
	})
}

func TestWhatCouldNotBeAppendedIsAppendedOnceThereIsRoom(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		var told error
		j := openOn(t, d, Config{Folder: folder, Sync: true, OnError: func(err error) { told = err }})
		d.set(func(d *disk) { d.room = 0 })
		older, newer := testEntry(0), testEntry(0)
		newer.Version++
		for _, e := range []Entry{testEntry(1), newer, older} {
			require.Error(t, j.Append(t.Context(), e))
		}
		time.Sleep(3 * syncEvery)
		synctest.Wait()
		require.Empty(t, readAll(t, folder))
		d.set(func(d *disk) { d.room = -1 })
		time.Sleep(syncEvery)
		synctest.Wait()
		require.ElementsMatch(t, []string{"key-000", "key-001"}, readAll(t, folder))
		versions := map[string]uint64{}
		for _, name := range files(t, folder) {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			got, _, err := read(b, ring("k1"))
			require.NoError(t, err)
			for _, e := range got {
				versions[e.Key] = e.Version
			}
		}
		require.Equal(t, newer.Version, versions[newer.Key], "the later state, though it came first")
		time.Sleep(3 * syncEvery)
		synctest.Wait()
		require.Len(t, readAll(t, folder), 2, "once")
		require.NoError(t, told)

		d.set(func(d *disk) { d.room = 0 })
		require.Error(t, j.Append(t.Context(), testEntry(2)))
		require.NoError(t, j.Close())
		require.ErrorContains(t, told, "1 entries are in the store and could not be appended")
	})
}

// wrapped is a store with a journal on the disk.
func wrapped(tb testing.TB, d *disk, folder string) gateway.Store {
	tb.Helper()
	s, err := boltstore.Open(boltstore.Config{Path: filepath.Join(tb.TempDir(), "p.db")})
	require.NoError(tb, err)
	w := Wrap(s, openOn(tb, d, Config{Folder: folder, Sync: true}))
	tb.Cleanup(func() { require.NoError(tb, w.Close()) })
	return w
}

func TestAJournaledStoreIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(tb testing.TB) gateway.Store { return wrapped(tb, newDisk(), "") })
}

func TestAWriteThatIsNotInTheJournalFailsAndIsRepeatable(t *testing.T) {
	t.Parallel()
	d, folder := newDisk(), t.TempDir()
	s := wrapped(t, d, folder)
	w := gateway.Write{Key: "k", Value: []byte("one"), Nonce: "a"}
	d.set(func(d *disk) { d.room = 0 })
	for range 2 {
		_, err := s.Write(t.Context(), w)
		require.ErrorIs(t, err, gateway.ErrStore)
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	_, err := s.Write(t.Context(), gateway.Write{Key: "other", Value: []byte("one"), Nonce: "a"})
	require.ErrorIs(t, err, syscall.ENOSPC)
	loaded, err := s.Load(t.Context(), "k", "other")
	require.NoError(t, err, "what needs no journal works")
	require.Zero(t, loaded.Entries[1].Version, "what cannot be kept is not begun")
	require.Equal(t, uint64(1), loaded.Entries[0].Version)
	d.set(func(d *disk) { d.room = -1 })
	out, err := s.Write(t.Context(), w)
	require.NoError(t, err)
	require.True(t, out.Applied)

	for _, w := range []gateway.Write{
		{Key: "k", Expect: 7, Value: []byte("lost"), Nonce: "b"},
		{Key: "passing", Value: []byte("v"), Nonce: "c", TTL: time.Hour},
	} {
		_, err := s.Write(t.Context(), w)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"k"}, readAll(t, folder), "neither what was not written nor what goes away")
}

func TestAGivenUpAppendFailsTheWrite(t *testing.T) {
	t.Parallel()
	d := newDisk()
	j := openOn(t, d, Config{Sync: true})
	held, release := make(chan struct{}), make(chan struct{})
	d.set(func(d *disk) {
		d.before = sync.OnceFunc(func() {
			close(held)
			<-release
		})
	})
	first := make(chan error)
	go func() { first <- j.Append(t.Context(), testEntry(0)) }()
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := j.Append(ctx, testEntry(1))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, gateway.ErrStore)
	close(release)
	require.NoError(t, <-first)
}

type forgetful struct{ gateway.Store }

func (forgetful) ForgotAt() time.Time { return time.Unix(1, 0) }

func TestWhatTheStoreCanDoBesidesIsKept(t *testing.T) {
	t.Parallel()
	j := openOn(t, newDisk(), Config{})
	f, ok := Wrap(forgetful{}, j).(gateway.Forgetful)
	require.True(t, ok)
	require.Equal(t, time.Unix(1, 0), f.ForgotAt())
	_, ok = Wrap(struct{ gateway.Store }{}, j).(gateway.Forgetful)
	require.False(t, ok, "a store that cannot forget does not pretend to")
}

func BenchmarkAppend(b *testing.B) {
	for name, config := range map[string]Config{"each synced": {Sync: true}, "synced every second": {}} {
		for _, writers := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s, %d writers", name, writers), func(b *testing.B) {
				j := openOn(b, newDisk(), config)
				e := testEntry(0)
				e.Value = make([]byte, 1500)
				var wg sync.WaitGroup
				b.ResetTimer()
				for range writers {
					wg.Go(func() {
						for range max(1, b.N/writers) {
							if err := j.Append(b.Context(), e); err != nil {
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
}
