package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
			lines[5] = lines[5] + "}"
			file := filepath.Join(t.TempDir(), "in.jsonl")
			require.NoError(t, os.WriteFile(file, []byte("\ufeff"+strings.Join(lines, "\r\n")), 0o600))

			stdout, stderr, err := g.importFile(t, g.key, file)
			require.ErrorContains(t, err, "exit status 1", "a line has failed")
			require.Contains(t, stdout, "lines 120\nstored 119\nexisting 0\nfailed 1\n  invalid_json 1\n", stderr)
			require.Contains(t, stderr, "--retry-failed")
			results, err := os.ReadFile(file + ".results.jsonl")
			require.NoError(t, err)
			require.Equal(t, 120, strings.Count(string(results), "\n"))

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
		instrument := line[strings.Index(line, "inst_"):][:31]
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
