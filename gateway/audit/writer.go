package audit

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

const (
	// syncEvery is how long what nobody waits for may stay with the operating system.
	syncEvery = 100 * time.Millisecond
	retryIn   = time.Second
	lookEvery = time.Second
	toldEvery = time.Minute
	headEvery = time.Hour
	// maxBatch is how much is written at once, in bytes.
	maxBatch = 256 << 10
)

// writer is the only one that writes to the log.
type writer struct {
	log   *Log
	out   sink
	chain *chain
	now   func() time.Time

	pending []byte // lines that are not written yet
	count   uint64 // how many they are
	waiters []*request
	dirty   bool       // something was written that no sync has begun for since
	synced  chan error // of the sync that is under way; nil if none is
	told    uint64     // how many lost entries the chain tells of

	retryAt, lookAt, headAt, tellAt, rotateAt time.Time
}

func newWriter(l *Log, out sink, ch *chain) *writer {
	w := &writer{log: l, out: out, chain: ch, now: l.config.Now}
	w.headAt = w.now().Add(headEvery)
	return w
}

// start writes what an opened log has to say first. What fails here keeps a gateway from
// starting.
func (w *writer) start(notes []Entry) error {
	if w.out.size() == 0 {
		w.encode(Entry{Action: actionFile})
	} else {
		// The key may be another one than the last entry was under.
		w.encode(Entry{Action: actionKey})
	}
	for _, e := range notes {
		w.encode(e)
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.out.sync()
}

func (w *writer) run() {
	defer close(w.log.stopped)
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		queue := w.log.queue
		if len(w.pending) > 0 {
			queue = nil // first what is there
		}
		select {
		case r := <-queue:
			w.batch(r)
		case do := <-w.log.orders:
			do(w)
		case err := <-w.synced:
			w.syncEnded(err)
		case <-tick.C:
			w.tick()
		case <-w.log.stop:
			w.log.end = w.close()
			return
		}
	}
}

// batch writes a request and those that wait behind it.
func (w *writer) batch(r *request) {
	wait := false
	for r != nil {
		for _, e := range r.entries {
			w.rotateIfFull()
			w.encode(e)
		}
		if r.done != nil {
			wait, w.waiters = true, append(w.waiters, r)
		}
		r = nil
		if len(w.pending) < maxBatch {
			select {
			case r = <-w.log.queue:
			default:
			}
		}
	}
	err := w.flush()
	if err == nil && wait {
		err = w.syncNow()
	}
	for _, waiter := range w.waiters {
		waiter.done <- err
	}
	clear(w.waiters)
	w.waiters = w.waiters[:0]
}

func (w *writer) encode(e Entry) {
	if e.Time.IsZero() {
		e.Time = w.now()
	}
	w.pending = w.chain.append(w.pending, e)
	w.count++
}

// flush writes the lines that are pending. If it fails they stay, to be tried again.
func (w *writer) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	if err := w.out.write(w.pending); err != nil {
		w.retryAt = w.now().Add(retryIn)
		w.failed("write", err, true)
		return err
	}
	w.log.written.Add(w.count)
	w.pending, w.count, w.dirty = w.pending[:0], 0, true
	if cap(w.pending) > 8*maxBatch {
		w.pending = nil
	}
	head := w.chain.now()
	w.log.head.Store(&head)
	w.recovered()
	return nil
}

// recovered ends a failure, and tells in the chain what it cost.
func (w *writer) recovered() {
	if w.log.failing.CompareAndSwap(true, false) {
		w.log.config.Log.Info("the audit log is written again")
	}
	if lost := w.log.lost.Load(); lost > w.told {
		w.encode(Entry{Action: actionLost, Count: lost - w.told})
		w.told = lost
		// It is pending now: it goes with the next tick.
	}
}

// failed tells, once a minute, that something went wrong.
func (w *writer) failed(what string, err error, stops bool) {
	w.log.failed.Add(1)
	if stops {
		w.log.failing.Store(true)
	}
	now := w.now()
	if now.Before(w.tellAt) {
		return
	}
	w.tellAt = now.Add(toldEvery)
	w.log.config.Log.Error("THE AUDIT LOG FAILS: what is done is not told", zap.String("step", what), zap.Error(err),
		zap.Int("waiting", len(w.log.queue)), zap.Uint64("lost", w.log.lost.Load()), zap.Bool("required", w.log.settings.Load().Required))
}

func (w *writer) syncNow() error {
	w.waitForSync()
	w.dirty = false
	err := w.out.sync()
	if err != nil {
		w.failed("sync", err, true)
	}
	return err
}

func (w *writer) waitForSync() {
	if w.synced != nil {
		w.syncEnded(<-w.synced)
	}
}

// syncEnded takes the result of a sync that nobody waited for. After one that failed
// the next write tells whether the log can be written.
func (w *writer) syncEnded(err error) {
	w.synced = nil
	if err != nil {
		w.failed("sync", err, true)
	}
}

func (w *writer) tick() {
	now := w.now()
	switch {
	case now.Before(w.retryAt):
	case len(w.pending) > 0:
		_ = w.flush() // told by itself
	case w.log.failing.Load():
		// A sync failed, and since then nothing came: whether it works again must not
		// depend on what is refused while it does not.
		if w.retryAt = now.Add(retryIn); w.syncNow() == nil {
			w.recovered()
		}
	}
	if w.dirty && w.synced == nil {
		w.dirty = false
		synced, out := make(chan error, 1), w.out
		w.synced = synced
		go func() { synced <- out.sync() }()
	}
	if !now.Before(w.lookAt) {
		w.lookAt = now.Add(lookEvery)
		w.lookForFile()
	}
	if !now.Before(w.headAt) {
		w.headAt = now.Add(headEvery)
		w.tellHead("the audit log's head")
	}
}

func (w *writer) tellHead(text string) {
	h := w.chain.now()
	w.log.config.Log.Info(text, zap.String("chain", h.Chain), zap.Uint64("seq", h.Seq), zap.String("hash", h.Hash))
}

// rotateIfFull begins the next file once this one is large. If that fails the log goes on
// in this one: a file that is too large is better than none.
func (w *writer) rotateIfFull() {
	s := w.log.settings.Load()
	if w.out.size()+int64(len(w.pending)) < s.MaxBytes || w.now().Before(w.rotateAt) {
		return
	}
	if _, ok := w.out.(*stream); ok {
		return
	}
	if w.flush() != nil || len(w.pending) > 0 {
		return
	}
	w.nextFile(s.Keep)
}

func (w *writer) nextFile(keep int) {
	w.waitForSync()
	err := w.out.next(keep)
	if err != nil {
		w.rotateAt = w.now().Add(toldEvery)
		w.failed("begin the next file", err, false)
	}
	if w.out.size() == 0 {
		w.encode(Entry{Action: actionFile})
	}
}

// lookForFile begins a new file if somebody has moved or removed this one.
func (w *writer) lookForFile() {
	if len(w.pending) > 0 || w.now().Before(w.rotateAt) || !w.out.moved() {
		return
	}
	w.log.config.Log.Warn("the audit log's file is not at its path any more: a new one goes on", zap.String("path", w.log.config.Path))
	w.nextFile(0)
	_ = w.flush() // told by itself
}

func (w *writer) useKey(key Key) {
	if err := w.chain.use(key); err != nil {
		w.failed("use another reference key", err, false)
		return
	}
	w.encode(Entry{Action: actionKey})
	_ = w.flush() // told by itself
}

// close writes what waits.
func (w *writer) close() error {
	w.waitForSync()
	for {
		if err := w.flush(); err != nil {
			return errors.Join(w.unwritten(err), w.out.close())
		}
		select {
		case r := <-w.log.queue:
			w.batch(r)
			continue
		default:
		}
		if len(w.pending) == 0 {
			break
		}
	}
	w.tellHead("the audit log's head, at its end")
	return w.out.close()
}

func (w *writer) unwritten(err error) error {
	n := w.count
	for len(w.log.queue) > 0 {
		r := <-w.log.queue
		n += uint64(len(r.entries))
		if r.done != nil {
			r.done <- err
		}
	}
	w.log.lost.Add(n)
	return fmt.Errorf("audit: %d entries could not be written: %w", n, err)
}
