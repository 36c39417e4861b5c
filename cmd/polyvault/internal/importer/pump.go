package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

const (
	maxItems = 100       // of a request of the API
	maxBytes = 900 << 10 // of the items of a request, which may have 1 MiB
	maxSlots = 1000      // of a batch, with what is only copied
)

// batch is what goes through the window as one: lines that are sent in one request,
// and lines between them whose result is known.
type batch struct {
	slots    []slot
	toSend   int
	bytes    int
	keys     map[string]bool
	end      int64         // the offset in the file after its last line
	done     chan struct{} // closed when the slots have their results
	takeOver bool          // the results are complete up to where the run before came
}

// slot is one line's place in a batch.
type slot struct {
	result Result
	entry  entry
	key    string
	send   bool    // it has no result yet
	before *Result // what stays true if it gets none
}

// size is how many bytes of a request the slot's item takes: more than its line, since
// it is written anew.
func (s slot) size() int {
	b, err := json.Marshal(s.item())
	if err != nil {
		return maxBytes // texts only: it cannot fail
	}
	return len(b) + 1
}

func newBatch() *batch { return &batch{keys: map[string]bool{}, done: make(chan struct{})} }

// pump brings lines to the senders and their results into the log, in bounded memory:
// at most so many batches are under way as the window holds.
func (r *run) pump(first line) error {
	var group sync.WaitGroup
	for range r.Concurrency {
		group.Go(func() {
			for b := range r.work {
				r.send(b)
				close(b.done)
			}
		})
	}
	produced := make(chan error, 1)
	go func() {
		err := r.produce(first)
		if err != nil {
			r.stop(err)
		}
		close(r.work)
		close(r.window)
		produced <- err
	}()
	whole, err := r.write()
	group.Wait()
	produceErr := <-produced
	switch cause := context.Cause(r.ctx); {
	case err != nil:
		return err
	case produceErr != nil:
		return produceErr
	case whole && cause == nil:
		return nil
	case errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) || cause == nil:
		return ErrInterrupted
	default:
		return cause
	}
}

// produce goes through what was done before, and then through the rest.
func (r *run) produce(next line) error {
	b := newBatch()
	next, more, err := r.past(&b, next)
	if err != nil {
		return err
	}
	if r.RetryFailed {
		r.pass(&b)
		b.takeOver = true
		r.pass(&b)
	}
	for more && r.ctx.Err() == nil {
		r.add(&b, next, nil)
		next, err = r.nextLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	r.pass(&b)
	return nil
}

// past goes through the lines that have a result, to the first that has none; more is
// false if every line has one. Failed lines are sent again if that is asked for.
func (r *run) past(b **batch, next line) (_ line, more bool, err error) {
	for {
		had, err := r.earlier.next()
		if errors.Is(err, io.EOF) {
			return next, true, r.goOn()
		}
		if err != nil {
			return next, false, err
		}
		if had.Line != next.number || had.Digest != r.parser.digest(next) {
			return next, false, fmt.Errorf("%s %w: line %d differs; to import it as a new file use --restart, which is safe: nothing is stored twice",
				r.File, ErrChanged, next.number)
		}
		r.summary.Earlier++
		switch {
		case !r.RetryFailed:
			r.summary.count(had)
		case had.Status == Failed && r.ctx.Err() == nil:
			r.add(b, next, &had)
		default:
			(*b).slots, (*b).end = append((*b).slots, slot{result: had}), next.end
		}
		if len((*b).slots) >= maxSlots {
			r.pass(b)
		}
		next, err = r.nextLine()
		if errors.Is(err, io.EOF) {
			if _, err := r.earlier.next(); err == nil {
				return next, false, fmt.Errorf("%s %w: it is shorter; begin anew with --restart", r.File, ErrChanged)
			}
			return next, false, r.goOn()
		}
		if err != nil {
			return next, false, err
		}
	}
}

// goOn makes the results of the run before ready for what follows: a torn last line is dropped.
func (r *run) goOn() error {
	if r.RetryFailed {
		return nil
	}
	if err := r.results.Truncate(r.earlier.whole); err != nil {
		return err
	}
	if _, err := r.results.Seek(r.earlier.whole, io.SeekStart); err != nil {
		return err
	}
	return nil
}

// add puts a line into the batch, which is passed on when it is full.
func (r *run) add(b **batch, l line, before *Result) {
	s := slot{result: Result{Line: l.number, Digest: r.parser.digest(l)}, before: before}
	if before != nil {
		s.result.Try = before.Try
		if before.Retry == retryNever {
			s.result.Try = max(1, before.Try) + 1
		}
	}
	e, err := r.parser.parse(l)
	if wrong, ok := errors.AsType[*broken](err); ok {
		s.result.Status, s.result.Code, s.result.Detail = Failed, wrong.code, wrong.detail
		(*b).slots, (*b).end = append((*b).slots, s), l.end
		return
	}
	s.entry, s.key, s.send = e, e.key(s.result.Try), true
	size := s.size()
	full := (*b).toSend == maxItems || (*b).toSend > 0 && (*b).bytes+size > maxBytes
	if full || (*b).keys[s.key] || len((*b).slots) >= maxSlots {
		r.pass(b)
	}
	(*b).slots, (*b).end = append((*b).slots, s), l.end
	(*b).toSend, (*b).bytes, (*b).keys[s.key] = (*b).toSend+1, (*b).bytes+size, true
}

// pass hands the batch on and begins another one.
func (r *run) pass(b **batch) {
	full := *b
	if len(full.slots) == 0 && !full.takeOver {
		return
	}
	*b = newBatch()
	r.window <- full
	if full.toSend == 0 {
		close(full.done)
		return
	}
	r.work <- full
}

// write writes the results in the order of the lines, and reports whether there was one
// for every line that was read. It takes every batch, so that nobody waits for it in vain.
func (r *run) write() (whole bool, err error) {
	if r.log == nil {
		r.log = newLog(r.results)
	}
	whole = true
	for b := range r.window {
		<-b.done
		switch {
		case !whole || err != nil: // what comes after a gap is sent again by the next run
		case b.takeOver:
			err = r.takeOver()
		default:
			whole, err = r.writeBatch(b)
		}
		if err != nil {
			r.stop(err)
		}
	}
	return whole, errors.Join(err, r.log.end())
}

func (r *run) writeBatch(b *batch) (whole bool, err error) {
	for _, s := range b.slots {
		if s.send && s.before == nil {
			return false, r.log.flush()
		}
		if s.send {
			s.result = *s.before
		}
		if err := r.log.add(s.result); err != nil {
			return false, err
		}
		r.summary.count(s.result)
	}
	if r.Progress != nil {
		r.Progress(b.end)
	}
	return true, r.log.flush()
}

// takeOver puts the results with the failed lines tried again in the place of the old ones.
func (r *run) takeOver() error {
	if err := r.log.end(); err != nil {
		return err
	}
	return os.Rename(r.Results+".new", r.Results)
}

func (s *Summary) count(res Result) {
	s.LastLine = res.Line
	switch res.Status {
	case Stored:
		s.Stored++
	case Existing:
		s.Existing++
	default:
		s.Failed++
		s.Codes[res.Code]++
	}
}
