// Package rehearsal records what the routes decide, and shows what other routes would
// have decided over the same requests.
package rehearsal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/gateway"
)

// Config is where decisions are recorded.
type Config struct {
	Path     string
	MaxBytes int64       // how large the file may be before it becomes Path.1, which is replaced; default 64 MiB
	Log      *zap.Logger // default none
}

const (
	// waiting is how many decisions may wait to be written. More are dropped.
	waiting = 1024
	// toldEvery is how often the log says what was dropped.
	toldEvery = time.Minute
)

// File is a [gateway.Recorder] that appends a line of JSON for each decision. It never
// delays a create and never fails one: what cannot be written is dropped, and counted.
// Each gateway needs a file of its own.
type File struct {
	config  Config
	queue   chan gateway.RecordedDecision
	dropped atomic.Int64
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once

	// What follows is the writer's own.
	file *os.File
	size int64
	why  error // of the last that was dropped for an error; nil if none was since it was told
	end  error // of closing
}

var _ gateway.Recorder = (*File)(nil)

// Open opens the file, which only its owner may read, and begins to write. Close ends it.
func Open(c Config) (*File, error) {
	f, err := prepare(c)
	if err != nil {
		return nil, err
	}
	go f.write()
	return f, nil
}

func prepare(c Config) (*File, error) {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 64 << 20
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	f := &File{
		config: c, queue: make(chan gateway.RecordedDecision, waiting),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("decisions cannot be recorded: %w", err)
	}
	return f, nil
}

// Record implements [gateway.Recorder].
func (f *File) Record(d gateway.RecordedDecision) {
	select {
	case f.queue <- d:
	default:
		f.dropped.Add(1)
	}
}

// Close writes what waits, and ends. What is recorded afterwards is lost.
func (f *File) Close() error {
	f.once.Do(func() { close(f.stop) })
	<-f.stopped
	return f.end
}

// write is the only one that writes to the file.
func (f *File) write() {
	defer close(f.stopped)
	told := time.NewTicker(toldEvery)
	defer told.Stop()
	for {
		select {
		case d := <-f.queue:
			f.append(d)
		case <-told.C:
			f.tell()
		case <-f.stop:
			for len(f.queue) > 0 {
				f.append(<-f.queue)
			}
			f.tell()
			if f.file != nil {
				f.end = f.file.Close()
			}
			return
		}
	}
}

// append writes a decision and all that wait behind it, with one call.
func (f *File) append(d gateway.RecordedDecision) {
	var lines bytes.Buffer
	count := int64(0)
	for {
		line, err := json.Marshal(d)
		if err != nil {
			f.why = err
			f.dropped.Add(1)
		} else {
			lines.Write(append(line, '\n'))
			count++
		}
		if len(f.queue) == 0 || int64(lines.Len()) > min(256<<10, f.config.MaxBytes/4) {
			break
		}
		d = <-f.queue
	}
	if err := f.put(lines.Bytes()); err != nil {
		f.why = err
		f.dropped.Add(count)
	}
}

func (f *File) put(lines []byte) error {
	if f.file != nil && f.size > 0 && f.size+int64(len(lines)) > f.config.MaxBytes {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	n, err := f.file.Write(lines)
	f.size += int64(n)
	if err != nil {
		// It may have written half a line: opening it again takes that off.
		err = errors.Join(err, f.file.Close())
		f.file = nil
	}
	return err
}

func (f *File) rotate() error {
	err := f.file.Close()
	f.file = nil
	return errors.Join(err, os.Rename(f.config.Path, f.config.Path+".1"))
}

// open opens the file for appending. A line that a gateway did not finish when it died
// is taken off.
func (f *File) open() error {
	file, err := os.OpenFile(filepath.Clean(f.config.Path), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	err = file.Chmod(0o600)
	if err == nil {
		f.size, err = endOfLastLine(file)
	}
	if err == nil {
		err = file.Truncate(f.size)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file = file
	return nil
}

// endOfLastLine is how much of a file is whole lines, in bytes.
func endOfLastLine(file *os.File) (int64, error) {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	for end > 0 {
		part := make([]byte, min(end, 64<<10))
		if _, err := file.ReadAt(part, end-int64(len(part))); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return end - int64(len(part)) + int64(i) + 1, nil
		}
		end -= int64(len(part))
	}
	return 0, nil
}

// tell logs what was dropped since it last did.
func (f *File) tell() {
	if n := f.dropped.Swap(0); n > 0 {
		f.config.Log.Warn("decisions of routes were not recorded", zap.Int64("dropped", n), zap.String("path", f.config.Path), zap.NamedError("last_error", f.why))
		f.why = nil
	}
}
