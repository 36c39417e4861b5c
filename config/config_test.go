package config_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/normalize"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// canaries are what the references of testdata/polyvault.yaml resolve to. None of
// them may ever be printed.
func canaries() map[string]string {
	return map[string]string{
		"REFERENCE_KEY_2":    base64.StdEncoding.EncodeToString([]byte("canary-reference-key-two-32-byte")),
		"REFERENCE_KEY_1":    base64.StdEncoding.EncodeToString([]byte("canary-reference-key-one-32-byte")),
		"CYBERSOURCE_SECRET": base64.StdEncoding.EncodeToString([]byte("canary-shared-secret")),
		"REBILLY_KEY":        "sk_sandbox_canary",
		"BIGCOMMERCE_TOKEN":  "canary-token",
	}
}

func env(over map[string]string) func(string) (string, bool) {
	vars := canaries()
	maps.Copy(vars, over)
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func scopes() []string { return []string{"instruments:read", "instruments:write"} }

func load(t *testing.T, over, flags map[string]string) *config.Config {
	t.Helper()
	c, err := config.Load("testdata/polyvault.yaml", config.Options{LookupEnv: env(over), Flags: flags, Scopes: scopes()})
	require.NoError(t, err)
	return c
}

func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	c := load(t, nil, nil)

	require.Equal(t, "redis://127.0.0.1:6379/0", c.Store.Redis.URL.Value.Reveal())
	require.Nil(t, c.Store.Journal)
	require.Equal(t, "/journal", load(t, map[string]string{"POLYVAULT_STORE_JOURNAL_PATH": "/journal"}, nil).Store.Journal.Path)
	require.Equal(t, "canary-redis-password", c.Store.Redis.Password.Value.Reveal())
	require.Equal(t, "pv:", c.Store.Redis.KeyPrefix)
	require.False(t, c.Store.Defaulted)
	require.Equal(t, []string{"k2", "k1"}, []string{c.Keys.Reference[0].ID, c.Keys.Reference[1].ID})
	require.Equal(t, "canary-reference-key-two-32-byte", string(c.Keys.Reference[0].Bytes))
	require.Equal(t, "allow", c.Tenants[0].Duplicates)
	require.True(t, c.Tenants[0].AcceptRawCard)

	cybersource, rebilly := c.Providers[0], c.Providers[1]
	require.Equal(t, config.Duration(8*time.Second), cybersource.Timeout)
	require.Equal(t, 32, cybersource.MaxInFlight)
	require.InDelta(t, 0.25, cybersource.Breaker.FailureRatio, 0)
	require.Equal(t, "https://apitest.cybersource.com", cybersource.Adapter.BaseURL())
	require.Empty(t, cybersource.Adapter.Validate())
	require.Equal(t, config.Duration(10*time.Second), rebilly.Timeout)
	require.Equal(t, 64, rebilly.MaxInFlight)
	require.True(t, c.Providers[2].Disabled)

	require.Equal(t, []string{"US", "NO"}, c.Routes[0].Match.Country)
	require.Equal(t, []normalize.Brand{normalize.Visa}, c.Routes[0].Match.Brand)
	require.Equal(t, "refuse", c.Deletes.DefaultInstrument)
	require.Equal(t, config.Duration(90*time.Minute), c.Reads.StaleIfError)
	require.Equal(t, config.Duration(45*time.Second), c.Lease)
}

const minimal = `keys: {reference: env:REFERENCE_KEY_1}
tenants: [{name: acme, api_keys: []}]
providers:
  - {name: rebilly-main, type: rebilly, config: {base_url: "https://api.rebilly.com", api_key: env:KEY}}
routes: [{name: default, providers: [rebilly-main]}]
`

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("polyvault.yaml", []byte(minimal), config.Options{LookupEnv: env(map[string]string{"KEY": "sk_live_x"})})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8080", c.Listen)
	require.Equal(t, "127.0.0.1:9090", c.AdminListen)
	require.True(t, c.Store.Defaulted)
	require.Equal(t, "./polyvault.db", c.Store.Bolt.Path)
	require.Equal(t, "k1", c.Keys.Reference[0].ID)
	require.Equal(t, "update", c.Tenants[0].Duplicates)
	require.Equal(t, "promote", c.Deletes.DefaultInstrument)
	require.Equal(t, config.Duration(24*time.Hour), c.Reads.StaleIfError)
	require.Equal(t, config.Duration(30*time.Second), c.Lease)
	require.Equal(t, config.Log{Level: "info", Format: "json"}, c.Log)
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env, flags map[string]string
		want       string
	}{
		"the file without anything else":     {want: "127.0.0.1:8080"},
		"the environment wins over the file": {env: map[string]string{"POLYVAULT_LISTEN": "127.0.0.1:1"}, want: "127.0.0.1:1"},
		"a flag wins over both": {
			env:   map[string]string{"POLYVAULT_LISTEN": "127.0.0.1:1"},
			flags: map[string]string{"listen": "127.0.0.1:2"}, want: "127.0.0.1:2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, load(t, tc.env, tc.flags).Listen)
		})
	}
}

func TestTheEnvironmentReachesNestedKeysOfEveryType(t *testing.T) {
	t.Parallel()
	c := load(t, map[string]string{
		"POLYVAULT_STORE_REDIS_URL":        "redis://user:canary-in-url@redis:6379/1",
		"POLYVAULT_STORE_REDIS_POOL_SIZE":  "7",
		"POLYVAULT_STORE_REDIS_DURABILITY": "strict",
		"POLYVAULT_STORE_REDIS_REPLICAS":   "0",
		"POLYVAULT_ADMIN_LISTEN":           "",
		"POLYVAULT_INSECURE_PROVIDERS":     "true",
		"POLYVAULT_READS_STALE_IF_ERROR":   "5m",
		"POLYVAULT_KEYS_REFERENCE":         canaries()["REFERENCE_KEY_1"],
		"POLYVAULT_PORT":                   "tcp://10.0.0.1:80",
	}, nil)
	require.Equal(t, "redis://user:canary-in-url@redis:6379/1", c.Store.Redis.URL.Value.Reveal())
	require.Equal(t, "env:POLYVAULT_STORE_REDIS_URL", c.Store.Redis.URL.String())
	require.Equal(t, 7, c.Store.Redis.PoolSize)
	require.Equal(t, 0, *c.Store.Redis.Replicas)
	require.Empty(t, c.AdminListen)
	require.True(t, c.InsecureProviders)
	require.Equal(t, config.Duration(5*time.Minute), c.Reads.StaleIfError)
	require.Equal(t, "k1", c.Keys.Reference[0].ID)
	require.Equal(t, "env:POLYVAULT_KEYS_REFERENCE", c.Keys.Reference[0].Value.String())
}

func TestAWrongOverrideNamesItsOrigin(t *testing.T) {
	t.Parallel()
	_, err := config.Load("testdata/polyvault.yaml", config.Options{
		LookupEnv: env(map[string]string{"POLYVAULT_STORE_REDIS_POOL_SIZE": "many", "POLYVAULT_LEASE": "1s"}),
		Flags:     map[string]string{"listen": "nowhere"},
	})
	require.EqualError(t, err, strings.Join([]string{
		"$POLYVAULT_LEASE: lease: must be from 11s to 10m",
		"$POLYVAULT_STORE_REDIS_POOL_SIZE: store.redis.pool_size: must be a whole number from 1 to 100000, not text",
		"--listen: listen: must be a host and a port such as 127.0.0.1:8080",
	}, "\n"))
}

func TestShowPrintsReferencesOnly(t *testing.T) {
	t.Parallel()
	c := load(t, nil, nil)
	got, err := c.Show()
	require.NoError(t, err)
	golden := filepath.Join("testdata", "show.golden.yaml")
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))

	again, err := config.Parse("testdata/again.yaml", got, config.Options{LookupEnv: env(nil), Scopes: scopes()})
	require.NoError(t, err, "what it shows can be loaded again")
	require.Equal(t, c, again)
}

func TestNoWayOfPrintingShowsASecret(t *testing.T) {
	t.Parallel()
	c := load(t, nil, nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		out := fmt.Sprintf(verb, c.Store.Redis.Password) + fmt.Sprintf(verb, *c.Store.Redis)
		for _, p := range c.Providers {
			out += fmt.Sprintf(verb, p)
		}
		require.NotContains(t, out, "canary", verb)
	}
}

func TestSchemaIsValidAndNamesEveryProvider(t *testing.T) {
	t.Parallel()
	schema, err := config.Schema()
	require.NoError(t, err)
	for _, word := range []string{"bigcommerce", "cybersource", "rebilly", "shared_secret", "access_token", "api_key", "store_hash"} {
		require.Contains(t, string(schema), `"`+word+`"`)
	}
}

func FuzzParse(f *testing.F) {
	sample, err := os.ReadFile("testdata/polyvault.yaml")
	require.NoError(f, err)
	for _, seed := range []string{string(sample), minimal, "", "a: &a [*a]", "a: .nan", "? [b]: c", "store:\nkeys: 3", "listen: !!binary aGk=", "a: 2001-01-01", "--- a\n--- b"} {
		f.Add(seed)
	}
	for _, name := range []string{"base.yaml", "safety.yaml"} {
		whole, err := os.ReadFile(filepath.Join("../tests/corpus/config", name))
		require.NoError(f, err)
		f.Add(string(whole))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse("fuzz.yaml", []byte(text), config.Options{LookupEnv: env(nil)})
		if err == nil {
			_, err = c.Show()
			require.NoError(t, err)
		}
		require.NotContains(t, fmt.Sprint(err), "canary")
	})
}

func TestWhatAProviderChargesIsRead(t *testing.T) {
	t.Parallel()
	text := strings.Replace(minimal, "type: rebilly,", "type: rebilly, charges: {currencies: [USD, CAD], countries: [US]},", 1)
	c, err := config.Parse("f.yaml", []byte(text), config.Options{LookupEnv: env(map[string]string{"KEY": "sk_x"})})
	require.NoError(t, err)
	require.Equal(t, config.Charges{Currencies: []string{"USD", "CAD"}, Countries: []string{"US"}}, c.Providers[0].Charges)
}
