package gateway

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// ProviderTokens returns where an instrument lives, the primary first, with what has
// not reached a provider yet. From the store only.
func (s *Service) ProviderTokens(ctx context.Context, tenant, id string) ([]normalize.ProviderToken, error) {
	if !ValidInstrumentID(id) {
		return nil, notFound("provider_tokens")
	}
	cur, err := s.loadLive(ctx, "provider_tokens", tenant, id)
	if err != nil {
		return nil, err
	}
	out := make([]normalize.ProviderToken, len(cur.Tokens))
	for i, t := range cur.Tokens {
		out[i] = t.shown()
		if b := t.Behind; b != nil {
			out[i].Behind = &normalize.Behind{Since: b.Since, Changes: b.Changes(), Tries: b.Tries, Code: b.Code, NextAt: b.NextAt}
		}
	}
	return out, nil
}

// shown is the token as callers see it.
func (t Token) shown() normalize.ProviderToken {
	return normalize.ProviderToken{
		Provider: t.Provider, ProviderType: t.ProviderType, Role: t.Role, Status: t.Status,
		References: t.References, ProviderStatus: t.ProviderStatus, SyncedAt: t.SyncedAt, Code: t.Code,
	}
}

// AddProviderToken is a [Change] that stores a mirror of an instrument at a further
// provider. One that is there already is a success.
type AddProviderToken struct {
	ID    string
	Input normalize.MirrorInput
}

func (c AddProviderToken) route() string { return "POST /v1/instruments/" + c.ID + "/provider-tokens" }

func (c AddProviderToken) members(put func(string, any)) {
	if c.Input.Provider != "" {
		put("/provider", c.Input.Provider)
	}
	for i, src := range c.Input.Sources {
		put("/sources/"+strconv.Itoa(i), revealed(src))
	}
}

func (c AddProviderToken) check(s *Service) error {
	return s.checkMirror(c.ID, c.Input)
}

func (c AddProviderToken) apply(ctx context.Context, s *Service, tenant string, again bool) (Changed, error) {
	if err := s.checkMirror(c.ID, c.Input); err != nil {
		return Changed{}, err
	}
	return s.addMirror(context.WithoutCancel(ctx), tenant, c.ID, c.Input, again)
}

func (s *Service) checkMirror(id string, in normalize.MirrorInput) error {
	if err := checkID("add_provider_token", id); err != nil {
		return err
	}
	errs := in.Validate(s.now())
	if in.Provider != "" && s.providers[in.Provider] == nil && len(errs) == 0 {
		errs = append(errs, normalize.FieldError{Pointer: "/provider", Code: normalize.InvalidField, Message: "is not a configured provider"})
	}
	if len(errs) > 0 {
		return normalize.Invalid(errs...)
	}
	return nil
}

// addMirror stores a mirror with the first source that a provider accepts. again says
// that the same request may have stored one already.
func (s *Service) addMirror(ctx context.Context, tenant, id string, in normalize.MirrorInput, again bool) (Changed, error) {
	create := normalize.CreateInput{Sources: in.Sources}
	cur, err := s.loadLive(ctx, "add_provider_token", tenant, id)
	if err != nil {
		return Changed{}, err
	}
	create.CustomerID, create.Provider = cur.CustomerID, in.Provider
	if errs := s.checkCreate(s.tenant(tenant), create); len(errs) > 0 {
		return Changed{}, normalize.Invalid(errs...)
	}
	if cur.status(s.clock.at(s.now())) == normalize.StatusDeactivated {
		return Changed{}, &normalize.Error{
			Code: normalize.InvalidState, Outcome: normalize.NotSent, Op: "add_provider_token", Msg: "the instrument is deactivated: activate it first",
		}
	}
	if again && create.Provider == "" {
		create.Provider = s.mirrorBefore(cur.Record, create)
	}
	cand, err := s.mirrorCandidate(cur.Record, create)
	if err != nil {
		return Changed{}, err
	}
	p := s.providers[cand.Provider]
	if i := cur.tokenAt(p.name); i >= 0 && cur.Tokens[i].Status != normalize.StatusFailed {
		if t := cur.Tokens[i]; t.pending() || t.leaving() {
			return Changed{}, s.beingMirrored(t)
		}
		shown := cur.Tokens[i].shown()
		return Changed{Token: &shown, Provider: p.name}, nil
	} else if i >= 0 {
		if err := s.endFailed(ctx, cur.Tokens[i]); err != nil {
			return Changed{}, err
		}
	}
	now := s.clock.at(s.now())
	begun, err := s.change(ctx, "add_provider_token", cur, func(r Record) (Record, error) {
		if i := r.tokenAt(p.name); i >= 0 && r.Tokens[i].Status != normalize.StatusFailed {
			return r, s.beingMirrored(r.Tokens[i])
		}
		return r.withMirror(s.current(), Token{Provider: p.name, ProviderType: p.Type()}, now, now.Add(s.lease))
	})
	if err != nil {
		return Changed{}, err
	}
	t := begun.Tokens[begun.tokenAt(p.name)]
	res := s.makeMirror(ctx, begun, t, in.Sources[cand.Source])
	done, err := s.mirrored(ctx, begun, map[string]mirrorResult{t.Record: res})
	switch {
	case err != nil:
		return Changed{}, afterEffect(err)
	case res.token.pending():
		return Changed{}, &Failure{OperationID: t.Record, Err: &normalize.Error{
			Code: normalize.OutcomeUnknown, Outcome: normalize.Unknown, Op: "add_provider_token", Provider: p.name,
			Msg: "it is not known yet whether the mirror was stored: its operation tells",
		}}
	case res.err != nil:
		return Changed{}, &Failure{OperationID: t.Record, Err: res.err}
	}
	shown := done.Tokens[done.tokenAt(p.name)].shown()
	return Changed{Token: &shown, Provider: p.name, Created: true}, nil
}

// beingMirrored refuses a second mirror at a provider while one is being stored.
func (s *Service) beingMirrored(t Token) error {
	return &Failure{OperationID: t.Record, Err: &normalize.Error{
		Code: normalize.Conflict, Outcome: normalize.NotSent, Op: "add_provider_token", Provider: t.Provider, RetryAfter: firstBackoff,
		Msg: "a mirror is being stored at the provider, or removed from it",
	}}
}

// leaving reports whether the token is to go as soon as its provider can be reached.
func (t Token) leaving() bool { return t.Behind != nil && t.Behind.Delete != "" }

// mirrorBefore is where a request that named no provider may have stored its mirror
// before: where one is being stored, else the last one that takes its source; "" if
// there is none. To take the next provider then would make two of one request.
func (s *Service) mirrorBefore(r Record, in normalize.CreateInput) string {
	facts, found := s.decideInput(routeRequest(r.Tenant, in)), ""
	for i, t := range r.Tokens {
		if i == 0 || t.Status == normalize.StatusFailed || t.leaving() || s.providers[t.Provider] == nil || facts.candidate(t.Provider).Source < 0 {
			continue
		}
		if found = t.Provider; t.pending() {
			return found
		}
	}
	return found
}

// endFailed ends the record of a mirror that its provider has lost, so that it keeps
// the card from nobody. If the provider has it again it is removed there.
func (s *Service) endFailed(ctx context.Context, t Token) error {
	recs, err := s.load(ctx, "add_provider_token", t.Record)
	if err != nil || recs[0] == nil || !recs[0].live() {
		return err
	}
	_, err = s.dropMirror(ctx, *recs[0], ScopeProvider)
	return err
}

// mirrorCandidate is the provider that gets a mirror: the one that is named, else the
// first that takes a source and has none of the instrument yet.
func (s *Service) mirrorCandidate(r Record, in normalize.CreateInput) (Candidate, error) {
	facts := s.decideInput(routeRequest(r.Tenant, in))
	names := s.order
	if facts.Request.Provider != "" {
		names = []string{facts.Request.Provider}
	}
	refused := Candidate{Source: -1, Reason: ReasonUnsupportedSource}
	for _, name := range names {
		i := r.tokenAt(name)
		if i >= 0 && r.Tokens[i].Status != normalize.StatusFailed && len(names) > 1 {
			continue
		}
		cand := facts.candidate(name)
		if cand.Reason == "" {
			return cand, nil
		}
		if cand.Source >= 0 {
			refused = cand
		}
	}
	if refused.Reason == ReasonUnsupportedSource {
		return refused, &normalize.Error{
			Code: normalize.UnsupportedSource, Outcome: normalize.NotSent, Op: "add_provider_token",
			Msg: "no provider that has not got the instrument yet accepts any of the sources",
		}
	}
	return refused, &normalize.Error{
		Code: normalize.ProviderUnavailable, Outcome: normalize.NotSent, Op: "add_provider_token", Provider: refused.Provider,
		Msg: "the provider is " + string(refused.Reason) + ": nothing is stored there",
	}
}

// RemoveProviderToken is a [Change] that removes an instrument from one of its
// providers. If that is the primary, the first mirror takes its place. A provider that
// has none of the instrument is a success.
type RemoveProviderToken struct{ ID, Provider string }

func (c RemoveProviderToken) route() string {
	return "DELETE /v1/instruments/" + c.ID + "/provider-tokens/" + c.Provider
}
func (c RemoveProviderToken) members(func(string, any)) {}
func (c RemoveProviderToken) check(*Service) error      { return checkID("remove_provider_token", c.ID) }

func (c RemoveProviderToken) apply(ctx context.Context, s *Service, tenant string, _ bool) (Changed, error) {
	if err := c.check(s); err != nil {
		return Changed{}, err
	}
	return s.removeToken(context.WithoutCancel(ctx), tenant, c.ID, c.Provider)
}

// removeToken marks a token for removal and removes it at its provider. While that
// one cannot be reached the token is shown as what is still to go.
func (s *Service) removeToken(ctx context.Context, tenant, id, provider string) (Changed, error) {
	const op = "remove_provider_token"
	cur, err := s.loadLive(ctx, op, tenant, id)
	if err != nil {
		return Changed{}, err
	}
	if i := cur.tokenAt(provider); i < 0 || cur.Tokens[i].pending() {
		if i < 0 {
			return Changed{}, nil
		}
		return Changed{}, s.beingMirrored(cur.Tokens[i])
	}
	leaving, err := s.change(ctx, op, cur, func(r Record) (Record, error) { return r.leaving(provider, s.clock.at(s.now())) })
	if err != nil {
		return Changed{}, err
	}
	if leaving.primary().Record != "" { // a mirror has become the primary
		if leaving, err = s.absorb(ctx, leaving); err != nil {
			return Changed{}, afterEffect(err)
		}
	}
	if i := leaving.tokenAt(provider); i >= 0 {
		if leaving, err = s.stepWith(ctx, leaving, leaving.Tokens[i]); err != nil {
			return Changed{}, err
		}
	}
	i := leaving.tokenAt(provider)
	if i < 0 {
		return Changed{}, nil
	}
	shown := leaving.Tokens[i].shown()
	return Changed{Token: &shown, Provider: provider}, nil
}

// leaving marks a provider's token for removal. If it is the primary, the first
// mirror that is in step takes its place: COMPLETED -> COMPLETED.
func (r Record) leaving(provider string, now time.Time) (Record, error) {
	i := r.tokenAt(provider)
	if !r.live() || i < 0 {
		return r.refuse("leave a provider")
	}
	r = r.withAnswerKept()
	r.Tokens = slices.Clone(r.Tokens)
	if i == 0 {
		heir := slices.IndexFunc(r.Tokens, func(t Token) bool {
			return t.Role == normalize.RoleMirror && t.Status == normalize.StatusActive && t.Behind == nil
		})
		if heir < 0 {
			return r, &normalize.Error{
				Code: normalize.InvalidState, Outcome: normalize.NotSent, Op: "remove_provider_token", Provider: provider,
				Msg: "no mirror can take the primary's place: add one first, wait until it is in step, or delete the instrument",
			}
		}
		r.Tokens[0], r.Tokens[heir] = r.Tokens[heir], r.Tokens[0]
		r.Tokens[0].Role, r.Tokens[heir].Role, i = normalize.RolePrimary, normalize.RoleMirror, heir
		r.Claims = slices.DeleteFunc(slices.Clone(r.Claims), isNumberClaim)
	}
	if t := &r.Tokens[i]; t.Status == normalize.StatusFailed {
		r.Tokens = slices.Delete(r.Tokens, i, i+1)
	} else {
		t.Status, t.Behind = normalize.StatusDeactivated, t.Behind.plus(Behind{Delete: ScopeProvider}, now)
	}
	return r.scheduled().touched(now), nil
}

// absorb makes the record of a mirror that has become the primary part of the
// instrument's own: its names are the instrument's from now on.
func (s *Service) absorb(ctx context.Context, cur stored) (stored, error) {
	id := cur.primary().Record
	recs, err := s.load(ctx, "promote", id)
	if err != nil {
		return cur, err
	}
	claims := []string{}
	if child := recs[0]; child != nil && child.live() {
		claims = child.Claims
		ended, err := child.alias(cur.Record, s.clock.at(s.now()))
		if err != nil {
			return cur, internalError("promote", err)
		}
		if _, _, err := s.put(ctx, "promote", *child, ended); err != nil {
			return cur, internalError("promote", err)
		}
	} else if p := s.providers[cur.primary().Provider]; p != nil {
		claims = s.referenceClaims(p, cur.primary().References)
	}
	return s.change(ctx, "promote", cur, func(r Record) (Record, error) {
		if !r.live() || r.primary().Record != id {
			return r, nil
		}
		r.Tokens = slices.Clone(r.Tokens)
		r.Tokens[0].Record = ""
		r.Claims = union(r.Claims, claims)
		return r.scheduled(), nil
	})
}
