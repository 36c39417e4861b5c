package cybersource

import (
	"context"
	"net/http"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// Update implements [adapters.Updater] with a merge patch, which is conditional
// if in.Version is set.
func (a *Adapter) Update(ctx context.Context, ref normalize.References, in adapters.UpdateInput) (adapters.Instrument, error) {
	const op = "update"
	patch, err := updatePatch(op, in)
	if err != nil {
		return adapters.Instrument{}, err
	}
	if len(patch) == 0 {
		return a.unchanged(ctx, ref, in.Version)
	}
	return a.patch(ctx, op, ref, in.Version, patch)
}

func updatePatch(op string, in adapters.UpdateInput) (map[string]any, error) {
	patch := map[string]any{}
	switch {
	case in.Source != nil:
		// A card's number hangs on the instrument identifier: new data is a new instrument.
		e := unsupported(op, "the provider cannot replace an instrument's card with a token")
		e.Fields = []normalize.FieldError{{Pointer: "/source", Code: normalize.UnsupportedOperation, Message: "is not supported by the provider"}}
		return nil, e
	case (in.ExpMonth == nil) != (in.ExpYear == nil):
		return nil, invalid(op, "/card", normalize.MissingField, "needs both exp_month and exp_year")
	case in.ExpMonth != nil && (*in.ExpMonth < 1 || *in.ExpMonth > 12):
		return nil, invalid(op, "/card/exp_month", normalize.OutOfRange, "must be 1 to 12")
	case in.ExpYear != nil && (*in.ExpYear < 1000 || *in.ExpYear > 9999):
		return nil, invalid(op, "/card/exp_year", normalize.OutOfRange, "must have four digits")
	}
	switch {
	case in.ClearBillingAddress:
		patch["billTo"] = nil
	case in.BillingAddress != nil:
		patch["billTo"] = billToPatch(*in.BillingAddress)
	}
	if in.ExpMonth != nil {
		patch["card"] = toCardRequest(*in.ExpMonth, *in.ExpYear, "")
	}
	return patch, nil
}

// unchanged answers a change of nothing. Whether the provider takes an empty
// patch is not documented, so none is sent.
func (a *Adapter) unchanged(ctx context.Context, ref normalize.References, version string) (adapters.Instrument, error) {
	ins, err := a.Get(ctx, ref)
	if err == nil && version != "" && ins.Version != version {
		return adapters.Instrument{}, &normalize.Error{
			Code: normalize.VersionMismatch, Outcome: normalize.Rejected, Op: "update", Msg: "the instrument was changed in the meantime",
		}
	}
	return ins, err
}

// SetDefault implements [adapters.DefaultSetter]. The provider takes the mark from
// the one that had it in the same act.
func (a *Adapter) SetDefault(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	return a.patch(ctx, "set_default", ref, "", map[string]any{"default": true})
}

func (a *Adapter) patch(ctx context.Context, op string, ref normalize.References, version string, body any) (adapters.Instrument, error) {
	path, err := a.instrumentPath(op, ref)
	if err != nil {
		return adapters.Instrument{}, err
	}
	req := rest.Request{Op: op, Method: http.MethodPatch, Path: path, Body: body}
	if version != "" {
		if !versionPattern.MatchString(version) {
			return adapters.Instrument{}, invalid(op, "/version", normalize.InvalidField, "is not an entity tag of the provider")
		}
		// How the provider quotes its tags is not specified: as received, byte for byte.
		req.Header = http.Header{"If-Match": {version}}
	}
	r, err := a.call(ctx, req)
	if err != nil {
		return adapters.Instrument{}, err
	}
	return a.instrument(op, r, ref)
}
