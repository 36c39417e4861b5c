package config

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

func checkRoutes(p *problems, c *Config) {
	names := unique{}
	for i, r := range c.Routes {
		where := at("routes", i)
		names.check(p, where.with("name"), r.Name)
		checkProviderNames(p, c, where.with("providers"), r.Providers)
		checkProviderNames(p, c, where.with("mirrors"), r.Mirrors)
		for j, name := range r.Mirrors {
			if len(r.Providers) == 1 && name == r.Providers[0] {
				p.add(where.with("mirrors", j), "is the route's only provider, and no mirror of itself: remove it")
			}
		}
		checkWeights(p, where, r)
		checkMatch(p, c, where.with("match"), r.Match)
	}
}

func checkProviderNames(p *problems, c *Config, where path, names []string) {
	for i, name := range names {
		if name != "" && !slices.ContainsFunc(c.Providers, func(p Provider) bool { return p.Name == name }) {
			p.add(where.with(i), "names no provider of this file; there are %s", joined(c.Providers, func(p Provider) string { return p.Name }))
		}
	}
}

// checkWeights holds weights and the strategy together.
func checkWeights(p *problems, at path, r Route) {
	where := at.with("weights")
	if r.Strategy != "weighted" {
		if len(r.Weights) > 0 {
			p.add(where, "goes with strategy: weighted")
		}
		return
	}
	above := false
	for _, name := range slices.Sorted(maps.Keys(r.Weights)) {
		above = above || r.Weights[name] != 0
		if !slices.Contains(r.Providers, name) {
			p.add(where.with(name), "names no provider of the route; there are %s", strings.Join(r.Providers, ", "))
		}
	}
	for _, name := range r.Providers {
		if _, ok := r.Weights[name]; !ok && name != "" {
			p.add(where, "must have a weight for each of the route's providers: %s", strings.Join(r.Providers, ", "))
		}
	}
	if !above {
		p.add(where, "must have a weight above 0")
	}
}

func checkMatch(p *problems, c *Config, where path, m Match) {
	for i, name := range m.Tenant {
		if name != "" && !slices.ContainsFunc(c.Tenants, func(t Tenant) bool { return t.Name == name }) {
			p.add(where.with("tenant", i), "names no tenant of this file; there are %s", joined(c.Tenants, func(t Tenant) string { return t.Name }))
		}
	}
	checkCountries(p, where.with("country"), m.Country)
	checkCurrencies(p, where.with("currency"), m.Currency)
	checkWords(p, where.with("type"), m.Type, normalize.Types())
	checkWords(p, where.with("brand"), m.Brand, normalize.Brands())
	checkWords(p, where.with("source"), m.Source, normalize.SourceTypes())
	if m.Customer != nil {
		checkCustomerRange(p, where.with("customer"), *m.Customer)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		if !normalize.ValidMetadataKey(key) {
			// The key itself might be what must not be printed.
			p.add(where.with("metadata"), "has a key that no metadata can have: keys are 1 to 40 of A-Z a-z 0-9 _ . -, and no card number")
		}
	}
}

func checkCustomerRange(p *problems, where path, r CustomerRange) {
	for name, v := range map[string]float64{"from": r.From, "below": r.Below} {
		if hundredths := v * 100; math.Abs(hundredths-math.Round(hundredths)) > 1e-6 {
			p.add(where.with(name), "must have at most two decimals")
		}
	}
	if r.From >= r.Below && !p.has(where.with("from")) && !p.has(where.with("below")) {
		p.add(where, "must begin below its end: from is not less than below")
	}
}

func checkWords[T ~string](p *problems, where path, words, known []T) {
	for i, word := range words {
		if word != "" && !slices.Contains(known, word) {
			p.add(where.with(i), "must be one of %s", joined(known, func(k T) string { return string(k) }))
		}
	}
}
