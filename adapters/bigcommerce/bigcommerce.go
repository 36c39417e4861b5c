// Package bigcommerce speaks BigCommerce's API for stored payment instruments
// (beta). The store keeps no vault of its own: an instrument there is a pointer
// to a token in the vault of a payment gateway, so creating one registers a
// token that was vaulted elsewhere, and nothing is verified until it is charged.
package bigcommerce

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// Type is the adapter's name.
const Type = "bigcommerce"

// The names of operations in errors.
const (
	opCreate     = "create"
	opGet        = "get"
	opList       = "list"
	opListAll    = "list_all"
	opUpdate     = "update"
	opSetDefault = "set_default"
	opDelete     = "delete"
	opMethods    = "payment_methods"
)

const instrumentsPath = "/payments/stored-instruments"

// tokenPattern holds what a token may be made of. Real ones are 64 hex digits,
// published examples are shorter; the first character keeps "." and ".." out of
// paths, and there is no comma, which separates tokens in a query.
var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._~=-]{0,127}$`)

// Adapter is one BigCommerce store. Make it with [Config.Open].
type Adapter struct {
	client rest.Client
	now    func() time.Time

	producer       string // how webhooks name the store
	webhookSecrets []normalize.Secret
	webhookHeaders []rest.WebhookHeader
}

var (
	_ adapters.Adapter          = (*Adapter)(nil)
	_ adapters.Creator          = (*Adapter)(nil)
	_ adapters.Lister           = (*Adapter)(nil)
	_ adapters.Updater          = (*Adapter)(nil)
	_ adapters.DefaultSetter    = (*Adapter)(nil)
	_ adapters.Deleter          = (*Adapter)(nil)
	_ adapters.VaultDeleter     = (*Adapter)(nil)
	_ adapters.BulkDeleter      = (*Adapter)(nil)
	_ adapters.ReferenceChecker = (*Adapter)(nil)
	_ adapters.Charger          = (*Adapter)(nil)
)

// Type implements [adapters.Adapter].
func (*Adapter) Type() string { return Type }

// SourceTypes implements [adapters.Creator].
func (*Adapter) SourceTypes() []normalize.SourceType {
	return []normalize.SourceType{normalize.SourceVaultedToken}
}

// Create implements [adapters.Creator] by importing one item, so that an answer
// which counts failures can only be about it. The provider has no idempotency
// key, and whether it refuses duplicates is not documented.
func (a *Adapter) Create(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
	if err := checkCreate(in); err != nil {
		return adapters.Instrument{}, err
	}
	resp, err := a.client.Do(ctx, rest.Request{
		Op: opCreate, Method: http.MethodPost, Path: instrumentsPath, Body: []importItem{importOf(in)},
	})
	if err != nil {
		return adapters.Instrument{}, err
	}
	return created(in, resp, a.now())
}

// created reads the answer to an import. 422 is a result like 200: what was
// imported is in data all the same.
func created(in adapters.CreateInput, resp rest.Response, now time.Time) (adapters.Instrument, error) {
	if !resp.OK() && resp.Status != http.StatusUnprocessableEntity {
		return adapters.Instrument{}, statusError(opCreate, resp)
	}
	rows, e, err := rowsOf(resp.Body)
	if err == nil && len(rows) > 0 {
		out, err := instrumentFrom(rows[0], normalize.References{
			refCustomer: in.Customer, refPaymentMethod: in.Source.VaultedToken.PaymentMethodID,
			refVaultCustomer: in.Source.VaultedToken.ProviderCustomerID,
		}, now)
		if err != nil {
			return adapters.Instrument{}, badResponse(opCreate, resp, err)
		}
		if out.BillingAddress == nil {
			out.BillingAddress = in.BillingAddress // PayPal and bank rows never show it
		}
		return out, nil
	}
	var meta batchMeta
	_ = json.Unmarshal(e.Meta, &meta)
	imported := meta.Success != nil && *meta.Success > 0
	failed := errorsOf(e.Errors)
	if imported || resp.OK() && len(failed) == 0 {
		return adapters.Instrument{}, badResponse(opCreate, resp, errNoData)
	}
	return adapters.Instrument{}, itemError(resp, failed)
}

// itemError makes the error of an import whose one item failed. The item's own
// status decides where it says more than "not valid".
func itemError(resp rest.Response, failed []baseError) error {
	answered := resp.Status
	resp.Status = http.StatusUnprocessableEntity
	if len(failed) > 0 {
		switch s := int(failed[0].Status); {
		case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusConflict, s >= http.StatusInternalServerError:
			resp.Status = s
		}
	}
	e := statusError(opCreate, resp)
	e.HTTPStatus = answered
	return e
}

// checkCreate refuses what the provider would store wrongly or not at all.
func checkCreate(in adapters.CreateInput) error {
	s := in.Source.VaultedToken
	if in.Source.Type != normalize.SourceVaultedToken || s == nil {
		return invalid(opCreate, normalize.FieldError{
			Pointer: "/source/type", Code: normalize.UnsupportedSource, Message: "the provider takes vaulted tokens only",
		})
	}
	var fields []normalize.FieldError
	if !validID(in.Customer) {
		fields = append(fields, normalize.FieldError{
			Pointer: "/customer_id", Code: normalize.InvalidField, Message: "the provider's customer reference must be a positive integer",
		})
	}
	for _, m := range []struct{ pointer, value string }{
		{"/source/payment_method_id", s.PaymentMethodID}, {"/source/currency", s.Currency}, {"/source/vault_token", s.VaultToken.Reveal()},
	} {
		if m.value == "" {
			fields = append(fields, normalize.FieldError{Pointer: m.pointer, Code: normalize.MissingField, Message: "is required"})
		}
	}
	if kind, _ := typeNames(s.InstrumentType); kind == "" {
		fields = append(fields, normalize.FieldError{
			Pointer: "/source/instrument_type", Code: normalize.InvalidField, Message: "must be card, paypal or bank_account",
		})
	}
	if in.BillingAddress == nil || *in.BillingAddress == (normalize.Address{}) {
		fields = append(fields, normalize.FieldError{
			Pointer: "/billing_address", Code: normalize.MissingField, Message: "the provider requires it for every instrument",
		})
	}
	if len(fields) > 0 {
		return invalid(opCreate, fields...)
	}
	return nil
}

// Get implements [adapters.Adapter]. The provider cannot read one instrument, so
// its customer's are listed.
func (a *Adapter) Get(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	if err := a.check(opGet, ref); err != nil {
		return adapters.Instrument{}, err
	}
	rows, resp, err := a.customerRows(ctx, opGet, ref[refCustomer])
	if err != nil {
		return adapters.Instrument{}, err
	}
	for _, r := range rows {
		if string(r.Token) != ref[refToken] {
			continue
		}
		out, err := instrumentFrom(r, ref, a.now())
		if err != nil {
			return adapters.Instrument{}, badResponse(opGet, resp, err)
		}
		return out, nil
	}
	return adapters.Instrument{}, &normalize.Error{
		Code: normalize.NotFound, Outcome: normalize.Rejected, Op: opGet, HTTPStatus: resp.Status,
		RequestID: requestID(resp.Header), Msg: "the customer has no such instrument at the provider",
	}
}

// customerRows lists everything that a customer has; there is no paging.
func (a *Adapter) customerRows(ctx context.Context, op, customer string) ([]row, rest.Response, error) {
	resp, err := a.client.Do(ctx, rest.Request{
		Op: op, Method: http.MethodGet, Path: "/customers/" + url.PathEscape(customer) + "/stored-instruments",
	})
	if err != nil {
		return nil, resp, err
	}
	if !resp.OK() {
		return nil, resp, statusError(op, resp)
	}
	rows, _, err := listed(op, resp)
	return rows, resp, err
}

// CheckReferences implements [adapters.ReferenceChecker].
func (*Adapter) CheckReferences(ref normalize.References) []normalize.FieldError {
	var fields []normalize.FieldError
	add := func(name string, code normalize.Code, message string) {
		fields = append(fields, normalize.FieldError{Pointer: "/" + name, Code: code, Message: message})
	}
	switch customer := ref[refCustomer]; {
	case customer == "":
		add(refCustomer, normalize.MissingField, "is required")
	case !validID(customer):
		add(refCustomer, normalize.InvalidField, "must be a positive integer")
	}
	switch token := ref[refToken]; {
	case token == "":
		add(refToken, normalize.MissingField, "is required")
	case normalize.IsCardNumber(token):
		add(refToken, normalize.PANInUnexpectedField, "holds what looks like a card number")
	case !tokenPattern.MatchString(token):
		add(refToken, normalize.InvalidField, "must be up to 128 of A-Z a-z 0-9 . _ ~ = -")
	}
	return fields
}

func (a *Adapter) check(op string, ref normalize.References) error {
	fields := a.CheckReferences(ref)
	if len(fields) == 0 {
		return nil
	}
	e := invalid(op, fields...)
	e.Msg = "the instrument's references are not valid"
	return e
}

func invalid(op string, fields ...normalize.FieldError) *normalize.Error {
	e := normalize.Invalid(fields...)
	e.Op = op
	return e
}

func unsupported(op, msg string) *normalize.Error {
	return &normalize.Error{Code: normalize.UnsupportedOperation, Outcome: normalize.NotSent, Op: op, Msg: msg}
}

func statusError(op string, resp rest.Response) *normalize.Error {
	return rest.StatusError(op, resp, refusal(op, resp))
}

func badResponse(op string, resp rest.Response, err error) *normalize.Error {
	e := rest.BadResponse(op, resp, "the provider's answer is not what it should be", err)
	e.RequestID = requestID(resp.Header)
	return e
}
