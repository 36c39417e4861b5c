package rehearsal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/polyvault/polyvault/gateway"
)

// maxLine bounds a line, in bytes: what is recorded of a request is a few kilobytes.
const maxLine = 1 << 20

// LineError is a line that is no recorded decision.
type LineError struct {
	Line int // from 1
	Err  error
}

// Error implements error.
func (e *LineError) Error() string {
	return fmt.Sprintf("line %d is not a recorded request: %v: remove the line, or record again", e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// Read calls fn for every recorded decision. It fails with a [*LineError] or with fn's
// or r's error. A last line without an end is still being written: it is left out, and
// unfinished is true.
func Read(r io.Reader, fn func(gateway.RecordedDecision) error) (unfinished bool, err error) {
	lines := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return len(line) > 0, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return false, &LineError{n, errors.New("it is longer than 1 MiB")}
		case err != nil:
			return false, err
		}
		d, err := decode(line[:len(line)-1])
		if err != nil {
			return false, &LineError{n, err}
		}
		if err := fn(d); err != nil {
			return false, err
		}
	}
}

func decode(line []byte) (gateway.RecordedDecision, error) {
	var d gateway.RecordedDecision
	if err := json.Unmarshal(line, &d); err != nil {
		return d, err
	}
	if d.Time.IsZero() || d.Tenant == "" || len(d.Sources) == 0 {
		return d, errors.New("it lacks time, tenant or source_types")
	}
	return d, nil
}
