package gateway_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/standin"
)

// line is the way to one provider: the product's own HTTP client over pipes instead
// of sockets, to a real HTTP server in front of the provider's stand-in. A request that
// the spoiler is for takes another transport, or gets another answer.
type line struct {
	provider string
	standin  *standin.Server
	pipes    *pipes
	server   *http.Server
	sound    *http.Transport

	mu      sync.Mutex
	spoiler *spoiler
	arrived []string // "POST /path" of every request that the provider's server got
	ends    []func()
}

// spoiler is what the requests that match it meet. Nil members change nothing.
type spoiler struct {
	method, path string                                   // "" matches all; "*" is one segment of the path
	transport    http.RoundTripper                        // instead of the line's own
	answer       func(http.ResponseWriter, *http.Request) // instead of the stand-in's
}

func (s *spoiler) matches(r *http.Request) bool {
	if s == nil || s.method != "" && s.method != r.Method {
		return false
	}
	ok, _ := path.Match(s.path, r.URL.Path)
	return ok || s.path == ""
}

func newLine(provider string, s *standin.Server) *line {
	l := &line{provider: provider, standin: s, pipes: newPipes()}
	l.sound = l.transport(nil)
	l.server = &http.Server{Handler: l, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = l.server.Serve(l.pipes) }()
	return l
}

// transport is one as the product makes it, over the line's pipes, as change changes it.
func (l *line) transport(change func(*http.Transport)) *http.Transport {
	var out *http.Transport
	adapters.NewHTTPClient(adapters.ClientOptions{Wrap: func(rt http.RoundTripper) http.RoundTripper {
		out, _ = rt.(*http.Transport)
		return rt
	}})
	out.DialContext, out.Proxy = l.pipes.dial, nil
	if change != nil {
		change(out)
	}
	l.atEnd(out.CloseIdleConnections)
	return out
}

func (l *line) atEnd(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, f)
}

func (l *line) client() *http.Client {
	return adapters.NewHTTPClient(adapters.ClientOptions{Wrap: func(http.RoundTripper) http.RoundTripper { return l }})
}

// spoil makes the requests that match meet it; nil makes all well again.
func (l *line) spoil(s *spoiler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoiler = s
}

func (l *line) meets(r *http.Request) *spoiler {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spoiler.matches(r) {
		return l.spoiler
	}
	return nil
}

// RoundTrip implements [http.RoundTripper], on the gateway's side.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	if s := l.meets(r); s != nil && s.transport != nil {
		return s.transport.RoundTrip(r)
	}
	return l.sound.RoundTrip(r)
}

// ServeHTTP implements [http.Handler], on the provider's side.
func (l *line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.arrived = append(l.arrived, r.Method+" "+r.URL.Path)
	l.mu.Unlock()
	if s := l.meets(r); s != nil && s.answer != nil {
		s.answer(w, r)
		return
	}
	l.standin.ServeHTTP(w, r)
}

// requests counts what has arrived so far that matches; "" matches all.
func (l *line) requests(method, pattern string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, a := range l.arrived {
		m, p, _ := strings.Cut(a, " ")
		ok, _ := path.Match(pattern, p)
		if (method == "" || m == method) && (ok || pattern == "") {
			n++
		}
	}
	return n
}

// close ends every goroutine of the line.
func (l *line) close() {
	l.mu.Lock()
	ends := slices.Clone(l.ends)
	l.mu.Unlock()
	_ = l.server.Close()
	_ = l.pipes.Close()
	for _, f := range ends {
		f()
	}
}

// pipes is a listener whose connections are [net.Pipe]s: a network inside of a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

var errNoListener = errors.New("connection refused")

func (p *pipes) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Net: network, Err: errNoListener}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
}

// Accept implements [net.Listener].
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements [net.Listener].
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
