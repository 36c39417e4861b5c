package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress counts entries on a terminal, and nowhere else.
type progress struct {
	w    io.Writer // nil: not a terminal
	n    uint64
	last time.Time
}

const progressEvery = 200 * time.Millisecond

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	if !ok {
		return &progress{}
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &progress{}
	}
	return &progress{w: w}
}

func (p *progress) more() {
	p.n++
	if now := time.Now(); p.w != nil && now.Sub(p.last) >= progressEvery {
		p.last = now
		_, _ = fmt.Fprintf(p.w, "\r%d entries", p.n)
	}
}

// end clears the line.
func (p *progress) end() {
	if p.w != nil {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}
