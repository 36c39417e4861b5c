// Package e2e runs the built binary: `polyvault sandbox` for the providers,
// `polyvault serve` for the gateways, over a real redis-server and over bbolt.
package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/tests/harness"
)

// programs builds the binary once, and starts it.
var programs = harness.New()

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

// sandbox is the three stand-ins in a process of their own.
type sandbox struct{ cybersource, rebilly, bigcommerce string }

func startSandbox(t *testing.T) sandbox {
	t.Helper()
	s := sandbox{programs.FreePort(t), programs.FreePort(t), programs.FreePort(t)}
	p := programs.Polyvault(t, nil, "sandbox", "--cybersource", s.cybersource, "--rebilly", s.rebilly, "--bigcommerce", s.bigcommerce)
	for _, addr := range []string{s.cybersource, s.rebilly, s.bigcommerce} {
		p.WaitFor(t, "http://"+addr+"/_sandbox/state")
	}
	return s
}

// gateway is one running `polyvault serve`.
type gateway struct {
	*harness.Process
	url, key, readKey, tokensKey string
	config                       string // its file
}

// apiKey makes a key in the form that the gateway gives out.
func apiKey(prefix string) (key, digest string) {
	key = "pv_test_" + prefix + "_" + strings.Repeat("A", 43)
	sum := sha256.Sum256([]byte(key))
	return key, hex.EncodeToString(sum[:])
}

func newReferenceKey(t *testing.T) string {
	t.Helper()
	b := make([]byte, 32)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(b)
}

// eventSecret signs the events of those gateways that have any.
const eventSecret = "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"

const allScopes = "instruments:read, instruments:write, instruments:resolve, customers:read, customers:write, providers:read, providers:write, references:read, events:read, events:write"

// startGateway serves with the store section that is given. Gateways that share a
// store must share the reference key. edits are pairs of texts of the configuration file:
// what is there, and what is to be there.
func startGateway(t *testing.T, s sandbox, store, referenceKey string, edits ...string) gateway {
	t.Helper()
	g := gateway{}
	var digest, readDigest, tokensDigest string
	g.key, digest = apiKey("checkout")
	g.readKey, readDigest = apiKey("readonly")
	g.tokensKey, tokensDigest = apiKey("nocards0")
	listen := programs.FreePort(t)
	file := filepath.Join(t.TempDir(), "polyvault.yaml")
	g.config = file
	text := fmt.Sprintf(`
listen: %s
admin_listen: %s
store:
%s
keys:
  reference: env:E2E_REFERENCE_KEY
tenants:
  - name: acme
    accept_raw_card: true
    api_keys:
      - {name: checkout, sha256: %q, scopes: [%s, routes:read]}
      - {name: reader, sha256: %q, scopes: [instruments:read]}
  - name: other
    api_keys:
      - {name: checkout, sha256: %q, scopes: [%s, routes:read]}
providers:
  - name: cybersource-us
    type: cybersource
    config: {base_url: "http://%s", merchant_id: testmerchant, key_id: "08c94330-f618-42a3-b09d-e1e43be5efda", shared_secret: env:E2E_CYBERSOURCE_SECRET}
  - name: rebilly-main
    type: rebilly
    config: {base_url: "http://%s", organization_id: org_sandbox, api_key: env:E2E_REBILLY_KEY}
  - name: bigcommerce-main
    type: bigcommerce
    config: {base_url: "http://%s", store_hash: sandbox, access_token: env:E2E_BIGCOMMERCE_TOKEN}
routes:
  - name: us-cards
    match: {country: [US], type: [card]}
    providers: [cybersource-us, rebilly-main]
  - name: default
    providers: [rebilly-main, bigcommerce-main]
insecure_providers: true
log: {level: debug, format: json}
`, listen, programs.FreePort(t), store, digest, allScopes, readDigest, tokensDigest, allScopes,
		s.cybersource, s.rebilly, s.bigcommerce)
	require.NoError(t, os.WriteFile(file, []byte(strings.NewReplacer(edits...).Replace(text)), 0o600))
	g.Process = programs.Polyvault(t, []string{
		"E2E_REFERENCE_KEY=" + referenceKey,
		"E2E_CYBERSOURCE_SECRET=dW5pdC10ZXN0LXNoYXJlZC1zZWNyZXQtMzJieXRlcyE=",
		"E2E_REBILLY_KEY=sk_sandbox_polyvault",
		"E2E_BIGCOMMERCE_TOKEN=sandbox-token",
		"E2E_EVENT_SECRET=" + eventSecret,
	}, "serve", "--config", file)
	g.url = "http://" + listen
	g.WaitFor(t, g.url+"/readyz")
	return g
}
