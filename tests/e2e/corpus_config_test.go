package e2e

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway/httpapi"
)

// badConfig is a configuration file, and what is said about it. It is the base with one
// text replaced by another, or a text of its own.
type badConfig struct {
	Name   string   `json:"name"`
	File   string   `json:"file"`   // the base; default base.yaml
	Before string   `json:"before"` // stands in the base once
	After  string   `json:"after"`
	Text   *string  `json:"text"`
	Base64 string   `json:"base64"`
	Want   []string `json:"want"` // every problem in order: how it begins, "LINE: KEY: WHAT"
}

// The secrets that the base refers to. None may be in a problem's text.
func corpusEnv(name string) (string, bool) {
	value, ok := map[string]string{
		"SECRET": "canary-password", "KEY_1": "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5MTE=", "KEY_2": "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5MjI=",
		"CYBERSOURCE": "Y2FuYXJ5LXNoYXJlZC1zZWNyZXQ=", "REBILLY": "sk_sandbox_canary", "BIGCOMMERCE": "canary-token",
		"HOOK_KEY": "Y2FuYXJ5LWhvb2tz", "EVENTS": eventSecret, "EVENTS_OLD": "whsec_b2xkIGNhbmFyeSBvbGQgY2FuYXJ5IG9sZCBjYW5hcnk=",
		"EVENTS_SHORT": "whsec_Y2FuYXJ5", "EVENTS_LONG": "whsec_" + strings.Repeat("Y2FuYXJ5", 11), "EVENTS_BARE": "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5",
		"EMPTY": "", "SHORT": "c2hvcnQ=", "SPACED": "canary key", "LINES": "canary\nkey", "LIVE": "sk_live_canary", "PUBLIC": "pk_sandbox_canary",
	}[name]
	return value, ok
}

// Every configuration file of the corpus is refused with the lines, keys and messages
// that it says, all of them, and no message holds a secret.
func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	bases := map[string]string{}
	for _, name := range []string{"base.yaml", "safety.yaml"} {
		base, err := os.ReadFile(filepath.Join(corpus, "config", name))
		require.NoError(t, err)
		require.Empty(t, configProblems(t, string(base)), "the base itself is valid")
		bases[name] = string(base)
	}
	files, err := filepath.Glob(filepath.Join(corpus, "config", "*.json"))
	require.NoError(t, err)
	for _, file := range files {
		for _, c := range readCases[badConfig](t, file) {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				text := bases[cmp.Or(c.File, "base.yaml")]
				if c.Text != nil {
					text = expand(t, *c.Text)
				} else {
					require.Equal(t, 1, strings.Count(text, c.Before), "the base has %q once", c.Before)
					text = strings.Replace(text, c.Before, expand(t, c.After), 1)
				}
				got := configProblems(t, text)
				all := strings.Join(got, "\n")
				require.NotContains(t, all, "canary")
				require.NotContains(t, all, "Y2FuYXJ5")
				require.Len(t, got, len(c.Want), "%s", all)
				for i, want := range c.Want {
					require.True(t, strings.HasPrefix(got[i], want), "%s\ndoes not begin with\n%s", got[i], want)
				}
			})
		}
	}
}

// configProblems are the problems of a configuration, without the file's name.
func configProblems(t *testing.T, text string) []string {
	t.Helper()
	var scopes, out []string
	for _, s := range httpapi.Scopes() {
		scopes = append(scopes, string(s))
	}
	_, err := config.Parse("f.yaml", []byte(text), config.Options{LookupEnv: corpusEnv, Scopes: scopes})
	if err == nil {
		return nil
	}
	problems, ok := errors.AsType[config.Problems](err)
	require.True(t, ok, "%v", err)
	for _, p := range problems {
		out = append(out, strings.TrimPrefix(p.String(), "f.yaml:"))
	}
	return out
}
