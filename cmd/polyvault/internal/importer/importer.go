package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/polyvault/polyvault/gateway/client"
)

// Gateway is what is asked of a gateway; a [*client.Client] that does not retry by itself is one.
type Gateway interface {
	Import(ctx context.Context, items []client.ImportItem) (client.BulkResult, error)
}

// Options say what is imported, and how.
type Options struct {
	File        string        // JSON lines, or CSV
	CSV         bool          // the format of File
	Results     string        // a result a line, in their order; written by one import at a time
	Provider    string        // of lines that name none; "" makes such lines fail
	Concurrency int           // requests at a time, 1 or more
	Patience    time.Duration // how long what may pass is waited for: a gateway or a provider that is down
	Restart     bool          // forgets the results of earlier runs
	RetryFailed bool          // sends lines again that failed in an earlier run

	Gateway  Gateway
	Progress func(bytes int64)       // how far of File there are results; nil for none
	Notice   func(waitingFor string) // called while there is nothing to do but to wait; may be nil
}

// Summary is what became of the lines that have a result.
type Summary struct {
	Stored, Existing, Failed int            // in all runs together
	Earlier                  int            // how many of them an earlier run had done
	LastLine                 int            // the last line that has a result; 0 for none
	Codes                    map[string]int // of the failed lines
}

// Lines is how many lines have a result.
func (s Summary) Lines() int { return s.Stored + s.Existing + s.Failed }

// ErrInterrupted says that the import was asked to stop: what was under way has ended.
var ErrInterrupted = errors.New("interrupted")

// ErrChanged says that the file is not the one whose first lines were imported.
var ErrChanged = errors.New("is not what was imported before")

// Run imports the file, or goes on where an earlier run ended. The summary counts
// what was done, also beside an error. After [ErrInterrupted], and after an error of
// the gateway, another run goes on.
func Run(ctx context.Context, o Options) (Summary, error) {
	in, err := os.Open(filepath.Clean(o.File))
	if err != nil {
		return Summary{}, err
	}
	defer func() { _ = in.Close() }() // it was only read
	flags := 0
	if o.Restart {
		flags = os.O_TRUNC
	}
	results, err := openResults(o.Results, 0)
	if err != nil {
		return Summary{}, err
	}
	if flags != 0 {
		err = results.Truncate(0)
	}
	r := newRun(ctx, o, in, results)
	if err == nil {
		err = r.do()
	}
	return r.summary, errors.Join(err, r.close())
}

// run is one run of an import.
type run struct {
	Options
	ctx     context.Context //nolint:containedctx // it is this run's, and no longer
	stop    context.CancelCauseFunc
	in      *lines
	parser  parser
	results *os.File // as the run before has left them
	fresh   *os.File // with failed lines tried again, until it takes the place of results; nil without
	earlier *earlier
	log     *log
	down    down
	window  chan *batch // in the order of the lines
	work    chan *batch
	summary Summary
}

func newRun(ctx context.Context, o Options, in io.Reader, results *os.File) *run {
	r := &run{
		Options: o, in: newLines(in, maxLine), parser: parser{provider: o.Provider, csv: o.CSV}, results: results,
		earlier: &earlier{lines: newLines(results, maxResult), name: o.Results},
		window:  make(chan *batch, 2*o.Concurrency), work: make(chan *batch), summary: Summary{Codes: map[string]int{}},
	}
	r.ctx, r.stop = context.WithCancelCause(ctx)
	return r
}

func (r *run) do() error {
	defer r.stop(nil)
	first, err := r.nextLine()
	switch {
	case errors.Is(err, io.EOF):
		return r.nothing()
	case err != nil:
		return err
	case r.CSV:
		if err := r.parser.readHeader(first); err != nil {
			return fmt.Errorf("%s: %w", r.File, err)
		}
		if first, err = r.nextLine(); errors.Is(err, io.EOF) {
			return r.nothing()
		}
		if err != nil {
			return err
		}
	}
	if r.RetryFailed {
		if r.fresh, err = openResults(r.Results+".new", 0); err == nil {
			err = r.fresh.Truncate(0)
		}
		if err != nil {
			return err
		}
		r.log = newLog(r.fresh)
	}
	return r.pump(first)
}

// nothing ends an import of a file in which there is no line to import.
func (r *run) nothing() error {
	if _, err := r.earlier.next(); err == nil {
		return fmt.Errorf("%s %w: it is empty; begin anew with --restart", r.File, ErrChanged)
	}
	return nil
}

// nextLine is the next line that is not blank.
func (r *run) nextLine() (line, error) {
	for {
		l, err := r.in.next()
		if err != nil || !l.blank() {
			return l, err
		}
	}
}

// close gives the files back.
func (r *run) close() error {
	var err error
	if r.fresh != nil {
		err = r.fresh.Close()
	}
	return errors.Join(err, r.results.Close())
}
