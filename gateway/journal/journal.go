package journal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/internal/groupcommit"
)

// Extension is that of every journal file.
const Extension = ".pvj"

// Config says where a journal is and what it promises.
type Config struct {
	Folder string // created with mode 0700 if it does not exist; many gateways may share it
	Key    gateway.ReferenceKey
	// Sync makes Append return only after the entry is on the disk. Otherwise it is
	// with the operating system, which survives the process, and is on the disk
	// about a second later.
	Sync bool
	// MaxBytes is how large a file may grow before the next one is begun; default 256 MiB.
	MaxBytes int64
	// OnError is told of entries that the store has and the journal has lost, for the
	// next backup to save: those that the operating system took and could not bring
	// to the disk, and those that no room was found for until the end. Optional.
	OnError func(error)
}

const (
	defaultMaxBytes = 256 << 20
	maxBatch        = 64 // entries of one commit, each up to 1 MiB
	syncEvery       = time.Second
)

// Journal appends entries to files. It begins a new file when it is opened, when
// one has grown large, and after every failure, so that nothing is ever written
// behind a place that may be broken.
type Journal struct {
	config  Config
	create  func(name string) (file, error)
	commits *groupcommit.Committer[[]byte]
	debts   debts
	stop    chan struct{}
	stopped chan struct{}

	mu     sync.Mutex
	out    *output // guarded by mu; nil: the next append begins a file
	closed bool    // guarded by mu
}

// file is what a journal needs of an [os.File].
type file interface {
	Write(b []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// output is the file that is being written.
type output struct {
	name   string
	file   file
	sealer *sealer
	number uint64 // of the next frame
	size   int64
	dirty  bool // something was written since the last sync began
}

// Open begins a file in the folder. The error says what to do.
func Open(c Config) (*Journal, error) { return open(c, createFile) }

func open(c Config, create func(string) (file, error)) (*Journal, error) {
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return nil, failed("open", fmt.Errorf("the folder must be one that this user may create or write to: %w", err))
	}
	j := &Journal{config: c, create: create, stop: make(chan struct{}), stopped: make(chan struct{})}
	j.commits = groupcommit.New(maxBatch, j.write)
	out, err := j.begin()
	if err != nil {
		return nil, failed("open", err)
	}
	j.out = out
	go j.keepSyncing()
	return j, nil
}

// createFile makes a file that must not exist.
func createFile(name string) (file, error) {
	return os.OpenFile(filepath.Clean(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
}

// begin makes the next file. Its name is there only once its header is on the disk,
// so that a process that dies meanwhile leaves no file that cannot be read.
func (j *Journal) begin() (*output, error) {
	h := newHeader(KindJournal, j.config.Key.ID)
	s, err := newSealer(h, j.config.Key)
	if err != nil {
		return nil, err
	}
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails: it ends the process instead
	name := filepath.Join(j.config.Folder, time.Now().UTC().Format("20060102T150405Z")+"-"+hex.EncodeToString(random)+Extension)
	unready := name + ".tmp"
	f, err := j.create(unready)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(s.head)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(unready, name)
	}
	if err == nil {
		err = SyncFolder(j.config.Folder)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), ignoreMissing(os.Remove(unready)))
	}
	return &output{name: name, file: f, sealer: s, size: int64(len(s.head))}, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(name string) error {
	d, err := os.Open(filepath.Clean(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Append writes an entry. If it fails the entry may be in the journal or not; to
// append it again is harmless, and is done about every second until it succeeds.
func (j *Journal) Append(ctx context.Context, e Entry) error {
	if err := j.commits.Do(ctx, e.encode()); err != nil {
		j.debts.add(e)
		return failed("append", err)
	}
	j.debts.paid(e)
	return nil
}

// errClosed is what appending to a closed journal gives.
var errClosed = errors.New("it is closed")

// write carries a batch of encoded entries.
func (j *Journal) write(batch [][]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errClosed
	}
	if j.out != nil && j.out.size >= j.config.MaxBytes {
		if err := j.retire(); err != nil {
			return err
		}
	}
	if err := j.needFile(); err != nil {
		return err
	}
	if err := j.out.append(batch); err != nil {
		return errors.Join(err, j.abandon(j.out.size))
	}
	if !j.config.Sync {
		return nil
	}
	j.out.dirty = false
	if err := j.out.file.Sync(); err != nil {
		return errors.Join(err, j.abandon(-1))
	}
	return nil
}

// needFile begins a file if there is none. The caller holds mu.
func (j *Journal) needFile() (err error) {
	if j.out == nil {
		j.out, err = j.begin()
	}
	return err
}

// ready fails if a file is needed and cannot be made: what cannot be kept should not
// be begun.
func (j *Journal) ready() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return failed("append", errClosed)
	}
	if err := j.needFile(); err != nil {
		return failed("append", err)
	}
	return nil
}

// append writes frames in one go.
func (o *output) append(batch [][]byte) error {
	var frames []byte
	for i, plain := range batch {
		frames = o.sealer.seal(frames, o.number+uint64(i), plain)
	}
	if _, err := o.file.Write(frames); err != nil {
		return err
	}
	o.number += uint64(len(batch))
	o.size += int64(len(frames))
	o.dirty = true
	return nil
}

// retire ends the file in order.
func (j *Journal) retire() error {
	out := j.out
	j.out = nil
	return errors.Join(out.file.Sync(), out.file.Close())
}

// abandon leaves the file after a failure, cut to the given size if half a frame
// may be behind it. After a failed sync nothing more is asked of the file: what the
// operating system could not write it may have forgotten.
func (j *Journal) abandon(size int64) error {
	out := j.out
	j.out = nil
	var errs []error
	if size >= 0 {
		errs = append(errs, out.file.Truncate(size), out.file.Sync())
	}
	errs = append(errs, out.file.Close())
	if out.number == 0 { // a full disk should not fill with headers
		errs = append(errs, os.Remove(out.name))
	}
	return errors.Join(errs...)
}

// keepSyncing brings to the disk what was written without waiting for it.
func (j *Journal) keepSyncing() {
	defer close(j.stopped)
	t := time.NewTicker(syncEvery)
	defer t.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-t.C:
			if err := j.syncNow(); err != nil {
				j.tell(failed("sync", err))
			}
			j.payDebts()
		}
	}
}

func (j *Journal) tell(err error) {
	if j.config.OnError != nil {
		j.config.OnError(err)
	}
}

// payDebts appends what could not be appended before, as far as there is room now.
func (j *Journal) payDebts() {
	for _, e := range j.debts.list() {
		if j.commits.Do(context.Background(), e.encode()) != nil {
			return
		}
		j.debts.paid(e)
	}
}

// syncNow waits for the disk without holding up those who append.
func (j *Journal) syncNow() error {
	j.mu.Lock()
	out := j.out
	if out == nil || !out.dirty {
		j.mu.Unlock()
		return nil
	}
	out.dirty = false
	j.mu.Unlock()
	err := out.file.Sync()
	if err == nil || errors.Is(err, os.ErrClosed) { // who closes a file syncs it
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.out == out {
		err = errors.Join(err, j.abandon(-1))
	}
	return err
}

// Close ends the file in order. Closing twice is harmless.
func (j *Journal) Close() error {
	j.payDebts()
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	var err error
	if j.out != nil {
		err = j.retire()
	}
	j.mu.Unlock()
	close(j.stop)
	<-j.stopped
	if left := j.debts.count(); left > 0 {
		j.tell(failed("close", fmt.Errorf("%d entries are in the store and could not be appended", left)))
	}
	if err != nil {
		return failed("close", err)
	}
	return nil
}

// failed wraps err in [gateway.ErrStore]: the journal is a part of the store.
func failed(op string, err error) error {
	return fmt.Errorf("%w: journal: %s: %w", gateway.ErrStore, op, err)
}
