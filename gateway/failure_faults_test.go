package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/gateway"
)

// by makes every request to the provider take a transport that fails.
func by(transport func(*line) http.RoundTripper) func(*failureWorld, op) {
	return func(w *failureWorld, _ op) {
		l := w.lines[w.provider]
		l.spoil(&spoiler{transport: transport(l)})
	}
}

// byAnswer makes the operation's own request, and no other one, get this answer.
func byAnswer(answer func(provider string) http.HandlerFunc) func(*failureWorld, op) {
	return func(w *failureWorld, o op) {
		s := o.spoiler(w.provider)
		s.answer = answer(w.provider)
		w.lines[w.provider].spoil(&s)
	}
}

// byFault makes the operation's own request, and no other one, meet a fault of the stand-in.
func byFault(r fault.Rule) func(*failureWorld, op) {
	return func(w *failureWorld, o op) {
		s := o.spoiler(w.provider)
		r.Method, r.Path = s.method, s.path
		w.lines[w.provider].standin.Faults.Add(r)
	}
}

// heal makes all well again.
func (w *failureWorld) heal() {
	l := w.lines[w.provider]
	l.spoil(nil)
	l.standin.Faults.Clear()
	w.release()
}

// Shapes of a provider's limits.

// openFor is longer than a trial looks at an open breaker.
const openFor = 10 * time.Second

func touchy(p *gateway.ProviderConfig) {
	p.Breaker = gateway.BreakerConfig{ConsecutiveFailures: 1, OpenFor: openFor}
}

func narrow(p *gateway.ProviderConfig) { p.MaxInFlight = 1 }

// use makes one call of a class to the provider, without a meaning of its own.
func (w *failureWorld) use(reads bool) {
	if reads {
		w.ask("GET", "/v1/instruments/"+w.other, "", nil)
		return
	}
	w.ask("PATCH", "/v1/instruments/"+w.other, "", object{"billing_address": object{"line2": "2"}})
}

// trip opens the breaker of a class.
func (w *failureWorld) trip(reads bool) {
	w.lines[w.provider].spoil(&spoiler{answer: ownError(500)(w.provider)})
	w.use(reads)
	w.lines[w.provider].spoil(nil)
}

// reopen waits until an open breaker lets a call through again.
func (w *failureWorld) reopen() { time.Sleep(2 * openFor) }

// occupy keeps a class's only place busy.
func (w *failureWorld) occupy(reads bool) {
	over := make(chan struct{})
	w.lines[w.provider].spoil(&spoiler{answer: func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-over:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.use(reads)
	}()
	synctest.Wait()
	w.lines[w.provider].spoil(nil)
	w.release = sync.OnceFunc(func() {
		close(over)
		<-ended
	})
}

// Transports that never get a usable connection.

func noTime(*line) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func dialling(dial func(context.Context) (net.Conn, error)) func(*line) http.RoundTripper {
	return func(l *line) http.RoundTripper {
		return l.transport(func(t *http.Transport) {
			t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
		})
	}
}

func noSuchHost(l *line) http.RoundTripper {
	return dialling(func(context.Context) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "provider.invalid", IsNotFound: true}}
	})(l)
}

func dialRefused(l *line) http.RoundTripper {
	return dialling(func(context.Context) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	})(l)
}

func dialHangs(l *line) http.RoundTripper {
	return dialling(func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	})(l)
}

// overTLS sends the requests to a server of its own, as if the provider's address began with https.
func overTLS(l *line, serve func(*pipes), change func(*http.Transport)) http.RoundTripper {
	p := newPipes()
	l.atEnd(func() { _ = p.Close() })
	go serve(p)
	t := l.transport(func(t *http.Transport) {
		t.DialContext = p.dial
		if change != nil {
			change(t)
		}
	})
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Scheme = "https"
		return t.RoundTrip(r)
	})
}

// eachConn serves every connection by itself.
func eachConn(serve func(net.Conn)) func(*pipes) {
	return func(p *pipes) {
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				serve(c)
			}()
		}
	}
}

func noTLS(l *line) http.RoundTripper {
	return overTLS(l, eachConn(func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	}), nil)
}

func silentTLS(l *line) http.RoundTripper {
	return overTLS(l, eachConn(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), nil)
}

// serverTLS is a certificate for example.com of an authority that nobody knows.
var serverTLS = sync.OnceValue(func() *tls.Config {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: s.TLS.Certificates}
})

func unknownAuthority(l *line) http.RoundTripper {
	return overTLS(l, func(p *pipes) {
		s := &http.Server{Handler: l, ErrorLog: log.New(io.Discard, "", 0)}
		l.atEnd(func() { _ = s.Close() })
		_ = s.Serve(tls.NewListener(p, serverTLS()))
	}, nil)
}

func badProxy(l *line) http.RoundTripper {
	return overTLS(l, func(p *pipes) {
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })}
		l.atEnd(func() { _ = s.Close() })
		_ = s.Serve(p)
	}, func(t *http.Transport) {
		t.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test:3128"})
	})
}

// poolExhausted is a transport whose only connection is busy.
func poolExhausted(l *line) http.RoundTripper {
	p := newPipes()
	go eachConn(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })(p)
	t := l.transport(func(t *http.Transport) { t.DialContext, t.MaxConnsPerHost = p.dial, 1 })
	ctx, cancel := context.WithCancel(context.Background())
	l.atEnd(func() { cancel(); _ = p.Close() })
	for _, base := range adapterHosts() {
		go func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base, http.NoBody)
			if err != nil {
				panic(err)
			}
			if resp, err := t.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	synctest.Wait()
	return t
}

func adapterHosts() []string {
	return []string{"http://cybersource.test/busy", "http://rebilly.test/busy", "http://bigcommerce.test/busy"}
}

// resetAfter resets the connection after the request was executed.
func resetAfter(w *failureWorld, o op) {
	byFault(fault.Rule{Fault: fault.CommitThenDrop})(w, o)
	l, s := w.lines[w.provider], o.spoiler(w.provider)
	s.transport = l.transport(func(t *http.Transport) {
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := l.pipes.dial(ctx, network, addr)
			return resetting{c}, err
		}
	})
	l.spoil(&s)
}

// resetting tells the end of a connection as a reset.
type resetting struct{ net.Conn }

// Read implements [net.Conn].
func (c resetting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		err = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return n, err
}

// Answers.

func answering(status int, contentType, body string, headers ...string) func(string) http.HandlerFunc {
	return func(string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", contentType)
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
}

func foreign(status int) func(string) http.HandlerFunc {
	return answering(status, "application/json", `{"hello":["world",1,null]}`)
}

func emptyObject(p string) http.HandlerFunc {
	return answering(http.StatusCreated, "application/json", `{}`)(p)
}

func redirect(p string) http.HandlerFunc {
	return answering(http.StatusTemporaryRedirect, "text/html", "", "Location", "http://rebilly.test/elsewhere")(p)
}

func unavailableUntil(p string) http.HandlerFunc {
	return answering(http.StatusServiceUnavailable, "application/json", ownBody(p, 503), "Retry-After", "7")(p)
}

// ownError answers a status with a body in the provider's own form.
func ownError(status int) func(string) http.HandlerFunc {
	return func(p string) http.HandlerFunc { return answering(status, "application/json", ownBody(p, status))(p) }
}

// ownBody is an error as each provider writes it; where from is said at its adapter's errors.go.
func ownBody(provider string, status int) string {
	switch provider {
	case cyb:
		kind := map[int]string{400: "invalidFields", 403: "forbidden", 404: "notFound", 409: "conflict", 500: "serverError"}[status]
		if status == http.StatusUnauthorized {
			return `{"response":{"rmsg":"Authentication Failed"}}`
		}
		if kind == "" {
			kind = "somethingNew"
		}
		return fmt.Sprintf(`{"errors":[{"type":%q,"message":"Request not permitted"}]}`, kind)
	case reb:
		return fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"detail":"Something is wrong."}`, http.StatusText(status), status)
	default:
		return fmt.Sprintf(`{"status":%d,"title":"JSON data is missing or invalid","type":"about:blank","errors":{}}`, status)
	}
}
