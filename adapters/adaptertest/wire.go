package adaptertest

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire is a transport that remembers what an adapter sent.
type wire struct {
	next http.RoundTripper
	read atomic.Int64 // bytes of all answers' bodies

	mu   sync.Mutex
	sent []sentRequest
}

type sentRequest struct {
	method, url string
	getBody     bool
	header      http.Header
}

// RoundTrip implements [http.RoundTripper].
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.sent = append(w.sent, sentRequest{r.Method, r.URL.String(), r.GetBody != nil, r.Header.Clone()})
	w.mu.Unlock()
	resp, err := w.next.RoundTrip(r)
	if err == nil {
		resp.Body = &countingBody{ReadCloser: resp.Body, n: &w.read}
	}
	return resp, err
}

// urls returns the addresses of the requests since the n-th.
func (w *wire) urls(since int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, r := range w.sent[since:] {
		out = append(out, r.url)
	}
	return out
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent)
}

// verify checks what holds for every request of an adapter.
func (w *wire) verify(tb testing.TB, hidden []string) {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	secrets := variants(hidden)
	checked := map[string]bool{}
	for _, r := range w.sent {
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			// net/http takes either as leave to send a request again on its own.
			require.Empty(tb, r.header.Values(name), "%s %s carries %s", r.method, r.url, name)
		}
		if r.method != http.MethodGet {
			require.False(tb, r.getBody, "%s %s has GetBody, so net/http may send it twice", r.method, r.url)
		}
		if checked[r.url] {
			continue
		}
		checked[r.url] = true
		for _, s := range secrets { // addresses end up in proxies' logs
			require.NotContains(tb, r.url, s, "the address of a %s holds a secret or a card number", r.method)
		}
	}
}

type countingBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *countingBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}
