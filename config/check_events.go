package config

import (
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// checkEvents checks where events are sent to: they tell of a merchant's customers.
func checkEvents(p *problems, c *Config) {
	checkRange(p, at("events", "expiring_before"), c.Events.ExpiringBefore, 24*time.Hour, 90*24*time.Hour)
	for i, t := range c.Tenants {
		if t.Events == nil {
			continue
		}
		urls := unique{}
		for j, e := range t.Events.Endpoints {
			where := at("tenants", i, "events", "endpoints", j, "url")
			urls.check(p, where, e.URL)
			if problem := endpointProblem(e.URL, c.InsecureProviders); problem != "" && e.URL != "" {
				p.add(where, "%s", problem)
			}
		}
	}
}

// endpointProblem says what is wrong with an endpoint's URL; "" if nothing is.
func endpointProblem(text string, insecure bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return "must be a URL such as https://shop.example/hooks"
	case u.Scheme != "https" && (!insecure || u.Scheme != "http"):
		return "must be https; insecure_providers: true allows http for tests"
	case u.User != nil:
		return "must not hold credentials: the signature tells who sends"
	case u.Fragment != "":
		return "must not have a fragment, which is never sent"
	}
	return ""
}

// signs reports whether a secret can sign events.
func signs(secret normalize.Secret) bool {
	rest, ok := strings.CutPrefix(secret.Reveal(), "whsec_")
	raw, err := base64.StdEncoding.DecodeString(rest)
	return ok && err == nil && len(raw) >= 24 && len(raw) <= 64
}
