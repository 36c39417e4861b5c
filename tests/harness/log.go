package harness

import (
	"bytes"
	"strings"
	"sync"
)

// Log is what a program has written so far.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Warnings are the last lines that are not routine.
func (l *Log) Warnings() string {
	var out []string
	for line := range strings.Lines(l.String()) {
		if !strings.Contains(line, `"level":"debug"`) && !strings.Contains(line, `"level":"info"`) {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-30):], "")
}
