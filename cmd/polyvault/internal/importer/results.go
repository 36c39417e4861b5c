package importer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// The statuses of a line.
const (
	Stored   = "stored"   // the gateway has adopted it now
	Existing = "existing" // the gateway had it already
	Failed   = "failed"
)

// Result is what became of one line. It says where the line is, and not what it holds.
type Result struct {
	Line       int    `json:"line"`
	Status     string `json:"status"`
	Instrument string `json:"instrument_id,omitempty"`
	Code       string `json:"code,omitempty"` // a problem's
	Detail     string `json:"detail,omitempty"`
	Retry      string `json:"retry,omitempty"`  // a problem's; "" if the line was not sent
	Try        int    `json:"try,omitempty"`    // beyond the first, after definitive refusals
	Digest     string `json:"digest,omitempty"` // of the line, to notice a file that was changed
}

// maxResult bounds a line of results, in bytes; a detail is cut long before.
const maxResult = 16 << 10

// earlier reads the results of a run before.
type earlier struct {
	lines *lines
	whole int64 // the offset after the last whole result
	name  string
}

// next returns the next result, and [io.EOF] after the last whole one.
func (e *earlier) next() (Result, error) {
	var r Result
	l, err := e.lines.next()
	switch {
	case errors.Is(err, io.EOF):
		return r, io.EOF
	case err != nil:
		return r, err
	case !l.ended:
		return r, io.EOF // torn
	}
	if err := json.Unmarshal(l.text, &r); err != nil || r.Line <= 0 || r.Status == "" {
		return r, fmt.Errorf("%s: line %d is no result; begin anew with --restart", e.name, l.number)
	}
	e.whole = l.end
	return r, nil
}

// syncEvery is how often results are brought to the disk. A process that is killed
// loses nothing that it wrote; a power cut may lose as much as this, which is sent again.
const syncEvery = 2 * time.Second

// log appends results to a file.
type log struct {
	f      *os.File
	w      *bufio.Writer
	synced time.Time
}

func newLog(f *os.File) *log { return &log{f: f, w: bufio.NewWriterSize(f, 64<<10)} }

func (l *log) add(r Result) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = l.w.Write(append(b, '\n'))
	return err
}

// flush hands what was added to the operating system, and now and then to the disk.
func (l *log) flush() error {
	err := l.w.Flush()
	if now := time.Now(); err == nil && now.Sub(l.synced) >= syncEvery {
		l.synced = now
		err = l.f.Sync()
	}
	return err
}

// end brings everything to the disk.
func (l *log) end() error {
	return errors.Join(l.w.Flush(), l.f.Sync())
}

// openResults opens the results for this run alone.
func openResults(name string, flags int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Clean(name), os.O_RDWR|os.O_CREATE|flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: another import is writing it: %w", name, err)
	}
	return f, nil
}
