package canaries

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/tests/harness"
)

const (
	cybersource = "cybersource-us"
	rebilly     = "rebilly-main"
	bigcommerce = "bigcommerce-main"
)

// world is one gateway with everything switched on that leaves something behind, the
// stand-ins, and all that the gateway has answered.
type world struct {
	*harness.Process
	url, admin string
	dir        string            // of the gateway's own files
	store      string            // the store's section of the configuration
	env        []string          // of the gateway
	stands     map[string]string // provider -> host:port
	client     *http.Client
	events     *ear   // the tenant's endpoint
	event      string // the id of one event
	refusals   *ear   // its other endpoint, which answers with card numbers
	spans      *ear   // the collector
	reference  []byte
	encryption []byte

	mu      sync.Mutex
	answers bytes.Buffer
	sent    int
	status  map[int]int
}

// marker is in places where callers may write what they like: that it is found in a
// sink shows that the sink is read at all.
const marker = "here-is-the-marker"

func newWorld(t *testing.T, store func(dir string) string) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), stands: map[string]string{}, status: map[int]int{}}
	w.client = &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	args := []string{"sandbox"}
	for flag, provider := range map[string]string{"--cybersource": cybersource, "--rebilly": rebilly, "--bigcommerce": bigcommerce} {
		w.stands[provider] = programs.FreePort(t)
		args = append(args, flag, w.stands[provider])
	}
	sandbox := programs.Polyvault(t, nil, args...)
	for _, addr := range w.stands {
		sandbox.WaitFor(t, "http://"+addr+"/_sandbox/state")
	}
	w.events, w.refusals, w.spans = listen(t, accept), listen(t, parrot), listen(t, accept)
	w.reference, w.encryption = make([]byte, 32), make([]byte, 32)
	for _, key := range [][]byte{w.reference, w.encryption} {
		_, err := rand.Read(key)
		require.NoError(t, err)
	}
	w.env = []string{
		"CANARY_REFERENCE_KEY=" + base64.StdEncoding.EncodeToString(w.reference),
		"CANARY_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString(w.encryption),
		"CANARY_EVENT_SECRET=" + eventSecret,
		"CANARY_CYBERSOURCE_SECRET=dW5pdC10ZXN0LXNoYXJlZC1zZWNyZXQtMzJieXRlcyE=",
		"CANARY_REBILLY_KEY=sk_sandbox_polyvault",
		"CANARY_BIGCOMMERCE_TOKEN=sandbox-token",
	}
	w.store = store(w.dir)
	w.serve(t)
	return w
}

// serve starts the gateway.
func (w *world) serve(t *testing.T) {
	t.Helper()
	listen, admin := programs.FreePort(t), programs.FreePort(t)
	w.url, w.admin = "http://"+listen, "http://"+admin
	file := filepath.Join(w.dir, "polyvault.yaml")
	require.NoError(t, os.WriteFile(file, []byte(w.config(listen, admin, w.store)), 0o600))
	w.Process = programs.Polyvault(t, w.env, "serve", "--config", file)
	w.WaitFor(t, w.url+"/readyz")
}

// apiKey is a tenant's key.
func apiKey(tenant string) string { return "pv_test_" + tenant + "_" + strings.Repeat("A", 43) }

func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

const allScopes = "instruments:read, instruments:write, instruments:resolve, references:read, customers:read, customers:write, providers:read, providers:write, routes:read, events:read, events:write"

// config has short timeouts, so that faults end soon, and breakers that stay closed, so
// that every request meets its fault.
func (w *world) config(listen, admin, store string) string {
	const shape = "timeout: 400ms\n    retry_budget: 100000\n    breaker: {consecutive_failures: 100000, min_requests: 100000}"
	return fmt.Sprintf(`
listen: %s
admin_listen: %s
lease: 3s
reconcile: {interval: 200ms, settle: 200ms, rate: 200}
store:
  %s
keys: {reference: env:CANARY_REFERENCE_KEY, encryption: env:CANARY_ENCRYPTION_KEY}
tenants:
  - name: acme
    accept_raw_card: true
    api_keys: [{name: checkout, sha256: %q, scopes: [%s]}]
    events: {endpoints: [{url: %q, secrets: [env:CANARY_EVENT_SECRET]}, {url: %q, secrets: [env:CANARY_EVENT_SECRET]}]}
  - name: strict
    api_keys: [{name: checkout, sha256: %q, scopes: [%s]}]
  - name: limited
    accept_raw_card: true
    api_keys: [{name: checkout, sha256: %q, scopes: [%s]}]
    limits: {tenant: {rate: 5, burst: 5}, creates_per_customer: {limit: 1}}
providers:
  - name: %s
    type: cybersource
    %s
    config: {base_url: "http://%s", merchant_id: testmerchant, key_id: "08c94330-f618-42a3-b09d-e1e43be5efda", shared_secret: env:CANARY_CYBERSOURCE_SECRET, webhook_keys: [{key_id: %q, key: %q}]}
  - name: %s
    type: rebilly
    %s
    config: {base_url: "http://%s", organization_id: org_sandbox, api_key: env:CANARY_REBILLY_KEY, webhook_credentials: [{username: %q, password: %q}]}
  - name: %s
    type: bigcommerce
    %s
    config: {base_url: "http://%s", store_hash: sandbox, access_token: env:CANARY_BIGCOMMERCE_TOKEN, webhook_secrets: [%q]}
routes:
  - {name: mirrored, match: {country: [US], metadata: {tier: [gold, %s]}}, providers: [%s], mirrors: [%s]}
  - {name: rest, providers: [%s, %s, %s]}
rehearsal: {record: true, path: %q}
audit: {file: %q}
tracing: {endpoint: %q, sample: 1, propagate: true}
trusted_proxies: [127.0.0.1]
limits: {auth_failures_per_minute: 1000}
insecure_providers: true
log: {level: debug, format: json}
`, listen, admin, store, digest(apiKey("accepts0")), allScopes, w.events.url+"/"+marker, w.refusals.url,
		digest(apiKey("refuses0")), allScopes, digest(apiKey("limited0")), allScopes,
		cybersource, shape, w.stands[cybersource], hookKeyID, hookKey, rebilly, shape, w.stands[rebilly], hookUser, hookPassword,
		bigcommerce, shape, w.stands[bigcommerce], hookSecret,
		marker, cybersource, rebilly, rebilly, cybersource, bigcommerce, filepath.Join(w.dir, "rehearsal.jsonl"),
		filepath.Join(w.dir, "audit.jsonl"), w.spans.url)
}

// answer is what a request was answered.
type answer struct {
	status int
	body   object
}

func (a answer) str(name string) string {
	s, _ := a.body[name].(string)
	return s
}

// do sends a request, and keeps all of the answer.
func (w *world) do(req *http.Request) (answer, error) {
	resp, err := w.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	head, err := httputil.DumpResponse(resp, false)
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode == http.StatusOK && (req.URL.Path == "/openapi.json" || strings.HasPrefix(req.URL.Path, "/docs")) {
		w.keep(resp.StatusCode, head) // files: the contract has a published number in an example
	} else {
		w.keep(resp.StatusCode, head, raw)
	}
	a := answer{status: resp.StatusCode}
	_ = json.Unmarshal(raw, &a.body)
	return a, nil
}

func (w *world) keep(status int, parts ...[]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	w.status[status]++
	for _, p := range parts {
		w.answers.Write(p)
	}
	w.answers.WriteByte('\n')
}

// request makes a request as the tenant that accepts cards. A body that is no text is
// written as JSON.
func (w *world) request(t *testing.T, method, path string, body any) *http.Request {
	t.Helper()
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	default:
		var err error
		raw, err = json.Marshal(body)
		require.NoError(t, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, bytes.NewReader(raw))
	require.NoError(t, err, "%s", path)
	req.GetBody = nil
	req.Header.Set("Authorization", "Bearer "+apiKey("accepts0"))
	req.Header.Set("Content-Type", "application/json")
	return req
}

// send sends what request makes, with an idempotency key if it is not "".
func (w *world) send(t *testing.T, method, path, key string, body any) answer {
	t.Helper()
	req := w.request(t, method, path, body)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	a, err := w.do(req)
	require.NoError(t, err)
	return a
}

// fail makes a provider's stand-in misbehave until it is told otherwise.
func (w *world) fail(t *testing.T, provider string, rules ...fault.Rule) {
	t.Helper()
	raw, err := json.Marshal(append([]fault.Rule{}, rules...))
	require.NoError(t, err)
	require.Eventually(t, func() bool { // a stand-in that refuses connections refuses this one, too
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+w.stands[provider]+"/_sandbox/faults", bytes.NewReader(raw))
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
}

// fetch reads what the admin listener serves.
func (w *world) fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
