package main

import (
	"time"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
)

// eventConfig is what all tenants' events have in common.
func eventConfig(c *config.Config) gateway.EventConfig {
	return gateway.EventConfig{ExpiringBefore: time.Duration(c.Events.ExpiringBefore), Insecure: c.InsecureProviders}
}

// eventEndpoints are where a tenant is told of events.
func eventEndpoints(t config.Tenant) []gateway.EventEndpoint {
	if t.Events == nil {
		return nil
	}
	var out []gateway.EventEndpoint
	for _, e := range t.Events.Endpoints {
		endpoint := gateway.EventEndpoint{URL: e.URL, Disabled: e.Disabled}
		for _, s := range e.Secrets {
			endpoint.Secrets = append(endpoint.Secrets, s.Value)
		}
		for _, typ := range e.Types {
			endpoint.Types = append(endpoint.Types, gateway.EventType(typ))
		}
		out = append(out, endpoint)
	}
	return out
}
