package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
)

// parseEdited parses the sample with one text replaced by another.
func parseEdited(t *testing.T, before, after string) error {
	t.Helper()
	sample, err := os.ReadFile("testdata/polyvault.yaml")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(sample), before), "the sample has %q once", before)
	text := strings.Replace(string(sample), before, after, 1)
	_, err = config.Parse(filepath.Join("testdata", "f.yaml"), []byte(text), config.Options{LookupEnv: env(map[string]string{"EMPTY": "", "SHORT": "c2hvcnQ=", "CANARY": "\x00canary"}), Scopes: scopes()})
	return err
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ before, after, want string }{
		"an unknown key": {
			"lease: 45s", "leese: 45s",
			"testdata/f.yaml:46: leese: unknown key; the keys here are admin_listen, admin_public, audit, deletes, events, insecure_providers, keys, lease, limits, listen, log, providers, reads, reconcile, rehearsal, routes, shutdown, store, tenants, tracing, trusted_proxies",
		},
		"an unknown key of a provider": {
			"timeout: 8s", "time_out: 8s",
			"testdata/f.yaml:23: providers[0].time_out: unknown key; the keys here are breaker, charges, config, disabled, max_in_flight, name, retry_budget, timeout, type",
		},
		"an unknown key of an adapter": {
			"merchant_id: testmerchant", "merchant_id: testmerchant\n      region: us",
			"testdata/f.yaml:29: providers[0].config.region: unknown key; the keys here are base_url, currency, key_id, merchant_id, portfolio_id, profile_id, shared_secret, webhook_keys",
		},
		"a duplicate key": {"lease: 45s", "lease: 45s\nlease: 30s", "testdata/f.yaml:47: lease: is there twice, first on line 46: remove one"},
		"not YAML":        {"lease: 45s", "lease: [45s", "testdata/f.yaml:46: is not YAML: did not find expected ',' or ']'"},
		"a tab":           {"lease: 45s", "lease:\n\t45s", "testdata/f.yaml:47: is not YAML: found character that cannot start any token"},
		"two documents":   {"lease: 45s", "---\nlease: 45s", "testdata/f.yaml:1: holds more than one YAML document: keep one"},
		"a missing key":   {"    type: bigcommerce\n", "", "testdata/f.yaml:34: providers[2].type: is missing: add it"},
		"a key without a value": {
			"lease: 45s", "lease:", "testdata/f.yaml:46: lease: is empty: give it a value, or remove the key",
		},
		"a number for a duration":               {"lease: 45s", "lease: 45", "testdata/f.yaml:46: lease: must be a duration such as 10s or 1m30s, not a number"},
		"a duration without a unit":             {"lease: 45s", `lease: "45"`, "testdata/f.yaml:46: lease: must be a duration such as 10s or 1m30s"},
		"a duration out of range":               {"lease: 45s", "lease: 45h", "testdata/f.yaml:46: lease: must be from 11s to 10m"},
		"a timeout over the deadline":           {"timeout: 8s", "timeout: 11s", "testdata/f.yaml:23: providers[0].timeout: must be from 100ms to 10s"},
		"a text for a list":                     {"country: [US, \"NO\"]", "country: US", "testdata/f.yaml:40: routes[0].match.country: must be a list of words, not text"},
		"a text for a switch":                   {"accept_raw_card: true", "accept_raw_card: \"yes\"", "testdata/f.yaml:14: tenants[0].accept_raw_card: must be true or false, not text"},
		"a word that is none of the few":        {"duplicates: allow", "duplicates: ignore", "testdata/f.yaml:15: tenants[0].duplicates: must be one of update, allow"},
		"a number out of range":                 {"max_in_flight: 32", "max_in_flight: 0", "testdata/f.yaml:24: providers[0].max_in_flight: must be a whole number from 1 to 100000"},
		"a ratio above 1":                       {"failure_ratio: 0.25", "failure_ratio: 25", "testdata/f.yaml:25: providers[0].breaker.failure_ratio: must be a number above 0 and up to 1"},
		"a slow call over the timeout":          {"slow_call: 2s", "slow_call: 9s", "testdata/f.yaml:25: providers[0].breaker.slow_call: must be from 10ms to 8s"},
		"an open time that shrinks":             {"open_for_max: 1m", "open_for_max: 1s", "testdata/f.yaml:25: providers[0].breaker.open_for_max: must be from 5s to 1h"},
		"a slow ratio of nothing":               {"slow_ratio: 0.9", "slow_ratio: 0", "testdata/f.yaml:25: providers[0].breaker.slow_ratio: must be a number above 0 and up to 1"},
		"a retry budget of nothing":             {"max_in_flight: 32", "retry_budget: 0", "testdata/f.yaml:24: providers[0].retry_budget: must be a whole number from 1 to 100000"},
		"an address without a port":             {"listen: 127.0.0.1:8080", "listen: 127.0.0.1", "testdata/f.yaml:1: listen: must be a host and a port such as 127.0.0.1:8080"},
		"a port too high":                       {"listen: 127.0.0.1:8080", "listen: 127.0.0.1:80800", "testdata/f.yaml:1: listen: must be a host and a port up to 65535, such as 127.0.0.1:8080"},
		"both listeners on one address":         {"admin_listen: 127.0.0.1:9090", "admin_listen: 127.0.0.1:8080", "testdata/f.yaml:2: admin_listen: must differ from listen"},
		"a name in capitals":                    {"- name: acme", "- name: Acme", "testdata/f.yaml:13: tenants[0].name: must be 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit\ntestdata/f.yaml:40: routes[0].match.tenant[0]: names no tenant of this file; there are Acme"},
		"a provider's name twice":               {"- name: bigcommerce-main", "- name: rebilly-main", "testdata/f.yaml:34: providers[2].name: is used twice, first on line 31: change one"},
		"a provider type that is not":           {"type: bigcommerce", "type: stripe", "testdata/f.yaml:35: providers[2].type: must be one of bigcommerce, cybersource, rebilly"},
		"a route to nowhere":                    {"[cybersource-us, rebilly-main]", "[cybersource-eu, rebilly-main]", "testdata/f.yaml:41: routes[0].providers[0]: names no provider of this file; there are cybersource-us, rebilly-main, bigcommerce-main"},
		"a route with a provider twice":         {"[cybersource-us, rebilly-main]", "[rebilly-main, rebilly-main]", "testdata/f.yaml:41: routes[0].providers: holds the same entry twice"},
		"a route for an unknown tenant":         {"tenant: [acme]", "tenant: [emca]", "testdata/f.yaml:40: routes[0].match.tenant[0]: names no tenant of this file; there are acme"},
		"a country that is none":                {"country: [US, \"NO\"]", "country: [UK]", "testdata/f.yaml:40: routes[0].match.country[0]: must be an ISO 3166-1 alpha-2 code in upper case, such as US"},
		"a currency in small letters":           {"currency: [USD]", "currency: [usd]", "testdata/f.yaml:40: routes[0].match.currency[0]: must be an ISO 4217 code in upper case, such as USD"},
		"a type that is none":                   {"type: [card]", "type: [cards]", "testdata/f.yaml:40: routes[0].match.type[0]: must be one of card, bank_account, paypal, other"},
		"a charge in no currency":               {"timeout: 8s", "charges: {currencies: [USD, euro]}", "testdata/f.yaml:23: providers[0].charges.currencies[1]: must be an ISO 4217 code in upper case, such as USD"},
		"a charge in no country":                {"timeout: 8s", "charges: {countries: [us]}", "testdata/f.yaml:23: providers[0].charges.countries[0]: must be an ISO 3166-1 alpha-2 code in upper case, such as US"},
		"charges that are a list":               {"timeout: 8s", "charges: [USD]", "testdata/f.yaml:23: providers[0].charges: must be a mapping, not a list"},
		"charges by another name":               {"timeout: 8s", "charges: {currency: [USD]}", "testdata/f.yaml:23: providers[0].charges.currency: unknown key; the keys here are countries, currencies"},
		"a digest that is too short":            {"b0f00a08", "b0f0", "testdata/f.yaml:18: tenants[0].api_keys[0].sha256: must be the SHA-256 digest of the whole key in 64 hex digits, as polyvault keys new prints it"},
		"an unknown scope":                      {"instruments:write]", "instruments:writes]", "testdata/f.yaml:19: tenants[0].api_keys[0].scopes[1]: unknown scope; there are instruments:read, instruments:write"},
		"a variable that is not set":            {"env:REBILLY_KEY", "env:REBILY_KEY", "testdata/f.yaml:33: providers[1].config.api_key: the environment variable REBILY_KEY is not set: set it, or refer to another"},
		"a variable that is empty":              {"env:REBILLY_KEY", "env:EMPTY", "testdata/f.yaml:33: providers[1].config.api_key: the environment variable EMPTY is not set: set it, or refer to another"},
		"a literal credential":                  {"env:REBILLY_KEY", "sk_sandbox_canary", "testdata/f.yaml:33: providers[1].config.api_key: must not hold the secret itself: write env:NAME or file:/path"},
		"a credential of a wrong form":          {"env:REBILLY_KEY", "env:CANARY", "testdata/f.yaml:33: providers[1].config.api_key: must be printable ASCII without spaces"},
		"a secret's file that is missing":       {"file:redis-password", "file:nothing", "testdata/f.yaml:6: store.redis.password: the secret's file cannot be opened: open testdata/nothing: no such file or directory"},
		"a literal reference key":               {"env:REFERENCE_KEY_1", "canary", "testdata/f.yaml:11: keys.reference[1].value: must not hold the secret itself: write env:NAME or file:/path"},
		"a short reference key":                 {"env:REFERENCE_KEY_1", "env:SHORT", "testdata/f.yaml:11: keys.reference[1].value: must resolve to base64 of 32 bytes or more: make one with openssl rand -base64 32"},
		"a reference key's id twice":            {"id: k1", "id: k2", "testdata/f.yaml:11: keys.reference[1].id: is used twice: give each key an id of its own"},
		"two stores":                            {"  redis:\n", "  bolt: {path: x}\n  redis:\n", "testdata/f.yaml:3: store: must have exactly one of redis and bolt"},
		"a journal without a folder":            {"  redis:\n", "  journal: {}\n  redis:\n", "testdata/f.yaml:4: store.journal.path: is missing: add it"},
		"a store that is not":                   {"  redis:\n", "  etcd: {}\n  redis:\n", "testdata/f.yaml:4: store.etcd: unknown key; the keys here are bolt, journal, redis"},
		"a password in the store's URL":         {"redis://127.0.0.1:6379/0", "redis://:canary@127.0.0.1:6379/0", "testdata/f.yaml:5: store.redis.url: holds a password: put it into store.redis.password as env:NAME or file:/path, or refer to the whole URL so"},
		"a store's URL that is none":            {"redis://127.0.0.1:6379/0", "127.0.0.1:6379", "testdata/f.yaml:5: store.redis.url: must be a URL such as redis://127.0.0.1:6379/0, or rediss:// for TLS"},
		"Redis addresses beside a URL":          {"durability: standard", "addrs: [\"10.0.0.1:6379\"]", "testdata/f.yaml:7: store.redis.addrs: stands beside url: keep one of them"},
		"Redis addresses without a kind":        {"    url: redis://127.0.0.1:6379/0\n", "    addrs: [\"10.0.0.1:6379\", \"10.0.0.2:6379\"]\n", "testdata/f.yaml:5: store.redis.addrs: names several servers: they need master_name (Sentinel) or cluster: true"},
		"Sentinel credentials without Sentinel": {"durability: standard", "sentinel_password: file:redis-password", "testdata/f.yaml:4: store.redis.master_name: is missing: sentinel_username and sentinel_password go with it"},
		"replicas without strict":               {"durability: standard", "replicas: 1", "testdata/f.yaml:7: store.redis.replicas: goes with durability: strict, where each write waits for them"},
		"more replicas than there can be":       {"durability: standard", "replicas: 10", "testdata/f.yaml:7: store.redis.replicas: must be a whole number from 0 to 9"},
		"Redis without an address":              {"    url: redis://127.0.0.1:6379/0\n", "", "testdata/f.yaml:4: store.redis: needs a url, or addrs (with master_name for Sentinel, with cluster: true for a Cluster)"},
		"a provider over http":                  {"https://apitest.cybersource.com", "http://apitest.cybersource.com", "testdata/f.yaml:27: providers[0].config.base_url: must be https; insecure_providers: true allows http for stand-ins"},
		"a provider at another's host": {
			"https://api-sandbox.rebilly.com", "https://rebilly.example.com",
			"testdata/f.yaml:33: providers[1].config.base_url: is not a known host of rebilly (api.rebilly.com, api-sandbox.rebilly.com); insecure_providers: true allows another for stand-ins",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := parseEdited(t, tc.before, tc.after)
			require.EqualError(t, err, tc.want)
			require.NotContains(t, err.Error(), "canary")
		})
	}
}

func TestAllProblemsAreReportedAtOnceInTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	text := `listen: here
stor: {}
keys: {reference: env:NOT_SET}
tenants: [{name: acme, api_keys: [{name: a, sha256: abc, scopes: ["all:things"]}]}]
providers:
  - {name: one, type: cybersource, timeout: 5, config: {base_url: "http://127.0.0.1", merchant: m}}
  - {name: one, type: rebilly, config: {base_url: "https://api.rebilly.com", api_key: literal}}
routes: [{name: r, match: {country: [us]}, providers: [two]}]
`
	_, err := config.Parse("f.yaml", []byte(text), config.Options{LookupEnv: env(nil), Scopes: scopes()})
	var problems config.Problems
	require.ErrorAs(t, err, &problems)
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimPrefix(p.String(), "f.yaml:")[:1]+" "+p.Path)
	}
	require.Equal(t, []string{
		"1 listen", "2 stor", "3 keys.reference",
		"4 tenants[0].api_keys[0].scopes[0]", "4 tenants[0].api_keys[0].sha256",
		"6 providers[0].config.base_url", "6 providers[0].config.key_id", "6 providers[0].config.merchant",
		"6 providers[0].config.merchant_id", "6 providers[0].config.shared_secret", "6 providers[0].timeout",
		"7 providers[1].config.api_key", "7 providers[1].name",
		"8 routes[0].match.country[0]", "8 routes[0].providers[0]",
	}, got)
}

func TestInsecureProviders(t *testing.T) {
	t.Parallel()
	provider := func(baseURL string) error {
		text := strings.Replace(minimal, `"https://api.rebilly.com", api_key: env:KEY`, `"`+baseURL+`", api_key: sk_literal`, 1)
		_, err := config.Parse("f.yaml", []byte(text+"insecure_providers: true\n"), config.Options{LookupEnv: env(nil)})
		return err
	}
	require.NoError(t, provider("http://127.0.0.1:9102"), "a stand-in, with a literal credential")
	require.NoError(t, provider("http://sandbox:9102"))
	require.EqualError(t, provider("http://api.rebilly.com"),
		"f.yaml:4: providers[0].config.base_url: must be https; insecure_providers: true allows http for stand-ins",
		"credentials never go in the clear to a real provider")
}

func TestLoadSaysWhenThereIsNoFile(t *testing.T) {
	t.Parallel()
	_, err := config.Load(filepath.Join(t.TempDir(), "polyvault.yaml"), config.Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "cannot read the configuration")
}
