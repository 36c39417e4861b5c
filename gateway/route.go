package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// Route is one rule of the configuration: what it matches, and where to. The
// first that matches wins.
type Route struct {
	Name      string
	Match     Match
	Providers []string // in order of priority; the next one only when the one before was provably not reached
	Strategy  Strategy // default StrategyPriority
	// Weights are each provider's share of the customers, 0–1000, for
	// StrategyWeighted: every provider has one. 0 is a fallback only.
	Weights map[string]int
	Mirrors []string // providers that get a copy of what was stored
}

// Strategy says in which order a route's providers are tried.
type Strategy string

// The strategies.
const (
	StrategyPriority Strategy = "priority" // as they are listed
	StrategyWeighted Strategy = "weighted" // by weight, every customer always in the same order
)

// maxWeight bounds the weight of a provider.
const maxWeight = 1000

// Match says which requests a route is for. What is left out matches everything.
type Match struct {
	Tenant   []string
	Country  []string // ISO 3166-1 alpha-2: the request's country, else the billing address's
	Currency []string // ISO 4217
	Type     []normalize.Type
	Brand    []normalize.Brand
	BIN      []string            // prefixes of the card number, 1–8 digits
	Customer *CustomerRange      // a share of the customers; nil for all
	Metadata map[string][]string // every key must be there with one of its values
	Source   []normalize.SourceType
}

// RouteRequest is what a route can match on, and nothing else of a request: it
// holds no card data and no customer id, so that it can be recorded.
type RouteRequest struct {
	Tenant   string            `json:"tenant"`
	Customer CustomerHash      `json:"customer,omitzero"`
	Country  string            `json:"country,omitzero"`
	Currency string            `json:"currency,omitzero"`
	Type     normalize.Type    `json:"type,omitzero"`
	Brand    normalize.Brand   `json:"brand,omitzero"`
	BIN      string            `json:"bin,omitzero"` // up to 8 digits
	Sources  []RouteSource     `json:"source_types"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Provider string            `json:"provider,omitzero"` // asked for by name; "" leaves it to the routes
}

// RouteSource is what routing knows of a source. Its text is the type, and for a
// reference the provider that it is of: "provider_reference:rebilly-main".
type RouteSource struct {
	Type     normalize.SourceType
	Provider string // whose reference it is; "" for every other type
}

// MarshalText implements [encoding.TextMarshaler].
func (s RouteSource) MarshalText() ([]byte, error) {
	if s.Provider == "" {
		return []byte(s.Type), nil
	}
	return []byte(string(s.Type) + ":" + s.Provider), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *RouteSource) UnmarshalText(b []byte) error {
	name, provider, _ := strings.Cut(string(b), ":")
	*s = RouteSource{Type: normalize.SourceType(name), Provider: provider}
	if !slices.Contains(normalize.SourceTypes(), s.Type) {
		return errors.New("is no source type")
	}
	return nil
}

// routeRequest reads what routes match on off a create request.
func routeRequest(tenant string, in normalize.CreateInput) RouteRequest {
	req := RouteRequest{
		Tenant: tenant, Customer: HashCustomer(tenant, in.CustomerID), Country: in.Country, Currency: in.Currency,
		Metadata: in.Metadata, Provider: in.Provider,
	}
	if req.Country == "" && in.BillingAddress != nil {
		req.Country = in.BillingAddress.Country
	}
	for _, src := range in.Sources {
		s := RouteSource{Type: src.Type}
		if src.ProviderReference != nil {
			s.Provider = src.ProviderReference.Provider
		}
		req.addSource(s, src.InstrumentType())
		brand, bin := src.CardFacts()
		if req.Brand == "" {
			req.Brand = brand
		}
		if req.BIN == "" {
			req.BIN = routeBIN(src, bin)
		}
		if req.Currency == "" && src.VaultedToken != nil {
			req.Currency = src.VaultedToken.Currency
		}
	}
	return req
}

// routeBIN is what routes may match on of a card number: 8 digits where that leaves at
// least as many, else what may be shown of it.
func routeBIN(src normalize.Source, shown string) string {
	if src.Card != nil {
		if n := src.Card.Number.Reveal(); len(n) >= 16 {
			return n[:8]
		}
	}
	return shown
}

// addSource takes a source along: the type is the first that is known, and a
// reference names the provider, unless the request does.
func (r *RouteRequest) addSource(s RouteSource, t normalize.Type) {
	r.Sources = append(r.Sources, s)
	if r.Type == "" || r.Type == normalize.TypeOther {
		r.Type = t
	}
	if r.Provider == "" {
		r.Provider = s.Provider
	}
}

// mismatch names the first member of the match that the request does not fit; ""
// if it fits all of them.
func (m Match) mismatch(r RouteRequest) string {
	switch {
	case !matchesAny(m.Tenant, r.Tenant):
		return "tenant"
	case !matchesAny(m.Country, r.Country):
		return "country"
	case !matchesAny(m.Currency, r.Currency):
		return "currency"
	case !matchesAny(m.Type, r.Type):
		return "type"
	case !matchesAny(m.Brand, r.Brand):
		return "brand"
	case len(m.BIN) > 0 && !slices.ContainsFunc(m.BIN, func(prefix string) bool { return strings.HasPrefix(r.BIN, prefix) }):
		return "bin"
	case m.Customer != nil && !m.Customer.contains(r.Customer):
		return "customer"
	case !matchesMetadata(m.Metadata, r.Metadata):
		return "metadata"
	case len(m.Source) > 0 && !slices.ContainsFunc(r.Sources, func(s RouteSource) bool { return slices.Contains(m.Source, s.Type) }):
		return "source"
	}
	return ""
}

func matchesAny[T comparable](allowed []T, v T) bool {
	return len(allowed) == 0 || slices.Contains(allowed, v)
}

func matchesMetadata(wanted map[string][]string, m map[string]string) bool {
	for key, values := range wanted {
		if v, ok := m[key]; !ok || !slices.Contains(values, v) {
			return false
		}
	}
	return true
}

// check reports what is wrong with a route over providers; the configuration has
// reported it with lines before.
func (r Route) check(known func(provider string) bool) error {
	if len(r.Providers) == 0 {
		return fmt.Errorf("gateway: route %q names no provider", r.Name)
	}
	for _, name := range slices.Concat(r.Providers, r.Mirrors) {
		if !known(name) {
			return fmt.Errorf("gateway: route %q names provider %q, which is not configured", r.Name, name)
		}
	}
	if c := r.Match.Customer; c != nil && (c.From < 0 || c.From >= c.Below || c.Below > wholeRange) {
		return fmt.Errorf("gateway: route %q matches an empty range of customers", r.Name)
	}
	switch r.Strategy {
	case "", StrategyPriority:
		if len(r.Weights) > 0 {
			return fmt.Errorf("gateway: route %q has weights, and is not weighted", r.Name)
		}
		return nil
	case StrategyWeighted:
		return r.checkWeights()
	default:
		return fmt.Errorf("gateway: route %q has an unknown strategy", r.Name)
	}
}

func (r Route) checkWeights() error {
	sum := 0
	for _, name := range r.Providers {
		w, ok := r.Weights[name]
		if !ok || w < 0 || w > maxWeight {
			return fmt.Errorf("gateway: route %q needs a weight of 0 to %d for provider %q", r.Name, maxWeight, name)
		}
		sum += w
	}
	if sum == 0 || len(r.Weights) != len(r.Providers) {
		return fmt.Errorf("gateway: route %q needs a weight for each of its providers and nobody else, one of them above 0", r.Name)
	}
	return nil
}
