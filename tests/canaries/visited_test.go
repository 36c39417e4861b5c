package canaries

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// counted is a line of the metrics: how often an operation was answered with a status.
var counted = regexp.MustCompile(`polyvault_http_requests_total\{code="[^"]*",method="[^"]*",operation="([^"]+)",status="([0-9]+)"\}`)

// visited fails if an operation of the contract was not asked for, never succeeded or
// never failed: the gateway's own metrics say so. It returns how many operations there
// are, and how many kinds of failure were met.
func visited(t *testing.T, metrics []byte) (operations, failures int) {
	t.Helper()
	seen := map[string]map[int]bool{}
	for _, m := range counted.FindAllSubmatch(metrics, -1) {
		status, err := strconv.Atoi(string(m[2]))
		require.NoError(t, err)
		if seen[string(m[1])] == nil {
			seen[string(m[1])] = map[int]bool{}
		}
		seen[string(m[1])][status/100] = true
	}
	var missing []string
	for _, e := range endpoints(t) {
		kinds := seen[e.id]
		operations++
		failures += len(kinds) - 1
		switch what := e.method + " " + e.path; {
		case kinds == nil:
			missing = append(missing, what+" is not visited: teach the test about it")
		case e.id == "failOperation" && kinds[4]:
			// It succeeds only where the gateway has given up, which takes it hours.
		case !kinds[2] && (e.id != "getDocs" || !kinds[3]):
			missing = append(missing, fmt.Sprintf("%s never succeeded: its answers were %v", what, kinds))
		case !kinds[4] && (e.method != http.MethodGet || len(e.params) > 0):
			missing = append(missing, fmt.Sprintf("%s never failed: its answers were %v", what, kinds))
		}
	}
	require.Empty(t, missing)
	return operations, failures
}
