package canaries

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// ear keeps whatever the gateway sends to it: events to a merchant's endpoint, or spans
// to a collector.
type ear struct {
	url string

	mu    sync.Mutex
	heard bytes.Buffer
	n     int
}

// listen answers with answer, which is given the number of the request.
func listen(t *testing.T, answer func(w http.ResponseWriter, n int)) *ear {
	t.Helper()
	e := &ear{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head, _ := httputil.DumpRequest(r, false)
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
				body, _ = io.ReadAll(z)
			}
		}
		e.mu.Lock()
		for _, part := range [][]byte{head, body, []byte("\n")} {
			e.heard.Write(part)
		}
		e.n++
		n := e.n
		e.mu.Unlock()
		answer(w, n)
	}))
	t.Cleanup(s.Close)
	e.url = s.URL
	return e
}

func (e *ear) all(t *testing.T) []byte {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	require.Positive(t, e.n)
	return bytes.Clone(e.heard.Bytes())
}

// accept is an endpoint that takes everything.
func accept(http.ResponseWriter, int) {}

// parrot is an endpoint that takes nothing, and whose answers have a card number in every place.
func parrot(w http.ResponseWriter, n int) {
	number := canaries()[n%len(canaries())]
	w.Header().Set("Retry-After", number)
	w.Header().Set("X-Card-"+number, grouped(number, " "))
	w.Header().Set("Content-Type", "text/"+number)
	status := http.StatusInternalServerError
	if n%2 == 0 {
		w.Header().Set("Location", "http://127.0.0.1:1/"+number)
		status = http.StatusTemporaryRedirect
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":"card %s, cvc %s"}`, number, longCode)
}
