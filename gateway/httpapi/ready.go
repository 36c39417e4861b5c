package httpapi

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
)

type readiness struct {
	Status string `json:"status"` // ok or draining
	ConfigStatus
	Problems []shortcoming `json:"problems,omitempty"`
}

// shortcoming is something that is wrong with the gateway, whether or not it takes
// requests all the same. It names neither providers nor tenants: nobody needs a key to
// read it.
type shortcoming struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// GetReadiness answers whether new requests should come here. A configuration that was
// refused does not count against that: the one before is in force. Nor do providers that
// are down: every gateway has the same ones, and stored instruments can still be read.
func (a *API) GetReadiness(c echo.Context) error {
	config := exchangeOf(c).generation.ConfigStatus
	problems := shortcomings(config, a.service(c).Providers())
	if a.draining.Load() {
		stop := shortcoming{"draining", "the gateway is about to stop: send new requests to another one"}
		writeJSON(c, http.StatusServiceUnavailable, mediaJSON, readiness{"draining", config, append([]shortcoming{stop}, problems...)})
		return nil
	}
	if err := a.service(c).Ready(c.Request().Context()); err != nil {
		return err
	}
	return ok(c, readiness{"ok", config, problems})
}

func shortcomings(config ConfigStatus, providers []gateway.ProviderStatus) []shortcoming {
	var out []shortcoming
	if config.Error != nil {
		out = append(out, shortcoming{"config_refused", "the newest configuration cannot be used, and the one before is in force: config_error says why"})
	}
	if text := noneUsable(providers); text != "" {
		out = append(out, shortcoming{"no_usable_provider", text})
	}
	return out
}

// noneUsable says why no provider can store instruments at the moment; "" if one can.
func noneUsable(providers []gateway.ProviderStatus) string {
	whys := []string{"disabled in the configuration", "drained by an operator", "refusing the gateway's credentials", "with an open breaker"}
	counts := make([]int, len(whys))
	for _, p := range providers {
		switch {
		case p.Disabled:
			counts[0]++
		case p.Drained:
			counts[1]++
		case p.Alarm != nil:
			counts[2]++
		case p.Classes["write"].Breaker == "open":
			counts[3]++
		default:
			return ""
		}
	}
	var parts []string
	for i, n := range counts {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, whys[i]))
		}
	}
	if parts == nil {
		return "" // no provider is configured, which no configuration allows
	}
	return "no provider can store instruments now: " + strings.Join(parts, ", ")
}
