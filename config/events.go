package config

import "time"

// Events shapes the events that tenants are told of.
type Events struct {
	ExpiringBefore Duration `json:"expiring_before"` // how long before the end of its expiry month a card is told of as expiring; 24h–2160h, default 720h
}

// TenantEvents says where a tenant is told of events. Without it nothing is written down.
type TenantEvents struct {
	Endpoints []EventEndpoint `json:"endpoints"` // up to 16
}

// EventEndpoint is where a tenant's events are sent to.
type EventEndpoint struct {
	URL      string      `json:"url"`             // https, without credentials
	Secrets  []SecretRef `json:"secrets"`         // one to four that sign, each "whsec_" and base64 of 24–64 bytes: the new and the old one while they are exchanged
	Types    []string    `json:"types,omitempty"` // default all
	Disabled bool        `json:"disabled,omitempty"`
}

func defaultEvents() Events { return Events{ExpiringBefore: Duration(30 * 24 * time.Hour)} }

// events resolves the endpoints' secrets.
func (r *resolver) events(c *Config) {
	for i, t := range c.Tenants {
		if t.Events == nil {
			continue
		}
		for j, e := range t.Events.Endpoints {
			for k := range e.Secrets {
				where := at("tenants", i, "events", "endpoints", j, "secrets", k)
				value, ok := r.value(where, e.Secrets[k].ref, false)
				if ok && !r.without && !signs(value) {
					r.problems.add(where, "must resolve to whsec_ and base64 of 24 to 64 bytes: make one with echo whsec_$(openssl rand -base64 32)")
					continue
				}
				e.Secrets[k].Value = value
			}
		}
	}
}
