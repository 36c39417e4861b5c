package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
)

func parseAudit(t *testing.T, section string) (*config.Config, error) {
	t.Helper()
	return config.Parse("polyvault.yaml", []byte(minimal+section), config.Options{LookupEnv: env(map[string]string{"KEY": "sk_live_x"})})
}

func TestAudit(t *testing.T) {
	t.Parallel()
	c, err := parseAudit(t, "")
	require.NoError(t, err)
	require.False(t, c.Audit.Enabled(), "there is none without its section")
	c, err = parseAudit(t, "audit: {file: /var/log/a}\n")
	require.NoError(t, err)
	require.Equal(t, config.Audit{File: "/var/log/a", Sync: "interval", MaxBytes: 64 << 20}, c.Audit)
	require.True(t, c.Audit.Enabled())
	text, err := c.Show()
	require.NoError(t, err)
	require.Contains(t, string(text), "audit:\n  file: /var/log/a\n  sync: interval\n  max_bytes: 67108864\n  keep: 0\n")
	for section, problem := range map[string]string{
		"audit: {}\n":                              `polyvault.yaml:6: audit: needs a file, or stdout: true`,
		"audit: {file: a, stdout: true}\n":         "keep one of them",
		"audit: {stdout: true, keep: 3}\n":         "stdout has no files to keep",
		"audit: {file: a, sync: never}\n":          "audit.sync",
		"audit: {file: a, max_bytes: 10}\n":        "a whole number from 65536",
		"audit: {file: a, keep: -1}\n":             "a whole number from 0",
		"audit: {file: \"\"}\n":                    "audit.file",
		"audit: {file: a, colour: red}\n":          "colour",
		"audit:\n  file: a\n  required: perhaps\n": "audit.required",
	} {
		_, err := parseAudit(t, section)
		require.ErrorContains(t, err, problem, section)
	}
}

func TestWhatOfAuditIsReloadable(t *testing.T) {
	t.Parallel()
	was, err := parseAudit(t, "audit: {file: a}\n")
	require.NoError(t, err)
	is, err := parseAudit(t, "audit: {file: a, sync: always, required: true, max_bytes: 70000, keep: 3}\n")
	require.NoError(t, err)
	require.Equal(t, config.Changes{Keys: []string{"audit.sync", "audit.required", "audit.max_bytes", "audit.keep"}}, config.Compare(was, is))
	is, err = parseAudit(t, "audit: {file: b}\n")
	require.NoError(t, err)
	require.Equal(t, []string{"audit.file"}, config.Compare(was, is).Restart)
	none, err := parseAudit(t, "")
	require.NoError(t, err)
	require.Contains(t, config.Compare(none, was).Restart, "audit.file")
}
