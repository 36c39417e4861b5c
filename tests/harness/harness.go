// Package harness runs the built binary, and other programs, for black-box tests.
package harness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is what a program may take to begin or to end: much, since a loaded
// machine is no failure.
const patience = 30 * time.Second

// Programs makes the binary once, starts programs and gives out ports. A test
// package has one, made by [New].
type Programs struct {
	build func() (string, error)
	port  atomic.Int64
}

// New returns the programs of a test package that lies two folders below the module's root.
func New() *Programs {
	p := &Programs{build: sync.OnceValues(build)}
	p.port.Store(int64(os.Getpid() * 37 % ports))
	return p
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "polyvault-test-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "polyvault")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", bin, "../../cmd/polyvault").CombinedOutput() //nolint:gosec // a folder of our own
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
}

// Main runs a package's tests and removes the binary. It returns the exit code.
func (ps *Programs) Main(m *testing.M) int {
	code := m.Run()
	if bin, err := ps.build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	return code
}

// Polyvault starts the built binary; it is killed when the test ends.
func (ps *Programs) Polyvault(t *testing.T, env []string, args ...string) *Process {
	t.Helper()
	return ps.Start(t, ps.binary(t), env, args...)
}

// Run runs a command of the built binary that ends by itself, to its end.
func (ps *Programs) Run(t *testing.T, env []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), ps.binary(t), args...) //nolint:gosec // the test's own program
	cmd.Env = append(os.Environ(), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (ps *Programs) binary(t *testing.T) string {
	t.Helper()
	bin, err := ps.build()
	require.NoError(t, err)
	return bin
}

// Start starts a program in a folder of its own; it is killed when the test ends.
func (ps *Programs) Start(t *testing.T, program string, env []string, args ...string) *Process {
	t.Helper()
	// Not bound to the test's context, which ends before the clean-up functions run.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...) //nolint:gosec // the test's own programs
	p := &Process{cmd: cmd, Log: &Log{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr, cmd.Dir = p.Log, p.Log, t.TempDir()
	cmd.Env = append(os.Environ(), env...)
	require.NoError(t, cmd.Start())
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s %s said, at last:\n%s", filepath.Base(program), strings.Join(args, " "), p.Log.Warnings())
		}
	})
	return p
}

// Ports are given out below those that the kernel gives to outgoing connections,
// so that neither they nor another test of the package take one between its choice
// and its use, or while its program is down for a moment.
const (
	firstPort = 20_000
	ports     = 10_000
)

// FreePort returns an address that nothing listens on and that no other call returns.
func (ps *Programs) FreePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+ps.port.Add(1)%ports)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		require.NoError(t, l.Close())
		return addr
	}
	require.Fail(t, "no port is free")
	return ""
}

// Process is one running program.
type Process struct {
	Log  *Log
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of its end; read it after done
}

// Kill is kill -9; it returns when the process is gone. Killing twice is harmless.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Terminate sends SIGTERM and returns how the process ended.
func (p *Process) Terminate(t *testing.T) error {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		require.Fail(t, "the process did not end after SIGTERM")
		return nil
	}
}

// Hangup is SIGHUP.
func (p *Process) Hangup(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
}

// Freeze is SIGSTOP.
func (p *Process) Freeze(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
}

// Thaw is SIGCONT.
func (p *Process) Thaw(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
}

// WaitFor polls a URL until it answers 200. The test fails at once if the program ends.
func (p *Process) WaitFor(t *testing.T, url string) {
	t.Helper()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		require.NoError(t, err)
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.done:
			require.Failf(t, "the program ended", "while %s was waited for; it said:\n%s", url, p.Log)
		default:
			require.Truef(t, time.Now().Before(end), "%s does not answer; the process said:\n%s", url, p.Log)
		}
	}
}

// Descriptors is how many files and connections the program has open; 0 where the
// system does not tell.
func (p *Process) Descriptors() int {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(open)
}
