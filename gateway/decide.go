package gateway

import (
	"slices"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Reason says why a provider cannot take a request; "" if it can.
type Reason string

// The reasons. Creates find out about breakers and customers later, by asking for a
// place and by reading the customer; no decision gives the last two.
const (
	ReasonUnknownProvider     Reason = "unknown_provider"
	ReasonUnsupportedSource   Reason = "unsupported_source"
	ReasonDisabled            Reason = "disabled"
	ReasonDrained             Reason = "drained"
	ReasonNoCustomerReference Reason = "no_customer_reference"
	ReasonBreakerOpen         Reason = "breaker_open"  // also half open, while its few calls are under way
	ReasonBulkheadFull        Reason = "bulkhead_full" // as many calls are in flight as may be
	ReasonRetryBudget         Reason = "retry_budget"  // too many creates come from other providers
)

// ProviderFacts is what a decision depends on of one provider.
type ProviderFacts struct {
	Name           string
	SourceTypes    []normalize.SourceType // that it stores; references to it are adopted anyway
	MakesCustomers bool
	Disabled       bool
	Drained        bool
	BreakerOpen    bool // its writes'; false where that is found out later
}

// FactsOf are the facts that do not change while the provider is configured.
func FactsOf(name string, a adapters.Adapter, disabled bool) ProviderFacts {
	f := ProviderFacts{Name: name, Disabled: disabled}
	if c, ok := a.(adapters.Creator); ok {
		f.SourceTypes = c.SourceTypes()
	}
	_, f.MakesCustomers = a.(adapters.CustomerCreator)
	return f
}

func (f ProviderFacts) accepts(s RouteSource) bool {
	if s.Type == normalize.SourceProviderReference {
		return s.Provider == f.Name
	}
	return slices.Contains(f.SourceTypes, s.Type)
}

// DecideInput is all that a decision depends on.
type DecideInput struct {
	Routes    []Route
	Providers []ProviderFacts
	Request   RouteRequest
	// Known are the providers at which the customer is known. nil: nobody has looked,
	// and no provider is left out for it.
	Known map[string]bool
}

// Candidate is one provider of a decision.
type Candidate struct {
	Provider string
	Source   int    // index of the first source that the provider accepts; -1 if none
	Reason   Reason // "" if it is eligible
}

// Decision is what the routes say about a request: which rule, and for each of
// its providers its place or why not.
type Decision struct {
	Route      string      // "" if none matched, or if the request named the provider
	Strategy   Strategy    // the route's; "" without one
	Candidates []Candidate // in the order in which they are tried
	// Mirrors are all of the route's, as listed. Which of them get a copy depends on
	// where the instrument comes to be: see MirrorsOf.
	Mirrors []Candidate
}

// First is the first candidate that is eligible; "" if none is.
func (d Decision) First() string {
	for _, c := range d.Candidates {
		if c.Reason == "" {
			return c.Provider
		}
	}
	return ""
}

// MirrorsOf are the mirrors of an instrument whose primary is at a provider: a
// provider is no mirror of itself.
func (d Decision) MirrorsOf(primary string) []Candidate {
	return slices.DeleteFunc(slices.Clone(d.Mirrors), func(c Candidate) bool { return c.Provider == primary })
}

// Decide applies the routes to a request. It is pure: the same input always gives
// the same decision.
func Decide(in DecideInput) Decision {
	if name := in.Request.Provider; name != "" {
		return Decision{Candidates: []Candidate{in.candidate(name)}}
	}
	for _, route := range in.Routes {
		if route.Match.mismatch(in.Request) == "" {
			return in.apply(route)
		}
	}
	return Decision{}
}

func (in DecideInput) apply(r Route) Decision {
	d := Decision{Route: r.Name, Strategy: StrategyPriority, Candidates: make([]Candidate, 0, len(r.Providers))}
	order := r.Providers
	if r.Strategy == StrategyWeighted {
		d.Strategy, order = StrategyWeighted, r.byWeight(in.Request.Customer)
	}
	for _, name := range order {
		d.Candidates = append(d.Candidates, in.candidate(name))
	}
	for _, name := range r.Mirrors {
		d.Mirrors = append(d.Mirrors, in.candidate(name))
	}
	return d
}

// candidate finds a provider's source, and why it cannot be used: what never changes
// first, what may be over in a moment last.
func (in DecideInput) candidate(name string) Candidate {
	c := Candidate{Provider: name, Source: -1}
	i := slices.IndexFunc(in.Providers, func(f ProviderFacts) bool { return f.Name == name })
	if i < 0 {
		c.Reason = ReasonUnknownProvider
		return c
	}
	f := in.Providers[i]
	c.Source = slices.IndexFunc(in.Request.Sources, f.accepts)
	switch {
	case c.Source < 0:
		c.Reason = ReasonUnsupportedSource
	case f.Disabled:
		c.Reason = ReasonDisabled
	case f.Drained:
		c.Reason = ReasonDrained
	case in.Known != nil && !in.Known[name] && !f.MakesCustomers && in.Request.Sources[c.Source].Type != normalize.SourceProviderReference:
		c.Reason = ReasonNoCustomerReference
	case f.BreakerOpen:
		c.Reason = ReasonBreakerOpen
	}
	return c
}
