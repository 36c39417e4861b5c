package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// seed puts customers with two cards each at a stand-in, and returns a line to import
// for each card.
func seed(t *testing.T, addr, provider string, customers int) []string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/_sandbox/seed",
		strings.NewReader(fmt.Sprintf(`{"customers":%d,"each":2,"provider":%q}`, customers, provider)))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	a := read(t, resp)
	require.Equal(t, http.StatusOK, a.status, "%s", a.raw)
	return strings.Split(strings.TrimSpace(string(a.raw)), "\n")
}

func (g gateway) importFile(t *testing.T, key, file string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return programs.Run(t, []string{"POLYVAULT_API_KEY=" + key}, append([]string{"import", file, "--url", g.url}, args...)...)
}

// The command adopts what three providers have; lists of a customer then ask all of
// them, and a new card goes to the customer that is there.
func TestImportCommand(t *testing.T) {
	t.Parallel()
	for store, section := range stores(t) {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := startSandbox(t)
			g := startGateway(t, s, section(t), newReferenceKey(t))
			var lines []string
			for provider, addr := range map[string]string{"cybersource-us": s.cybersource, "rebilly-main": s.rebilly, "bigcommerce-main": s.bigcommerce} {
				lines = append(lines, seed(t, addr, provider, 20)...)
			}
			lines[5] += "}"
			lines = append(lines,
				`{"customer_id":"4111111111111111","provider":"rebilly-main","references":{"instrument":"inst_1"}}`,
				`{"customer_id":"cus-1","provider":"rebilly-main","references":{"instrument":"4111111111111111"}}`,
				`{"customer_id":"cus-1","provider":"rebilly-main","references":{"instrument":"inst_1"},"metadata":{"k":"4111111111111111"}}`,
				`{"customer_id":"cus\u0000","provider":"rebilly-main","references":{"instrument":"inst_1"}}`,
				`{"customer_id":"cus-1","provider":"nobody","references":{"instrument":"inst_1"}}`,
				`{"customer_id":"cus-1","provider":"rebilly-main","references":{"instrument":"`+strings.Repeat("x", 1000)+`"}}`,
				`{"customer_id":"cus-1","provider":"rebilly-main","references":{"a":"1","b":"1","c":"1","d":"1","e":"1","f":"1","g":"1","h":"1","i":"1"}}`,
				`{"customer_id":"cus-1","provider":"rebilly-main","references":{"instrument":"inst_1","":"x"}}`,
				`{"customer_id":"cus-1","provider":"cybersource-us","references":{"instrument":"inst_1"}}`,
				`{"customer_id":"cus-1","provider":"bigcommerce-main","references":{"customer":"x","token":"y"}}`,
				`{"customer_id":"cus-1","provider":"rebilly-main","references":{"instrument":"`+strings.Repeat("<", 60_000)+`"}}`,
			)
			file := filepath.Join(t.TempDir(), "in.jsonl")
			require.NoError(t, os.WriteFile(file, []byte("\ufeff"+strings.Join(lines, "\r\n")), 0o600))

			stdout, stderr, err := g.importFile(t, g.key, file)
			require.ErrorContains(t, err, "exit status 1", "a line has failed")
			require.Contains(t, stdout, "lines 131\nstored 119\nexisting 0\nfailed 12\n", stderr)
			require.Contains(t, stderr, "--retry-failed")
			results, err := os.ReadFile(file + ".results.jsonl")
			require.NoError(t, err)
			require.Equal(t, 131, strings.Count(string(results), "\n"))
			require.NotContains(t, string(results), "4111111111111111")

			page := g.call(t, http.StatusOK, "GET", "/v1/customers/cus-20/instruments", nil, nil)
			require.Len(t, page.body["data"], 6)
			require.Equal(t, false, page.body["incomplete"], "the customer's references are known: %s", page.raw)
			customer := g.call(t, http.StatusOK, "GET", "/v1/customers/cus-20", nil, nil)
			require.Len(t, customer.body["provider_references"], 3)
			before := len(stateOf(t, s.cybersource).Customers)
			g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": "new"}, object{
				"customer_id": "cus-20", "provider": "cybersource-us", "billing_address": address(), "sources": []object{{
					"type": "card", "number": "378282246310005", "exp_month": 12, "exp_year": 2031, "cvc": "1234", "holder_name": "Ada Byron",
				}},
			})
			require.Len(t, stateOf(t, s.cybersource).Customers, before, "no second customer was made")

			stdout, stderr, err = g.importFile(t, g.key, file, "--restart")
			require.Error(t, err)
			require.Contains(t, stdout, "stored 0\nexisting 119\n", stderr)
		})
	}
}

func TestImportCommandOfCSV(t *testing.T) {
	t.Parallel()
	s := startSandbox(t)
	g := startGateway(t, s, stores(t)["bbolt"](t), newReferenceKey(t))
	var b strings.Builder
	b.WriteString("\ufeffcustomer_id,instrument,customer,metadata.plan\r\n")
	for i, line := range seed(t, s.rebilly, "", 5) {
		_, rest, _ := strings.Cut(line, `"instrument":"`)
		instrument, _, _ := strings.Cut(rest, `"`)
		fmt.Fprintf(&b, "\"cus-%d\",%s,,\"gold, \"\"%d\"\"\"\r\n", i, instrument, i)
	}
	b.WriteString("a,\"open,b,c\r\n" + "a,inst_NOWHERE,,\r\n" + "a,\xff,,\r\n" + ",inst_1,,")
	file := filepath.Join(t.TempDir(), "in.csv")
	require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
	stdout, stderr, err := g.importFile(t, g.key, file, "--provider", "rebilly-main")
	require.ErrorContains(t, err, "exit status 1")
	require.Contains(t, stdout, "lines 14\nstored 10\nexisting 0\nfailed 4\n  invalid_csv 2\n  missing_field 1\n  not_found 1\n", stderr)
	page := g.call(t, http.StatusOK, "GET", "/v1/instruments?customer_id=cus-3", nil, nil)
	require.Contains(t, string(page.raw), `gold, \"3\"`)
}

func TestImportCommandThatIsCalledWrongly(t *testing.T) {
	t.Parallel()
	s := startSandbox(t)
	g := startGateway(t, s, stores(t)["bbolt"](t), newReferenceKey(t))
	file := filepath.Join(t.TempDir(), "in.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(seed(t, s.rebilly, "rebilly-main", 200), "\n")), 0o600))
	calls := len(stateOf(t, s.rebilly).Requests)
	for _, c := range []struct {
		key, says, exit string
		args            []string
	}{
		{"", "an API key is required", "exit status 2", nil},
		{g.key, "--concurrency", "exit status 2", []string{"--concurrency", "65"}},
		{g.key, "--format", "exit status 2", []string{"--format", "xml"}},
		{g.key, "retry-failed", "exit status 2", []string{"--restart", "--retry-failed"}},
		{"pv_test_unknown", "refuses the API key", "exit status 1", nil},
		{g.readKey, "refuses the API key", "exit status 1", nil},
	} {
		_, stderr, err := g.importFile(t, c.key, file, c.args...)
		require.ErrorContains(t, err, c.exit, stderr)
		require.Contains(t, stderr, c.says)
	}
	_, stderr, err := g.importFile(t, g.key, file+".txt")
	require.ErrorContains(t, err, "exit status 2")
	require.Contains(t, stderr, "--format")
	require.Len(t, stateOf(t, s.rebilly).Requests, calls, "nobody was asked")
	_, stderr, err = g.importFile(t, g.key, file)
	require.NoError(t, err, stderr)
}

// An import that is asked to stop finishes what is under way and says how to go on. No
// line is asked for twice.
func TestImportCommandThatIsStopped(t *testing.T) {
	t.Parallel()
	s := startSandbox(t)
	g := startGateway(t, s, stores(t)["bbolt"](t), newReferenceKey(t))
	file := filepath.Join(t.TempDir(), "in.jsonl")
	lines := seed(t, s.rebilly, "rebilly-main", 1000)
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
	slow := setFaults(t, s.rebilly, `[{"method":"GET","path":"/organizations/*/payment-instruments/*","fault":"delay","delay_ms":40}]`)
	require.Equal(t, http.StatusOK, slow)
	p := programs.Polyvault(t, []string{"POLYVAULT_API_KEY=" + g.key}, "import", file, "--url", g.url, "--concurrency", "2")
	require.Eventually(t, func() bool {
		info, err := os.Stat(file + ".results.jsonl")
		return err == nil && info.Size() > 0
	}, time.Minute, 5*time.Millisecond)
	require.ErrorContains(t, p.Terminate(t), "exit status 1")
	require.Regexp(t, `stopped after line \d+ of .*: run the same command again to go on`, p.Log.String())
	require.Equal(t, http.StatusOK, setFaults(t, s.rebilly, `[]`))
	stdout, stderr, err := g.importFile(t, g.key, file)
	require.NoError(t, err, stderr)
	require.Contains(t, stdout, "lines 2000\nstored 2000\nexisting 0\nfailed 0\n")
	require.NotContains(t, stdout, "done before 0\n")
	require.Len(t, stateOf(t, s.rebilly).Requests, 2000)
}

// setFaults sets a stand-in's faults.
func setFaults(t *testing.T, addr, rules string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+addr+"/_sandbox/faults", strings.NewReader(rules))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode
}
