// Package redistest runs real Redis servers for tests. A substitute would not
// do: scripts, expiry, clusters and failures are what the tests are about.
package redistest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	startTimeout = 10 * time.Second
	startTries   = 5 // a free port can be taken between finding and using it
)

// Server is one redis-server process on 127.0.0.1, without persistence.
type Server struct {
	Addr string // host:port

	cmd  *exec.Cmd
	stop func()
}

// Start runs a redis-server until the test ends and returns its host:port. args
// are further command line options, e.g. "--requirepass", "secret". The test
// fails if there is no redis-server to run.
func Start(tb testing.TB, args ...string) (addr string) {
	tb.Helper()
	return StartServer(tb, args...).Addr
}

// StartServer is [Start] for a test that stops the server itself.
func StartServer(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, func(port int) []string {
		return append([]string{"--port", strconv.Itoa(port), "--save", "", "--appendonly", "no"}, args...)
	})
}

// Stop kills the server, as a crash would. Stopping twice is harmless.
func (s *Server) Stop() { s.stop() }

// start runs redis-server with the arguments for a free port.
func start(tb testing.TB, args func(port int) []string) *Server {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatal("this test needs a real redis-server in PATH: apt-get install redis-server")
	}
	dir := tb.TempDir()
	var output string
	for range startTries {
		port := freePort(tb)
		argv := append(args(port), "--bind", "127.0.0.1", "--dir", dir)
		s := &Server{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
		// The process outlives tb's context, which ends before the clean-up functions run.
		s.cmd = exec.CommandContext(context.WithoutCancel(tb.Context()), path, argv...) //nolint:gosec // test code; the arguments are the test's own
		if output, err = s.run(); err == nil {
			tb.Cleanup(s.Stop)
			return s
		}
	}
	tb.Fatalf("redis-server did not start: %v\n%s", err, output)
	return nil
}

// run starts the process and waits until it accepts connections.
func (s *Server) run() (output string, err error) {
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	s.cmd.Stderr = s.cmd.Stdout
	if err := s.cmd.Start(); err != nil {
		return "", err
	}
	drained := make(chan struct{})
	s.stop = sync.OnceFunc(func() {
		_ = s.cmd.Process.Kill()
		<-drained
		_ = s.cmd.Wait() // "killed", as meant
	})
	ready := make(chan string, 1)
	go func() {
		defer close(drained)
		ready <- readUntilReady(out)
		_, _ = io.Copy(io.Discard, out) // so that the server never blocks on its log
	}()
	select {
	case output = <-ready:
		if output == "" {
			return "", nil
		}
		err = fmt.Errorf("it ended")
	case <-time.After(startTimeout):
		err = fmt.Errorf("not ready after %s", startTimeout)
	}
	s.stop()
	return output, err
}

// readUntilReady returns "" once the log says that connections are accepted, or
// the whole log if it ends before that.
func readUntilReady(r io.Reader) string {
	var log strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		// A Sentinel does not say that it is ready; monitoring is the last thing it logs.
		if strings.Contains(lines.Text(), "Ready to accept connections") || strings.Contains(lines.Text(), "+monitor") {
			return ""
		}
	}
	return log.String() + "(end)"
}

func freePort(tb testing.TB) int {
	tb.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("no free port: %v", err)
	}
	defer func() { _ = l.Close() }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		tb.Fatalf("not a TCP address: %v", l.Addr())
	}
	return addr.Port
}
