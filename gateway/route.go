package gateway

import (
	"slices"

	"github.com/polyvault/polyvault/normalize"
)

// Route is one rule of the configuration: what it matches, and where to. The
// first that matches wins.
type Route struct {
	Name      string
	Match     Match
	Providers []string // in order of priority; the next one only when the one before was provably not reached
}

// Match says which requests a route is for. What is left out matches everything.
type Match struct {
	Tenant   []string
	Country  []string // ISO 3166-1 alpha-2: the request's country, else the billing address's
	Currency []string // ISO 4217
	Type     []normalize.Type
	Brand    []normalize.Brand
	Source   []normalize.SourceType // any source of the request
}

// RouteRequest is what a route can match on.
type RouteRequest struct {
	Tenant   string
	Country  string
	Currency string
	Type     normalize.Type
	Brand    normalize.Brand
	Sources  []normalize.Source
	Provider string // asked for by name; "" leaves it to the routes
}

// routeRequest reads what routes match on off a create request.
func routeRequest(tenant string, in normalize.CreateInput) RouteRequest {
	req := RouteRequest{Tenant: tenant, Country: in.Country, Currency: in.Currency, Sources: in.Sources, Provider: in.Provider}
	if req.Country == "" && in.BillingAddress != nil {
		req.Country = in.BillingAddress.Country
	}
	for _, src := range in.Sources {
		if req.Type == "" || req.Type == normalize.TypeOther {
			req.Type = src.InstrumentType()
		}
		if brand, _ := src.CardFacts(); req.Brand == "" {
			req.Brand = brand
		}
		if req.Currency == "" && src.VaultedToken != nil {
			req.Currency = src.VaultedToken.Currency
		}
		if req.Provider == "" && src.ProviderReference != nil {
			req.Provider = src.ProviderReference.Provider
		}
	}
	return req
}

func (m Match) matches(r RouteRequest) bool {
	return matchesAny(m.Tenant, r.Tenant) && matchesAny(m.Country, r.Country) && matchesAny(m.Currency, r.Currency) &&
		matchesAny(m.Type, r.Type) && matchesAny(m.Brand, r.Brand) &&
		(len(m.Source) == 0 || slices.ContainsFunc(r.Sources, func(s normalize.Source) bool { return slices.Contains(m.Source, s.Type) }))
}

func matchesAny[T comparable](allowed []T, v T) bool {
	return len(allowed) == 0 || slices.Contains(allowed, v)
}

// Reason says why a provider cannot take a request; "" if it can.
type Reason string

// The reasons. Those that change from moment to moment are found by admission, later.
const (
	ReasonDisabled          Reason = "disabled"
	ReasonUnsupportedSource Reason = "unsupported_source"
	ReasonUnknownProvider   Reason = "unknown_provider"
)

// Candidate is one provider of a decision.
type Candidate struct {
	Provider string
	Source   int    // index of the first source that the provider accepts; -1 if none
	Reason   Reason // "" if it is eligible
}

// Decision is what the routes say about a request: which rule, and for each of
// its providers its place or why not.
type Decision struct {
	Route      string // "" if none matched, or if the request named the provider
	Candidates []Candidate
	Mirrors    []Candidate // where the instrument is to live as well
}

// decide applies the routes to a request. It makes no call and changes nothing.
func (s *Service) decide(req RouteRequest) Decision {
	if req.Provider != "" {
		return Decision{Candidates: []Candidate{s.candidate(req.Provider, req.Sources)}}
	}
	for _, route := range s.routes {
		if !route.Match.matches(req) {
			continue
		}
		d := Decision{Route: route.Name}
		for _, name := range route.Providers {
			d.Candidates = append(d.Candidates, s.candidate(name, req.Sources))
		}
		return d
	}
	return Decision{}
}

func (s *Service) candidate(name string, sources []normalize.Source) Candidate {
	c := Candidate{Provider: name, Source: -1}
	p := s.providers[name]
	if p == nil {
		c.Reason = ReasonUnknownProvider
		return c
	}
	c.Source = slices.IndexFunc(sources, p.accepts)
	switch {
	case c.Source < 0:
		c.Reason = ReasonUnsupportedSource
	case p.disabled:
		c.Reason = ReasonDisabled
	}
	return c
}
