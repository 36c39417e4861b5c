package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
)

func parseMore(t *testing.T, more string) (*config.Config, error) {
	t.Helper()
	return config.Parse("f.yaml", []byte(strings.TrimRight(minimal, "\n")+"\n"+more+"\n"), config.Options{LookupEnv: env(map[string]string{"KEY": "sk_x"})})
}

func TestTracingIsRead(t *testing.T) {
	t.Parallel()
	c, err := parseMore(t, "")
	require.NoError(t, err)
	require.Nil(t, c.Tracing, "nothing is traced unless somebody says so")
	c, err = parseMore(t, `tracing: {endpoint: "http://collector:4318"}`)
	require.NoError(t, err)
	require.Equal(t, config.Tracing{Endpoint: "http://collector:4318", Sample: 0.01}, *c.Tracing)
	c, err = parseMore(t, `tracing: {endpoint: "https://collector/base", sample: 0, propagate: true}`)
	require.NoError(t, err)
	require.Equal(t, config.Tracing{Endpoint: "https://collector/base", Propagate: true}, *c.Tracing)
	for text, want := range map[string]string{
		`{}`:                                   "tracing.endpoint: is missing: add it",
		`{endpoint: "collector:4318"}`:         "tracing.endpoint: must be a URL such as http://127.0.0.1:4318",
		`{endpoint: "grpc://collector:4317"}`:  "tracing.endpoint: must be a URL such as http://127.0.0.1:4318",
		`{endpoint: "http://a:canary@host"}`:   "tracing.endpoint: must be a plain URL: give credentials in the variable OTEL_EXPORTER_OTLP_HEADERS",
		`{endpoint: "http://host", sample: 2}`: "tracing.sample: must be a number from 0 to 1",
		`{endpoint: "http://host", rate: 1}`:   "tracing.rate: unknown key; the keys here are endpoint, propagate, sample",
	} {
		_, err = parseMore(t, "tracing: "+text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "canary")
	}
}

func TestTracingNeedsARestart(t *testing.T) {
	t.Parallel()
	was, err := parseMore(t, "")
	require.NoError(t, err)
	is, err := parseMore(t, `tracing: {endpoint: "http://collector:4318"}`)
	require.NoError(t, err)
	require.Equal(t, []string{"tracing"}, config.Compare(was, is).Restart)
}

func TestTheAdminListenerStaysPrivate(t *testing.T) {
	t.Parallel()
	for address, public := range map[string]bool{
		"127.0.0.1:9090": false, "[::1]:9090": false, "10.1.2.3:9090": false, "192.168.0.1:9090": false, "172.16.0.1:9090": false,
		"169.254.1.1:9090": false, "100.64.0.1:9090": false, "[fd00::1]:9090": false, "[fe80::1]:9090": false,
		"0.0.0.0:9090": false, ":9090": false, "[::]:9090": false, "localhost:9090": false,
		"8.8.8.8:9090": true, "100.128.0.1:9090": true, "[2001:4860:4860::8888]:9090": true, "[::ffff:8.8.8.8]:9090": true, "[::ffff:10.0.0.1]:9090": false,
	} {
		_, err := parseMore(t, `admin_listen: "`+address+`"`)
		if !public {
			require.NoError(t, err, address)
			continue
		}
		require.ErrorContains(t, err, "admin_listen: is an address of the public internet", address)
		_, err = parseMore(t, `admin_listen: "`+address+`"`+"\nadmin_public: true")
		require.NoError(t, err, address)
	}
}
