package standin_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/standin"
)

// seedable is a counter that can be filled.
type seedable struct{ *counter }

func (s seedable) Seed(cards int) []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []map[string]string
	for range cards {
		s.n++
		out = append(out, map[string]string{"instrument": fmt.Sprint(s.n)})
	}
	return out
}

func TestSeed(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(standin.New(seedable{&counter{}}))
	t.Cleanup(srv.Close)
	status, text := call(t, srv.URL, http.MethodPost, "/_sandbox/seed", `{"customers":3,"each":2,"first":7,"provider":"p"}`)
	require.Equal(t, http.StatusOK, status, text)
	var got []standin.Seeded
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		var line standin.Seeded
		require.NoError(t, json.Unmarshal(s.Bytes(), &line))
		got = append(got, line)
	}
	require.Len(t, got, 6)
	require.Equal(t, standin.Seeded{CustomerID: "cus-7", Provider: "p", References: map[string]string{"instrument": "1"}}, got[0])
	require.Equal(t, standin.Seeded{CustomerID: "cus-9", Provider: "p", References: map[string]string{"instrument": "6"}}, got[5])
	for _, body := range []string{"", "{}", `{"customers":0}`, `{"customers":1000001}`, `{"customers":1,"each":101}`, `{"customer":1}`} {
		status, _ := call(t, srv.URL, http.MethodPost, "/_sandbox/seed", body)
		require.Equal(t, http.StatusBadRequest, status, body)
	}
	status, _ = call(t, srv.URL, http.MethodGet, "/_sandbox/seed", "")
	require.Equal(t, http.StatusMethodNotAllowed, status)
	bare := httptest.NewServer(standin.New(&counter{}))
	t.Cleanup(bare.Close)
	status, _ = call(t, bare.URL, http.MethodPost, "/_sandbox/seed", `{"customers":1}`)
	require.Equal(t, http.StatusNotFound, status)
}

func TestTheLedgerKeepsTheLastRequests(t *testing.T) {
	t.Parallel()
	s := standin.New(&counter{})
	const requests = 210_123
	for i := range requests {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("/%d", i), http.NoBody))
	}
	state := s.State()
	require.Len(t, state.Requests, 100_000)
	require.Equal(t, requests-100_000, state.Forgotten)
	require.Equal(t, fmt.Sprintf("/%d", requests-1), state.Requests[99_999].Path)
}

func TestSeededCardsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for n := range 100 {
		number, month, year := standin.SeedCard(n)
		seen[fmt.Sprint(number, month, year)] = true
	}
	require.Len(t, seen, 100)
}
