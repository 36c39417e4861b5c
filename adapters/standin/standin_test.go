package standin_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/adapters/standin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a provider whose state is how often POST was called.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Method == http.MethodPost {
		c.n++
		standin.Committed(r)
	}
	_, _ = io.WriteString(w, "ok")
}

func (c *counter) Snapshot() ([]standin.Customer, []standin.Instrument) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return nil, make([]standin.Instrument, c.n)
}

func (c *counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = 0
}

func (c *counter) RateLimited(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusTooManyRequests)
}

func call(t *testing.T, base, method, path, body string) (int, string) {
	t.Helper()
	status, text, err := try(t.Context(), base, method, path, body)
	require.NoError(t, err)
	return status, text
}

func try(ctx context.Context, base, method, path, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestLedger(t *testing.T) {
	t.Parallel()
	s := standin.New(&counter{})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	call(t, srv.URL, http.MethodGet, "/a", "")
	call(t, srv.URL, http.MethodPost, "/b", "")
	s.Faults.Add(fault.Rule{Fault: fault.CommitThenDrop, Times: 1})
	_, _, err := try(t.Context(), srv.URL, http.MethodPost, "/c", "")
	require.Error(t, err)
	s.Faults.Add(fault.Rule{Fault: fault.Reset, Times: 1})
	_, _, err = try(t.Context(), srv.URL, http.MethodPost, "/d", "")
	require.Error(t, err)
	s.Faults.Add(fault.Rule{Fault: fault.StatusAfterCommit, Status: 503, Times: 1})
	call(t, srv.URL, http.MethodPost, "/e", "")
	require.Len(t, s.State().Requests, 5)
	type line struct {
		path      string
		status    int
		committed bool
	}
	var got []line
	for _, r := range s.State().Requests {
		require.WithinDuration(t, time.Now(), r.At, time.Minute)
		got = append(got, line{r.Path, r.Status, r.Committed})
	}
	require.ElementsMatch(t, []line{{"/a", 200, false}, {"/b", 200, true}, {"/c", 0, true}, {"/d", 0, false}, {"/e", 503, true}}, got)
	require.Len(t, s.State().Instruments, 3, "the ledger and the state agree")
}

func TestControlPaths(t *testing.T) {
	t.Parallel()
	s := standin.New(&counter{})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	status, body := call(t, srv.URL, http.MethodPut, "/_sandbox/faults", `[{"method":"POST","path":"/x","fault":"status","times":1,"status":418}]`)
	require.Equal(t, http.StatusOK, status, body)
	status, body = call(t, srv.URL, http.MethodGet, "/_sandbox/faults", "")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `[{"method":"POST","path":"/x","fault":"status","times":1,"delay_ms":0,"status":418}]`, body)
	for _, bad := range []string{`[{"fault":"explode"}]`, `[{"falt":"reset"}]`, `[{"fault":"reset","probability":2}]`, `{`, ``} {
		status, body = call(t, srv.URL, http.MethodPut, "/_sandbox/faults", bad)
		require.Equal(t, http.StatusBadRequest, status, bad)
		require.Contains(t, body, "error")
	}
	status, _ = call(t, srv.URL, http.MethodPost, "/x", "")
	require.Equal(t, 418, status, "a bad list replaced nothing")
	call(t, srv.URL, http.MethodPost, "/x", "")
	_, body = call(t, srv.URL, http.MethodGet, "/_sandbox/state", "")
	var state standin.State
	require.NoError(t, json.Unmarshal([]byte(body), &state))
	require.Len(t, state.Requests, 2, "control paths are not in the ledger")
	require.Len(t, state.Instruments, 1)
	_, body = call(t, srv.URL, http.MethodPut, "/_sandbox/faults", `[{"fault":"reset","probability":0.5}]`)
	require.Contains(t, body, `"probability":0.5`)
	status, _ = call(t, srv.URL, http.MethodDelete, "/_sandbox/faults", "")
	require.Equal(t, http.StatusNoContent, status)
	require.Empty(t, s.Faults.Rules())
	s.Faults.Add(fault.Rule{Fault: fault.Hang})
	status, _ = call(t, srv.URL, http.MethodPost, "/_sandbox/reset", "")
	require.Equal(t, http.StatusNoContent, status)
	require.Empty(t, s.Faults.Rules())
	require.Empty(t, s.State().Requests)
	require.Empty(t, s.State().Instruments)
	for method, path := range map[string]string{"GET": "/_sandbox/reset", "POST": "/_sandbox/state", "PATCH": "/_sandbox/faults"} {
		status, _ = call(t, srv.URL, method, path, "")
		require.Equal(t, http.StatusMethodNotAllowed, status, path)
	}
	status, body = call(t, srv.URL, http.MethodGet, "/_sandbox/stat", "")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, body, "/_sandbox/state")
	require.Empty(t, s.State().Requests, "a mistyped control path is not the provider's")
}

func TestCommittedOutsideAServer(t *testing.T) {
	t.Parallel()
	require.NotPanics(t, func() {
		standin.Committed(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	})
}

func TestServeRefusesConnectionsForAWhile(t *testing.T) {
	t.Parallel()
	s := standin.New(&counter{})
	ctx, cancel := context.WithCancel(t.Context())
	l, err := standin.Listen(ctx, "127.0.0.1:0")
	require.NoError(t, err)
	base := "http://" + l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, nil) }()
	require.Eventually(t, func() bool { _, _, err := try(ctx, base, http.MethodGet, "/", ""); return err == nil }, 2*time.Second, 5*time.Millisecond)
	s.Faults.Add(fault.Rule{Fault: fault.Refuse, Times: 1, DelayMS: 400})
	_, _, err = try(ctx, base, http.MethodGet, "/", "")
	require.Error(t, err)
	refused := func() bool {
		_, _, err := try(ctx, base, http.MethodGet, "/", "")
		return err != nil && strings.Contains(err.Error(), "refused")
	}
	require.Eventually(t, refused, 350*time.Millisecond, time.Millisecond, "connections are refused, not only reset")
	require.Eventually(t, func() bool { return !refused() }, 3*time.Second, 10*time.Millisecond, "and accepted again after the pause")
	require.Empty(t, s.State().Instruments)
	cancel()
	require.NoError(t, <-done)
}

func TestServeEndsWhileItRefuses(t *testing.T) {
	t.Parallel()
	s := standin.New(&counter{})
	ctx, cancel := context.WithCancel(t.Context())
	l, err := standin.Listen(ctx, "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, nil) }()
	base := "http://" + l.Addr().String()
	s.Faults.Add(fault.Rule{Fault: fault.Refuse, Times: 1, DelayMS: 600_000})
	require.Eventually(t, func() bool {
		_, _, _ = try(ctx, base, http.MethodGet, "/", "")
		return len(s.Faults.Rules()) == 0
	}, 2*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

func TestServeOverTLS(t *testing.T) {
	t.Parallel()
	known := httptest.NewUnstartedServer(http.NotFoundHandler())
	known.StartTLS()
	conf := &tls.Config{Certificates: known.TLS.Certificates, MinVersion: tls.VersionTLS12}
	known.Close()
	s := standin.New(&counter{})
	ctx, cancel := context.WithCancel(t.Context())
	l, err := standin.Listen(ctx, "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, conf) }()
	require.Eventually(t, func() bool {
		status, _, err := try(ctx, "https://"+l.Addr().String(), http.MethodGet, "/", "")
		return err == nil && status == http.StatusOK
	}, 2*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}
