package importer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds a line of the file, in bytes: a request of the API has as many.
const maxLine = 64 << 10

// line is one line of a file, without its end.
type line struct {
	number  int
	text    []byte // valid until the next one is read; nil if it is too long
	end     int64  // the offset after it, in bytes
	ended   bool   // it has a line end: the last one may have none
	tooLong bool
}

// lines reads a file line by line in bounded memory. Lines end with LF or CRLF.
type lines struct {
	r      *bufio.Reader
	number int
	offset int64
	limit  int
}

func newLines(r io.Reader, limit int) *lines {
	return &lines{r: bufio.NewReaderSize(r, limit+2), limit: limit}
}

// next returns the next line, and [io.EOF] after the last one.
func (l *lines) next() (line, error) {
	text, err := l.r.ReadSlice('\n')
	out := line{number: l.number + 1}
	l.offset += int64(len(text))
	for errors.Is(err, bufio.ErrBufferFull) {
		out.tooLong = true
		text, err = l.r.ReadSlice('\n')
		l.offset += int64(len(text))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return out, err
	}
	if err != nil && len(text) == 0 && !out.tooLong {
		return out, io.EOF
	}
	l.number++
	out.end = l.offset
	text, out.ended = bytes.CutSuffix(text, []byte("\n"))
	text = bytes.TrimSuffix(text, []byte("\r"))
	if out.tooLong = out.tooLong || len(text) > l.limit; !out.tooLong {
		out.text = text
	}
	if out.number == 1 {
		out.text = bytes.TrimPrefix(out.text, []byte("\ufeff"))
	}
	return out, nil
}

// blank reports whether there is nothing in the line: such a line is no entry.
func (l line) blank() bool { return !l.tooLong && len(bytes.TrimSpace(l.text)) == 0 }
