package config_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
)

const signingSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3" // of no endpoint

const eventsPart = `
store: {bolt: {path: a.db}}
keys: {reference: env:KEY}
insecure_providers: %INSECURE
events: {expiring_before: 240h}
tenants:
  - name: acme
    api_keys: []
    events:
      endpoints:
        - url: %URL
          secrets: [env:SECRET, env:OLD]
          types: [%TYPE]
providers:
  - {name: r, type: rebilly, config: {base_url: "https://api-sandbox.rebilly.com", organization_id: o, api_key: env:APIKEY}}
routes:
  - {name: all, providers: [r]}
`

func parseEvents(t *testing.T, insecure, url, typ, secret string) (*config.Config, error) {
	t.Helper()
	text := strings.NewReplacer("%INSECURE", insecure, "%URL", url, "%TYPE", typ).Replace(eventsPart)
	return config.Parse("f.yaml", []byte(text), config.Options{LookupEnv: func(name string) (string, bool) {
		v, ok := map[string]string{"KEY": "bm90IGEgc2VjcmV0LCBidXQgMzIgYnl0ZXMgbG9uZyE=", "APIKEY": "x", "SECRET": secret, "OLD": signingSecret}[name]
		return v, ok
	}})
}

func TestEventEndpoints(t *testing.T) {
	t.Parallel()
	c, err := parseEvents(t, "false", "https://shop.example/hooks", "instrument.created", signingSecret)
	require.NoError(t, err)
	e := c.Tenants[0].Events.Endpoints[0]
	require.Equal(t, signingSecret, e.Secrets[0].Value.Reveal())
	require.Equal(t, []string{"instrument.created"}, e.Types)
	shown, err := json.Marshal(c)
	require.NoError(t, err)
	require.NotContains(t, string(shown), "MDEyMzQ1")
	require.Contains(t, string(shown), "env:SECRET")
	other, err := parseEvents(t, "false", "https://shop.example/hooks", "instrument.deleted", signingSecret)
	require.NoError(t, err)
	changes := config.Compare(c, other)
	require.Equal(t, []string{"tenants"}, changes.Keys)
	require.Empty(t, changes.Restart, "endpoints are reloadable")
	_, err = parseEvents(t, "true", "http://127.0.0.1:8000/x", "provider.down", signingSecret)
	require.NoError(t, err)

	for name, tc := range map[string]struct{ url, typ, secret, want string }{
		"http":            {"http://shop.example/", "instrument.created", signingSecret, "must be https"},
		"no host":         {"https:///x", "instrument.created", signingSecret, "must be a URL"},
		"credentials":     {"https://a:b@shop.example/", "instrument.created", signingSecret, "must not hold credentials"},
		"a fragment":      {"https://shop.example/#x", "instrument.created", signingSecret, "must not have a fragment"},
		"another type":    {"https://shop.example/", "instrument.exploded", signingSecret, "types"},
		"a short secret":  {"https://shop.example/", "instrument.created", "whsec_c2hvcnQ=", "must resolve to whsec_"},
		"no prefix":       {"https://shop.example/", "instrument.created", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "must resolve to whsec_"},
		"no secret there": {"https://shop.example/", "instrument.created", "", "SECRET is not set"},
	} {
		_, err := parseEvents(t, "false", tc.url, tc.typ, tc.secret)
		require.ErrorContains(t, err, tc.want, name)
		require.NotContains(t, err.Error(), "MDEyMzQ1", name)
	}
}
