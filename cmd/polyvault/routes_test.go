package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/gateway/rehearsal"
)

// rehearsedConfig is a configuration with secrets that are not there, for its routes.
func rehearsedConfig(t *testing.T, routes string) string {
	t.Helper()
	return writeFile(t, "new.yaml", `store: {redis: {url: env:NOT_SET_URL, password: file:/nonexistent}}
keys: {reference: env:NOT_SET_KEY}
tenants: [{name: acme, api_keys: []}]
providers:
  - {name: cybersource-us, type: cybersource, config: {base_url: "https://apitest.cybersource.com", merchant_id: m, key_id: k, shared_secret: env:NOT_SET_SECRET}}
  - {name: rebilly-main, type: rebilly, config: {base_url: "https://api-sandbox.rebilly.com", api_key: env:NOT_SET_REBILLY}}
  - {name: bigcommerce-main, type: bigcommerce, config: {store_hash: abc, access_token: env:NOT_SET_TOKEN}}
routes: `+routes+"\n")
}

const recordedLine = `{"time":"2026-11-20T10:00:0%dZ","tenant":"acme","customer":"214d00348d29de37","country":"%s","type":"card","brand":"visa","bin":"411111",` +
	`"source_types":["rebilly_token"],"decision":{"route":"default","candidates":[{"provider":"rebilly-main"}]}}` + "\n"

func TestRoutesRehearse(t *testing.T) {
	t.Parallel()
	recorded := writeFile(t, "r.jsonl", fmt.Sprintf(recordedLine+recordedLine+recordedLine, 1, "AT", 2, "US", 3, "US"))
	next := rehearsedConfig(t, `[{name: us, match: {country: [US]}, providers: [cybersource-us]}, {name: default, providers: [cybersource-us, rebilly-main], mirrors: [bigcommerce-main]}]`)

	code, stdout, stderr := execute(t, "routes", "rehearse", "--config", next, "--requests", recorded)
	require.Equal(t, exitOK, code, stderr)
	require.Empty(t, stderr)
	require.Equal(t, `3 requests, recorded from 2026-11-20T10:00:01Z to 2026-11-20T10:00:03Z

       2 to another provider
       0 to other mirrors only
       0 by another route only
       1 unchanged

2 requests
  from default: rebilly-main
    to us: nobody
      2026-11-20T10:00:02Z acme card visa US customer 214d00348d29de37
      2026-11-20T10:00:03Z acme card visa US customer 214d00348d29de37

NOBODY WOULD TAKE 2 requests any more:
      2026-11-20T10:00:02Z acme card visa US customer 214d00348d29de37
      2026-11-20T10:00:03Z acme card visa US customer 214d00348d29de37
`, stdout, "CyberSource takes no token of Rebilly's, BigCommerce neither")

	code, stdout, stderr = execute(t, "routes", "rehearse", "--config", next, "--requests", recorded, "--against", next, "--json")
	require.Equal(t, exitOK, code, stderr)
	var report rehearsal.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	require.Equal(t, 3, report.Unchanged, "a configuration agrees with itself")
	require.Contains(t, stdout, `"moves":[]`)
}

func TestRoutesRehearseRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	good := fmt.Sprintf(recordedLine, 1, "AT")
	next := rehearsedConfig(t, "[{name: default, providers: [rebilly-main]}]")
	broken := rehearsedConfig(t, "[{name: default, providers: [nobody]}]")
	cut := writeFile(t, "cut.jsonl", good+good[:50]+"\n"+good)
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a line that is cut off":        {[]string{"--config", next, "--requests", cut}, exitFailure, cut + ": line 2 is not a recorded request: unexpected end of JSON input: remove the line, or record again"},
		"an empty file":                 {[]string{"--config", next, "--requests", writeFile(t, "e.jsonl", "")}, exitFailure, "it holds no recorded requests: set rehearsal.record to true"},
		"a file that is not there":      {[]string{"--config", next, "--requests", "/nonexistent.jsonl"}, exitFailure, "cannot read the recorded requests"},
		"a configuration with mistakes": {[]string{"--config", broken, "--requests", cut}, exitFailure, "new.yaml:8: routes[0].providers[0]: names no provider of this file"},
		"an old one with mistakes":      {[]string{"--config", next, "--requests", cut, "--against", broken}, exitFailure, "new.yaml:8: routes[0]"},
		"no requests":                   {[]string{"--config", next}, exitUsage, `required flag(s) "requests" not set`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t, append([]string{"routes", "rehearse"}, tc.args...)...)
			require.Equal(t, tc.code, code)
			require.Contains(t, stderr, tc.says)
			require.Empty(t, stdout)
		})
	}
	code, _, stderr := execute(t, "routes")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "a command is required: rehearse")
}

func TestServeRecordsWhatItDecides(t *testing.T) {
	t.Parallel()
	provider := httptest.NewServer(rebillytest.New(rebillytest.Options{}))
	t.Cleanup(provider.Close)
	key, line := newKey(t, "instruments:read,instruments:write,routes:read")
	folder := t.TempDir()
	recorded := filepath.Join(folder, "r.jsonl")
	file := gatewayConfigFile(t, provider.URL, line, fmt.Sprintf("store: {bolt: {path: %q}}\nrehearsal: {record: true, path: %q}\n", filepath.Join(folder, "p.db"), recorded))
	r := start(t, "serve", "--config", file)
	api := address(t, r, "listening")
	status, body := request(t, "POST", api+"/v1/routes/explain", key, `{"customer_id":"cus-1","source_types":["card"],"bin":"411111","country":"US"}`)
	require.Equal(t, 200, status, body)
	require.JSONEq(t, `{"object":"decision","route":"default","strategy":"priority","candidates":[{"provider":"rebilly-main","place":1,"source_type":"card","reason":null}],"mirrors":[],"unmatched":[]}`, body)
	status, body = request(t, "POST", api+"/v1/instruments", key, cardBody, "Idempotency-Key", "one")
	require.Equal(t, 201, status, body)
	require.Equal(t, exitOK, r.stop(t), r.stderr.String())

	text, err := os.ReadFile(recorded)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), "\n"), "explaining is no create")
	require.Contains(t, string(text), `"country":"US","type":"card","brand":"visa","bin":"411111","source_types":["card"],"decision":{"route":"default"`)
	for _, private := range []string{"4111111111", "cus-1", "Ada", "Lovelace"} {
		require.NotContains(t, string(text), private)
	}
	code, stdout, stderr := execute(t, "routes", "rehearse", "--config", file, "--requests", recorded)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "       1 unchanged\n")

	unwritable := gatewayConfigFile(t, provider.URL, line, "rehearsal: {record: true, path: /nonexistent/r.jsonl}\nstore: {bolt: {path: "+filepath.Join(folder, "q.db")+"}}\n")
	code, _, stderr = execute(t, "serve", "--config", unwritable)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "decisions cannot be recorded: open /nonexistent/r.jsonl")
}
