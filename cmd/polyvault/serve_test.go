package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
)

// referenceKey writes a key to a file of its own and returns its name.
func referenceKey(t *testing.T) string {
	t.Helper()
	return writeFile(t, "reference.key", base64.StdEncoding.EncodeToString([]byte("canary-reference-key-of-32-bytes")))
}

// gatewayConfigFile is a gateway with one provider. Its keys and store are the caller's.
func gatewayConfigFile(t *testing.T, provider, keyLine, more string) string {
	t.Helper()
	return writeFile(t, "polyvault.yaml", fmt.Sprintf(`listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
keys: {reference: file:%s}
tenants:
  - name: acme
    accept_raw_card: true
    api_keys:
      %s
providers:
  - name: rebilly-main
    type: rebilly
    config: {base_url: %q, organization_id: org_sandbox, api_key: sk_sandbox_polyvault}
routes: [{name: default, providers: [rebilly-main]}]
insecure_providers: true
%s`, referenceKey(t), keyLine, provider, more))
}

// address waits for a log line and returns the address in it.
func address(t *testing.T, r *running, message string) string {
	t.Helper()
	var line struct{ Address string }
	require.NoError(t, json.Unmarshal([]byte(find(t, r, &r.stderr, `"msg":"`+message+`"`)), &line))
	return "http://" + line.Address
}

const cardBody = `{"customer_id":"cus-1","sources":[{"type":"card","number":"4111111111111111","exp_month":12,"exp_year":2031}],
	"billing_address":{"first_name":"Ada","last_name":"Lovelace","country":"US"}}`

func TestServe(t *testing.T) {
	t.Parallel()
	provider := httptest.NewServer(rebillytest.New(rebillytest.Options{}))
	t.Cleanup(provider.Close)
	key, line := newKey(t, "instruments:read,instruments:write")
	file := gatewayConfigFile(t, provider.URL, line, fmt.Sprintf("store: {bolt: {path: %q}}\n", filepath.Join(t.TempDir(), "p.db")))

	r := start(t, "serve", "--config", file)
	api, admin := address(t, r, "listening"), address(t, r, "admin listening")

	status, body := request(t, "POST", api+"/v1/instruments", key, cardBody, "Idempotency-Key", "one")
	require.Equal(t, 201, status, body)
	var created struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(body), &created))
	status, _ = request(t, "GET", api+"/v1/instruments/"+created.ID, strings.Replace(key, "pv_test_", "pv_live_", 1), "")
	require.Equal(t, 401, status, "the digest is of the whole key")

	code, stdout, stderr := execute(t, "healthcheck", "--url", api+"/readyz")
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, "ready\n", stdout)
	status, body = request(t, "GET", admin+"/healthz", "", "")
	require.Equal(t, 200, status)
	require.Equal(t, "ok\n", body)
	status, _ = request(t, "GET", admin+"/debug/pprof/cmdline", "", "")
	require.Equal(t, 200, status)
	status, _ = request(t, "GET", api+"/debug/pprof/cmdline", key, "")
	require.Equal(t, 404, status, "profiles are on the admin listener only")

	require.Equal(t, exitOK, r.stop(t), r.stderr.String())
	logs := r.stderr.String()
	require.Contains(t, logs, `"msg":"stopped"`)
	for _, secret := range []string{key, "4111111111111111", "sk_sandbox_polyvault", "canary"} {
		require.NotContains(t, logs, secret)
	}

	again := start(t, "serve", "--config", file)
	status, body = request(t, "GET", address(t, again, "listening")+"/v1/instruments/"+created.ID+"?read=stored", key, "")
	require.Equal(t, 200, status, "a restart keeps the records: %s", body)
	require.Equal(t, exitOK, again.stop(t))
}

func TestADrainingGatewayIsNotReadyButServes(t *testing.T) {
	t.Parallel()
	key, line := newKey(t, "providers:read")
	file := gatewayConfigFile(t, "http://127.0.0.1:1", line,
		fmt.Sprintf("store: {bolt: {path: %q}}\nshutdown: {delay: 1s}\n", filepath.Join(t.TempDir(), "p.db")))
	r := start(t, "serve", "--config", file)
	api := address(t, r, "listening")
	status, body := request(t, "GET", api+"/readyz", "", "")
	require.Equal(t, 200, status, body)

	began := time.Now()
	r.cancel()
	find(t, r, &r.stderr, `"msg":"draining`)
	require.Eventually(t, func() bool {
		status, _ = request(t, "GET", api+"/readyz", "", "")
		return status == 503
	}, time.Second, 5*time.Millisecond)
	status, body = request(t, "GET", api+"/v1/providers", key, "")
	require.Equal(t, 200, status, body)
	require.Equal(t, exitOK, r.wait(t), r.stderr.String())
	require.GreaterOrEqual(t, time.Since(began), time.Second)
	status, _ = request(t, "GET", api+"/readyz", "", "")
	require.Zero(t, status, "nobody listens any more")
}

func TestServeFailsFastAndClearly(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	_, line := newKey(t, "instruments:read")
	bolt := func() string { return fmt.Sprintf("store: {bolt: {path: %q}}\n", filepath.Join(t.TempDir(), "p.db")) }
	password := writeFile(t, "password", "canary-password")

	for name, tc := range map[string]struct {
		more, flag string
		says       []string
	}{
		"a port that is taken":         {more: bolt(), flag: "--listen=" + taken.Addr().String(), says: []string{"address already in use", taken.Addr().String(), "choose another address"}},
		"an admin port that is taken":  {more: bolt(), flag: "--admin-listen=" + taken.Addr().String(), says: []string{"address already in use", taken.Addr().String()}},
		"a store that is away":         {more: "store: {redis: {url: \"redis://127.0.0.1:1/0\", password: \"file:" + password + "\"}}\n", flag: "--log-level=info", says: []string{"127.0.0.1:1", "is it running"}},
		"a folder that does not exist": {more: "store: {bolt: {path: /nonexistent/p.db}}\n", flag: "--log-level=info", says: []string{"/nonexistent/p.db", "the folder must exist", "no such file or directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := execute(t, "serve", "--config", gatewayConfigFile(t, "http://127.0.0.1:1", line, tc.more), tc.flag)
			require.Equal(t, exitFailure, code, stderr)
			for _, text := range tc.says {
				require.Contains(t, stderr, text)
			}
			require.NotContains(t, stderr, "canary")
		})
	}
}

// It changes the working directory, so that it is not parallel.
func TestServeWithoutAStoreSectionSaysSoLoudly(t *testing.T) {
	_, line := newKey(t, "instruments:read")
	file := gatewayConfigFile(t, "http://127.0.0.1:1", line, "")
	t.Chdir(t.TempDir())
	r := start(t, "serve", "--config", file)
	address(t, r, "listening")
	require.Contains(t, find(t, r, &r.stderr, "NO STORE IS CONFIGURED"), `"level":"warn"`)
	_, err := os.Stat("polyvault.db")
	require.NoError(t, err)
	require.Equal(t, exitOK, r.stop(t))
}

func TestReadyURLFollowsTheListenAddress(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"":               "http://127.0.0.1:8080/readyz",
		"0.0.0.0:8081":   "http://127.0.0.1:8081/readyz",
		":8082":          "http://127.0.0.1:8082/readyz",
		"[::]:8083":      "http://127.0.0.1:8083/readyz",
		"192.0.2.1:8084": "http://192.0.2.1:8084/readyz",
		"not an address": "http://127.0.0.1:8080/readyz",
	} {
		require.Equal(t, want, readyURL(listen), listen)
	}
}
