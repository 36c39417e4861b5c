package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

func TestForwardedAddressesAreBelievedOfTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		trusted   []netip.Prefix
		peer      string
		forwarded []string
		want      string
	}{
		"by default nobody is trusted":          {nil, "10.0.0.9:1", []string{"203.0.113.7"}, "10.0.0.9"},
		"not even this machine":                 {nil, "127.0.0.1:1", []string{"203.0.113.7"}, "127.0.0.1"},
		"private networks must be named":        {prefixes("192.0.2.0/24"), "10.0.0.9:1", []string{"203.0.113.7"}, "10.0.0.9"},
		"a trusted proxy tells":                 {prefixes("10.0.0.0/8"), "10.0.0.9:1", []string{"203.0.113.7"}, "203.0.113.7"},
		"a trusted proxy that tells nothing":    {prefixes("10.0.0.0/8"), "10.0.0.9:1", nil, "10.0.0.9"},
		"what the caller wrote first is passed": {prefixes("10.0.0.0/8"), "10.0.0.9:1", []string{"1.1.1.1, 203.0.113.7"}, "203.0.113.7"},
		"in a header of its own, too":           {prefixes("10.0.0.0/8"), "10.0.0.9:1", []string{"1.1.1.1", "203.0.113.7"}, "203.0.113.7"},
		"two proxies in a row":                  {prefixes("10.0.0.0/8"), "10.0.0.9:1", []string{"1.1.1.1, 203.0.113.7, 10.0.0.8"}, "203.0.113.7"},
		"nonsense is not believed":              {prefixes("10.0.0.0/8"), "10.0.0.9:1", []string{"unknown"}, "10.0.0.9"},
		"nonsense behind the caller's address":  {prefixes("10.0.0.0/8"), "10.0.0.9:1", []string{"junk, 203.0.113.7"}, "203.0.113.7"},
		"an untrusted peer cannot name a proxy": {prefixes("10.0.0.0/8"), "203.0.113.1:1", []string{"198.51.100.1, 10.0.0.8"}, "203.0.113.1"},
		"one address as a range":                {prefixes("10.0.0.9/32"), "10.0.0.9:1", []string{"2001:db8::1"}, "2001:db8::1"},
		"an IPv6 proxy":                         {prefixes("fd00::/8"), "[fd00::1]:1", []string{"203.0.113.7"}, "203.0.113.7"},
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.RemoteAddr = tt.peer
		for _, f := range tt.forwarded {
			req.Header.Add("X-Forwarded-For", f)
		}
		req.Header.Set("X-Real-IP", "198.51.100.99")
		req.Header.Set("Forwarded", "for=198.51.100.99")
		require.Equal(t, tt.want, newDoor(Door{TrustedProxies: tt.trusted}).address(req), name)
	}
}

// fails sends a request with a bad key and returns its status.
func (r *rig) fails(t testing.TB, peer, forwarded string) int {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/providers", nil)
	req.RemoteAddr = peer
	req.Header.Set("Authorization", "Bearer nonsense")
	if forwarded != "" {
		req.Header.Set("X-Forwarded-For", forwarded)
	}
	return r.send(t, req).Code
}

func TestFailuresAreCountedByTheCallersAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxAuthFailures, c.TrustedProxies = 2, prefixes("10.0.0.0/8") })
	for i := range 5 {
		want := 401
		if i >= 2 {
			want = 429
		}
		spoofed := fmt.Sprintf("198.51.100.%d, 203.0.113.7", i)
		require.Equal(t, want, r.fails(t, "10.0.0.9:1", spoofed), "what the caller writes before its address changes nothing")
		require.Equal(t, want, r.fails(t, "203.0.113.200:1", fmt.Sprintf("198.51.100.%d", i)), "who is no proxy is counted by itself")
		require.Equal(t, want, r.fails(t, fmt.Sprintf("[2001:db8::%d]:1", i), ""), "a /64 is one caller")
	}
	require.Equal(t, 401, r.fails(t, "10.0.0.9:1", "203.0.113.8"), "another caller behind the same proxy")
	require.Equal(t, 401, r.fails(t, "[2001:db8:0:1::1]:1", ""), "another network")
}

func TestANewConfigurationChangesTheDoor(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxAuthFailures = 2 })
	for range 3 {
		r.fails(t, "10.0.0.9:1", "203.0.113.7")
	}
	require.Equal(t, 429, r.fails(t, "10.0.0.9:1", "203.0.113.7"))
	keys := newKeys(t)
	keys.Door = Door{MaxAuthFailures: 4, TrustedProxies: prefixes("10.0.0.0/8")}
	r.api.Swap(r.fake, keys)
	require.Equal(t, 401, r.fails(t, "10.0.0.9:1", "203.0.113.7"), "the proxy is trusted now")
	require.Equal(t, 429, r.fails(t, "10.0.0.9:1", ""), "what was counted is not forgotten")
}

func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	f := newFailures(exampleTime)
	for i := range 3 * maxAddresses {
		f.count(fmt.Sprint(i), 1)
		require.LessOrEqual(t, len(f.counts), maxAddresses)
	}
	require.Zero(t, f.count("0", -1), "no limit")
	require.Equal(t, time.Minute, func() time.Duration { f.count("x", 1); return f.count("x", 1) }())
}

func TestAKeyInTheQueryIsRefusedAndNotLogged(t *testing.T) {
	t.Parallel()
	for _, key := range []string{fullKey, "pv_live_Nobody01_0123456789abcdefghijklmnopqrstuvwxyz"} {
		for _, query := range []string{
			"api_key=" + key, "q=" + key, key + "=1", "filter=status:active;" + key, "q=%70v" + key[2:], "a=%zz&b=" + key,
			"idempotency_key=" + url.QueryEscape("a "+key),
		} {
			r := newRig(t)
			rec := r.call(t, http.MethodGet, "/v1/instruments?"+query, "")
			p := requireProblem(t, rec, 401, normalize.InvalidAPIKey)
			require.Contains(t, p.Detail, "the query holds an API key", query)
			require.Empty(t, r.tenant, "the service was not asked")
			requireNoLeak(t, r, rec)
			require.NotContains(t, fmt.Sprint(r.logs.All(), rec.Body), key[8:])
		}
	}
	r := newRig(t)
	require.Equal(t, 200, r.call(t, http.MethodGet, "/v1/instruments?q=pv_live_short", "").Code)
}

func TestAKeyEndsByItself(t *testing.T) {
	t.Parallel()
	now := exampleTime()
	r := newRig(t, func(c *Config) {
		c.Now = func() time.Time { return now }
		c.Keys[0].NotAfter = now.Add(time.Minute)
	})
	require.Equal(t, 200, r.call(t, http.MethodGet, "/v1/providers", "").Code)
	now = now.Add(time.Minute - 1)
	require.Equal(t, 200, r.call(t, http.MethodGet, "/v1/providers", "").Code)
	now = now.Add(1)
	ended := r.call(t, http.MethodGet, "/v1/providers", "", "X-Request-ID", "same")
	requireProblem(t, ended, 401, normalize.InvalidAPIKey)
	unknown := r.call(t, http.MethodGet, "/v1/providers", "", "X-Request-ID", "same", "Authorization", "Bearer nonsense")
	require.Equal(t, unknown.Body.String(), ended.Body.String(), "the answer is that of any bad key")
	line := r.logs.All()[2].ContextMap()
	require.Equal(t, "checkout", line["ended_api_key"], "but the log names it")
	use := r.api.KeyUses()[0]
	require.Equal(t, KeyUse{
		Tenant: "acme", Name: "checkout", NotAfter: exampleTime().Add(time.Minute), Count: 2, AfterEnd: 1, LastUsed: exampleTime().Add(59 * time.Second),
	}, use)
}

func TestUsesOfKeysSurviveAReload(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		r.call(t, http.MethodGet, "/v1/providers", "")
	}
	keys, err := NewKeyring([]APIKey{
		{Tenant: "acme", Name: "checkout", SHA256: DigestAPIKey(fullKey), Scopes: Scopes(), NotAfter: exampleTime().Add(time.Hour)},
		{Tenant: "initech", Name: "bare", SHA256: DigestAPIKey(bareKey), Scopes: Scopes()}, // was another tenant's
		{Tenant: "acme", Name: "newer", SHA256: DigestAPIKey(newerKey), Scopes: Scopes()},
	})
	require.NoError(t, err)
	r.call(t, http.MethodGet, "/v1/providers", "", "Authorization", "Bearer "+bareKey)
	r.api.Swap(r.fake, keys)
	r.call(t, http.MethodGet, "/v1/providers", "")
	r.call(t, http.MethodGet, "/v1/providers", "", "Authorization", "Bearer "+newerKey)
	counts := map[string]int64{}
	for _, u := range r.api.KeyUses() {
		counts[u.Tenant+" "+u.Name] = u.Count
	}
	require.Equal(t, map[string]int64{"acme checkout": 4, "acme newer": 1, "initech bare": 0}, counts)
	require.False(t, r.api.KeyUses()[0].NotAfter.IsZero(), "the key's new end holds")
}
