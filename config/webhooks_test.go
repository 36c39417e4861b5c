package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/config"
)

// withWebhooks is the sample with a list of credentials in a provider's config.
func withWebhooks(t *testing.T, list string) (*config.Config, error) {
	t.Helper()
	sample, err := os.ReadFile("testdata/polyvault.yaml")
	require.NoError(t, err)
	text := strings.Replace(string(sample), "api_key: env:REBILLY_KEY", "api_key: env:REBILLY_KEY, webhook_credentials: "+list, 1)
	require.Contains(t, text, "webhook_credentials")
	return config.Parse(filepath.Join("testdata", "f.yaml"), []byte(text), config.Options{LookupEnv: env(map[string]string{"HOOK": "canary-password", "OLD": "canary-older"}), Scopes: scopes()})
}

func TestCredentialsInAListAreReferences(t *testing.T) {
	t.Parallel()
	c, err := withWebhooks(t, "[{username: hooks, password: env:HOOK}, {username: older, password: env:OLD}]")
	require.NoError(t, err)
	adapter, ok := c.Providers[1].Adapter.(rebilly.Config)
	require.True(t, ok)
	require.Len(t, adapter.WebhookCredentials, 2)
	require.Equal(t, "canary-password", adapter.WebhookCredentials[0].Password.Reveal())
	require.Equal(t, "canary-older", adapter.WebhookCredentials[1].Password.Reveal())
	shown, err := c.Show()
	require.NoError(t, err)
	require.Contains(t, string(shown), "env:HOOK")
	for _, text := range []string{string(shown), fmt.Sprintf("%+v %#v", c.Providers[1], c.Providers[1])} {
		require.NotContains(t, text, "canary")
	}
	other, err := withWebhooks(t, "[{username: hooks, password: env:HOOK}]")
	require.NoError(t, err)
	require.Equal(t, []string{"rebilly-main"}, config.Compare(c, other).ProvidersChanged)
	require.Empty(t, config.Compare(c, other).Restart)
}

func TestProblemsOfCredentialsInAList(t *testing.T) {
	t.Parallel()
	const key = "providers[1].config.webhook_credentials"
	for list, want := range map[string]string{
		"[{username: hooks, password: canary}]":                                  key + "[0].password: must not hold the secret itself: write env:NAME or file:/path",
		"[{username: a, password: env:HOOK}, {username: b, password: env:NONE}]": key + "[1].password: the environment variable NONE is not set: set it, or refer to another",
		"[{username: hooks}]":                               key + "[0].password: is missing: add it",
		"[{username: hooks, password: env:HOOK, realm: x}]": key + "[0].realm: unknown key; the keys here are password, username",
		"{username: hooks, password: env:HOOK}":             key + ": must be a list, not a mapping",
		"[env:HOOK]":                                        key + "[0]: must be a mapping, not text",
		"[{username: \"a:b\", password: env:HOOK}]":         key + ": each needs a username without a colon, and a password",
	} {
		_, err := withWebhooks(t, list)
		require.ErrorContains(t, err, want, list)
		require.NotContains(t, err.Error(), "canary")
	}
}
