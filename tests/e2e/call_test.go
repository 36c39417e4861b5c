package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/standin"
)

// answer is what an HTTP call gave.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// str reads a member of the answer by its path.
func (a answer) str(t *testing.T, path ...string) string {
	t.Helper()
	var v any = a.body
	for _, p := range path {
		m, ok := v.(map[string]any)
		require.True(t, ok, "no %v in %s", path, a.raw)
		v = m[p]
	}
	s, ok := v.(string)
	require.True(t, ok, "no text at %v in %s", path, a.raw)
	return s
}

type header map[string]string

// call makes one request with the gateway's first key, and expects a status.
func (g gateway) call(t *testing.T, want int, method, path string, h header, body any) answer {
	t.Helper()
	a := g.try(t, method, path, h, body)
	require.Equal(t, want, a.status, "%s %s: %s", method, path, a.raw)
	return a
}

// try is call without an expectation; it may run in a goroutine of its own.
func (g gateway) try(t *testing.T, method, path string, h header, body any) answer {
	t.Helper()
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		require.NoError(t, err)
		reader = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, g.url+path, reader)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+g.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range h {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	a := answer{status: resp.StatusCode, header: resp.Header}
	var err error
	a.raw, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	_ = json.Unmarshal(a.raw, &a.body)
	return a
}

// stateOf reads a stand-in's ledger and snapshot.
func stateOf(t *testing.T, addr string) standin.State {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/_sandbox/state", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var s standin.State
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&s))
	return s
}

// live counts the instruments at a stand-in that are neither deleted nor deactivated.
func live(t *testing.T, addr string) int {
	t.Helper()
	n := 0
	for _, ins := range stateOf(t, addr).Instruments {
		if ins.Live {
			n++
		}
	}
	return n
}
