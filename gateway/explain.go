package gateway

import (
	"context"
	"strconv"

	"github.com/polyvault/polyvault/normalize"
)

// Explanation is what would become of a create now, as callers see it.
type Explanation struct {
	Object     string               `json:"object"`   // always "decision"
	Route      *string              `json:"route"`    // nil if none matches, or if the request names the provider
	Strategy   *Strategy            `json:"strategy"` // nil without a route
	Candidates []ExplainedCandidate `json:"candidates"`
	Mirrors    []ExplainedMirror    `json:"mirrors"`
	Unmatched  []Unmatched          `json:"unmatched"` // the routes that were looked at before
}

// ExplainedCandidate is a provider's place, or why it has none.
type ExplainedCandidate struct {
	Provider   string                `json:"provider"`
	Place      *int                  `json:"place"`       // from 1; nil if it is not eligible
	SourceType *normalize.SourceType `json:"source_type"` // nil if it accepts none
	Reason     *Reason               `json:"reason"`      // nil if it is eligible
}

// ExplainedMirror is a provider that would get a copy, or why not.
type ExplainedMirror struct {
	Provider   string                `json:"provider"`
	SourceType *normalize.SourceType `json:"source_type"`
	Reason     *Reason               `json:"reason"`
}

// Unmatched is a route that does not match, and the first member of its match that
// the request does not fit.
type Unmatched struct {
	Route   string `json:"route"`
	Because string `json:"because"`
}

// decideCreate applies the routes to a create, and has that recorded. What is found
// out later, by asking, is left to admission: breakers, and where the customer is known.
func (s *Service) decideCreate(tenant string, in normalize.CreateInput) Decision {
	input := s.decideInput(routeRequest(tenant, in))
	d := Decide(input)
	if s.recorder != nil {
		s.recorder.Record(recorded(s.now(), input, d))
	}
	return d
}

// decideInput collects what a decision depends on, apart from what changes from one
// moment to the next.
func (s *Service) decideInput(req RouteRequest) DecideInput {
	in := DecideInput{Routes: s.routes, Request: req, Providers: make([]ProviderFacts, len(s.order))}
	for i, name := range s.order {
		p := s.providers[name]
		in.Providers[i] = FactsOf(name, p.adapter, s.disabled[name])
		in.Providers[i].Drained = s.isDrained(name)
	}
	return in
}

// Explain says what would become of a create now: the same decision, with the breakers
// as they are and the customer as it is known. It asks no provider and writes nothing.
// It fails with a [*normalize.Error].
func (s *Service) Explain(ctx context.Context, tenant string, in normalize.ExplainInput) (Explanation, error) {
	if errs := s.checkExplain(s.tenant(tenant), in); len(errs) > 0 {
		return Explanation{}, normalize.Invalid(errs...)
	}
	input := s.decideInput(explainRequest(tenant, in))
	for i, f := range input.Providers {
		input.Providers[i].BreakerOpen = s.providers[f.Name].write.status().Breaker == "open"
	}
	if in.CustomerID != "" {
		c, err := s.loadCustomer(ctx, "explain", tenant, in.CustomerID)
		if err != nil {
			return Explanation{}, err
		}
		input.Known = c.known()
	}
	return explained(input, Decide(input)), nil
}

// checkExplain finds what a create would be refused for, as far as it can be told.
func (s *Service) checkExplain(t Tenant, in normalize.ExplainInput) []normalize.FieldError {
	errs := in.Validate()
	for i, src := range in.SourceTypes {
		if (normalize.Source{Type: src}).Raw() && !t.AcceptRawCard {
			errs = append(errs, normalize.FieldError{
				Pointer: "/source_types/" + strconv.Itoa(i), Code: normalize.RawCardNotAccepted,
				Message: "card and account numbers are not accepted: send a token instead",
			})
		}
	}
	if in.Provider != "" && s.providers[in.Provider] == nil && len(errs) == 0 {
		errs = append(errs, normalize.FieldError{Pointer: "/provider", Code: normalize.InvalidField, Message: "is not a configured provider"})
	}
	return errs
}

// explainRequest is what routes would see of the create.
func explainRequest(tenant string, in normalize.ExplainInput) RouteRequest {
	req := RouteRequest{
		Tenant: tenant, Customer: HashCustomer(tenant, in.CustomerID), Country: in.Country, Currency: in.Currency,
		Brand: in.Brand, BIN: in.BIN, Metadata: in.Metadata, Provider: in.Provider,
	}
	for _, t := range in.SourceTypes {
		src := RouteSource{Type: t}
		if t == normalize.SourceProviderReference {
			src.Provider = in.Provider
		}
		req.addSource(src, normalize.Source{Type: t}.InstrumentType())
	}
	if in.Type != "" {
		req.Type = in.Type
	}
	if req.Brand == "" && req.BIN != "" {
		req.Brand = normalize.BrandOf(req.BIN)
	}
	return req
}

// explained renders a decision and the routes before it.
func explained(in DecideInput, d Decision) Explanation {
	out := Explanation{
		Object: "decision", Candidates: []ExplainedCandidate{}, Mirrors: []ExplainedMirror{}, Unmatched: []Unmatched{},
	}
	if d.Route != "" {
		out.Route, out.Strategy = &d.Route, &d.Strategy
	}
	place := 0
	for _, c := range d.Candidates {
		e := ExplainedCandidate{Provider: c.Provider, SourceType: in.Request.sourceType(c), Reason: reason(c)}
		if e.Reason == nil {
			place++
			e.Place = new(place)
		}
		out.Candidates = append(out.Candidates, e)
	}
	for _, c := range d.MirrorsOf(d.First()) {
		out.Mirrors = append(out.Mirrors, ExplainedMirror{Provider: c.Provider, SourceType: in.Request.sourceType(c), Reason: reason(c)})
	}
	if in.Request.Provider == "" {
		out.Unmatched = unmatched(in.Routes, in.Request)
	}
	return out
}

func (r RouteRequest) sourceType(c Candidate) *normalize.SourceType {
	if c.Source < 0 {
		return nil
	}
	return &r.Sources[c.Source].Type
}

func reason(c Candidate) *Reason {
	if c.Reason == "" {
		return nil
	}
	return &c.Reason
}

// unmatched are the routes before the first that matches, and why each does not.
func unmatched(routes []Route, req RouteRequest) []Unmatched {
	out := []Unmatched{}
	for _, r := range routes {
		because := r.Match.mismatch(req)
		if because == "" {
			break
		}
		if because == "tenant" {
			continue // another tenant's
		}
		out = append(out, Unmatched{Route: r.Name, Because: because})
	}
	return out
}
