package gateway

import (
	"context"
	"errors"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Update applies a merge patch: what the provider keeps is changed there, the
// metadata here. It fails with VersionMismatch if the instrument is not the one
// that in.IfMatch names.
func (s *Service) Update(ctx context.Context, tenant, id string, in normalize.UpdateInput) (Read, error) {
	if !ValidInstrumentID(id) {
		return Read{}, notFound("update")
	}
	if errs := in.Validate(s.now()); len(errs) > 0 {
		return Read{}, normalize.Invalid(errs...)
	}
	if src := in.Source; src != nil && src.Raw() {
		return Read{}, normalize.Invalid(normalize.FieldError{
			Pointer: "/source/type", Code: normalize.UnsupportedSource,
			Message: "a stored instrument's number cannot be replaced: store a new instrument, or send a one-time token",
		})
	}
	ctx = context.WithoutCancel(ctx)
	cur, err := s.loadLive(ctx, "update", tenant, id)
	if err != nil {
		return Read{}, err
	}
	if in.IfMatch != "" && !etagMatches(in.IfMatch, ETag(s.read(cur).Instrument)) {
		return Read{}, &normalize.Error{
			Code: normalize.VersionMismatch, Outcome: normalize.Rejected, Op: "update", Msg: "the instrument has changed since it was read",
		}
	}
	after, err := s.update(ctx, cur, in)
	if err != nil {
		return Read{}, err
	}
	return s.read(after), nil
}

// etagMatches is the strong comparison of RFC 9110 over a list, or "*".
func etagMatches(list, etag string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == etag {
			return true
		}
	}
	return false
}

// update changes the instrument at its provider and in the record.
func (s *Service) update(ctx context.Context, cur stored, in normalize.UpdateInput) (stored, error) {
	p := s.providers[cur.primary().Provider]
	atProvider, err := providerChange(*cur.View, in)
	if err != nil {
		return cur, err
	}
	if atProvider == nil && in.Default == nil {
		return s.change(ctx, "update", cur, func(r Record) (Record, error) {
			return r.changed(r.primary(), r.View.withMetadata(in.Metadata, in.ClearMetadata), s.clock.at(s.now()))
		})
	}
	if p == nil {
		return cur, unconfigured("update", cur.primary().Provider)
	}
	ins, err := s.updateAtProvider(ctx, p, cur, atProvider, in)
	if err != nil {
		return cur, gone("update", err)
	}
	after, err := s.change(ctx, "update", cur, func(r Record) (Record, error) {
		token, view := r.refreshed(p, ins, s.clock.at(s.now()))
		if in.ClearBillingAddress {
			view.BillingAddress = ins.BillingAddress
		}
		return r.changed(token, view.withMetadata(in.Metadata, in.ClearMetadata), s.clock.at(s.now()))
	})
	if err == nil && after.View.Default && in.Default != nil {
		s.clearOtherDefaults(ctx, after.Record)
	}
	return after, err
}

// updateAtProvider makes one call for the data and one for the default flag,
// whichever are asked for.
func (s *Service) updateAtProvider(ctx context.Context, p *Provider, cur stored, change *adapters.UpdateInput, in normalize.UpdateInput) (ins adapters.Instrument, err error) {
	refs := cur.primary().References
	if change != nil {
		updater, err := as[adapters.Updater](p, "update")
		if err != nil {
			return ins, err
		}
		if in.IfMatch != "" {
			change.Version = cur.primary().Version
		}
		ins, err = call(ctx, p, p.write, func(ctx context.Context) (adapters.Instrument, error) {
			return updater.Update(ctx, refs, *change)
		})
		if err != nil {
			return ins, err
		}
	}
	if in.Default != nil {
		setter, err := as[adapters.DefaultSetter](p, "set_default")
		if err != nil {
			return ins, err
		}
		return call(ctx, p, p.write, func(ctx context.Context) (adapters.Instrument, error) {
			return setter.SetDefault(ctx, refs)
		})
	}
	return ins, nil
}

// providerChange is the part of a patch that the provider keeps; nil if there is none.
func providerChange(v View, in normalize.UpdateInput) (*adapters.UpdateInput, error) {
	out := adapters.UpdateInput{Source: in.Source, ClearBillingAddress: in.ClearBillingAddress}
	if in.BillingAddress != nil {
		var before normalize.Address
		if v.BillingAddress != nil {
			before = *v.BillingAddress
		}
		after := in.BillingAddress.Apply(before)
		out.BillingAddress = &after
	}
	if in.ExpMonth != nil || in.ExpYear != nil {
		if v.Card == nil {
			return nil, normalize.Invalid(normalize.FieldError{Pointer: "/card", Code: normalize.InvalidField, Message: "the instrument is not a card"})
		}
		month, year := v.Card.ExpMonth, v.Card.ExpYear
		if in.ExpMonth != nil {
			month = *in.ExpMonth
		}
		if in.ExpYear != nil {
			year = *in.ExpYear
		}
		out.ExpMonth, out.ExpYear = &month, &year
	}
	if out.Source == nil && !out.ClearBillingAddress && out.BillingAddress == nil && out.ExpMonth == nil {
		return nil, nil
	}
	return &out, nil
}

func unconfigured(op, provider string) *normalize.Error {
	return &normalize.Error{
		Code: normalize.ProviderUnavailable, Outcome: normalize.NotSent, Op: op, Provider: provider,
		Msg: "the instrument's provider is not in the configuration",
	}
}

// asError makes every error a [*normalize.Error]; a foreign one proves nothing.
func asError(err error) *normalize.Error {
	if e, ok := errors.AsType[*normalize.Error](err); ok {
		return e
	}
	return &normalize.Error{Code: normalize.InternalError, Outcome: normalize.Unknown, Msg: "the gateway failed", Err: err}
}
