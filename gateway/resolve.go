package gateway

import (
	"context"
	"slices"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Resolve says where an instrument can be charged now, best first, and what each
// provider's payment call needs. It reads the record, and neither asks a provider
// nor writes. It fails with InvalidState for an instrument that is deactivated.
func (s *Service) Resolve(ctx context.Context, tenant, id string, in ResolveInput) (Resolution, error) {
	if !ValidInstrumentID(id) {
		return Resolution{}, notFound("resolve")
	}
	cur, err := s.loadLive(ctx, "resolve", tenant, id)
	if err != nil {
		return Resolution{}, err
	}
	now := s.clock.at(s.now())
	if cur.status(now) == normalize.StatusDeactivated {
		return Resolution{}, &normalize.Error{
			Code: normalize.InvalidState, Outcome: normalize.NotSent, Op: "resolve", Msg: "the instrument is deactivated: it must not be charged",
		}
	}
	out := Resolution{
		Object: "resolution", InstrumentID: cur.ID, Candidates: make([]Chargeable, 0, len(cur.Tokens)), Excluded: []NotChargeable{},
	}
	card := cur.View.Card
	expired := card != nil && normalize.Expired(card.ExpMonth, card.ExpYear, now)
	var recovering []Chargeable
	for _, t := range cur.Tokens {
		p := s.providers[t.Provider]
		health, reason := s.chargeable(p, t, expired, in)
		switch {
		case reason != "":
			out.Excluded = append(out.Excluded, NotChargeable{Provider: t.Provider, Role: t.Role, Reason: reason})
		case health == HealthRecovering:
			recovering = append(recovering, candidateOf(p, t, cur.View.Type, health))
		default:
			out.Candidates = append(out.Candidates, candidateOf(p, t, cur.View.Type, health))
		}
	}
	// The primary is the first of the tokens, and stays first of the healthy and of the others.
	out.Candidates = append(out.Candidates, recovering...)
	return out, nil
}

// chargeable says how healthy the provider of a token is, or why the token must not
// be charged. A disabled provider takes no new instruments; what it has is still good.
func (s *Service) chargeable(p *Provider, t Token, expired bool, in ResolveInput) (Health, ExcludedReason) {
	if slices.Contains(in.ExcludeProviders, t.Provider) {
		return "", ExcludedByRequest
	}
	if p == nil {
		return "", ExcludedNotConfigured
	}
	if expired {
		return "", ExcludedExpired
	}
	if reason := t.notChargeable(); reason != "" {
		return "", reason
	}
	if s.isDrained(p.name) {
		return "", ExcludedDrained
	}
	if reason := s.charges[p.name].refuse(in.Currency, in.Country); reason != "" {
		return "", reason
	}
	health := p.health()
	if health == "" {
		return "", ExcludedBreakerOpen
	}
	return health, ""
}

// notChargeable is why a token's own state keeps it from being charged; "" if it does not.
func (t Token) notChargeable() ExcludedReason {
	switch t.Status {
	case normalize.StatusActive:
		return ""
	case normalize.StatusPending:
		return ExcludedTokenPending
	case normalize.StatusExpired:
		return ExcludedExpired
	case normalize.StatusDeactivated:
		return ExcludedDeactivated
	case normalize.StatusVerificationNeeded:
		return ExcludedVerificationNeeded
	default:
		return ExcludedTokenFailed
	}
}

// refuse is why the merchant account cannot charge in a currency or country; "" if
// it can, or if the request does not say.
func (c Charges) refuse(currency, country string) ExcludedReason {
	switch {
	case currency != "" && !matchesAny(c.Currencies, currency):
		return ExcludedCurrency
	case country != "" && !matchesAny(c.Countries, country):
		return ExcludedCountry
	default:
		return ""
	}
}

// health is the worse of the provider's two classes: its payments fail with either.
// "" means that a breaker is open.
func (p *Provider) health() Health {
	out := HealthHealthy
	for _, c := range [...]*class{p.read, p.write} {
		switch state, _ := c.breaker.gate(); state {
		case breakerOpen:
			return ""
		case breakerHalfOpen:
			out = HealthRecovering
		}
	}
	return out
}

func candidateOf(p *Provider, t Token, kind normalize.Type, health Health) Chargeable {
	out := Chargeable{
		Provider: t.Provider, ProviderType: t.ProviderType, Role: t.Role, References: t.References, Charge: struct{}{},
		Health: health, Reason: string(t.Role),
	}
	if c, ok := p.adapter.(adapters.Charger); ok {
		out.Charge = c.Charge(t.References, kind)
	}
	if health == HealthRecovering {
		out.Reason += " recovering"
	}
	return out
}
