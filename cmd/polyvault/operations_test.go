package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const operationID = "ins_0h7kq2m4n6p8r0s2t4v6w8x0z2"

// operationsGateway answers like a gateway with two operations to decide, on two pages.
func operationsGateway(t *testing.T) (url string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	op := func(state string) string {
		return `{"object":"operation","id":"` + operationID + `","state":"` + state + `","outcome":"unknown","advice":"look at the provider",
			"attempts":[{"provider":"rebilly-main","outcome":"unknown","code":"provider_timeout","ms":10003}],
			"created_at":"2026-11-20T10:00:00Z","updated_at":"2026-11-20T10:00:00Z"}`
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Method+" "+r.URL.RequestURI())
		w.Header().Set("Content-Type", "application/json")
		body, status := "", http.StatusOK
		switch {
		case r.Header.Get("Authorization") != "Bearer pv_test_key":
			status = http.StatusUnauthorized
		case r.URL.Path == "/v1/operations" && r.URL.Query().Get("cursor") == "":
			body = `{"data":[` + op("manual") + `],"has_more":true,"next_cursor":"more"}`
		case r.URL.Path == "/v1/operations":
			body = `{"data":[` + op("manual") + `],"has_more":false}`
		case strings.HasSuffix(r.URL.Path, "/retry"):
			body, status = op("unknown"), http.StatusAccepted
		case strings.HasSuffix(r.URL.Path, "/fail"):
			w.Header().Set("Content-Type", "application/problem+json")
			status = http.StatusConflict
			body = `{"type":"x","title":"x","status":409,"code":"invalid_state","outcome":"not_sent","retry":"never","detail":"only in state manual","request_id":"r1"}`
		default:
			body = op("manual")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

func TestOperationsCommands(t *testing.T) {
	t.Parallel()
	url, asked := operationsGateway(t)
	key := writeFile(t, "api.key", "pv_test_key\n")
	with := func(args ...string) []string {
		return append(append([]string{"operations"}, args...), "--url", url, "--api-key-file", key)
	}

	code, stdout, stderr := execute(t, with("list")...)
	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, 3, stdout)
	require.Equal(t, []string{"ID", "STATE", "PROVIDER", "LAST", "CODE", "CREATED"}, strings.Fields(lines[0]))
	require.Equal(t, []string{operationID, "manual", "rebilly-main", "provider_timeout", "2026-11-20T10:00:00Z"}, strings.Fields(lines[2]))
	require.Equal(t, []string{"GET /v1/operations?state=manual", "GET /v1/operations?state=manual&cursor=more"}, asked())

	code, stdout, _ = execute(t, with("list", "--state", "unknown", "--json")...)
	require.Zero(t, code)
	for line := range strings.Lines(stdout) {
		var op struct{ ID, Advice string }
		require.NoError(t, json.Unmarshal([]byte(line), &op))
		require.Equal(t, operationID, op.ID)
		require.NotEmpty(t, op.Advice)
	}
	require.Contains(t, asked(), "GET /v1/operations?state=unknown")

	code, stdout, _ = execute(t, with("show", operationID)...)
	require.Zero(t, code)
	require.Regexp(t, `advice +look at the provider`, stdout)
	require.Regexp(t, `attempt 1 +rebilly-main: unknown provider_timeout, 10003 ms`, stdout)

	code, stdout, _ = execute(t, with("retry", operationID)...)
	require.Zero(t, code)
	require.Regexp(t, `state +unknown`, stdout)
	require.Contains(t, asked(), "POST /v1/operations/"+operationID+"/retry")

	code, stdout, stderr = execute(t, with("fail", operationID)...)
	require.Equal(t, exitFailure, code)
	require.Empty(t, stdout)
	require.Equal(t, "polyvault: invalid_state: only in state manual (request r1)\n", stderr)
}

func TestOperationsCommandsThatAreCalledWrongly(t *testing.T) {
	t.Parallel()
	url, _ := operationsGateway(t)
	key, empty := writeFile(t, "api.key", "wrong"), writeFile(t, "empty.key", " \n")
	for name, c := range map[string]struct {
		code int
		args []string
		says string
	}{
		"no command":        {exitUsage, nil, "list, show, retry or fail"},
		"another state":     {exitUsage, []string{"list", "--state", "sending", "--api-key-file", key}, "--state"},
		"no key":            {exitUsage, []string{"list", "--api-key-file", empty}, "POLYVAULT_API_KEY"},
		"no file":           {exitFailure, []string{"list", "--api-key-file", empty + "x"}, "cannot be read"},
		"no id":             {exitUsage, []string{"show", "--api-key-file", key}, "arg"},
		"no address":        {exitUsage, []string{"list", "--api-key-file", key, "--url", "gateway"}, "--url"},
		"no such key":       {exitFailure, []string{"list", "--api-key-file", key, "--url", url}, "Unauthorized"},
		"nobody is at home": {exitFailure, []string{"list", "--api-key-file", key, "--url", "http://127.0.0.1:1"}, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t, append([]string{"operations"}, c.args...)...)
			require.Equal(t, c.code, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, c.says)
		})
	}
}
