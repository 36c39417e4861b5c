//go:build chaos

// Package chaos kills, stops and starves the built binary while it stores
// instruments, and asks the stand-in providers afterwards what there is.
package chaos

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// build makes the binary once for all tests of the package.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "polyvault-chaos-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "polyvault")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", bin, "../../cmd/polyvault")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// process is one running program.
type process struct {
	cmd  *exec.Cmd
	log  *safeBuffer
	done chan struct{} // closed when it has ended
}

// start runs polyvault until the test ends.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	bin, err := build()
	require.NoError(t, err)
	return startProgram(t, bin, env, args...)
}

func startProgram(t *testing.T, bin string, env []string, args ...string) *process {
	t.Helper()
	// Not bound to the test's context: the process is ended in Cleanup.
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), bin, args...), log: &safeBuffer{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = p.log, p.log, t.TempDir()
	p.cmd.Env = append(os.Environ(), env...)
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(args, " "), p.log.warnings())
		}
	})
	return p
}

// kill is kill -9; it returns when the process is gone. Killing twice is harmless.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// freeze is SIGSTOP, thaw is SIGCONT.
func (p *process) freeze(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
}

func (p *process) thaw(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// warnings are the last lines that are not routine.
func (s *safeBuffer) warnings() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for line := range strings.Lines(s.b.String()) {
		if !strings.Contains(line, `"level":"debug"`) && !strings.Contains(line, `"level":"info"`) {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-30):], "")
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// waitFor polls a URL until it answers 200.
func waitFor(t *testing.T, p *process, url string) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 20*time.Millisecond, "%s does not answer; the process said: %s", url, p.log.warnings())
}
