package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// sink is where lines go.
type sink interface {
	// write writes all of b, or nothing that a later write does not take off again.
	write(b []byte) error
	sync() error
	// size is that of what has been written to the present file; 0 for an empty one.
	size() int64
	// next begins the next file. If it fails, the present one goes on.
	next(keep int) error
	// moved reports whether what is at the path is another file now, or none.
	moved() bool
	close() error
}

// stream is a sink that has no files: a pipe, a terminal.
type stream struct {
	w     io.Writer
	bytes int64
}

func (s *stream) write(b []byte) error {
	n, err := s.w.Write(b)
	s.bytes += int64(n)
	return err
}

func (s *stream) sync() error    { return nil }
func (s *stream) size() int64    { return s.bytes }
func (s *stream) next(int) error { return nil }
func (s *stream) moved() bool    { return false }
func (s *stream) close() error   { return nil }

// file is a sink with files: path, then path.1, the newest that is full, and so on.
type file struct {
	path  string
	f     *os.File
	bytes int64
	half  bool // something may stand behind bytes
}

// openFile opens the file at path for appending, and locks it.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is being written by another gateway: give each a file of its own: %w", path, err), f.Close())
	}
	if err := f.Chmod(0o600); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s *file) write(b []byte) error {
	if s.half {
		if err := s.f.Truncate(s.bytes); err != nil {
			return err
		}
		s.half = false
	}
	n, err := s.f.Write(b)
	if err != nil {
		s.half = n > 0
		return err
	}
	s.bytes += int64(n)
	return nil
}

func (s *file) sync() error  { return s.f.Sync() }
func (s *file) size() int64  { return s.bytes }
func (s *file) close() error { return errors.Join(s.f.Sync(), s.f.Close()) }

func (s *file) moved() bool {
	there, err := os.Stat(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return true
	}
	own, ownErr := s.f.Stat()
	return err == nil && ownErr == nil && !os.SameFile(there, own)
}

func (s *file) next(keep int) error {
	if err := s.f.Sync(); err != nil {
		return err
	}
	if !s.moved() {
		if err := s.shift(); err != nil {
			return err
		}
	}
	f, err := openFile(s.path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		err = fmt.Errorf("%s is a file of somebody else: move it away", s.path)
	}
	if err == nil {
		err = syncFolder(s.path)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	old := s.f
	s.f, s.bytes, s.half = f, 0, false
	return errors.Join(old.Close(), s.forget(keep))
}

func (s *file) numbered(n int) string { return s.path + "." + strconv.Itoa(n) }

// full counts the numbered files, up to the first that is missing.
func (s *file) full() int {
	n := 0
	for {
		if _, err := os.Lstat(s.numbered(n + 1)); err != nil {
			return n
		}
		n++
	}
}

// shift renames path to path.1, and before it path.1 to path.2 and so on. Whatever of it
// is left undone by a crash, the names stay in order.
func (s *file) shift() error {
	for n := s.full(); n > 0; n-- {
		if err := os.Rename(s.numbered(n), s.numbered(n+1)); err != nil {
			return err
		}
	}
	return os.Rename(s.path, s.numbered(1))
}

// forget removes the oldest files, so that at most keep full ones stay; 0 keeps all.
func (s *file) forget(keep int) error {
	if keep <= 0 {
		return nil
	}
	for n := s.full(); n > keep; n-- {
		if err := os.Remove(s.numbered(n)); err != nil {
			return err
		}
	}
	return nil
}
