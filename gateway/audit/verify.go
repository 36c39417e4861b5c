package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Source is a file to be read.
type Source struct {
	Name string
	Open func() (io.ReadCloser, error)
}

// Fault is the first thing that is wrong with a chain.
type Fault struct {
	File string
	Line int // from 1
	What string
}

// Error implements error.
func (f *Fault) Error() string { return fmt.Sprintf("%s, line %d: %s", f.File, f.Line, f.What) }

// ChainReport is what was found of one chain.
type ChainReport struct {
	Chain    string
	Gateways []string // the processes that wrote it, in their order
	// First and Last are the numbers of its entries here.
	First, Last uint64
	Entries     uint64
	Begin, End  time.Time
	Head        string // the hash of the last entry
	Fault       *Fault // nil if there is none; what follows it was not looked at
}

// Report is what was found in files.
type Report struct {
	Chains []*ChainReport
	// Faults are those of the chains, and of lines that belong to none.
	Faults []*Fault
	// Heads tells of the heads that were asked for which entry has them; 0 for none.
	Heads map[string]uint64
}

// Verify checks the chains in files, which may be given in any order. Without keys it
// only checks that the lines are linked: whoever rewrote them all is not found then.
// heads are hashes that must be there. The error is one of reading.
func Verify(files []Source, keys Keys, heads ...string) (Report, error) {
	v := &verifier{keys: keys, chains: map[string]*progress{}, heads: map[string]uint64{}}
	for _, h := range heads {
		v.heads[h] = 0
	}
	ordered, err := inOrder(files)
	if err != nil {
		return Report{}, err
	}
	for _, f := range ordered {
		if err := v.file(f); err != nil {
			return Report{}, err
		}
	}
	return Report{Chains: v.order, Faults: v.faults, Heads: v.heads}, nil
}

// inOrder sorts files by what their first lines say of chain and number. What they say
// is checked later.
func inOrder(files []Source) ([]Source, error) {
	type place struct {
		Source
		chain string
		seq   uint64
	}
	var places []place
	for _, f := range files {
		p := place{Source: f}
		for text, err := range lines(f) {
			if err != nil && !errors.Is(err, errNoEnd) {
				return nil, err
			}
			if l, err := parse(text); err == nil {
				p.chain, p.seq = l.Chain, l.Seq
			}
			break
		}
		places = append(places, p)
	}
	slices.SortStableFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.chain, b.chain), cmp.Compare(a.seq, b.seq))
	})
	out := make([]Source, len(places))
	for i, p := range places {
		out[i] = p.Source
	}
	return out, nil
}

// verifier checks chains, line by line.
type verifier struct {
	keys   Keys
	chains map[string]*progress
	order  []*ChainReport
	faults []*Fault
	heads  map[string]uint64
}

// progress is how far a chain has been checked.
type progress struct {
	*ChainReport
	hasher hasher
	head   digest
}

// file checks a file up to its first fault: what follows that cannot be trusted to belong
// where it stands.
func (v *verifier) file(f Source) error {
	var p *progress
	number := 0
	for text, err := range lines(f) {
		number++
		if err != nil && !errors.Is(err, errNoEnd) && !errors.Is(err, errTooLong) {
			return err
		}
		what := ""
		if err != nil {
			what = err.Error()
		} else {
			p, what = v.line(p, text)
		}
		if what == "" {
			continue
		}
		fault := &Fault{File: f.Name, Line: number, What: what}
		if p != nil && p.Fault == nil {
			p.Fault = fault
		}
		v.faults = append(v.faults, fault)
		return nil
	}
	if number == 0 {
		v.faults = append(v.faults, &Fault{File: f.Name, Line: 1, What: "the file is empty: every file begins with an entry " + actionFile})
	}
	return nil
}

// line checks one line. It returns the chain that the line belongs to, as far as that is
// known, and what is wrong with it.
func (v *verifier) line(p *progress, text []byte) (*progress, string) {
	body, prev, own, ok := split(text)
	if !ok {
		return p, "it does not end as an entry does: it was changed, or cut off"
	}
	l, err := parse(text)
	if err != nil {
		return p, "it is no JSON: it was changed"
	}
	next, h := p, hasher{}
	if next != nil {
		h = next.hasher
	}
	switch {
	case l.Action == actionFile || l.Action == actionKey && p != nil:
		if next, h, err = v.named(l); err != nil {
			return p, err.Error()
		}
	case p == nil:
		return nil, "a file must begin with an entry " + actionFile + ": what was before this line is missing"
	}
	if h.mac != nil && h.sum(body) != own {
		return cmp.Or(p, next), "it was changed: its hash does not fit (or it was written under another key of that id)"
	}
	// A file after one with a fault is looked at by itself.
	if what := next.misfit(l, prev); what != "" && (next.Fault == nil || l.Action != actionFile) {
		return next, what
	}
	v.take(next, l, own, h)
	return next, ""
}

// named finds the chain and makes the hasher that an entry names.
func (v *verifier) named(l line) (*progress, hasher, error) {
	var h hasher
	if v.keys != nil {
		key, known := v.keys.find(l.Key)
		if !known {
			return nil, h, fmt.Errorf("it names the reference key %q, which keys.reference does not have", cut(l.Key, 32))
		}
		var err error
		if h, err = newHasher(key, l.Chain); err != nil {
			return nil, h, err
		}
	}
	p := v.chains[l.Chain]
	if p == nil {
		p = &progress{ChainReport: &ChainReport{Chain: l.Chain}}
	}
	return p, h, nil
}

// misfit says why a line cannot follow on the one before.
func (p *progress) misfit(l line, prev digest) string {
	switch {
	case p.Entries == 0 && l.Seq == 1 && prev != noDigest():
		return "it is a chain's first entry, and names one before it"
	case p.Entries == 0:
		return "" // what was before it was not given
	case l.Seq > p.Last+1:
		return fmt.Sprintf("entries are missing before it, or stand elsewhere: %d to %d", p.Last+1, l.Seq-1)
	case l.Seq <= p.Last:
		return fmt.Sprintf("entry %d stands here again, or too late: entry %d is before it", l.Seq, p.Last)
	case prev != p.head:
		return fmt.Sprintf("entry %d was put in the place of the one that it follows on", p.Last)
	}
	return ""
}

func (v *verifier) take(p *progress, l line, own digest, h hasher) {
	if p.Entries == 0 {
		p.First, p.Begin = l.Seq, l.Time
		v.chains[p.Chain] = p
		v.order = append(v.order, p.ChainReport)
	}
	p.Entries++
	p.Last, p.End, p.head, p.Head, p.hasher = l.Seq, l.Time, own, own.String(), h
	if n := len(p.Gateways); n == 0 || p.Gateways[n-1] != l.Gateway {
		p.Gateways = append(p.Gateways, l.Gateway)
	}
	if _, asked := v.heads[p.Head]; asked {
		v.heads[p.Head] = l.Seq
	}
}

var (
	errNoEnd   = errors.New("it does not end: it is being written, or was cut off. The next start of the gateway puts it aside")
	errTooLong = errors.New("it is longer than any entry: it was changed")
)

// lines yields a file's lines without their line feeds. They are valid until the next one.
func lines(f Source) func(yield func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		r, err := f.Open()
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = r.Close() }()
		in := bufio.NewReaderSize(r, 64<<10)
		var long []byte
		for {
			part, err := in.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				if long = append(long, part...); len(long) > maxLine {
					yield(nil, errTooLong)
					return
				}
				continue
			}
			text := part
			if len(long) > 0 {
				long = append(long, part...)
				text = long
			}
			switch {
			case err == nil:
				if !yield(bytes.TrimSuffix(text, []byte("\n")), nil) {
					return
				}
			case !errors.Is(err, io.EOF):
				yield(nil, fmt.Errorf("%s: %w", f.Name, err))
				return
			default:
				if len(text) > 0 {
					yield(text, errNoEnd)
				}
				return
			}
			long = long[:0]
		}
	}
}
