package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
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

// countedProgress is a progress that several may count on.
type countedProgress struct {
	mu sync.Mutex
	p  *progress
}

func newCountedProgress(w io.Writer, what string) *countedProgress {
	return &countedProgress{p: newProgress(w, what)}
}

// pace counts what is looked at; it never slows anything down.
func (c *countedProgress) pace(ctx context.Context, write bool) error {
	if !write {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.p.more(1)
	}
	return ctx.Err()
}

func (c *countedProgress) end() { c.p.end() }
