package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress counts on a terminal, and nowhere else.
type progress struct {
	w    io.Writer // nil: not a terminal
	what string    // is counted
	n    uint64
	last time.Time
}

const progressEvery = 200 * time.Millisecond

func newProgress(w io.Writer, what string) *progress {
	f, ok := w.(*os.File)
	if !ok {
		return &progress{}
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &progress{}
	}
	return &progress{w: w, what: what}
}

func (p *progress) more(n int) {
	p.n += uint64(n) //nolint:gosec // a count is never negative
	if now := time.Now(); p.w != nil && now.Sub(p.last) >= progressEvery {
		p.last = now
		_, _ = fmt.Fprintf(p.w, "\r%d %s", p.n, p.what)
	}
}

// end clears the line.
func (p *progress) end() {
	if p.w != nil {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}
