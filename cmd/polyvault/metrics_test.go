package main

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestMetricsFollowTheConventions(t *testing.T) {
	t.Parallel()
	l, _ := newEdited(t).startLive(t)
	problems, err := testutil.GatherAndLint(metricsOf(l))
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestServeHasMetrics(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	e.write(t)
	r := start(t, "serve", "--config", e.file())
	api, admin := address(t, r, "listening"), address(t, r, "admin listening")
	require.Equal(t, "first", e.stores(t, api, "cus-1"))
	scrape := func() string {
		status, body := request(t, "GET", admin+"/metrics", "", "")
		require.Equal(t, 200, status)
		return body
	}
	for _, line := range []string{
		"polyvault_config_generation 1", "polyvault_config_last_reload_success 1",
		`polyvault_config_reloads_total{result="success"} 0`, `polyvault_config_reloads_total{result="failure"} 0`,
		`polyvault_provider_breaker_state{class="write",provider="first"} 0`, `polyvault_provider_in_flight{class="write",provider="first"} 0`,
		`polyvault_provider_window_requests{class="write",provider="second"} 0`, `polyvault_provider_drained{provider="second"} 0`,
		`polyvault_provider_error_ratio{class="read",provider="first"} 0`, `polyvault_provider_slow_ratio{class="read",provider="first"} 0`,
		"polyvault_build_info{", "go_goroutines ",
	} {
		require.Contains(t, scrape(), line)
	}
	put(t, e.file(), "not: [valid")
	until(t, api, "it is refused", func(r ready) bool { return r.Error != nil })
	require.Contains(t, scrape(), "polyvault_config_last_reload_success 0")
	require.Contains(t, scrape(), `polyvault_config_reloads_total{result="failure"} 1`)
	put(t, e.file(), strings.Replace(e.text(), "name: second\n", "name: second\n    disabled: true\n", 1))
	until(t, api, "it is taken into use", func(r ready) bool { return r.Generation == 2 })
	require.Contains(t, scrape(), `polyvault_provider_disabled{provider="second"} 1`)
	require.Contains(t, scrape(), `polyvault_config_reloads_total{result="success"} 1`)
	status, _ := request(t, "GET", api+"/metrics", "", "")
	require.Equal(t, 404, status, "metrics are on the admin listener only")
}
