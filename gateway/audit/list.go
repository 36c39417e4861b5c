package audit

import (
	"errors"
	"iter"
	"slices"
	"time"
)

// Record is an entry as it was read.
type Record struct {
	Entry
	Seq     uint64
	Gateway string
	Line    []byte // as it stands in the file
}

// Query says which entries are wanted. What is zero matches everything.
type Query struct {
	Instrument, Tenant, APIKey, Action, Code, RequestID string
	// Customer is any of the names that a customer may have in the log, see [Key.CustomerName].
	Customer []string
	Since    time.Time // from then on
	Until    time.Time // before then
}

func (q Query) matches(e *Entry) bool {
	return (q.Instrument == "" || e.Instrument == q.Instrument || e.Operation == q.Instrument || slices.Contains(e.Instruments, q.Instrument)) &&
		(q.Tenant == "" || e.Tenant == q.Tenant) &&
		(q.APIKey == "" || e.APIKey == q.APIKey) &&
		(q.Action == "" || e.Action == q.Action) &&
		(q.Code == "" || e.Code == q.Code) &&
		(q.RequestID == "" || e.RequestID == q.RequestID) &&
		(len(q.Customer) == 0 || slices.Contains(q.Customer, e.Customer)) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) &&
		(q.Until.IsZero() || e.Time.Before(q.Until))
}

// List yields the entries that match, of all files in the order of their times. It holds
// one line of each file at a time. It does not check the chains, and skips what is no
// entry. The error is one of reading.
func List(files []Source, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var open []*reading
		defer func() {
			for _, r := range open {
				r.stop()
			}
		}()
		for _, f := range files {
			r := &reading{}
			r.next, r.stop = iter.Pull2(records(f, q))
			open = append(open, r)
			r.step()
		}
		for {
			var first *reading
			for _, r := range open {
				if r.err != nil {
					yield(Record{}, r.err)
					return
				}
				if r.there && (first == nil || r.record.Time.Before(first.record.Time)) {
					first = r
				}
			}
			if first == nil || !yield(first.record, nil) {
				return
			}
			first.step()
		}
	}
}

// reading is a file that is being read.
type reading struct {
	next   func() (Record, error, bool)
	stop   func()
	record Record
	err    error
	there  bool
}

func (r *reading) step() { r.record, r.err, r.there = r.next() }

func records(f Source, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for text, err := range lines(f) {
			if err != nil {
				if !errors.Is(err, errNoEnd) && !errors.Is(err, errTooLong) {
					yield(Record{}, err)
				}
				return
			}
			if _, _, _, ok := split(text); !ok {
				continue
			}
			l, err := parse(text)
			if err != nil || !q.matches(&l.Entry) {
				continue
			}
			if !yield(Record{Entry: l.Entry, Seq: l.Seq, Gateway: l.Gateway, Line: slices.Clone(text)}, nil) {
				return
			}
		}
	}
}
