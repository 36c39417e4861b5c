package config

import "time"

func checkLimits(p *problems, c *Config) {
	checkWindows(p, at("limits"), c.LimitsOf(Tenant{}))
	for i, t := range c.Tenants {
		if t.Limits != nil {
			checkWindows(p, at("tenants", i, "limits"), *t.Limits)
		}
		for j, k := range t.APIKeys {
			if _, err := time.Parse(time.RFC3339, k.NotAfter); k.NotAfter != "" && err != nil {
				p.add(at("tenants", i, "api_keys", j, "not_after"), "must be a time such as 2027-01-31T12:00:00Z")
			}
		}
	}
	for i, text := range c.TrustedProxies {
		where := at("trusted_proxies", i)
		switch network, ok := parseNetwork(text); {
		case !ok:
			p.add(where, "must be a network such as 10.0.0.0/8 without host bits, or an address")
		case network.Bits() == 0:
			p.add(where, "trusts everybody, so that callers could make up their addresses: name the proxies' networks")
		}
	}
}

func checkWindows(p *problems, where path, l TenantLimits) {
	for _, w := range []struct {
		key string
		is  *WindowLimit
	}{
		{"creates_per_customer", l.CreatesPerCustomer},
		{"creates_per_address", l.CreatesPerAddress},
		{"declines_per_customer", l.DeclinesPerCustomer},
	} {
		if w.is != nil {
			checkRange(p, where.with(w.key, "per"), w.is.Per, time.Second, 7*24*time.Hour)
		}
	}
}
