// Package redistest runs real Redis servers for tests. A substitute would not
// do: scripts, expiry, clusters and failures are what the tests are about.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	startTimeout = 10 * time.Second
	startTries   = 5 // a free port can be taken between finding and using it
)

// Server is one redis-server process on 127.0.0.1, without persistence unless its
// arguments say otherwise. It is killed when the test ends.
type Server struct {
	Addr string // host:port
	Dir  string // holds the server's files, which a restart finds again

	path string
	argv []string

	mu      sync.Mutex
	process *process // nil while none runs
}

// Start runs a redis-server until the test ends and returns its host:port. args
// are further command line options, e.g. "--requirepass", "secret". The test
// fails if there is no redis-server to run.
func Start(tb testing.TB, args ...string) (addr string) {
	tb.Helper()
	return StartServer(tb, args...).Addr
}

// StartServer is [Start] for a test that does things to the server.
func StartServer(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, func(port int) []string { return append(plain(port), args...) })
}

// plain are the arguments of every server but a Sentinel: nothing is kept, and a
// replica gets its data at once, where a master would wait for more of them.
func plain(port int) []string {
	return []string{"--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"}
}

// StartReplica runs a replica of master and waits until it has the master's data.
func StartReplica(tb testing.TB, master *Server, args ...string) *Server {
	tb.Helper()
	host, port := master.hostPort(tb)
	s := StartServer(tb, append([]string{"--replicaof", host, port}, args...)...)
	s.awaitLink(tb, master)
	return s
}

// Stop kills the server with SIGKILL, as a crash would. Stopping twice is harmless.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.kill()
		s.process = nil
	}
}

// Restart kills the server if it runs, and runs it again at the same address with
// the files that it left, and with further arguments from now on. It returns once the
// server has read its data.
func (s *Server) Restart(tb testing.TB, args ...string) {
	tb.Helper()
	s.Stop()
	s.argv = append(s.argv, args...)
	if output, err := s.run(tb.Context()); err != nil {
		tb.Fatalf("redis-server did not start again at %s: %v\n%s", s.Addr, err, output)
	}
}

// Freeze stops the server's process, as a machine that hangs would: connections
// stay open, and nothing answers.
func (s *Server) Freeze(tb testing.TB) {
	tb.Helper()
	s.signal(tb, syscall.SIGSTOP)
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw(tb testing.TB) {
	tb.Helper()
	s.signal(tb, syscall.SIGCONT)
}

// Do sends one command to the server, over a connection of its own. No reply is nil.
func (s *Server) Do(tb testing.TB, args ...any) any {
	tb.Helper()
	reply, err := s.try(tb.Context(), args...)
	if err != nil {
		tb.Fatalf("%v at %s: %v", args, s.Addr, err)
	}
	return reply
}

func (s *Server) try(ctx context.Context, args ...any) (any, error) {
	c := s.client()
	defer func() { _ = c.Close() }()
	reply, err := c.Do(ctx, args...).Result()
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return reply, err
}

// client tries everything once: the tests are about what fails.
func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.Addr, Protocol: 2, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
	})
}

// awaitLink waits until a replica has its master's data, and the master counts on it.
func (s *Server) awaitLink(tb testing.TB, master *Server) {
	tb.Helper()
	_, port := s.hostPort(tb)
	await(tb, "the replica at "+s.Addr+" has its master's data", func() bool {
		return strings.Contains(s.replication(tb), "master_link_status:up") &&
			strings.Contains(master.replication(tb), "port="+port+",state=online")
	})
}

func (s *Server) replication(tb testing.TB) string {
	tb.Helper()
	info, err := s.try(tb.Context(), "INFO", "replication")
	text, ok := info.(string)
	if err != nil || !ok {
		return ""
	}
	return text
}

func (s *Server) hostPort(tb testing.TB) (host, port string) {
	tb.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		tb.Fatal(err)
	}
	return host, port
}

func (s *Server) signal(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		tb.Fatalf("the server at %s does not run", s.Addr)
	}
	if err := s.process.cmd.Process.Signal(signal); err != nil {
		tb.Fatalf("the server at %s: %v", s.Addr, err)
	}
}

// start runs redis-server with the arguments for a free port.
func start(tb testing.TB, args func(port int) []string) *Server {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Fatal("this test needs a real redis-server in PATH: apt-get install redis-server")
	}
	s := &Server{Dir: tb.TempDir(), path: path}
	tb.Cleanup(s.Stop)
	var output string
	for range startTries {
		port := freePort(tb)
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		s.argv = append(args(port), "--bind", "127.0.0.1", "--dir", s.Dir)
		if output, err = s.run(tb.Context()); err == nil {
			return s
		}
	}
	tb.Fatalf("redis-server did not start: %v\n%s", err, output)
	return nil
}

// run starts the process and waits until it accepts connections.
func (s *Server) run(ctx context.Context) (output string, err error) {
	// The process outlives a test's context, which ends before the clean-up functions run.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.path, s.argv...) //nolint:gosec // test code; the arguments are the test's own
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return "", err
	}
	p := &process{cmd: cmd, drained: make(chan struct{})}
	ready := make(chan string, 1)
	go func() {
		defer close(p.drained)
		ready <- readUntilReady(out)
		_, _ = io.Copy(io.Discard, out) // so that the server never blocks on its log
	}()
	select {
	case output = <-ready:
		if output == "" {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.process = p
			return "", nil
		}
		err = errors.New("it ended")
	case <-time.After(startTimeout):
		err = fmt.Errorf("not ready after %s", startTimeout)
	}
	p.kill()
	return output, err
}

// process is a redis-server that runs.
type process struct {
	cmd     *exec.Cmd
	drained chan struct{} // closed when its log has ended
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.drained
	_ = p.cmd.Wait() // "killed", as meant
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

// freePort finds a port below those that the kernel gives to outgoing connections:
// one of them could otherwise take the port of a server that is to be restarted,
// even a client's that tries to reach it.
func freePort(tb testing.TB) int {
	tb.Helper()
	const first, ports, tries = 10_000, 10_000, 100
	var err error
	for range tries {
		port := first + rand.IntN(ports) //nolint:gosec // any port will do
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(tb.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			_ = l.Close()
			return port
		}
	}
	tb.Fatalf("no free port: %v", err)
	return 0
}
