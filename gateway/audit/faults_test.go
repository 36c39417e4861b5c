package audit

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// disk is a sink that fails as it is told to.
type disk struct {
	mu             sync.Mutex
	b              []byte
	writes, syncs  error // what they fail with; nil: they work
	hang           chan struct{}
	syncsSucceeded int
}

func (d *disk) write(b []byte) error {
	d.mu.Lock()
	hang := d.hang
	d.mu.Unlock()
	if hang != nil {
		<-hang
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writes == nil {
		d.b = append(d.b, b...)
	}
	return d.writes
}

func (d *disk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.syncs == nil {
		d.syncsSucceeded++
	}
	return d.syncs
}
func (d *disk) size() int64    { return 0 }
func (d *disk) next(int) error { return nil }
func (d *disk) moved() bool    { return false }
func (d *disk) close() error   { return nil }

func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// onDisk is a log over a disk, in a bubble.
func onDisk(t *testing.T, d *disk, change func(*Config)) (*Log, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	c := Config{Gateway: "gw-1", Settings: Settings{Keys: testKeys(), MaxBytes: 1 << 40}, Log: zap.New(core), Now: time.Now}
	if change != nil {
		change(&c)
	}
	ch, err := newChain(c.Gateway, c.Keys[0])
	require.NoError(t, err)
	l := newLog(c)
	w := newWriter(l, d, ch)
	require.NoError(t, w.start(nil))
	go w.run()
	return l, logs
}

var errNoSpace = errors.New("no space left on device")

func TestAFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l, logs := onDisk(t, d, func(c *Config) { c.Required = true })
		require.NoError(t, l.Ready())
		d.set(func() { d.writes = errNoSpace })
		for i := range waiting + 100 {
			_ = l.Append(entryNo(i))
			if i == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		require.ErrorContains(t, l.Ready(), "cannot be written", "nothing that must be told is done now")
		time.Sleep(10 * time.Minute)
		s := l.Status()
		require.True(t, s.Failing)
		require.Equal(t, uint64(99), s.Lost, "the first is pending, and as many as there is room for wait")
		require.InDelta(t, 10, logs.FilterMessageSnippet("THE AUDIT LOG FAILS").Len(), 1, "one line a minute")
		d.set(func() { d.writes = nil })
		time.Sleep(2 * time.Second)
		require.NoError(t, l.Ready())
		require.NoError(t, l.Close())
		r, err := Verify([]Source{source("disk", d.b)}, testKeys())
		require.NoError(t, err)
		require.Empty(t, r.Faults, "what could be kept is written, in one chain")
		require.Equal(t, uint64(1+1+waiting+1), r.Chains[0].Entries)
		require.Contains(t, string(d.b), `"action":"audit.lost","count":99`)
	})
}

func TestADiskThatHangsHoldsNobodyUpForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l, logs := onDisk(t, d, func(c *Config) { c.Required, c.Sync = true, true })
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		began := time.Now()
		require.ErrorIs(t, l.Append(entryNo(0)), errSlow)
		require.Equal(t, patience, time.Since(began))
		require.Error(t, l.Ready())
		began = time.Now()
		require.NoError(t, l.Append(entryNo(1)))
		require.Zero(t, time.Since(began), "who comes later does not wait")
		require.Equal(t, 1, logs.FilterMessageSnippet("HANGS").Len())
		d.set(func() { d.hang = nil })
		close(hang)
		synctest.Wait()
		require.NoError(t, l.Ready())
		require.NoError(t, l.Close())
		require.Equal(t, 3, strings.Count(string(d.b), "\n"))
	})
}

func TestBackPressureRatherThanLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l, _ := onDisk(t, d, nil)
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		var all sync.WaitGroup
		const n = waiting + 50
		for i := range n {
			all.Go(func() { require.NoError(t, l.Append(entryNo(i))) })
		}
		time.Sleep(patience / 2)
		d.set(func() { d.hang = nil })
		close(hang)
		all.Wait()
		require.NoError(t, l.Close())
		require.Equal(t, n+1, strings.Count(string(d.b), "\n"))
		require.Zero(t, l.Status().Lost)
	})
}

func TestASyncThatFailsIsTriedAgainByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l, logs := onDisk(t, d, func(c *Config) { c.Required, c.Sync = true, true })
		d.set(func() { d.syncs = errNoSpace })
		require.ErrorIs(t, l.Append(entryNo(0)), errNoSpace)
		require.Error(t, l.Ready())
		d.set(func() { d.syncs = nil })
		time.Sleep(3 * time.Second)
		require.NoError(t, l.Ready(), "nothing was appended meanwhile")
		require.Equal(t, 1, logs.FilterMessageSnippet("written again").Len())
		require.NoError(t, l.Close())
		require.ErrorIs(t, l.Append(entryNo(1)), errClosed)
	})
}

func TestTheDiskHasWhatNobodyWaitsForSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l, logs := onDisk(t, d, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		before := d.syncsSucceeded
		require.NoError(t, l.Append(entryNo(0)))
		time.Sleep(2 * syncEvery)
		synctest.Wait()
		require.Equal(t, before+1, d.syncsSucceeded)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Equal(t, before+1, d.syncsSucceeded, "an idle log does not ask for the disk")
		require.Equal(t, 2, logs.FilterMessage("the audit log's head").Len(), "every hour")
		head := logs.FilterMessage("the audit log's head").All()[1].ContextMap()
		require.Equal(t, l.Status().Head.Hash, head["hash"])
		require.NoError(t, l.Close())
		require.Equal(t, 1, logs.FilterMessage("the audit log's head, at its end").Len())
	})
}

func TestHalfALineIsTakenOffAgain(t *testing.T) {
	t.Parallel()
	f, err := openFile(t.TempDir() + "/a")
	require.NoError(t, err)
	s := &file{path: f.Name(), f: f}
	require.NoError(t, s.write([]byte("one\n")))
	_, err = f.WriteString("tw") // as a disk that was full in the middle leaves it
	require.NoError(t, err)
	s.half = true
	require.NoError(t, s.write([]byte("two\n")))
	require.NoError(t, s.close())
	b, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	require.Equal(t, "one\ntwo\n", string(b))
}

func BenchmarkAppend(b *testing.B) {
	for name, sync := range map[string]bool{"interval": false, "always": true} {
		b.Run(name, func(b *testing.B) {
			c := testConfig(b)
			c.Sync = sync
			l := open(b, c)
			e := entryNo(1)
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = l.Append(e)
				}
			})
			require.NoError(b, l.Close())
			require.Zero(b, l.Status().Lost)
		})
	}
}

// BenchmarkEncode is the work of the writer for an entry: line and hash.
func BenchmarkEncode(b *testing.B) {
	ch, err := newChain("gw-1", testKeys()[0])
	require.NoError(b, err)
	var buf []byte
	e := entryNo(1)
	e.Time = time.Now()
	b.ReportAllocs()
	for b.Loop() {
		buf = ch.append(buf[:0], e)
	}
}
