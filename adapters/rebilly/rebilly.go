package rebilly

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// Adapter speaks to one Rebilly organization. Make it with [Config.Open].
type Adapter struct {
	client rest.Client
	now    func() time.Time

	webhookCredentials []WebhookCredential
	webhookHeaders     []rest.WebhookHeader
}

var (
	_ adapters.Adapter          = (*Adapter)(nil)
	_ adapters.Creator          = (*Adapter)(nil)
	_ adapters.CustomerCreator  = (*Adapter)(nil)
	_ adapters.Lister           = (*Adapter)(nil)
	_ adapters.Updater          = (*Adapter)(nil)
	_ adapters.DefaultSetter    = (*Adapter)(nil)
	_ adapters.Deactivator      = (*Adapter)(nil)
	_ adapters.Deleter          = (*Adapter)(nil)
	_ adapters.ReferenceChecker = (*Adapter)(nil)
	_ adapters.Charger          = (*Adapter)(nil)
)

const (
	instrumentsPath = "/payment-instruments"
	customersPath   = "/customers"
	// expandCustomer asks for the customer beside the instrument, which alone
	// knows the default: "usable on GET, POST, PUT and PATCH" [DOC], though the
	// definition lists it for collections only [S26].
	expandCustomer = "expand=customer"
)

// Type implements [adapters.Adapter].
func (a *Adapter) Type() string { return "rebilly" }

// Get implements [adapters.Adapter]. A deactivated instrument is still there,
// with StatusDeactivated. It is one call; where Rebilly does not expand the
// customer, a second one finds out about Default, and its failure is Get's.
func (a *Adapter) Get(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	const op = "get"
	id, err := instrumentID(op, ref)
	if err != nil {
		return adapters.Instrument{}, err
	}
	w, err := a.read(ctx, op, id)
	if err != nil {
		return adapters.Instrument{}, err
	}
	return a.withDefault(ctx, op, w)
}

// Update implements [adapters.Updater]. Rebilly's revision cannot be made a
// condition of the change, so in.Version is compared by a read just before it:
// a change between the two calls goes unnoticed.
func (a *Adapter) Update(ctx context.Context, ref normalize.References, in adapters.UpdateInput) (adapters.Instrument, error) {
	const op = "update"
	id, err := instrumentID(op, ref)
	if err != nil {
		return adapters.Instrument{}, err
	}
	body, problem := patchBody(in)
	if problem != nil {
		problem.Op = op
		return adapters.Instrument{}, problem
	}
	if in.Version != "" {
		current, err := a.read(ctx, op, id)
		if err != nil {
			return adapters.Instrument{}, beforeMutation(err)
		}
		if current.instrument().Version != in.Version {
			return adapters.Instrument{}, &normalize.Error{
				Code: normalize.VersionMismatch, Outcome: normalize.Rejected, Op: op, Msg: "the instrument was changed in the meantime",
			}
		}
	}
	if len(body) == 0 {
		return a.Get(ctx, ref)
	}
	w, err := a.patch(ctx, op, id, body)
	if err != nil {
		if e, ok := errors.AsType[*normalize.Error](err); ok {
			sourceToCard(e.Fields)
		}
		return adapters.Instrument{}, err
	}
	return a.knownDefault(ctx, op, w), nil
}

func (a *Adapter) patch(ctx context.Context, op, id string, body map[string]any) (wireInstrument, error) {
	resp, err := a.send(ctx, rest.Request{
		Op: op, Method: http.MethodPatch, Path: instrumentPath(id), Query: expandCustomer, Body: body,
	})
	if err != nil {
		return wireInstrument{}, err
	}
	return decodeInstrument(op, resp)
}

// Deactivate implements [adapters.Deactivator]. It cannot be undone at Rebilly.
// The documented answer is 201; 200 and 204 were seen (RebillyAPI 778, 779). If
// the answer has no body and reading the instrument fails, it is deactivated all
// the same and what is known of it is returned. An answer that shows it in
// another state is no success.
func (a *Adapter) Deactivate(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	const op = "deactivate"
	id, err := instrumentID(op, ref)
	if err != nil {
		return adapters.Instrument{}, err
	}
	return a.deactivate(ctx, op, id)
}

func (a *Adapter) deactivate(ctx context.Context, op, id string) (adapters.Instrument, error) {
	resp, err := a.send(ctx, rest.Request{
		Op: op, Method: http.MethodPost, Path: instrumentPath(id) + "/deactivation", Query: expandCustomer,
	})
	switch {
	case normalize.CodeOf(err) == normalize.Conflict:
		return a.afterConflict(ctx, op, id, err)
	case err != nil:
		return adapters.Instrument{}, err
	}
	var w wireInstrument
	if len(resp.Body) > 0 {
		if w, err = decodeInstrument(op, resp); err != nil {
			return adapters.Instrument{}, err
		}
	} else if w, err = a.read(ctx, op, id); err != nil {
		ins := adapters.Instrument{References: normalize.References{refInstrument: id}, Type: normalize.TypeOther, Status: normalize.StatusDeactivated}
		return ins, nil //nolint:nilerr // it is deactivated; only reading it back failed
	}
	if ins := w.instrument(); ins.Status == normalize.StatusDeactivated {
		return ins, nil
	}
	return adapters.Instrument{}, rest.BadResponse(op, resp, "the provider does not show the instrument as deactivated", nil)
}

// afterConflict finds out what a 409 was about: Rebilly declares it for a
// deactivation without saying when. An instrument that is deactivated already is
// a success; the customer's default may be protected.
func (a *Adapter) afterConflict(ctx context.Context, op, id string, conflict error) (adapters.Instrument, error) {
	w, err := a.read(ctx, op, id)
	if err != nil {
		return adapters.Instrument{}, err
	}
	ins := w.instrument()
	switch {
	case ins.Status == normalize.StatusDeactivated:
		return ins, nil
	case a.knownDefault(ctx, op, w).Default:
		return ins, &normalize.Error{
			Code: normalize.DefaultInstrumentInUse, Outcome: normalize.Rejected, Op: op, HTTPStatus: http.StatusConflict,
			Msg: "the instrument is the customer's default: make another one the default first", Err: conflict,
		}
	}
	return ins, conflict
}

// Delete implements [adapters.Deleter]. Rebilly cannot remove an instrument:
// it is deactivated for good, and its record stays readable there.
func (a *Adapter) Delete(ctx context.Context, ref normalize.References) error {
	const op = "delete"
	id, err := instrumentID(op, ref)
	if err != nil {
		return err
	}
	_, err = a.deactivate(ctx, op, id)
	if code := normalize.CodeOf(err); code == normalize.NotFound || code == normalize.InstrumentDeleted {
		return nil
	}
	return err
}

// CheckReferences implements [adapters.ReferenceChecker].
func (a *Adapter) CheckReferences(ref normalize.References) []normalize.FieldError {
	var errs []normalize.FieldError
	for _, name := range []string{refInstrument, refCustomer} {
		switch value, ok := ref[name]; {
		case !ok && name == refInstrument:
			errs = append(errs, normalize.FieldError{Pointer: "/" + name, Code: normalize.MissingField, Message: "is required"})
		case ok && !validID(value):
			errs = append(errs, badID("/"+name))
		}
	}
	return errs
}

// read gets an instrument with its customer.
func (a *Adapter) read(ctx context.Context, op, id string) (wireInstrument, error) {
	resp, err := a.send(ctx, rest.Request{Op: op, Method: http.MethodGet, Path: instrumentPath(id), Query: expandCustomer})
	if err != nil {
		return wireInstrument{}, err
	}
	w, err := decodeInstrument(op, resp)
	if err == nil && string(w.ID) != id {
		// What came instead may be somebody else's.
		return wireInstrument{}, rest.BadResponse(op, resp, "the provider's answer is not about the instrument that was asked for", nil)
	}
	return w, err
}

// send makes the call and turns an answer that is neither 2xx nor one of also
// into its error. The answer is returned beside it.
func (a *Adapter) send(ctx context.Context, r rest.Request, also ...int) (rest.Response, error) {
	resp, err := a.client.Do(ctx, r)
	if err != nil {
		return resp, err
	}
	if resp.OK() || slices.Contains(also, resp.Status) {
		return resp, nil
	}
	return resp, rest.StatusError(r.Op, resp, refusal(resp, a.now()))
}

func decodeInstrument(op string, resp rest.Response) (wireInstrument, error) {
	var w wireInstrument
	if err := rest.Decode(op, resp, &w); err != nil {
		return wireInstrument{}, err
	}
	if !validID(string(w.ID)) {
		return wireInstrument{}, rest.BadResponse(op, resp, "the provider's answer has no instrument id", nil)
	}
	return w, nil
}

// beforeMutation corrects the outcome of a read that precedes a change: whatever
// became of it, nothing was changed.
func beforeMutation(err error) error {
	if e, ok := errors.AsType[*normalize.Error](err); ok && e.Outcome == normalize.Unknown {
		e.Outcome = normalize.NotSent
	}
	return err
}

// idBytes are those of Rebilly's own pattern for path parameters [S26], which lets
// "." and ".." pass: they would climb in a path.
const idBytes = "@~.-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func validID(id string) bool {
	return id != "" && len(id) <= 50 && strings.Trim(id, idBytes) == "" && id != "." && id != ".."
}

func badID(pointer string) normalize.FieldError {
	return normalize.FieldError{Pointer: pointer, Code: normalize.InvalidField, Message: "must be 1 to 50 of A-Z a-z 0-9 _ . @ ~ -"}
}

// instrumentID takes the instrument's reference, checked for use in a path.
func instrumentID(op string, ref normalize.References) (string, error) {
	id := ref[refInstrument]
	if !validID(id) {
		e := normalize.Invalid(badID("/references/" + refInstrument))
		e.Op = op
		return "", e
	}
	return id, nil
}

func instrumentPath(id string) string { return instrumentsPath + "/" + url.PathEscape(id) }

func customerPath(id string) string { return customersPath + "/" + url.PathEscape(id) }

func checkToken(t normalize.Secret) []normalize.FieldError {
	if !validID(t.Reveal()) {
		return []normalize.FieldError{{
			Pointer: "/source/token", Code: normalize.InvalidField, Message: "must be up to 50 of A-Z a-z 0-9 _ . @ ~ -",
		}}
	}
	return nil
}

func unsupported(msg string) *normalize.Error {
	return &normalize.Error{Code: normalize.UnsupportedOperation, Outcome: normalize.NotSent, Msg: msg}
}
