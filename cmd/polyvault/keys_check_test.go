package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/httpapi"
)

func executeWith(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestKeysCheckAndList(t *testing.T) {
	t.Parallel()
	entry := func(name, end string) (key, digest, line string) {
		key, err := httpapi.NewAPIKey("test")
		require.NoError(t, err)
		d := httpapi.DigestAPIKey(key)
		digest = hex.EncodeToString(d[:])
		return key, digest, fmt.Sprintf(`{name: %s, sha256: "%s", scopes: [instruments:read]%s}`, name, digest, end)
	}
	old, oldDigest, oldLine := entry("old", ", not_after: 2026-01-31T12:00:00Z")
	next, nextDigest, nextLine := entry("next", `, not_after: "2126-01-31T13:00:00+01:00"`)
	forever, _, foreverLine := entry("forever", "")
	stranger, _, _ := entry("stranger", "")
	file := writeFile(t, "polyvault.yaml", fmt.Sprintf(`keys: {reference: file:%s}
tenants: [{name: acme, api_keys: [%s, %s]}, {name: globex, api_keys: [%s]}]
providers:
  - {name: rebilly-main, type: rebilly, config: {base_url: "http://127.0.0.1:9102", organization_id: o, api_key: sk_canary}}
routes: [{name: default, providers: [rebilly-main]}]
insecure_providers: true
`, referenceKey(t), oldLine, nextLine, foreverLine))

	var all strings.Builder
	check := func(stdin string) (int, string, string) {
		code, stdout, stderr := executeWith(t, stdin, "keys", "check", "--config", file)
		all.WriteString(stdout + stderr)
		return code, stdout, stderr
	}
	code, stdout, stderr := check(next + "\n")
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, "tenant: acme\nname: next\nscopes: instruments:read\nnot_after: 2126-01-31T12:00:00Z\n", stdout)
	code, stdout, _ = check("  " + forever)
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "tenant: globex\nname: forever\n")
	require.Contains(t, stdout, "not_after: never\n")
	code, stdout, stderr = check(old)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stdout, "not_after: 2026-01-31T12:00:00Z (over)")
	require.Contains(t, stderr, "the key's time is over")
	code, stdout, stderr = check(stranger)
	require.Equal(t, exitFailure, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "no entry of the configuration has this key")
	for _, bad := range []string{"", "pv_live_short", strings.Repeat("x", 10<<10), next + next} {
		code, stdout, stderr = check(bad)
		require.Equal(t, exitFailure, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "does not have the form of an API key")
	}

	code, stdout, stderr = executeWith(t, "", "keys", "list", "--config", file)
	require.Equal(t, exitOK, code, stderr)
	all.WriteString(stdout + stderr)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, 4)
	require.Regexp(t, `^TENANT +NAME +SHA256 +NOT AFTER +SCOPES$`, lines[0])
	require.Regexp(t, `^acme +old +`+oldDigest[:8]+`… +2026-01-31T12:00:00Z \(over\) +instruments:read$`, lines[1])
	require.Regexp(t, `^acme +next +`+nextDigest[:8]+`… +2126-01-31T12:00:00Z +instruments:read$`, lines[2])
	require.Regexp(t, `^globex +forever +[0-9a-f]{8}… +never +instruments:read$`, lines[3])
	for _, secret := range []string{old, next, forever, stranger, old[17:], next[17:], oldDigest[:9], nextDigest[:9], "canary"} {
		require.NotContains(t, all.String(), secret)
	}
	code, _, stderr = executeWith(t, "", "keys", "list")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, `"config" not set`)
}
