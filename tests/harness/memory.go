package harness

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"
)

// Memory is what a process has of its own, in bytes: without files that are mapped,
// such as bbolt's, which the kernel takes back when it likes. 0 where the system does
// not tell, or once the process has ended.
func (p *Process) Memory() int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "RssAnon:"); ok {
			var kib int64
			_, _ = fmt.Sscan(rest, &kib)
			return kib << 10
		}
	}
	return 0
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// ExitCode is how an ended process ended; -1 if a signal did it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Await waits for a process that ends by itself, and reports whether it did in time.
func (p *Process) Await(limit time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(limit):
		return false
	}
}
