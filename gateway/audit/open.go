package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.uber.org/zap"
)

// begin opens the sink, and the chain that goes on in it. notes are what has to be told
// in the log itself of how it was found.
func begin(c Config) (out sink, ch *chain, notes []Entry, err error) {
	if c.Out != nil {
		ch, err = newChain(c.Gateway, c.Keys[0])
		return &stream{w: c.Out}, ch, nil, err
	}
	f, err := openFile(c.Path)
	if err != nil {
		return nil, nil, nil, err
	}
	s := &file{path: c.Path, f: f}
	ch, notes, err = s.resume(c)
	if err != nil {
		return nil, nil, nil, errors.Join(err, f.Close())
	}
	return s, ch, notes, nil
}

// resume finds the chain that goes on in the file, or, if it is empty, in the one before.
func (s *file) resume(c Config) (*chain, []Entry, error) {
	at, notes, err := findAndCut(s.f, c)
	if err == nil {
		s.bytes = at.end
		ch, err := at.goOn(c)
		return ch, notes, err
	}
	if !errors.Is(err, errNoEntry) {
		return nil, nil, fmt.Errorf("%s: %w. Check it with polyvault audit verify, move it away and start again", c.Path, err)
	}
	before, err := os.OpenFile(filepath.Clean(s.numbered(1)), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		ch, err := newChain(c.Gateway, c.Keys[0])
		return ch, notes, err
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = before.Close() }()
	before1 := c
	before1.Path = s.numbered(1)
	at, more, err := findAndCut(before, before1)
	if err != nil {
		c.Log.Error("the audit log begins a new chain: the file before cannot be gone on from", zap.String("path", before1.Path), zap.Error(err))
		ch, err := newChain(c.Gateway, c.Keys[0])
		return ch, notes, err
	}
	ch, err := at.goOn(c)
	return ch, append(notes, more...), err
}

// findAndCut finds where the chain ends, and puts aside what a crash left behind it.
func findAndCut(f *os.File, c Config) (at found, notes []Entry, err error) {
	at, err = findEnd(f, c.Keys)
	if err != nil && !errors.Is(err, errNoEntry) {
		return at, nil, err
	}
	name, cutErr := at.cutOff(f, c.Path, c.Now())
	if cutErr != nil {
		return at, nil, cutErr
	}
	if name != "" {
		torn := at.size - at.end
		c.Log.Warn("the audit log's end was torn by a crash: what was left of it was put aside",
			zap.String("path", c.Path), zap.String("put_into", name), zap.Int64("bytes", torn))
		notes = append(notes, Entry{Action: actionTorn, Count: uint64(torn), Detail: filepath.Base(name)}) //nolint:gosec // not negative
	}
	return at, notes, err
}

// goOn makes the chain that follows what was found. It is under the current key, whatever
// key it was under before: an entry says so.
func (o *found) goOn(c Config) (*chain, error) {
	ch := &chain{id: o.chain, gateway: c.Gateway, seq: o.seq, head: o.head}
	return ch, ch.use(c.Keys[0])
}
