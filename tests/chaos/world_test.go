package chaos

import (
	"cmp"
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

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
	"github.com/polyvault/polyvault/tests/harness"
)

type object = map[string]any

const (
	cybersource = "cybersource-us"
	rebilly     = "rebilly-main"
	bigcommerce = "bigcommerce-main"
)

func providers() []string { return []string{cybersource, rebilly, bigcommerce} }

// storePath is where each provider's requests go that store an instrument.
func storePath(provider string) string {
	return map[string]string{
		cybersource: "/tms/v2/customers/*/payment-instruments",
		rebilly:     "/organizations/*/payment-instruments",
		bigcommerce: "/stores/*/v3/payments/stored-instruments",
	}[provider]
}

// world is the stand-ins, a store and the gateways over it.
type world struct {
	stands    map[string]string // provider -> host:port
	store     string            // the store's section of the configuration
	reference string            // the reference key, base64
	gateways  []*gateway
	logs      []*harness.Log // of everything that ran
}

// gateway is one `polyvault serve`, which may die and come back at its address.
type gateway struct {
	*harness.Process
	url, config string
	admin       string // the base URL of its admin listener, if it has one
	env         []string
}

func newWorld(t *testing.T, gateways int) *world {
	t.Helper()
	return newWorldOver(t, gateways, redistest.Start(t), "dev")
}

func newWorldOver(t *testing.T, gateways int, redis, durability string) *world {
	t.Helper()
	return newWorldIn(t, gateways, fmt.Sprintf(`redis: {url: "redis://%s/0", durability: %s}`, redis, durability))
}

// newWorldWith is a world whose sandbox has further arguments.
func newWorldWith(t *testing.T, gateways int, sandbox ...string) *world {
	t.Helper()
	return newWorldIn(t, gateways, fmt.Sprintf(`redis: {url: "redis://%s/0", durability: dev}`, redistest.Start(t)), sandbox...)
}

func newWorldIn(t *testing.T, gateways int, store string, sandbox ...string) *world {
	t.Helper()
	w := &world{stands: map[string]string{}, store: store}
	args := append([]string{"sandbox"}, sandbox...)
	for flag, provider := range map[string]string{"--cybersource": cybersource, "--rebilly": rebilly, "--bigcommerce": bigcommerce} {
		w.stands[provider] = programs.FreePort(t)
		args = append(args, flag, w.stands[provider])
	}
	p := programs.Polyvault(t, nil, args...)
	w.logs = append(w.logs, p.Log)
	for _, addr := range w.stands {
		p.WaitFor(t, "http://"+addr+"/_sandbox/state")
	}
	b := make([]byte, 32)
	_, err := rand.Read(b)
	require.NoError(t, err)
	w.reference = base64.StdEncoding.EncodeToString(b)
	for range gateways {
		w.gateways = append(w.gateways, w.newGateway(t))
	}
	return w
}

// apiKey is a tenant's key.
func apiKey(tenant string) string {
	return "pv_test_" + tenant + "_" + strings.Repeat("A", 43)
}

func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// settings is what a gateway has of its own; what is not named is as everywhere.
type settings struct {
	urls   map[string]string // provider -> base_url
	shapes map[string]string // provider -> timeouts, limits and breaker, in YAML
	routes string            // in YAML
	admin  string            // admin_listen
	lease  string            // default 3s
	more   string            // further sections, in YAML
	hooks  map[string]string // provider -> further keys of its config, each after a comma
	events string            // of the tenant acme, in YAML
}

func (w *world) newGateway(t *testing.T) *gateway {
	t.Helper()
	return w.newGatewayAs(t, settings{})
}

func (w *world) newGatewayAs(t *testing.T, own settings) *gateway {
	t.Helper()
	listen := programs.FreePort(t)
	g := &gateway{url: "http://" + listen, admin: "http://" + own.admin, config: filepath.Join(t.TempDir(), "polyvault.yaml")}
	const scopes = "instruments:read, instruments:write, customers:read, customers:write, providers:read, references:read, instruments:resolve, events:read, events:write"
	// The breaker stays closed: an open one rightly sends the next create elsewhere.
	shape := func(provider string) string {
		return cmp.Or(own.shapes[provider], "timeout: 1s\n    breaker: {consecutive_failures: 1000, min_requests: 1000}")
	}
	url := func(provider string) string { return cmp.Or(own.urls[provider], "http://"+w.stands[provider]) }
	routes := cmp.Or(own.routes, `
  - {name: us, match: {country: [US]}, providers: [cybersource-us, rebilly-main, bigcommerce-main]}
  - {name: gb, match: {country: [GB]}, providers: [rebilly-main, bigcommerce-main, cybersource-us]}
  - {name: rest, providers: [bigcommerce-main, cybersource-us, rebilly-main]}`)
	require.NoError(t, os.WriteFile(g.config, fmt.Appendf(nil, `
listen: %s
admin_listen: %q
lease: %s
reconcile: {interval: 200ms, settle: 500ms}
store:
  %s
keys:
  reference: env:CHAOS_REFERENCE_KEY
tenants:
  - name: acme
    accept_raw_card: true
    api_keys: [{name: checkout, sha256: %q, scopes: [%s]}]
    %s
  - name: other
    accept_raw_card: true
    api_keys: [{name: checkout, sha256: %q, scopes: [%s]}]
  - name: lax
    accept_raw_card: true
    duplicates: allow
    api_keys: [{name: checkout, sha256: %q, scopes: [%s]}]
providers:
  - name: cybersource-us
    type: cybersource
    %s
    config: {base_url: %q, merchant_id: testmerchant, key_id: "08c94330-f618-42a3-b09d-e1e43be5efda", shared_secret: env:CHAOS_CYBERSOURCE_SECRET%s}
  - name: rebilly-main
    type: rebilly
    %s
    config: {base_url: %q, organization_id: org_sandbox, api_key: env:CHAOS_REBILLY_KEY%s}
  - name: bigcommerce-main
    type: bigcommerce
    %s
    config: {base_url: %q, store_hash: sandbox, access_token: env:CHAOS_BIGCOMMERCE_TOKEN%s}
routes: %s
insecure_providers: true
log: {level: info, format: json}
%s
`, listen, own.admin, cmp.Or(own.lease, "3s"), w.store, digest(apiKey("acme0000")), scopes, own.events, digest(apiKey("other000")), scopes, digest(apiKey("lax00000")), scopes,
		shape(cybersource), url(cybersource), own.hooks[cybersource], shape(rebilly), url(rebilly), own.hooks[rebilly],
		shape(bigcommerce), url(bigcommerce), own.hooks[bigcommerce], routes, own.more), 0o600))
	g.env = []string{
		"CHAOS_REFERENCE_KEY=" + w.reference,
		"CHAOS_CYBERSOURCE_SECRET=dW5pdC10ZXN0LXNoYXJlZC1zZWNyZXQtMzJieXRlcyE=",
		"CHAOS_REBILLY_KEY=sk_sandbox_polyvault",
		"CHAOS_BIGCOMMERCE_TOKEN=sandbox-token",
		"CHAOS_EVENT_SECRET=" + eventSecret, "CHAOS_EVENT_SECRET_NEXT=" + nextEventSecret,
	}
	w.run(t, g)
	return g
}

// run starts a gateway, for the first time or again.
func (w *world) run(t *testing.T, g *gateway) {
	t.Helper()
	g.Process = programs.Polyvault(t, g.env, "serve", "--config", g.config)
	w.logs = append(w.logs, g.Log)
	g.WaitFor(t, g.url+"/readyz")
}

// create is a request that each provider of the route could take: the sources are a
// published test card and a token of the vault behind BigCommerce. Customer n of
// the merchant is customer n there.
func create(n int, first string) object {
	country := map[string]string{cybersource: "US", rebilly: "GB", bigcommerce: "CA"}[first]
	return object{
		"customer_id": fmt.Sprintf("cus-%d", n), "country": country,
		"sources": []object{
			{"type": "card", "number": "4111111111111111", "exp_month": 12, "exp_year": 2031, "cvc": "123", "holder_name": "Ada Byron"},
			{
				"type": "vaulted_token", "payment_method_id": "braintree.credit_card", "currency": "USD", "vault_token": fmt.Sprintf("token-%d", n),
				"provider_customer_id": "321123", "instrument_type": "card", "brand": "visa", "bin": "411111", "last4": "1111",
				"exp_month": 12, "exp_year": 2031,
			},
		},
		"billing_address": object{
			"first_name": "Ada", "last_name": "Byron", "line1": "12 Analytical Way", "city": "Austin",
			"region": "TX", "postal_code": "78701", "country": "US",
		},
	}
}
