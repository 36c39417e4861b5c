package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// syncGateway answers two pages: what is left of them is up to the test.
func syncGateway(t *testing.T, repaired bool, code string) (url string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	drift := `{"object":"drift","instrument_id":"` + operationID + `","customer_id":"cus-1","provider":"rebilly-main","role":"mirror","state":"present",
		"differences":[{"field":"card.exp_year","here":"2031","there":"2030"},{"field":"billing_address.city","here":"Graz","there":""}],"repaired":` +
		map[bool]string{true: "true", false: "false"}[repaired] + `,"error_code":"` + code + `"}`
	adopted := `{"object":"drift","instrument_id":null,"customer_id":"cus-2","provider":"rebilly-main","state":"unknown_here","differences":[],"repaired":` +
		map[bool]string{true: "true", false: "false"}[repaired] + `}`
	counts := func(inStep, differing, unknown int) string {
		n := map[string]int{
			"instruments": inStep + differing, "compared": inStep + differing + unknown, "in_step": inStep, "differing": differing,
			"absent": 0, "unreachable": 0, "unknown_here": unknown, "repaired": 0,
		}
		if repaired {
			n["repaired"] = differing + unknown
		}
		b, err := json.Marshal(n)
		require.NoError(t, err)
		return string(b)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		answer := `{"data":[` + drift + `],"counts":` + counts(1, 1, 0) + `,"has_more":true,"next_cursor":"more"}`
		if strings.Contains(string(body), "more") {
			answer = `{"data":[` + adopted + `],"counts":` + counts(2, 0, 1) + `,"has_more":false}`
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

func TestSyncCommand(t *testing.T) {
	t.Parallel()
	key := writeFile(t, "api.key", "pv_test_key\n")
	url, asked := syncGateway(t, false, "")
	code, stdout, stderr := execute(t, "sync", "--provider", "rebilly-main", "--url", url, "--api-key-file", key)
	require.Equal(t, exitFailure, code, "so that a cron job notices")
	require.Equal(t, "4 instruments at 5 places: 3 in step, 1 differ, 0 absent, 0 unreachable, 1 unknown here; 0 repaired\npolyvault: 2 not in step\n", stderr)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, 3, stdout)
	require.Regexp(t, `^INSTRUMENT +CUSTOMER +PROVIDER +ROLE +STATE +REPAIRED +HERE > THERE$`, lines[0])
	require.Regexp(t, `^`+operationID+` +cus-1 +rebilly-main +mirror +present +no +card.exp_year 2031 > 2030, billing_address.city Graz > -$`, lines[1])
	require.Regexp(t, `^- +cus-2 +rebilly-main +- +unknown_here +no$`, lines[2])
	require.Equal(t, []string{
		`POST /v1/sync {"provider":"rebilly-main"}`, `POST /v1/sync {"cursor":"more","provider":"rebilly-main"}`,
	}, trimmed(asked()))

	url, asked = syncGateway(t, true, "")
	code, stdout, stderr = execute(t, "sync", "--customer", "cus-1", "--repair", "--json", "--url", url, "--api-key-file", key)
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "2 repaired\n")
	require.Contains(t, asked()[0], `{"customer_id":"cus-1","repair":true}`)
	n := 0
	for line := range strings.Lines(stdout) {
		var d struct {
			State    string
			Repaired bool
		}
		require.NoError(t, json.Unmarshal([]byte(line), &d))
		require.True(t, d.Repaired)
		n++
	}
	require.Equal(t, 2, n)

	url, _ = syncGateway(t, false, "conflict")
	_, stdout, _ = execute(t, "sync", "--customer", "cus-1", "--repair", "--url", url, "--api-key-file", key)
	require.Contains(t, stdout, "no: conflict")
}

func trimmed(lines []string) []string {
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

func TestSyncCommandThatIsCalledWrongly(t *testing.T) {
	t.Parallel()
	key := writeFile(t, "api.key", "pv_test_key\n")
	code, stdout, stderr := execute(t, "sync", "--api-key-file", key)
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "--customer or --provider")
	code, _, stderr = execute(t, "sync", "--customer", "c", "--url", "http://127.0.0.1:1", "--api-key-file", key)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "does not answer")
}
