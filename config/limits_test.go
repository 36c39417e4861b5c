package config_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
)

// parseWith parses the sample with a piece behind it, and another within its tenant.
func parseWith(t *testing.T, atEnd, inTenant string, over map[string]string) (*config.Config, error) {
	t.Helper()
	sample, err := os.ReadFile("testdata/polyvault.yaml")
	require.NoError(t, err)
	text := strings.Replace(string(sample), "    duplicates: allow\n", "    duplicates: allow\n"+inTenant, 1) + atEnd
	return config.Parse("testdata/f.yaml", []byte(text), config.Options{LookupEnv: env(over), Scopes: scopes()})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	c, err := parseWith(t, "", "", nil)
	require.NoError(t, err)
	require.Equal(t, config.Limits{AuthFailuresPerMinute: 300}, c.Limits)
	require.Equal(t, config.TenantLimits{}, c.LimitsOf(c.Tenants[0]), "nothing is limited by default")
	require.Empty(t, c.Proxies())

	c, err = parseWith(t, `
limits: {tenant: {rate: 2.5}, key: {rate: 10, burst: 40}, creates_per_customer: {limit: 5}, auth_failures_per_minute: 9}
trusted_proxies: [10.0.0.0/8, 192.0.2.1, "fd00::/8"]
`, "", map[string]string{"POLYVAULT_LIMITS_KEY_RATE": "12.5"})
	require.NoError(t, err)
	require.Equal(t, config.TenantLimits{
		Tenant: &config.RateLimit{Rate: 2.5, Burst: 3}, Key: &config.RateLimit{Rate: 12.5, Burst: 40},
		CreatesPerCustomer: &config.WindowLimit{Limit: 5, Per: config.Duration(time.Hour)},
	}, c.LimitsOf(c.Tenants[0]))
	require.Equal(t, 9, c.Limits.AuthFailuresPerMinute)
	require.Equal(t, []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("fd00::/8"),
	}, c.Proxies())

	c, err = parseWith(t, "\nlimits: {tenant: {rate: 2}, key: {rate: 1}}\n", "    limits: {key: {rate: 7}, declines_per_customer: {limit: 3, per: 10m}}\n", nil)
	require.NoError(t, err)
	require.Equal(t, config.TenantLimits{
		Key: &config.RateLimit{Rate: 7, Burst: 7}, DeclinesPerCustomer: &config.WindowLimit{Limit: 3, Per: config.Duration(10 * time.Minute)},
	}, c.LimitsOf(c.Tenants[0]), "a tenant's own limits replace the others as a whole")
}

func TestAnAPIKeyMayEnd(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"2027-01-31T12:00:00Z", `"2027-01-31T13:00:00+01:00"`} {
		c, err := parseWith(t, "", "    limits: {}\n", nil)
		require.NoError(t, err)
		require.True(t, c.Tenants[0].APIKeys[0].End().IsZero())
		sample, err := os.ReadFile("testdata/polyvault.yaml")
		require.NoError(t, err)
		text := strings.Replace(string(sample), "      - name: checkout\n", "      - name: checkout\n        not_after: "+value+"\n", 1)
		c, err = config.Parse("testdata/f.yaml", []byte(text), config.Options{LookupEnv: env(nil), Scopes: scopes()})
		require.NoError(t, err)
		require.Equal(t, time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC), c.Tenants[0].APIKeys[0].End().UTC())
	}
}

func TestLimitsThatAreWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ atEnd, inTenant, want string }{
		"a rate of nothing":                 {"limits: {key: {rate: 0}}", "", "limits.key.rate: must be a number from 0.01 to 100000"},
		"a burst of nothing":                {"limits: {key: {rate: 1, burst: 0}}", "", "limits.key.burst: must be a whole number from 1 to 100000"},
		"no rate":                           {"limits: {tenant: {burst: 1}}", "", "limits.tenant.rate: is missing"},
		"a limit of nothing":                {"limits: {creates_per_address: {limit: 0}}", "", "limits.creates_per_address.limit: must be a whole number from 1 to 1000"},
		"a span that is too long":           {"limits: {creates_per_address: {limit: 1, per: 169h}}", "", "limits.creates_per_address.per: must be from 1s to 168h"},
		"a tenant's span that is too short": {"", "    limits: {declines_per_customer: {limit: 1, per: 10ms}}\n", "tenants[0].limits.declines_per_customer.per: must be from 1s to 168h"},
		"failures are no tenant's":          {"", "    limits: {auth_failures_per_minute: 5}\n", "tenants[0].limits.auth_failures_per_minute: unknown key"},
		"an unknown limit":                  {"limits: {reads: 5}", "", "limits.reads: unknown key"},
		"a proxy by name":                   {"trusted_proxies: [proxy.example]", "", "trusted_proxies[0]: must be a network"},
		"a network with host bits":          {"trusted_proxies: [10.0.0.1/8]", "", "trusted_proxies[0]: must be a network"},
		"everybody as a proxy":              {"trusted_proxies: [10.0.0.0/8, 0.0.0.0/0]", "", "trusted_proxies[1]: trusts everybody"},
		"everybody as a proxy, over IPv6":   {`trusted_proxies: ["::/0"]`, "", "trusted_proxies[0]: trusts everybody"},
		"an end that is only a day":         {"", "@2027-01-31", "tenants[0].api_keys[0].not_after: must be a time"},
		"an end without its zone":           {"", "@\"2027-01-31T12:00:00.000\"", "tenants[0].api_keys[0].not_after: must be a time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTenant := tc.inTenant
			if end, ok := strings.CutPrefix(inTenant, "@"); ok {
				sample, err := os.ReadFile("testdata/polyvault.yaml")
				require.NoError(t, err)
				text := strings.Replace(string(sample), "      - name: checkout\n", "      - name: checkout\n        not_after: "+end+"\n", 1)
				_, err = config.Parse("testdata/f.yaml", []byte(text), config.Options{LookupEnv: env(nil), Scopes: scopes()})
				require.ErrorContains(t, err, tc.want)
				return
			}
			_, err := parseWith(t, "\n"+tc.atEnd+"\n", inTenant, nil)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestLimitsAreTakenIntoUseByAReload(t *testing.T) {
	t.Parallel()
	was, err := parseWith(t, "", "", nil)
	require.NoError(t, err)
	is, err := parseWith(t, "\nlimits: {tenant: {rate: 2}}\ntrusted_proxies: [10.0.0.0/8]\n", "", nil)
	require.NoError(t, err)
	changes := config.Compare(was, is)
	require.Equal(t, []string{"limits.tenant", "trusted_proxies"}, changes.Keys)
	require.Empty(t, changes.Restart)
}
