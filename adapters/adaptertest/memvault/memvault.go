// Package memvault is an adapter for a provider that does not exist. It is the
// living example of what a provider needs: this folder and one line in package
// config, which it does not have. memvault.go is the adapter, with probe.go; vault.go is the
// stand-in, memvault_test.go the call of the conformance suite.
package memvault

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// Config opens a memvault.
type Config struct {
	URL    string           `json:"base_url"`
	APIKey normalize.Secret `json:"api_key"`
}

// Validate implements [adapters.Config].
func (c Config) Validate() []string {
	if c.URL == "" || c.APIKey.IsZero() {
		return []string{"base_url and api_key are required"}
	}
	return nil
}

// BaseURL implements [adapters.Config].
func (c Config) BaseURL() string { return c.URL }

// AllowedHosts implements [adapters.Config].
func (c Config) AllowedHosts() []string { return []string{"api.memvault.example"} }

// Open implements [adapters.Config].
func (c Config) Open(env adapters.Env) (adapters.Adapter, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	return &Adapter{client: rest.Client{HTTP: env.HTTP, Base: base, Authorize: func(r *http.Request, _ []byte) error {
		r.Header.Set("Authorization", "Bearer "+c.APIKey.Reveal())
		return nil
	}}}, nil
}

// Adapter speaks to one memvault.
type Adapter struct{ client rest.Client }

var (
	_ adapters.Creator          = (*Adapter)(nil)
	_ adapters.CustomerCreator  = (*Adapter)(nil)
	_ adapters.Lister           = (*Adapter)(nil)
	_ adapters.Updater          = (*Adapter)(nil)
	_ adapters.DefaultSetter    = (*Adapter)(nil)
	_ adapters.Deleter          = (*Adapter)(nil)
	_ adapters.ReferenceChecker = (*Adapter)(nil)
)

// card is a card as memvault shows it.
type card struct {
	ID       string             `json:"id"`
	Customer string             `json:"customer"`
	State    string             `json:"state"`
	Scheme   string             `json:"scheme"`
	First6   string             `json:"first6"`
	Last4    string             `json:"last4"`
	Month    int                `json:"month"`
	Year     int                `json:"year"`
	Address  *normalize.Address `json:"address"`
	Default  bool               `json:"default"`
	Version  int                `json:"version"`
	Existing bool               `json:"existing"`
}

// Type implements [adapters.Adapter].
func (*Adapter) Type() string { return "memvault" }

// SourceTypes implements [adapters.Creator].
func (*Adapter) SourceTypes() []normalize.SourceType {
	return []normalize.SourceType{normalize.SourceCard}
}

// Create implements [adapters.Creator].
func (a *Adapter) Create(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
	src := in.Source.Card
	if in.Source.Type != normalize.SourceCard || src == nil {
		return adapters.Instrument{}, unsent("create", normalize.UnsupportedSource, "memvault stores cards only")
	}
	if !idPattern.MatchString(in.Customer) {
		return adapters.Instrument{}, unsent("create", normalize.InvalidField, "the customer reference is malformed")
	}
	return a.one(ctx, rest.Request{Op: "create", Method: http.MethodPost, Path: "/customers/" + in.Customer + "/cards", Body: map[string]any{
		"number": src.Number.Reveal(), "month": src.ExpMonth, "year": src.ExpYear, "address": in.BillingAddress, "default": in.Default,
	}})
}

// CreateCustomer implements [adapters.CustomerCreator].
func (a *Adapter) CreateCustomer(ctx context.Context, in adapters.CustomerInput) (string, error) {
	_, err := a.call(ctx, rest.Request{Op: "create_customer", Method: http.MethodPut, Path: "/customers/" + url.PathEscape(in.Key), Body: struct{}{}}, nil)
	return in.Key, err
}

// Get implements [adapters.Adapter].
func (a *Adapter) Get(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	return a.onCard(ctx, "get", http.MethodGet, "", ref, nil, nil)
}

// SetDefault implements [adapters.DefaultSetter].
func (a *Adapter) SetDefault(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	return a.onCard(ctx, "set_default", http.MethodPost, "/default", ref, nil, nil)
}

// Update implements [adapters.Updater].
func (a *Adapter) Update(ctx context.Context, ref normalize.References, in adapters.UpdateInput) (adapters.Instrument, error) {
	switch {
	case in.Source != nil, in.ClearBillingAddress:
		return adapters.Instrument{}, unsent("update", normalize.UnsupportedOperation, "memvault can change the address and the expiry only")
	case (in.ExpMonth == nil) != (in.ExpYear == nil):
		return adapters.Instrument{}, unsent("update", normalize.InvalidField, "the expiry month and year are changed together")
	}
	patch := map[string]any{}
	if in.BillingAddress != nil {
		patch["address"] = in.BillingAddress
	}
	if in.ExpMonth != nil {
		patch["month"], patch["year"] = *in.ExpMonth, *in.ExpYear
	}
	header := http.Header{}
	if in.Version != "" {
		header.Set("If-Match", in.Version)
	}
	return a.onCard(ctx, "update", http.MethodPatch, "", ref, header, patch)
}

// Delete implements [adapters.Deleter].
func (a *Adapter) Delete(ctx context.Context, ref normalize.References) error {
	if bad := a.CheckReferences(ref); bad != nil {
		return malformed("delete", bad)
	}
	_, err := a.call(ctx, rest.Request{Op: "delete", Method: http.MethodDelete, Path: "/cards/" + ref["card"]}, nil)
	switch normalize.CodeOf(err) {
	case normalize.NotFound, normalize.InstrumentDeleted:
		return nil // it is gone already
	default:
		return err
	}
}

// List implements [adapters.Lister].
func (a *Adapter) List(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
	if in.Filter != nil || in.Sort != nil || in.Query != "" {
		return adapters.Page{}, unsent("list", normalize.UnsupportedOperation, "memvault has no filters")
	}
	if offset, err := strconv.Atoi(cmp.Or(in.Cursor, "0")); err != nil || offset < 0 {
		return adapters.Page{}, unsent("list", normalize.InvalidCursor, "the cursor is not one of memvault's")
	}
	if !idPattern.MatchString(in.Customer) {
		return adapters.Page{}, unsent("list", normalize.InvalidField, "the customer reference is malformed")
	}
	var body *struct {
		Cards *[]*card `json:"cards"`
		Next  string   `json:"next"`
		Total int      `json:"total"`
	}
	query := url.Values{"limit": {strconv.Itoa(in.Limit)}, "offset": {in.Cursor}}
	r, err := a.call(ctx, rest.Request{Op: "list", Method: http.MethodGet, Path: "/customers/" + in.Customer + "/cards", Query: query.Encode()}, &body)
	if err != nil {
		return adapters.Page{}, err
	}
	if body == nil || body.Cards == nil {
		return adapters.Page{}, rest.BadResponse("list", r, "the provider's answer has no list", nil)
	}
	page := adapters.Page{Next: body.Next, Total: body.Total}
	for _, c := range *body.Cards {
		if c != nil && c.ID != "" {
			page.Items = append(page.Items, c.instrument(time.Now()))
		}
	}
	return page, nil
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)

// CheckReferences implements [adapters.ReferenceChecker].
func (*Adapter) CheckReferences(ref normalize.References) []normalize.FieldError {
	if !idPattern.MatchString(ref["card"]) {
		return []normalize.FieldError{{Pointer: "/card", Code: normalize.InvalidField, Message: "must be a memvault card id"}}
	}
	return nil
}

func (a *Adapter) onCard(ctx context.Context, op, method, suffix string, ref normalize.References, h http.Header, body any) (adapters.Instrument, error) {
	if bad := a.CheckReferences(ref); bad != nil {
		return adapters.Instrument{}, malformed(op, bad)
	}
	return a.one(ctx, rest.Request{Op: op, Method: method, Path: "/cards/" + ref["card"] + suffix, Header: h, Body: body})
}

// one makes a call whose answer is a card.
func (a *Adapter) one(ctx context.Context, req rest.Request) (adapters.Instrument, error) {
	var c card
	r, err := a.call(ctx, req, &c)
	if err == nil && c.ID == "" {
		err = rest.BadResponse(req.Op, r, "the provider's answer has no card id", nil)
	}
	if err != nil {
		return adapters.Instrument{}, err
	}
	return c.instrument(time.Now()), nil
}

func (a *Adapter) call(ctx context.Context, req rest.Request, into any) (rest.Response, error) {
	r, err := a.client.Do(ctx, req)
	switch {
	case err != nil:
		return r, err
	case !r.OK():
		return r, rest.StatusError(req.Op, r, refusalOf(r))
	case into != nil:
		return r, rest.Decode(req.Op, r, into)
	}
	return r, nil
}

func unsent(op string, code normalize.Code, msg string) *normalize.Error {
	return &normalize.Error{Code: code, Outcome: normalize.NotSent, Op: op, Msg: msg}
}

func malformed(op string, fields []normalize.FieldError) *normalize.Error {
	e := normalize.Invalid(fields...)
	e.Op = op
	return e
}
