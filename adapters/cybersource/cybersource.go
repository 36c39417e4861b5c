// Package cybersource speaks the Token Management Service (TMS) of CyberSource:
// customer payment instruments (v2), which hold expiry, brand and billing
// address, and instrument identifiers (v1), which stand for the card or account
// number. Standalone payment instruments are not used: they belong to nobody.
package cybersource

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// Adapter speaks to one merchant's vault. Make it with [Config.Open].
type Adapter struct {
	client    *rest.Client
	vault     string // the scope of identities
	profileID string // "" for the merchant's own vault
	currency  string // ISO 4217
	now       func() time.Time
	webhooks  map[string]func(string) []byte // what signs notices, by key id
}

var (
	_ adapters.Adapter          = (*Adapter)(nil)
	_ adapters.Creator          = (*Adapter)(nil)
	_ adapters.CustomerCreator  = (*Adapter)(nil)
	_ adapters.Lister           = (*Adapter)(nil)
	_ adapters.Updater          = (*Adapter)(nil)
	_ adapters.DefaultSetter    = (*Adapter)(nil)
	_ adapters.Deleter          = (*Adapter)(nil)
	_ adapters.ReferenceChecker = (*Adapter)(nil)
	_ adapters.Charger          = (*Adapter)(nil)
)

// Type implements [adapters.Adapter].
func (a *Adapter) Type() string { return Type }

// Get implements [adapters.Adapter].
func (a *Adapter) Get(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	const op = "get"
	path, err := a.instrumentPath(op, ref)
	if err != nil {
		return adapters.Instrument{}, err
	}
	r, err := a.call(ctx, rest.Request{Op: op, Method: http.MethodGet, Path: path})
	if err != nil {
		return adapters.Instrument{}, err
	}
	return a.instrument(op, r, ref)
}

// Delete implements [adapters.Deleter]. The provider also removes the instrument
// identifier if no other payment instrument stands upon it.
func (a *Adapter) Delete(ctx context.Context, ref normalize.References) error {
	path, err := a.instrumentPath(opDelete, ref)
	if err != nil {
		return err
	}
	return a.remove(ctx, opDelete, path)
}

// remove deletes what path names; what is gone already is a success.
func (a *Adapter) remove(ctx context.Context, op, path string) error {
	_, err := a.call(ctx, rest.Request{Op: op, Method: http.MethodDelete, Path: path})
	switch normalize.CodeOf(err) {
	case normalize.NotFound, normalize.InstrumentDeleted:
		return nil
	default:
		return err
	}
}

// instrument reads the answer to op about one instrument.
func (a *Adapter) instrument(op string, r rest.Response, ref normalize.References) (adapters.Instrument, error) {
	var b instrumentBody
	if err := rest.Decode(op, r, &b); err != nil {
		return adapters.Instrument{}, err
	}
	if string(b.ID) != ref[refPaymentInstrument] {
		// What came instead may be somebody else's.
		return adapters.Instrument{}, rest.BadResponse(op, r, "the provider's answer is not about the instrument that was asked for", nil)
	}
	ins := toInstrument(b, b.identifier(), place{customer: ref[refCustomer], vault: a.vault, now: a.now()})
	ins.Version = r.Header.Get("Etag")
	return ins, nil
}

// call makes one call. An answer that is not a success is an error.
func (a *Adapter) call(ctx context.Context, req rest.Request) (rest.Response, error) {
	if a.profileID != "" && req.Path != paymentsPath {
		if req.Header == nil {
			req.Header = http.Header{}
		}
		req.Header.Set("Profile-Id", a.profileID)
	}
	r, err := a.client.Do(ctx, req)
	if err != nil {
		return r, err
	}
	if r.OK() {
		return r, nil
	}
	e := rest.StatusError(req.Op, r, refusal(req.Op, r, a.now()))
	if req.Op == opCreate && e.Outcome == normalize.Rejected && (r.Status == http.StatusNotFound || r.Status == http.StatusGone) {
		e.Msg = "the provider does not know the customer" // what a create could not find is no instrument
	}
	return r, e
}

// CheckReferences implements [adapters.ReferenceChecker]. The customer is needed
// because the path of its payment instruments holds it.
func (a *Adapter) CheckReferences(ref normalize.References) []normalize.FieldError {
	var problems []normalize.FieldError
	for _, name := range []string{refCustomer, refPaymentInstrument, refInstrumentIdentifier} {
		switch id, ok := ref[name]; {
		case id == "" && (ok || name != refInstrumentIdentifier):
			problems = append(problems, normalize.FieldError{Pointer: "/" + name, Code: normalize.MissingField, Message: "is required"})
		case id != "" && !idPattern.MatchString(id):
			problems = append(problems, normalize.FieldError{Pointer: "/" + name, Code: normalize.InvalidField, Message: "must be 1 to 32 letters, digits, _ or -"})
		}
	}
	return problems
}

var (
	// idPattern is wider than the 16, 19 or 22 digits and 32 hexadecimal digits that
	// are documented: ids are opaque. It keeps a path a path.
	idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	// versionPattern keeps a header a header; the documented tags have up to 32 characters.
	versionPattern = regexp.MustCompile(`^[!-~]{1,128}$`)
)

func customerPath(op, customer string) (string, error) {
	if !idPattern.MatchString(customer) {
		return "", invalid(op, "/references/customer", normalize.InvalidField, "is not a customer's id at the provider")
	}
	return "/tms/v2/customers/" + url.PathEscape(customer), nil
}

func (a *Adapter) instrumentPath(op string, ref normalize.References) (string, error) {
	problems := a.CheckReferences(ref)
	for i := range problems {
		problems[i].Pointer = "/references" + problems[i].Pointer
		problems[i].Code = normalize.InvalidField
	}
	if len(problems) > 0 {
		e := normalize.Invalid(problems...)
		e.Op = op
		return "", e
	}
	return "/tms/v2/customers/" + url.PathEscape(ref[refCustomer]) +
		"/payment-instruments/" + url.PathEscape(ref[refPaymentInstrument]), nil
}

func invalid(op, pointer string, code normalize.Code, message string) *normalize.Error {
	e := normalize.Invalid(normalize.FieldError{Pointer: pointer, Code: code, Message: message})
	e.Op = op
	return e
}

func unsupported(op, msg string) *normalize.Error {
	return &normalize.Error{Code: normalize.UnsupportedOperation, Outcome: normalize.NotSent, Op: op, Msg: msg}
}
