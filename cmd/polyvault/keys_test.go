package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/polyvault/polyvault/gateway/httpapi"
)

// newKey makes a key as an operator does.
func newKey(t *testing.T, scopes string) (key, line string) {
	t.Helper()
	code, stdout, stderr := execute(t, "keys", "new", "--tenant", "acme", "--scopes", scopes, "--name", "checkout", "--env", "test")
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stderr, "under api_keys of the tenant acme")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, 2)
	return lines[0], lines[1]
}

func TestANewKeyIsOneThatTheAPITakes(t *testing.T) {
	t.Parallel()
	key, line := newKey(t, "instruments:read,instruments:write")
	require.Regexp(t, `^pv_test_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}$`, key)
	require.True(t, httpapi.ValidAPIKey(key))
	require.NotContains(t, line, key[len("pv_test_"):], "the configuration holds a digest only")

	var entries []struct {
		Name, SHA256 string
		Scopes       []string
	}
	require.NoError(t, yaml.Unmarshal([]byte(line), &entries))
	require.Equal(t, "checkout", entries[0].Name)
	require.Equal(t, []string{"instruments:read", "instruments:write"}, entries[0].Scopes)
	digest, err := httpapi.ParseDigest(entries[0].SHA256)
	require.NoError(t, err)
	require.Equal(t, httpapi.DigestAPIKey(key), digest)

	another, _ := newKey(t, "instruments:read")
	require.NotEqual(t, key, another)
}

func TestConfigShowPrintsNoSecret(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "polyvault.yaml", `keys: {reference: file:`+referenceKey(t)+`}
tenants: [{name: acme, api_keys: []}]
providers:
  - {name: rebilly-main, type: rebilly, config: {base_url: "http://127.0.0.1:9102", api_key: sk_canary}}
routes: [{name: default, providers: [rebilly-main]}]
insecure_providers: true
`)
	code, stdout, stderr := execute(t, "config", "show", file)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "value: file:/")
	require.Contains(t, stdout, "[redacted]")
	require.NotContains(t, stdout+stderr, "canary")

	code, stdout, _ = execute(t, "config", "validate", file)
	require.Equal(t, exitOK, code)
	require.Equal(t, file+" is valid\n", stdout)
}

func TestConfigSchemaIsJSON(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := execute(t, "config", "schema")
	require.Equal(t, exitOK, code, stderr)
	require.True(t, json.Valid([]byte(stdout)))
}
