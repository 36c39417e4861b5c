package gateway

import (
	"context"
	"maps"
	"slices"

	"github.com/polyvault/polyvault/normalize"
)

// updateAgain makes a change that an earlier attempt may have made in whole or in
// part. It looks at the live instrument and makes what is missing. What the earlier
// attempt did has moved the entity tag, and must not be refused for that.
func (s *Service) updateAgain(ctx context.Context, tenant, id string, in normalize.UpdateInput) (Read, error) {
	if in.Source != nil {
		read, err := s.Update(ctx, tenant, id, in)
		return read, tokenInDoubt(err)
	}
	cur, err := s.loadLive(ctx, "update", tenant, id)
	if err != nil {
		return Read{}, err
	}
	if in.IfMatch != "" && !in.Empty() {
		live, there, err := s.lookForUpdate(ctx, cur, in)
		if err != nil {
			return Read{}, err
		}
		if there {
			cur, in = live, missing(*live.View, in)
		}
	}
	if err := s.matches(cur.Record, in.IfMatch); err != nil {
		return Read{}, err
	}
	after, err := s.update(ctx, cur, in)
	if err != nil {
		return Read{}, err
	}
	return s.read(after), nil
}

// lookForUpdate reports whether the part of a patch that is made first is there. If
// so, the record is brought up to date with its provider.
func (s *Service) lookForUpdate(ctx context.Context, cur stored, in normalize.UpdateInput) (live stored, there bool, err error) {
	atProvider, err := providerChange(*cur.View, in)
	if err != nil || atProvider == nil && in.Default == nil {
		return cur, firstPartShown(*cur.View, in), err
	}
	p := s.providers[cur.primary().Provider]
	if p == nil {
		return cur, false, unconfigured("update", cur.primary().Provider)
	}
	ins, err := getAt(ctx, p, cur.primary())
	if err != nil {
		return cur, false, gone("update", err)
	}
	if _, view := cur.refreshed(p, ins, s.clock.at(s.now())); !firstPartShown(view, in) {
		return cur, false, nil
	}
	return s.seen(ctx, cur, p, ins), true, nil
}

// missing is what is left of a patch whose first part the view shows. The entity
// tag needs no check any more: the attempt that made the first part has checked it.
func missing(v View, in normalize.UpdateInput) normalize.UpdateInput {
	in.IfMatch = ""
	if dataShown(v, in) {
		in.BillingAddress, in.ClearBillingAddress, in.ExpMonth, in.ExpYear = nil, false, nil, nil
	}
	if v.Default {
		in.Default = nil
	}
	if metadataShown(v, in) {
		in.Metadata, in.ClearMetadata = nil, false
	}
	return in
}

// firstPartShown reports whether the view shows the part of a patch that is made
// first: the data, else the default flag, else the metadata.
func firstPartShown(v View, in normalize.UpdateInput) bool {
	switch {
	case in.BillingAddress != nil || in.ClearBillingAddress || in.ExpMonth != nil || in.ExpYear != nil:
		return dataShown(v, in)
	case in.Default != nil:
		return v.Default
	default:
		return metadataShown(v, in)
	}
}

func dataShown(v View, in normalize.UpdateInput) bool {
	var address normalize.Address
	if v.BillingAddress != nil {
		address = *v.BillingAddress
	}
	if in.ClearBillingAddress && address != (normalize.Address{}) || in.BillingAddress.Apply(address) != address {
		return false
	}
	month, year := in.ExpMonth, in.ExpYear
	if month == nil && year == nil {
		return true
	}
	return v.Card != nil && (month == nil || v.Card.ExpMonth == *month) && (year == nil || v.Card.ExpYear == *year)
}

func metadataShown(v View, in normalize.UpdateInput) bool {
	return maps.Equal(v.Metadata, v.withMetadata(in.Metadata, in.ClearMetadata).Metadata)
}

// tokenInDoubt words a refusal of a one-time token that an earlier attempt of the
// same request may have used: no provider shows which token an instrument was changed with.
func tokenInDoubt(err error) error {
	about := []normalize.Code{normalize.TokenAlreadyUsed, normalize.TokenExpired, normalize.VersionMismatch}
	if err == nil || !slices.Contains(about, normalize.CodeOf(err)) {
		return err
	}
	out := *asError(err)
	out.Code, out.Outcome = normalize.OutcomeUnknown, normalize.Unknown
	out.Msg = "an earlier attempt of this request may have used the token: read the instrument, and bring a new token if it is not changed"
	return &out
}
