package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// maxLine is how long a line may be, in bytes.
const maxLine = 1 << 20

// maxTorn is how much of a file's end a crash may have spoilt, in bytes: more than is
// ever written between two times that the disk has confirmed.
const maxTorn = 16 << 20

// found is where a chain ends in a file.
type found struct {
	chain string
	seq   uint64
	head  digest
	end   int64 // of the newest entry that is whole
	size  int64 // of the file: what is behind end is torn
}

// errNoEntry is a file in which a crash left no whole entry.
var errNoEntry = errors.New("it holds no whole entry")

// findEnd finds where a file's chain ends: at the last line whose hash fits. It does not
// look at what is before that line: `polyvault audit verify` does.
func findEnd(f *os.File, keys Keys) (found, error) {
	info, err := f.Stat()
	if err != nil {
		return found{}, err
	}
	out := found{size: info.Size()}
	first := make([]byte, min(out.size, maxLine))
	if _, err := f.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return out, err
	}
	text, _, whole := bytes.Cut(first, []byte("\n"))
	if !whole {
		if out.size >= maxLine {
			return out, errors.New("it is no audit log")
		}
		return out, errNoEntry
	}
	l, err := parse(text)
	if err != nil || l.Action != actionFile {
		return out, errors.New("its first line is not one of an audit log")
	}
	out.chain = l.Chain
	hashers, err := hashersOf(keys, l.Chain)
	if err != nil {
		return out, err
	}
	return out, out.lookBack(f, hashers)
}

func hashersOf(keys Keys, chain string) ([]hasher, error) {
	var out []hasher
	for _, key := range keys {
		h, err := newHasher(key, chain)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// lookBack looks for the last line whose hash fits, from the end on.
func (o *found) lookBack(f *os.File, hashers []hasher) error {
	start := max(0, o.size-maxTorn)
	part := make([]byte, o.size-start)
	if _, err := f.ReadAt(part, start); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for end := bytes.LastIndexByte(part, '\n'); end >= 0; {
		begin := bytes.LastIndexByte(part[:end], '\n') + 1
		// What a crash leaves has not the form of an entry. What has, and does not fit,
		// was changed, or is under another key: that is for somebody to look at.
		body, _, own, isEntry := split(part[begin:end])
		l, err := parse(part[begin:end])
		switch {
		case !isEntry || err != nil:
			end = begin - 1
			continue
		case !fits(hashers, body, own):
			return errors.New("its last entry does not fit its hash: the file was changed, or written under a reference key that keys.reference does not have any more")
		}
		o.seq, o.head, o.end = l.Seq, own, start+int64(end)+1
		return nil
	}
	return errors.New("it does not end with an entry")
}

func fits(hashers []hasher, body []byte, own digest) bool {
	for _, h := range hashers {
		if h.sum(body) == own {
			return true
		}
	}
	return false
}

// cutOff moves what is behind the newest whole entry into a file of its own, whose name
// it returns; "" if there was nothing.
func (o *found) cutOff(f *os.File, path string, now time.Time) (name string, err error) {
	if o.end == o.size {
		return "", nil
	}
	name = path + ".torn-" + now.UTC().Format("20060102T150405.000000000Z")
	torn, err := os.OpenFile(filepath.Clean(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("what a crash left cannot be put aside: %w", err)
	}
	_, err = io.Copy(torn, io.NewSectionReader(f, o.end, o.size-o.end))
	err = errors.Join(err, torn.Sync(), torn.Close())
	if err == nil {
		err = syncFolder(path)
	}
	if err != nil {
		return "", fmt.Errorf("what a crash left cannot be put aside: %w", err)
	}
	return name, errors.Join(f.Truncate(o.end), f.Sync())
}

// syncFolder makes the names in a file's folder durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
