package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/polyvault/polyvault/gateway"
)

var (
	// ErrDamaged is a file that is not as it was written.
	ErrDamaged = errors.New("the file is damaged")
	// ErrNotOurs is a file of another kind, or of a release that is too new.
	ErrNotOurs = errors.New("not a journal or backup that this release can read")
	// ErrNoKey is a file under a reference key that is not at hand.
	ErrNoKey = errors.New("the reference key of the file is missing")
)

// Contents says what a file held.
type Contents struct {
	Kind    Kind
	KeyID   string
	Entries uint64
	Bytes   int64 // that were read and are good
	Torn    int64 // bytes at the end of a journal that are no whole frame: its process died
}

// Read calls fn with every entry of a file, in the order in which they were
// written. A journal may end torn; all other damage is an error that says where,
// after fn was called with what is before it.
func Read(r io.Reader, keys gateway.Keys, fn func(Entry) error) (Contents, error) {
	in := &reader{r: bufio.NewReaderSize(r, frameHead+maxSealed)}
	if err := in.head(keys); err != nil {
		return in.contents, err
	}
	for {
		plain, err := in.frame()
		if err != nil || plain == nil {
			return in.contents, err
		}
		if count, end := decodeEnd(plain); end && in.contents.Kind == KindBackup {
			return in.contents, in.end(count)
		}
		e, err := decodeEntry(plain)
		if err != nil || plain[0] != frameEntry {
			return in.contents, fmt.Errorf("%w: frame %d holds no entry", ErrNotOurs, in.number-1)
		}
		if err := fn(e); err != nil {
			return in.contents, err
		}
		in.contents.Entries++
	}
}

type reader struct {
	r        *bufio.Reader
	sealer   *sealer
	number   uint64 // of the next frame
	contents Contents
}

// damaged is an error at the place up to which the file is good.
func (r *reader) damaged(format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrDamaged, r.contents.Bytes, fmt.Sprintf(format, args...))
}

func (r *reader) take(n int) {
	_, _ = r.r.Discard(n) // it was peeked at: it cannot fail
	r.contents.Bytes += int64(n)
}

// head reads the header and finds its key.
func (r *reader) head(keys gateway.Keys) error {
	b, err := r.r.Peek(fixedHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.HasPrefix(b, []byte(magic)) || len(b) < fixedHead {
		return fmt.Errorf("%w: it does not begin like one", ErrNotOurs)
	}
	h := header{kind: Kind(b[len(magic)+1])}
	if v := b[len(magic)]; v != version || h.kind != KindJournal && h.kind != KindBackup {
		return fmt.Errorf("%w: format %d, kind %q", ErrNotOurs, v, byte(h.kind))
	}
	copy(h.fileID[:], b[len(magic)+2:])
	size := fixedHead + int(b[fixedHead-1]) + checkSize
	if b, err = r.r.Peek(size); err != nil {
		return r.damaged("the header is cut off")
	}
	h.keyID = string(b[fixedHead : size-checkSize])
	r.contents.Kind, r.contents.KeyID = h.kind, h.keyID
	for _, key := range keys {
		if key.ID != h.keyID {
			continue
		}
		if r.sealer, err = newSealer(h, key); err != nil {
			return err
		}
		if !bytes.Equal(b, r.sealer.head) {
			return fmt.Errorf("%w, or its header is damaged: the key %q of the configuration is another than the file's", ErrNoKey, h.keyID)
		}
		r.take(size)
		return nil
	}
	return fmt.Errorf("%w: it is %q, and the configuration has %s: add it to keys.reference", ErrNoKey, h.keyID, names(keys))
}

func names(keys gateway.Keys) string {
	var out []string
	for _, k := range keys {
		out = append(out, fmt.Sprintf("%q", k.ID))
	}
	return strings.Join(out, ", ")
}

// frame returns the next frame's plaintext, nil at the end of a journal.
func (r *reader) frame() ([]byte, error) {
	head, err := r.r.Peek(frameHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(head) == 0 {
		if r.contents.Kind == KindBackup {
			return nil, r.damaged("the backup is cut off, its end is missing")
		}
		return nil, nil
	}
	plain, number, size, err := r.next()
	if err != nil {
		return nil, err
	}
	if plain == nil || number != r.number {
		return nil, r.broken()
	}
	r.take(size)
	r.number++
	return plain, nil
}

// next looks at the frame that begins here: what is in it, nil if it is not good,
// its number and its size.
func (r *reader) next() (plain []byte, number uint64, size int, err error) {
	b, err := r.r.Peek(frameHead)
	if err != nil {
		return nil, 0, 0, notEOF(err)
	}
	length, number, ok := r.sealer.parseHead(b)
	if !ok {
		return nil, 0, 0, nil
	}
	b, err = r.r.Peek(frameHead + length)
	if err != nil {
		return nil, 0, 0, notEOF(err)
	}
	plain, openErr := r.sealer.open(number, b[frameHead:])
	if openErr != nil {
		return nil, 0, 0, nil //nolint:nilerr // not good, which is the answer
	}
	return plain, number, frameHead + length, nil
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// broken finds out what is wrong here. With a good frame here or anywhere behind,
// the file was damaged; with none, a journal's process died while it wrote.
func (r *reader) broken() error {
	if r.contents.Kind == KindBackup {
		return r.damaged("frame %d cannot be read", r.number)
	}
	for at := r.contents.Bytes; ; at++ {
		plain, number, _, err := r.next()
		if err != nil {
			return err
		}
		if plain != nil {
			return r.damaged("frame %d cannot be read there, but frame %d can at byte %d", r.number, number, at)
		}
		if n, err := r.r.Discard(1); n == 0 {
			r.contents.Torn = at - r.contents.Bytes
			return notEOF(err)
		}
	}
}

// end checks a backup's last frame and that nothing follows.
func (r *reader) end(count uint64) error {
	if count != r.contents.Entries {
		return r.damaged("%d entries are in it, and %d were written", r.contents.Entries, count)
	}
	if rest, err := r.r.Peek(1); len(rest) > 0 {
		return r.damaged("something follows the end")
	} else if err != nil {
		return notEOF(err)
	}
	return nil
}
