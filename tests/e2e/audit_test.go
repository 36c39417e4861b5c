package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// A gateway is killed while it stores instruments, three times, and its audit log goes on
// over files and starts: its chain is whole, and it has every change that was answered.
func TestTheAuditLogOfAGatewayThatIsKilled(t *testing.T) {
	t.Parallel()
	s := startSandbox(t)
	log := filepath.Join(t.TempDir(), "audit.log")
	section := "  redis: {url: \"redis://" + redistest.Start(t) + "/0\", durability: dev}\n" +
		"audit: {file: " + log + ", sync: always, max_bytes: 65536}\n"
	reference := newReferenceKey(t)
	answered := map[string]int{} // statuses, by request
	var config string
	for life := range 3 {
		g := startGateway(t, s, section, reference)
		config = g.config
		g.stores(t, life, func() bool { return len(answered) >= 100*(life+1) }, answered)
	}
	last := startGateway(t, s, section, reference)
	require.NoError(t, last.Terminate(t))
	require.GreaterOrEqual(t, len(answered), 300)

	files, err := filepath.Glob(log + "*")
	require.NoError(t, err)
	require.Greater(t, len(files), 1, "it was rotated")
	env := []string{
		"E2E_REFERENCE_KEY=" + reference, "E2E_CYBERSOURCE_SECRET=dW5pdC10ZXN0LXNoYXJlZC1zZWNyZXQtMzJieXRlcyE=",
		"E2E_REBILLY_KEY=sk_sandbox_polyvault", "E2E_BIGCOMMERCE_TOKEN=sandbox-token",
	}
	out, errs, err := programs.Run(t, env, append([]string{"audit", "verify", "--config", config}, files...)...)
	require.NoError(t, err, out+errs)
	require.Contains(t, out, "entries 1 to ")
	require.Equal(t, 1, strings.Count(out, "chain "), "one chain over all starts")

	out, errs, err = programs.Run(t, nil, append([]string{"audit", "list", "--json"}, files...)...)
	require.NoError(t, err, errs)
	told := map[string]int{}
	starts := 0
	for line := range strings.Lines(out) {
		require.NotContains(t, line, "4111111111111111")
		var e struct {
			Action    string
			RequestID string `json:"request_id"`
			Status    int
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		if e.Action == "gateway.start" {
			starts++
		}
		told[e.RequestID] = e.Status
	}
	require.Equal(t, 4, starts)
	for id, status := range answered {
		require.Equal(t, status, told[id], "the answered request %s", id)
	}
}

// stores has eight clients create instruments until enough were answered, and then kills
// the gateway under them. It notes what was answered.
func (g gateway) stores(t *testing.T, life int, enough func() bool, answered map[string]int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("life-%d-%d-%d", life, client, n)
				status, err := g.create(ctx, id)
				if err != nil {
					return // it is killed
				}
				mu.Lock()
				answered[id] = status
				mu.Unlock()
			}
		})
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return enough()
	}, 60*time.Second, 5*time.Millisecond)
	g.Kill()
	clients.Wait()
}

// create stores a card under the request id, which is its idempotency key, too. The error
// is that no whole answer came.
func (g gateway) create(ctx context.Context, id string) (status int, err error) {
	body, err := json.Marshal(object{"customer_id": "cus-" + id, "sources": []object{card("4111111111111111")}, "billing_address": address()})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/instruments", strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	for name, value := range (header{"Authorization": "Bearer " + g.key, "Content-Type": "application/json", "Idempotency-Key": id, "X-Request-ID": id}) {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
