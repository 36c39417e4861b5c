package httpapi

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	key, err := NewAPIKey("live")
	require.NoError(t, err)
	require.Regexp(t, `^pv_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}$`, key)
	other, err := NewAPIKey("live")
	require.NoError(t, err)
	require.NotEqual(t, key, other)
	_, err = NewAPIKey("not an environment")
	require.Error(t, err)

	digest := DigestAPIKey(key)
	parsed, err := ParseDigest(hex.EncodeToString(digest[:]))
	require.NoError(t, err)
	require.Equal(t, digest, parsed)
	for _, s := range []string{"", "zz", strings.Repeat("0", 63), strings.Repeat("0", 66)} {
		_, err := ParseDigest(s)
		require.Error(t, err, s)
	}
}

func TestKeysThatAreNotConfiguredWellAreRefused(t *testing.T) {
	t.Parallel()
	good := APIKey{Tenant: "a", Name: "n", SHA256: DigestAPIKey(fullKey)}
	for name, keys := range map[string][]APIKey{
		"no tenant":          {{Name: "n", SHA256: good.SHA256}},
		"no digest":          {{Tenant: "a", Name: "n"}},
		"an unknown scope":   {{Tenant: "a", Name: "n", SHA256: good.SHA256, Scopes: []Scope{"everything"}}},
		"the same key twice": {good, good},
	} {
		_, err := New(Config{Service: newFake(), Keys: keys})
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), hex.EncodeToString(good.SHA256[:]), name)
	}
	_, err := New(Config{})
	require.Error(t, err)
}

func FuzzAPIKey(f *testing.F) {
	f.Add("Bearer " + fullKey)
	f.Add("bearer  " + fullKey)
	f.Add("Bearer pv__")
	ring, err := newKeyring([]APIKey{{Tenant: "a", Name: "n", SHA256: DigestAPIKey(fullKey)}})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, header string) {
		token := bearer([]string{header})
		k := ring.find(token)
		require.Equal(t, token == fullKey, k != nil)
		if k != nil {
			require.True(t, ValidAPIKey(token))
		}
	})
}

func FuzzIdempotencyKey(f *testing.F) {
	for _, s := range []string{`abc`, `"abc"`, `"a\"b"`, `"`, ``} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		key, ok := parseIdempotencyKey(header)
		if !ok {
			return
		}
		require.LessOrEqual(t, len(key), maxIdempotencyKey)
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		again, ok := parseIdempotencyKey(quoted)
		require.True(t, ok)
		require.Equal(t, key, again, "both forms are the same key")
	})
}
