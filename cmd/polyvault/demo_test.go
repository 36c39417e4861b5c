package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
)

func TestTheTourSucceeds(t *testing.T) {
	t.Parallel()
	began := time.Now()
	code, stdout, stderr := execute(t, "demo", "--tour")
	require.Equal(t, exitOK, code, "%s\n%s", stdout, stderr)
	require.Less(t, time.Since(began), 30*time.Second)
	require.Empty(t, stderr, "nothing is logged between the lines, before a reload or after it")
	for _, text := range []string{
		"Gateway-Provider: cybersource-us", "Gateway-Provider: rebilly-main", "Gateway-Provider: bigcommerce-main",
		"Idempotent-Replayed: true", "304 Not Modified", "410 Gone", "Gateway-Stale: true  Age: ",
		`{"provider": "cybersource-us", "outcome": "not_sent", "code": "provider_`,
		`"behind": {"changes":["billing_address"],"code":"provider_unavailable",`,
		`{"provider": "cybersource-us", "role": "primary", "reason": "breaker_open"}`,
		`{"provider": "bigcommerce-main", "role": "mirror", "reason": "currency_not_supported"}`,
		`"drained": true, "drained_by": "demo", "drained_reason": "maintenance until noon"`,
		"+   providers: [rebilly-main, cybersource-us]", `{"status": "ok", "generation": 2}`,
		`{"field":"card.exp_year","here":"2033","there":"2035"}`,
		"Done: 40 steps",
	} {
		require.Contains(t, stdout, text)
	}
	for _, heading := range []string{"Mirrors", "Resolve", "Failover", "Drain", "Switch", "Sync"} {
		require.Contains(t, stdout, "\n== "+heading+": ")
	}
	folder := filepath.Dir(regexp.MustCompile(`/\S+/polyvault\.yaml`).FindString(stdout))
	_, err := os.Stat(folder)
	require.ErrorIs(t, err, os.ErrNotExist, "nothing is kept")
}

func TestTheTourFailsOnAnUnexpectedAnswer(t *testing.T) {
	t.Parallel()
	out := &strings.Builder{}
	d, err := startDemo(t.Context(), "127.0.0.1:0", "", out)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.close(t.Context())) })
	require.NoError(t, d.rebilly.stop())
	err = runTour(t.Context(), d, &printer{w: out})
	require.ErrorContains(t, err, "the tour ends at step 3: POST /v1/instruments: status 503, not 201")
}

func TestTheDemosCurlWorks(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t, "instruments:read")
	r := start(t, "demo", "--listen", "127.0.0.1:0", "--api-key", key)
	find(t, r, &r.stdout, "polyvault demo --tour")
	printed := r.stdout.String()
	require.Contains(t, printed, key)
	url := regexp.MustCompile(`http://\S+/v1/instruments`).FindString(printed)
	body := regexp.MustCompile(`(?s)-d '(.*?)'`).FindStringSubmatch(printed)[1]
	status, answer := request(t, "POST", url, key, body, "Idempotency-Key", "1")
	require.Equal(t, 201, status, answer)
	require.Contains(t, answer, `"cybersource-us"`)
	if _, err := exec.LookPath("curl"); err == nil {
		// The card is there by now: the shell's request, with a key of its own, finds it.
		command := regexp.MustCompile(`(?s)curl -si .*?}}'`).FindString(printed)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Regexp(t, `HTTP/1.1 20[01] `, string(out))
		require.Contains(t, string(out), `"last4":"1111"`)
	}
	require.Equal(t, exitOK, r.stop(t), r.stderr.String())
}

// The files of docker compose are a configuration like any other.
func TestTheComposeConfigurationIsValid(t *testing.T) {
	t.Parallel()
	compose, err := os.ReadFile("../../docker-compose.yml")
	require.NoError(t, err)
	key := regexp.MustCompile(`POLYVAULT_REFERENCE_KEY: (\S+)`).FindSubmatch(compose)
	require.NotNil(t, key)
	lookup := func(name string) (string, bool) { return string(key[1]), name == "POLYVAULT_REFERENCE_KEY" }
	c, err := config.Load("../../deploy/polyvault.yaml", config.Options{LookupEnv: lookup, Scopes: scopeNames()})
	require.NoError(t, err)

	text, err := os.ReadFile("../../deploy/polyvault.yaml")
	require.NoError(t, err)
	published := regexp.MustCompile(`pv_test_\S+`).FindString(string(text))
	require.Contains(t, keyLine("local", published, nil), c.Tenants[0].APIKeys[0].SHA256, "the digest is of the key in the comment")

	local, err := config.Load("../../deploy/local.yaml", config.Options{LookupEnv: lookup, Scopes: scopeNames()})
	require.NoError(t, err)
	require.Equal(t, c.Tenants, local.Tenants, "one key for both files")
}
