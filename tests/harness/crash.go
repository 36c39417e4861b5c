package harness

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Quit is SIGQUIT: the Go runtime writes every goroutine's stack and ends the program.
func (p *Process) Quit(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGQUIT))
	require.True(t, p.Await(patience), "the program did not end after SIGQUIT")
}

// Limits are the program's resource limits, as the kernel prints them; "" where the
// system does not tell.
func (p *Process) Limits() string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.cmd.Process.Pid))
	if err != nil {
		return ""
	}
	return string(b)
}
