package rest_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server starts a quiet server, and a client for it.
func server(t *testing.T, h http.HandlerFunc) *rest.Client {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return client(t, srv.URL)
}

func client(t *testing.T, base string) *rest.Client {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	hc := adapters.NewHTTPClient(adapters.ClientOptions{})
	t.Cleanup(hc.CloseIdleConnections)
	return &rest.Client{HTTP: hc, Base: u}
}

func post(path string) rest.Request {
	return rest.Request{Op: "create", Method: http.MethodPost, Path: path, Body: map[string]string{"n": "1"}}
}

func requireError(t *testing.T, err error, o normalize.Outcome, code normalize.Code) *normalize.Error {
	t.Helper()
	e, ok := errors.AsType[*normalize.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, o, e.Outcome, "%v", err)
	require.Equal(t, code, e.Code, "%v", err)
	require.Equal(t, "create", e.Op)
	return e
}

func TestDo(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Method+" "+r.RequestURI+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("Accept")+" "+r.Header.Get("X-A")+" "+r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(body)
	})
	c.Base.Path = "/v1/"
	var signed string
	c.Authorize = func(r *http.Request, body []byte) error {
		signed = r.URL.RequestURI() + string(body)
		r.Header.Set("Authorization", "key")
		return nil
	}
	r, err := c.Do(t.Context(), rest.Request{
		Op: "create", Method: http.MethodPut, Path: "/a%2Fb", Query: "q=1%202", Header: http.Header{"X-A": {"x"}}, Body: map[string]int{"n": 1},
	})
	require.NoError(t, err, "any status is a response")
	require.Equal(t, http.StatusTeapot, r.Status)
	require.False(t, r.OK())
	require.JSONEq(t, `{"n":1}`, string(r.Body))
	require.Equal(t, "PUT /v1/a%2Fb?q=1%202 application/json application/json x key", r.Header.Get("X-Seen"))
	require.Equal(t, `/v1/a%2Fb?q=1%202{"n":1}`, signed, "what is signed is what is sent")
	r, err = c.Do(t.Context(), rest.Request{Op: "get", Method: http.MethodGet, Path: "/x"})
	require.NoError(t, err)
	require.Equal(t, "GET /v1/x  application/json  key", r.Header.Get("X-Seen"), "no body, no content type")
}

func TestNotSent(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	c := server(t, func(http.ResponseWriter, *http.Request) { seen.Add(1) })
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	past, cancelPast := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelPast()
	with := func(change func(*rest.Client)) *rest.Client {
		other := *c
		change(&other)
		return &other
	}
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	for name, call := range map[string]struct {
		ctx    context.Context //nolint:containedctx // a table's column
		client *rest.Client
		req    rest.Request
		code   normalize.Code
	}{
		"cancelled before":         {cancelled, c, post("/"), normalize.ProviderUnavailable},
		"late before":              {past, c, post("/"), normalize.ProviderUnavailable},
		"a body that is no JSON":   {t.Context(), c, rest.Request{Op: "create", Method: http.MethodPost, Body: func() {}}, normalize.ProviderError},
		"a method that is none":    {t.Context(), c, rest.Request{Op: "create", Method: "NO SUCH"}, normalize.ProviderError},
		"a path that is none":      {t.Context(), c, rest.Request{Op: "create", Method: http.MethodPost, Path: "/%zz"}, normalize.ProviderError},
		"a header with a new line": {t.Context(), c, rest.Request{Op: "create", Method: http.MethodPost, Header: http.Header{"X-A": {"1\r\nX-B: 2"}}}, normalize.ProviderUnavailable},
		"a header name of two":     {t.Context(), c, rest.Request{Op: "create", Method: http.MethodPost, Header: http.Header{"X A": {"1"}}}, normalize.ProviderUnavailable},
		"a signature that fails": {t.Context(), with(func(c *rest.Client) {
			c.Authorize = func(*http.Request, []byte) error { return errors.New("no key") }
		}), post("/"), normalize.ProviderError},
		"nobody listens":                        {t.Context(), client(t, closed), post("/"), normalize.ProviderUnavailable},
		"a certificate of an unknown authority": {t.Context(), client(t, tlsServer.URL), post("/"), normalize.ProviderUnavailable},
		"a name that does not resolve": {t.Context(), with(func(c *rest.Client) {
			c.HTTP = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
			}}}
		}), post("/"), normalize.ProviderUnavailable},
		"a dial that takes too long": {t.Context(), with(func(c *rest.Client) {
			c.HTTP = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
			}}}
		}), post("/"), normalize.ProviderUnavailable},
	} {
		_, err := call.client.Do(call.ctx, call.req)
		_ = requireError(t, err, normalize.NotSent, call.code)
		require.Zero(t, seen.Load(), name)
	}
}

// raw answers one connection after another with what answer writes after it has read a request.
func raw(t *testing.T, answer func(conn net.Conn, r *http.Request, n int)) (base string, requests *atomic.Int64) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	requests = &atomic.Int64{}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, r.Body)
				answer(conn, r, int(requests.Add(1)))
			}
			_ = conn.Close()
		}
	}()
	return "http://" + l.Addr().String(), requests
}

func TestUnknownOnceConnected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		code   normalize.Code
	}{
		"closed without an answer":     {"", normalize.ProviderBadResponse},
		"half of a status line":        {"HTTP/1.1 20", normalize.ProviderBadResponse},
		"not HTTP":                     {"SSH-2.0-OpenSSH_9.0\r\n", normalize.ProviderBadResponse},
		"half of the body":             {"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{\"id\"", normalize.ProviderBadResponse},
		"a broken chunk":               {"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", normalize.ProviderBadResponse},
		"two content lengths":          {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", normalize.ProviderBadResponse},
		"gzip that is none":            {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", normalize.ProviderBadResponse},
		"headers without an end":       {"HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 300<<10), normalize.ProviderBadResponse},
		"an informational status only": {"HTTP/1.1 100 Continue\r\n\r\n", normalize.ProviderBadResponse},
	} {
		base, requests := raw(t, func(conn net.Conn, _ *http.Request, _ int) {
			_, _ = io.WriteString(conn, c.answer)
			_ = conn.Close()
		})
		_, err := client(t, base).Do(t.Context(), post("/"))
		_ = requireError(t, err, normalize.Unknown, c.code)
		require.EqualValues(t, 1, requests.Load(), name)
	}
}

// net/http would send a request again if it could; a mutation must not be.
func TestNoRequestIsSentTwice(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		base, requests := raw(t, func(conn net.Conn, _ *http.Request, n int) {
			if n == 1 { // keep the connection, so that the next request reuses it
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
				return
			}
			_ = conn.Close()
		})
		c := client(t, base)
		_, err := c.Do(t.Context(), post("/"))
		require.NoError(t, err)
		req := post("/")
		req.Method = method
		_, err = c.Do(t.Context(), req)
		_ = requireError(t, err, normalize.Unknown, normalize.ProviderBadResponse)
		require.EqualValues(t, 2, requests.Load(), "%s: the server read it once", method)
	}
}

func TestGetBodyIsNil(t *testing.T) {
	t.Parallel()
	c := server(t, func(http.ResponseWriter, *http.Request) {})
	c.Authorize = func(r *http.Request, _ []byte) error {
		require.Nil(t, r.GetBody, r.Method)
		return nil
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		req := post("/")
		req.Method = method
		_, err := c.Do(t.Context(), req)
		require.NoError(t, err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"id":"x"}`)
		})
		r, err := c.Do(t.Context(), post("/"))
		require.NoError(t, err)
		require.Equal(t, status, r.Status)
		require.JSONEq(t, `{"id":"x"}`, string(r.Body), "a redirect's own body can be read")
	}
	require.Zero(t, elsewhere.Load())
}

func TestTimeoutsAndCancellation(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1)
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, `{"id":`)
			_ = http.NewResponseController(w).Flush()
		}
		entered <- struct{}{}
		<-r.Context().Done()
	})
	for _, path := range []string{"/header", "/body"} {
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		_, err := c.Do(ctx, post(path))
		e := requireError(t, err, normalize.Unknown, normalize.ProviderTimeout)
		require.ErrorIs(t, e, context.DeadlineExceeded)
		cancel()
		<-entered

		ctx, cancel = context.WithCancel(t.Context())
		go func() { <-entered; cancel() }()
		_, err = c.Do(ctx, post(path))
		require.Equal(t, normalize.Unknown, normalize.OutcomeOf(err))
		require.ErrorIs(t, err, context.Canceled, "the gateway can tell its own cancel from a failure")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	spaces := strings.Repeat(" ", 1<<20)
	for name, handler := range map[string]http.HandlerFunc{
		"100 MB": func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				if _, err := io.WriteString(w, spaces); err != nil {
					return
				}
			}
		},
		"100 MB in 100 KB of gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 100 {
				if _, err := io.WriteString(z, spaces); err != nil {
					return
				}
			}
			_ = z.Close()
		},
	} {
		c := server(t, handler)
		_, err := c.Do(t.Context(), post("/"))
		e := requireError(t, err, normalize.Unknown, normalize.ProviderBadResponse)
		require.Contains(t, e.Msg, "1 MiB", name)
	}
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, spaces[:rest.MaxBody])
		if r.URL.Path == "/more" {
			_, _ = io.WriteString(w, " ")
		}
	})
	_, err := c.Do(t.Context(), post("/"))
	require.NoError(t, err, "1 MiB itself is within the bound")
	_, err = c.Do(t.Context(), post("/more"))
	_ = requireError(t, err, normalize.Unknown, normalize.ProviderBadResponse)
}

// Not parallel: it measures what the whole process allocates.
func TestAHugeAnswerTakesLittleMemory(t *testing.T) { //nolint:paralleltest // see above
	c := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		page := make([]byte, 1<<20)
		for range 100 {
			if _, err := z.Write(page); err != nil {
				return
			}
		}
		_ = z.Close()
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := c.Do(t.Context(), post("/"))
	runtime.ReadMemStats(&after)
	_ = requireError(t, err, normalize.Unknown, normalize.ProviderBadResponse)
	// All that was ever allocated, the server's own page and compressor included.
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(12<<20))
}

func TestErrorsHoldNoURL(t *testing.T) {
	t.Parallel()
	c := client(t, "http://127.0.0.1:1")
	_, err := c.Do(t.Context(), rest.Request{Op: "create", Method: http.MethodPost, Path: "/customers/jane.doe", Query: "filter=jane"})
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		require.NotContains(t, fmt.Sprintf(verb, err), "jane")
	}
	var u *url.Error
	require.NotErrorAs(t, err, &u)
	_, err = c.Do(t.Context(), rest.Request{Op: "create", Method: http.MethodPost, Path: "/customers/jane%zz"})
	require.Error(t, err)
	require.NotContains(t, fmt.Sprintf("%v", err), "jane", "nor does one about a path that cannot be parsed")
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var v struct {
		ID string `json:"id"`
		N  int    `json:"n"`
	}
	require.NoError(t, rest.Decode("create", rest.Response{Status: 201, Body: []byte(`{"id":"x"}`)}, &v))
	require.Equal(t, "x", v.ID)
	for _, body := range []string{"", "<html>", `{"id":"4111111111111111`, `{"n":"4111111111111111"}`, `{"id":1}{`, strings.Repeat("[", 100_000)} {
		err := rest.Decode("create", rest.Response{Status: 201, Body: []byte(body)}, &v)
		e := requireError(t, err, normalize.Unknown, normalize.ProviderBadResponse)
		require.Equal(t, 201, e.HTTPStatus)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", e, e, e), "4111111111111111", "an error does not quote the body")
	}
}
