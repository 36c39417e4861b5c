package gateway

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Update applies a merge patch: what the provider keeps is changed there, the
// metadata here. It fails with VersionMismatch if the instrument is not the one
// that in.IfMatch names.
func (s *Service) Update(ctx context.Context, tenant, id string, in normalize.UpdateInput) (Read, error) {
	if err := s.checkUpdate(id, in); err != nil {
		return Read{}, err
	}
	ctx = context.WithoutCancel(ctx)
	cur, err := s.loadLive(ctx, "update", tenant, id)
	if err != nil {
		return Read{}, err
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

// checkUpdate finds what can be known to be wrong before anything is read.
func (s *Service) checkUpdate(id string, in normalize.UpdateInput) error {
	if err := checkID("update", id); err != nil {
		return err
	}
	if errs := in.Validate(s.now()); len(errs) > 0 {
		return normalize.Invalid(errs...)
	}
	if src := in.Source; src != nil && src.Raw() {
		return normalize.Invalid(normalize.FieldError{
			Pointer: "/source/type", Code: normalize.UnsupportedSource,
			Message: "a stored instrument's number cannot be replaced: store a new instrument, or send a one-time token",
		})
	}
	return nil
}

// matches fails with VersionMismatch unless the record shows what ifMatch names.
func (s *Service) matches(r Record, ifMatch string) error {
	if ifMatch == "" || etagMatches(ifMatch, ETag(r.instrument(s.clock.at(s.now())))) {
		return nil
	}
	return &normalize.Error{
		Code: normalize.VersionMismatch, Outcome: normalize.Rejected, Op: "update", Msg: "the instrument has changed since it was read",
	}
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
	if err := metadataFits(cur.View.withMetadata(in.Metadata, in.ClearMetadata)); err != nil {
		return cur, err
	}
	p := s.providers[cur.primary().Provider]
	atProvider, err := providerChange(*cur.View, in)
	if err != nil {
		return cur, err
	}
	if atProvider == nil && in.Default == nil {
		return s.change(ctx, "update", cur, func(r Record) (Record, error) {
			if !r.live() {
				return r.refuse("update")
			}
			v := r.View.withMetadata(in.Metadata, in.ClearMetadata)
			if err := errors.Join(s.matches(r, in.IfMatch), metadataFits(v)); err != nil {
				return r, err
			}
			return r.changed(r.primary(), v, s.clock.at(s.now()))
		})
	}
	ins, sent, err := adapters.Instrument{}, false, error(unconfigured("update", cur.primary().Provider))
	if p != nil {
		ins, sent, err = s.updateAtProvider(ctx, p, cur, atProvider, in)
	}
	if err != nil && !sent {
		if in.Source == nil && notReached(err) && len(cur.mirrors()) > 0 {
			return s.updateElsewhere(ctx, cur, cur.mirrors(), atProvider, in, err)
		}
		return cur, gone("update", err)
	}
	after, storeErr := s.change(ctx, "update", cur, func(r Record) (Record, error) {
		before, now := r.View, s.clock.at(s.now())
		what := changeOf(atProvider, in)
		what.Expiry = what.Expiry || in.Source != nil
		after, err := s.updated(r.catchingUp(p.name, what), p, ins, atProvider, in)
		if err != nil {
			return r, err
		}
		if after = after.behindAgain(p.name, r, what, now); len(after.Tokens) > 1 {
			after = after.mirrorsBehind(p.name, *before, atProvider, in, now)
		}
		return after, nil
	})
	if err != nil {
		return after, gone("update", err)
	}
	if storeErr == nil && after.View.Default && in.Default != nil {
		s.clearOtherDefaults(ctx, after.Record)
	}
	return after, afterEffect(storeErr)
}

// updated folds what the provider answered to a change into the record.
func (s *Service) updated(r Record, p *Provider, ins adapters.Instrument, change *adapters.UpdateInput, in normalize.UpdateInput) (Record, error) {
	if !r.live() {
		return r.refuse("update")
	}
	now := s.clock.at(s.now())
	token, view := r.refreshed(p, ins, now)
	if change != nil && ins.BillingAddress == nil {
		switch { // not every provider shows an address that it keeps
		case in.ClearBillingAddress:
			view.BillingAddress = nil
		case change.BillingAddress != nil:
			view.BillingAddress = change.BillingAddress
		}
	}
	if in.Source != nil {
		// The token may have brought another number: the old one is not this instrument's any more.
		view.Fingerprint, view.FingerprintOf = "", ""
		if ins.Identity != "" {
			view.Fingerprint, view.FingerprintOf = s.current().fingerprint(p.Type()+" "+ins.Identity), p.Type()
		}
		r = r.withoutNumber()
	}
	return r.changed(token, view.withMetadata(in.Metadata, in.ClearMetadata), now)
}

// notReached reports whether a request provably did not reach a provider which may be
// away: another one that has the instrument can take it.
func notReached(err error) bool {
	return unreachable(err) && normalize.OutcomeOf(err) == normalize.NotSent && normalize.CodeOf(err) != normalize.ProviderMisconfigured
}

// updateAt makes a change that was asked of one of an instrument's providers: there
// first, be it the primary or a mirror.
func (s *Service) updateAt(ctx context.Context, cur stored, p *Provider, in normalize.UpdateInput) (stored, error) {
	i := cur.tokenAt(p.name)
	change, err := providerChange(*cur.View, in)
	if i <= 0 || err != nil || cur.Tokens[i].Status != normalize.StatusActive || change == nil && in.Default == nil {
		return s.update(ctx, cur, in)
	}
	return s.updateElsewhere(ctx, cur, cur.Tokens[i:i+1], change, in, unconfigured("update", p.name))
}

// updateElsewhere makes a change at the first of some mirrors that can be reached, since
// the primary provider cannot, or was not asked. The instrument shows it from then on,
// and the reconciler brings it to the others.
func (s *Service) updateElsewhere(
	ctx context.Context, cur stored, mirrors []Token, change *adapters.UpdateInput, in normalize.UpdateInput, why error,
) (stored, error) {
	for _, t := range mirrors {
		p := s.providers[t.Provider]
		recs, err := s.load(ctx, "update", t.Record)
		if err != nil {
			return cur, err
		}
		if p == nil || recs[0] == nil || !recs[0].live() {
			continue
		}
		here := in
		here.IfMatch, here.Metadata, here.ClearMetadata = "", nil, false // the instrument's own
		ins, sent, err := s.updateAtProvider(ctx, p, *recs[0], change, here)
		if err != nil && !sent {
			if notReached(err) || normalize.CodeOf(err) == normalize.UnsupportedOperation {
				why = err
				continue
			}
			return cur, gone("update", err)
		}
		if err != nil {
			return cur, err // half of it: the client sends it again
		}
		after, storeErr := s.change(ctx, "update", cur, func(r Record) (Record, error) {
			if !r.live() {
				return r.refuse("update")
			}
			now, here, what := s.clock.at(s.now()), r.tokenAt(p.name), changeOf(change, in)
			if here < 0 {
				return r.refuse("change a mirror it does not have")
			}
			after, err := r.changed(r.primary(), r.View.patched(change, in), now)
			after = after.behind(p.name, what, now)
			after.Tokens[here].Behind = r.Tokens[here].Behind // of this change it lacks nothing
			return after.behindAgain(p.name, r, what, now).scheduled(), err
		})
		if storeErr != nil {
			return after, afterEffect(storeErr)
		}
		if _, err := s.change(ctx, "update", *recs[0], func(r Record) (Record, error) { return s.updated(r, p, ins, change, here) }); err != nil {
			s.log.Info("what a mirror shows could not be noted", zap.String("instrument", cur.ID), zap.Error(err))
		}
		if in.Default != nil {
			s.clearOtherDefaults(ctx, after.Record)
		}
		return after, nil
	}
	return cur, why
}

// mirrorsBehind marks what a change at the primary provider has left the mirrors
// behind by. A token may have brought another card, which no mirror can follow: those
// are taken away, so that nobody charges the old one.
func (r Record) mirrorsBehind(made string, before View, change *adapters.UpdateInput, in normalize.UpdateInput, now time.Time) Record {
	what := changeOf(change, in)
	if in.Source != nil {
		what.Expiry = true
		if a, b := before.Card, r.View.Card; a == nil || b == nil || a.Last4 != b.Last4 || a.BIN != b.BIN {
			what = Behind{Delete: ScopeProvider}
		}
	}
	return r.behind(made, what, now)
}

// maxMetadata is how many keys an instrument's metadata may have, however many patches wrote them.
const maxMetadata = 20

func metadataFits(v View) error {
	if len(v.Metadata) <= maxMetadata {
		return nil
	}
	return normalize.Invalid(normalize.FieldError{Pointer: "/metadata", Code: normalize.OutOfRange, Message: "would have more than 20 keys"})
}

// updateAtProvider makes one call for the data and one for the default flag,
// whichever are asked for, and neither unless the provider has both. If the second
// fails after the first, the error says Unknown, sent is set, and ins is what the
// first one answered.
func (s *Service) updateAtProvider(ctx context.Context, p *Provider, cur stored, change *adapters.UpdateInput, in normalize.UpdateInput) (ins adapters.Instrument, sent bool, err error) {
	refs := cur.primary().References
	var updater adapters.Updater
	var setter adapters.DefaultSetter
	if change != nil {
		if updater, err = as[adapters.Updater](p, "update"); err != nil {
			return ins, false, err
		}
	}
	if in.Default != nil {
		if setter, err = as[adapters.DefaultSetter](p, "set_default"); err != nil {
			return ins, false, err
		}
	}
	if change != nil {
		if in.IfMatch != "" {
			change.Version = cur.primary().Version
		}
		ins, err = call(ctx, p, p.write, "update", func(ctx context.Context) (adapters.Instrument, error) {
			ins, err := updater.Update(ctx, refs, *change)
			if err != nil {
				return ins, err
			}
			return withoutNumber(ins, change.Source)
		})
		if err != nil || setter == nil {
			return ins, err == nil, err
		}
	}
	last, err := call(ctx, p, p.write, "set_default", func(ctx context.Context) (adapters.Instrument, error) {
		return setter.SetDefault(ctx, refs)
	})
	if err == nil {
		return last, true, nil
	}
	if change == nil {
		return ins, false, err
	}
	half := *asError(err)
	half.Outcome = normalize.Unknown
	return ins, true, &half
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

func internalError(op string, err error) *normalize.Error {
	return &normalize.Error{Code: normalize.InternalError, Outcome: normalize.NotSent, Op: op, Msg: "the gateway failed: nothing was sent", Err: err}
}

// asError makes every error a [*normalize.Error]; a foreign one proves nothing.
func asError(err error) *normalize.Error {
	if e, ok := errors.AsType[*normalize.Error](err); ok {
		return e
	}
	return &normalize.Error{Code: normalize.InternalError, Outcome: normalize.Unknown, Msg: "the gateway failed", Err: err}
}
