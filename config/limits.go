package config

import (
	"encoding/json"
	"math"
	"net/netip"
	"time"
)

// Limits are the limits of every tenant that has none of its own, and of those who
// have no valid key.
type Limits struct {
	Tenant              *RateLimit   `json:"tenant,omitempty"`
	Key                 *RateLimit   `json:"key,omitempty"`
	CreatesPerCustomer  *WindowLimit `json:"creates_per_customer,omitempty"`
	CreatesPerAddress   *WindowLimit `json:"creates_per_address,omitempty"`
	DeclinesPerCustomer *WindowLimit `json:"declines_per_customer,omitempty"`
	// AuthFailuresPerMinute is how many bad API keys one address may send; 1–100000,
	// default 300.
	AuthFailuresPerMinute int `json:"auth_failures_per_minute"`
}

// TenantLimits bounds what a tenant may ask for. What is absent is not limited.
type TenantLimits struct {
	Tenant *RateLimit `json:"tenant,omitempty"` // all of the tenant's keys together
	Key    *RateLimit `json:"key,omitempty"`    // each of its keys
	// Creates that were let through, but for those that only adopt what is stored already.
	CreatesPerCustomer *WindowLimit `json:"creates_per_customer,omitempty"`
	CreatesPerAddress  *WindowLimit `json:"creates_per_address,omitempty"` // of the API's caller; see trusted_proxies
	// DeclinesPerCustomer counts cards that a provider declined: at the limit the
	// customer's creates are refused.
	DeclinesPerCustomer *WindowLimit `json:"declines_per_customer,omitempty"`
}

// RateLimit is a token bucket.
type RateLimit struct {
	Rate  float64 `json:"rate"`  // requests a second; 0.01–100000
	Burst int     `json:"burst"` // how many may come at once; 1–100000, default what the rate allows in a second, 1 or more
}

// WindowLimit is a number in any span of time.
type WindowLimit struct {
	Limit int      `json:"limit"` // 1–1000
	Per   Duration `json:"per"`   // 1s–168h, default 1h
}

func defaultLimits() Limits { return Limits{AuthFailuresPerMinute: 300} }

// UnmarshalJSON fills in defaults.
func (r *RateLimit) UnmarshalJSON(b []byte) error {
	type plain RateLimit
	var v plain
	err := json.Unmarshal(b, &v)
	if v.Burst == 0 {
		v.Burst = max(1, int(math.Ceil(v.Rate)))
	}
	*r = RateLimit(v)
	return err
}

// UnmarshalJSON fills in defaults.
func (w *WindowLimit) UnmarshalJSON(b []byte) error {
	type plain WindowLimit
	v := plain{Per: Duration(time.Hour)}
	err := json.Unmarshal(b, &v)
	*w = WindowLimit(v)
	return err
}

// LimitsOf are the limits of a tenant: its own, or those of the top level.
func (c *Config) LimitsOf(t Tenant) TenantLimits {
	if t.Limits != nil {
		return *t.Limits
	}
	l := c.Limits
	return TenantLimits{
		Tenant: l.Tenant, Key: l.Key,
		CreatesPerCustomer: l.CreatesPerCustomer, CreatesPerAddress: l.CreatesPerAddress, DeclinesPerCustomer: l.DeclinesPerCustomer,
	}
}

// Proxies are the networks of TrustedProxies, which are valid once a configuration
// was loaded.
func (c *Config) Proxies() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range c.TrustedProxies {
		if p, ok := parseNetwork(text); ok {
			out = append(out, p)
		}
	}
	return out
}

// End is when the key ends by itself; the zero time for never.
func (k APIKey) End() time.Time {
	t, err := time.Parse(time.RFC3339, k.NotAfter)
	if err != nil {
		return time.Time{} // it is empty: what was loaded is valid
	}
	return t
}

// parseNetwork reads a network, or an address as a network of one.
func parseNetwork(text string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p, p == p.Masked() && !p.Addr().Is4In6()
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}
