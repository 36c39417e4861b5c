package config_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
)

func TestEncryptionKeys(t *testing.T) {
	t.Parallel()
	secrets := config.Options{LookupEnv: env(map[string]string{
		"KEY":            "sk_live_x",
		"ENCRYPTION_KEY": base64.StdEncoding.EncodeToString([]byte("canary-encryption-key-1-32-bytes")),
		"LONG":           base64.StdEncoding.EncodeToString([]byte("canary-encryption-key-of-34-bytes!")),
	})}
	parse := func(ring string) (*config.Config, error) {
		return config.Parse("f.yaml", []byte(strings.Replace(minimal, "env:REFERENCE_KEY_1}", "env:REFERENCE_KEY_1, encryption: "+ring+"}", 1)), secrets)
	}
	c, err := parse("env:ENCRYPTION_KEY")
	require.NoError(t, err)
	require.Equal(t, "e1", c.Keys.Encryption[0].ID)
	require.Equal(t, "canary-encryption-key-1-32-bytes", string(c.Keys.Encryption[0].Bytes))
	c, err = parse("[{id: r-k1}, {id: e2, value: env:ENCRYPTION_KEY}]")
	require.NoError(t, err)
	require.Equal(t, []string{"r-k1", "e2"}, []string{c.Keys.Encryption[0].ID, c.Keys.Encryption[1].ID})
	require.Empty(t, c.Keys.Encryption[0].Bytes)
	text, err := c.Show()
	require.NoError(t, err)
	require.NotContains(t, string(text), "canary")
	again, err := config.Parse("f.yaml", text, secrets)
	require.NoError(t, err, "%s", text)
	require.True(t, config.Compare(c, again).None())
	other, err := parse("[{id: e2, value: env:ENCRYPTION_KEY}]")
	require.NoError(t, err)
	changes := config.Compare(c, other)
	require.Equal(t, []string{"keys.encryption"}, changes.Keys)
	require.Empty(t, changes.Restart, "it is reloadable")

	for ring, want := range map[string]string{
		"env:LONG":                               "f.yaml:1: keys.encryption: must resolve to base64 of 32 bytes: make one with openssl rand -base64 32",
		"canary":                                 "f.yaml:1: keys.encryption: must not hold the secret itself: write env:NAME or file:/path",
		"[]":                                     "f.yaml:1: keys.encryption: must not be empty",
		"[{id: e1}]":                             "f.yaml:1: keys.encryption[0]: needs a value: env:NAME or file:/path",
		"[{id: r-k9}]":                           "f.yaml:1: keys.encryption[0].id: is derived from the reference key k9, which is not in keys.reference",
		"[{id: E 1, value: env:ENCRYPTION_KEY}]": "f.yaml:1: keys.encryption[0].id: must be 1 to 16 of a-z and 0-9, or r- and the id of a reference key",
		"[{id: r-k1, value: env:ENCRYPTION_KEY}]":                                    "f.yaml:1: keys.encryption[0].value: does not go with the key r-k1",
		"[{id: e1, value: env:ENCRYPTION_KEY}, {id: e1, value: env:ENCRYPTION_KEY}]": "f.yaml:1: keys.encryption[1].id: is used twice: give each key an id of its own",
		"[{id: e1, value: env:ENCRYPTION_KEY, colour: red}]":                         "f.yaml:1: keys.encryption[0].colour: unknown key",
		"[{id: e1, value: env:NOT_SET}]":                                             "f.yaml:1: keys.encryption[0].value: the environment variable NOT_SET is not set",
	} {
		_, err := parse(ring)
		require.ErrorContains(t, err, want, ring)
		require.NotContains(t, err.Error(), "canary", ring)
	}
}
