package config_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/config"
)

// routed is a configuration of two providers whose routes are rules.
func routed(rules string) string {
	return `keys: {reference: env:REFERENCE_KEY_1}
tenants: [{name: acme, api_keys: []}]
providers:
  - {name: one, type: rebilly, config: {base_url: "https://api.rebilly.com", api_key: env:KEY}}
  - {name: two, type: bigcommerce, config: {store_hash: abc, access_token: env:BIGCOMMERCE_TOKEN}}
routes:
` + rules
}

func parseRoutes(rules string) (*config.Config, error) {
	return config.Parse("f.yaml", []byte(routed(rules)), config.Options{LookupEnv: env(map[string]string{"KEY": "sk_live_x"})})
}

func TestWhatARouteCanSay(t *testing.T) {
	t.Parallel()
	c, err := parseRoutes(`  - name: canary
    match: {bin: ["4", "41111111"], customer: {from: 99, below: 99.99}, metadata: {plan: [gold], "a.b": ["1", "2"]}}
    providers: [one, two]
    strategy: weighted
    weights: {one: 1000, two: 0}
    mirrors: [two]
  - {name: rest, match: {customer: {from: 0.29}}, providers: [two]}
rehearsal: {record: true, path: /var/log/rehearsal.jsonl, max_bytes: 65536}
`)
	require.NoError(t, err)
	require.Equal(t, config.Route{
		Name: "canary", Providers: []string{"one", "two"}, Strategy: "weighted", Weights: map[string]int{"one": 1000, "two": 0}, Mirrors: []string{"two"},
		Match: config.Match{
			BIN: []string{"4", "41111111"}, Customer: &config.CustomerRange{From: 99, Below: 99.99},
			Metadata: map[string][]string{"plan": {"gold"}, "a.b": {"1", "2"}},
		},
	}, c.Routes[0])
	require.Equal(t, &config.CustomerRange{From: 0.29, Below: 100}, c.Routes[1].Match.Customer)
	require.Equal(t, "priority", c.Routes[1].Strategy)
	require.Equal(t, config.Rehearsal{Record: true, Path: "/var/log/rehearsal.jsonl", MaxBytes: 65536}, c.Rehearsal)

	shown, err := c.Show()
	require.NoError(t, err)
	again, err := config.Parse("f.yaml", shown, config.Options{LookupEnv: env(map[string]string{"KEY": "sk_live_x"})})
	require.NoError(t, err)
	require.Equal(t, c.Routes, again.Routes)
	require.Equal(t, c.Rehearsal, again.Rehearsal)
}

func TestRehearsalIsOffByDefault(t *testing.T) {
	t.Parallel()
	c, err := parseRoutes("  - {name: r, providers: [one]}\n")
	require.NoError(t, err)
	require.Equal(t, config.Rehearsal{Path: "./rehearsal.jsonl", MaxBytes: 64 << 20}, c.Rehearsal)
}

func TestProblemsOfRoutes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ rule, want string }{
		"a BIN without quotes":             {"match: {bin: [411111]}, providers: [one]", "routes[0].match.bin[0]: must be 1 to 8 digits in quotes, not a number"},
		"a BIN of nine digits":             {`match: {bin: ["411111111"]}, providers: [one]`, "routes[0].match.bin[0]: must be 1 to 8 digits in quotes"},
		"a BIN of letters":                 {"match: {bin: [visa]}, providers: [one]", "routes[0].match.bin[0]: must be 1 to 8 digits in quotes"},
		"no BIN":                           {"match: {bin: []}, providers: [one]", "routes[0].match.bin: must not be empty"},
		"a range from its end":             {"match: {customer: {from: 25, below: 25}}, providers: [one]", "routes[0].match.customer: must begin below its end: from is not less than below"},
		"a range over 100":                 {"match: {customer: {below: 100.5}}, providers: [one]", "routes[0].match.customer.below: must be a number from 0 to 100"},
		"a range of three decimals":        {"match: {customer: {below: 0.005}}, providers: [one]", "routes[0].match.customer.below: must have at most two decimals"},
		"a range of nothing":               {"match: {customer: {}}, providers: [one]", "routes[0].match.customer: must have exactly one or both of from and below"},
		"a range of words":                 {"match: {customer: {below: half}}, providers: [one]", "routes[0].match.customer.below: must be a number from 0 to 100, not text"},
		"metadata without values":          {"match: {metadata: {plan: []}}, providers: [one]", "routes[0].match.metadata.plan: must not be empty"},
		"metadata of one value":            {"match: {metadata: {plan: gold}}, providers: [one]", "routes[0].match.metadata.plan: must be a list of words, not text"},
		"a metadata key that cannot be":    {"match: {metadata: {\"a b\": [x]}}, providers: [one]", "routes[0].match.metadata: has a key that no metadata can have: keys are 1 to 40 of A-Z a-z 0-9 _ . -, and no card number"},
		"an unknown strategy":              {"strategy: random, providers: [one]", "routes[0].strategy: must be one of priority, weighted"},
		"weights without a strategy":       {"weights: {one: 1}, providers: [one]", "routes[0].weights: goes with strategy: weighted"},
		"weighted without weights":         {"strategy: weighted, providers: [one]", "routes[0].weights: must have a weight for each of the route's providers: one"},
		"a weight too few":                 {"strategy: weighted, weights: {one: 1}, providers: [one, two]", "routes[0].weights: must have a weight for each of the route's providers: one, two"},
		"a weight for a stranger":          {"strategy: weighted, weights: {one: 1, two: 1}, providers: [one]", "routes[0].weights.two: names no provider of the route; there are one"},
		"a weight over 1000":               {"strategy: weighted, weights: {one: 1001}, providers: [one]", "routes[0].weights.one: must be a whole number from 0 to 1000"},
		"a weight below 0":                 {"strategy: weighted, weights: {one: -1}, providers: [one]", "routes[0].weights.one: must be a whole number from 0 to 1000"},
		"only weights of 0":                {"strategy: weighted, weights: {one: 0}, providers: [one]", "routes[0].weights: must have a weight above 0"},
		"a mirror that is not there":       {"providers: [one], mirrors: [three]", "routes[0].mirrors[0]: names no provider of this file; there are one, two"},
		"a mirror twice":                   {"providers: [one], mirrors: [two, two]", "routes[0].mirrors: holds the same entry twice"},
		"the only provider as its mirror":  {"providers: [one], mirrors: [one]", "routes[0].mirrors[0]: is the route's only provider, and no mirror of itself: remove it"},
		"a member that a match has not":    {"match: {bins: [\"4\"]}, providers: [one]", "routes[0].match.bins: unknown key; the keys here are bin, brand, country, currency, customer, metadata, source, tenant, type"},
		"a number for a metadata's values": {"match: {metadata: {plan: [1]}}, providers: [one]", "routes[0].match.metadata.plan[0]: must be text, not a number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseRoutes("  - {name: r, " + tc.rule + "}\n")
			require.Error(t, err)
			var texts []string
			for line := range strings.Lines(err.Error()) {
				texts = append(texts, strings.TrimSpace(strings.TrimPrefix(line, "f.yaml:7: ")))
			}
			require.Equal(t, []string{tc.want}, texts)
		})
	}
	_, err := parseRoutes("  - {name: r, providers: [one]}\nrehearsal: {max_bytes: 1000}\n")
	require.EqualError(t, err, "f.yaml:8: rehearsal.max_bytes: must be a whole number from 65536 to 17179869184")
}

func TestRoutesCanBeReadWithoutTheSecrets(t *testing.T) {
	t.Parallel()
	text := `store: {redis: {url: env:REDIS_URL, password: file:nowhere}}
` + routed(`  - {name: r, providers: [one, two]}
`) + `insecure_providers: false
`
	none := func(string) (string, bool) { return "", false }
	_, err := config.Parse("f.yaml", []byte(text), config.Options{LookupEnv: none})
	require.Error(t, err)
	c, err := config.Parse("f.yaml", []byte(text), config.Options{LookupEnv: none, WithoutSecrets: true})
	require.NoError(t, err)
	require.Equal(t, "r", c.Routes[0].Name)
	for _, p := range c.Providers {
		_, err := p.Adapter.Open(adapters.Env{HTTP: http.DefaultClient})
		require.NoError(t, err, p.Name)
	}

	_, err = config.Parse("f.yaml", []byte(strings.Replace(text, "env:KEY", "sk_live_literal", 1)), config.Options{LookupEnv: none, WithoutSecrets: true})
	require.EqualError(t, err, "f.yaml:5: providers[0].config.api_key: must not hold the secret itself: write env:NAME or file:/path")
	_, err = config.Parse("f.yaml", []byte(strings.Replace(text, "store_hash: abc", "store_hash: a/c", 1)), config.Options{LookupEnv: none, WithoutSecrets: true})
	require.EqualError(t, err, "f.yaml:6: providers[1].config.store_hash: must be 1 to 32 letters and digits", "everything else is checked")
}
