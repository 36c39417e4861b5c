package audit

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Config says where the log goes.
type Config struct {
	Path    string    // of the file; the full ones are Path.1, the newest, and so on
	Out     io.Writer // in place of a file: each start begins a chain
	Gateway string    // the name of this process
	Settings
	Log *zap.Logger      // default none
	Now func() time.Time // default time.Now
}

// Settings are what can change while the log is written.
type Settings struct {
	Keys     Keys  // the first is the one that is used
	Sync     bool  // Append waits for the disk
	Required bool  // Ready fails while nothing can be written
	MaxBytes int64 // how large a file may grow before the next is begun; default 64 MiB
	Keep     int   // how many full files are kept; 0 for all
}

const (
	defaultMaxBytes = 64 << 20
	// waiting is how many entries may wait to be written.
	waiting = 4096
	// patience is how long Append waits for room. What finds none is lost, and counted.
	patience = 5 * time.Second
)

// Log is a log that is being written. It is safe for concurrent use.
type Log struct {
	config   Config
	settings atomic.Pointer[Settings]
	queue    chan *request
	orders   chan func(*writer)
	stop     chan struct{}
	stopped  chan struct{}
	once     sync.Once
	end      error // of closing

	failing atomic.Bool
	written atomic.Uint64
	lost    atomic.Uint64
	failed  atomic.Uint64 // writes, syncs and rotations
	head    atomic.Pointer[Head]
}

// request is an entry that waits to be written.
type request struct {
	entries []Entry
	done    chan error // one error, once they are on the disk; nil if nobody waits
}

// Open opens the log, and goes on with the chain that is there. The error says what to do.
func Open(c Config) (*Log, error) {
	if len(c.Keys) == 0 {
		return nil, errors.New("the audit log needs a reference key")
	}
	l := newLog(c)
	out, ch, notes, err := begin(l.config)
	if err != nil {
		return nil, fmt.Errorf("the audit log cannot be written: %w", err)
	}
	w := newWriter(l, out, ch)
	if err := w.start(notes); err != nil {
		return nil, errors.Join(fmt.Errorf("the audit log cannot be written: %w", err), out.close())
	}
	go w.run()
	return l, nil
}

func newLog(c Config) *Log {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	l := &Log{
		config: c, queue: make(chan *request, waiting), orders: make(chan func(*writer)),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	l.Use(c.Settings)
	return l
}

// Append adds entries, in their order and one right after the other. It returns when
// they are on the disk if that is what the log is to wait for, or else when they are on
// their way. An error is told by the log itself as well: what has happened has happened,
// and callers go on.
func (l *Log) Append(entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	now := l.config.Now()
	for i := range entries {
		if entries[i].Time.IsZero() {
			entries[i].Time = now
		}
	}
	r := &request{entries: entries}
	if l.settings.Load().Sync && !l.failing.Load() {
		r.done = make(chan error, 1)
	}
	if err := l.send(r); err != nil {
		l.lost.Add(uint64(len(entries)))
		return err
	}
	if r.done == nil {
		return nil
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case err := <-r.done:
		return err
	case <-l.stopped:
		return errClosed
	case <-t.C:
		l.stuck()
		return errSlow
	}
}

var (
	errClosed = errors.New("audit: the log is closed")
	errFull   = errors.New("audit: too much waits to be written")
	errSlow   = errors.New("audit: the disk does not confirm what was written")
)

// send puts a request into the queue. While the log can be written it waits for room.
func (l *Log) send(r *request) error {
	select {
	case <-l.stopped:
		return errClosed
	default:
	}
	select {
	case l.queue <- r:
		return nil
	default:
	}
	if l.failing.Load() {
		return errFull
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case l.queue <- r:
		return nil
	case <-l.stopped:
		return errClosed
	case <-t.C:
		l.stuck()
		return errFull
	}
}

// stuck notes that the writer does not come back from a write: nobody waits for it any
// more, until it does.
func (l *Log) stuck() {
	if l.failing.CompareAndSwap(false, true) {
		l.failed.Add(1)
		l.config.Log.Error("THE AUDIT LOG HANGS: what is done is not told", zap.Int("waiting", len(l.queue)),
			zap.Bool("required", l.settings.Load().Required))
	}
}

// Ready fails if the log is required and cannot be written: what cannot be told should
// not be done.
func (l *Log) Ready() error {
	if l.failing.Load() && l.settings.Load().Required {
		return errors.New("audit: the log cannot be written")
	}
	return nil
}

// Use puts other settings in force. Another first key takes over with an entry that says so.
func (l *Log) Use(s Settings) {
	if s.MaxBytes <= 0 {
		s.MaxBytes = defaultMaxBytes
	}
	if before := l.settings.Swap(&s); before != nil && before.Keys[0].ID != s.Keys[0].ID {
		l.order(func(w *writer) { w.useKey(s.Keys[0]) })
	}
}

// Reopen begins a new file if the path has another file now, or none: somebody has moved
// the old one away. Without being asked, the log looks every second.
func (l *Log) Reopen() { l.order((*writer).lookForFile) }

// order has the writer do something.
func (l *Log) order(do func(*writer)) {
	select {
	case l.orders <- do:
	case <-l.stopped:
	}
}

// Status says how the log does.
type Status struct {
	Written uint64 // entries, since the start
	Lost    uint64 // entries that could not be written
	Failed  uint64 // writes, syncs and rotations
	Waiting int    // entries, in the queue
	Failing bool   // nothing can be written now
	Head    Head
}

// Status says how the log does.
func (l *Log) Status() Status {
	s := Status{
		Written: l.written.Load(), Lost: l.lost.Load(), Failed: l.failed.Load(), Waiting: len(l.queue), Failing: l.failing.Load(),
	}
	if h := l.head.Load(); h != nil {
		s.Head = *h
	}
	return s
}

// Close writes what waits, and ends. What is appended afterwards is lost.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.stop) })
	<-l.stopped
	return l.end
}
