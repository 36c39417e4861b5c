package rebilly

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// SourceTypes implements [adapters.Creator].
func (a *Adapter) SourceTypes() []normalize.SourceType {
	return []normalize.SourceType{normalize.SourceRebillyToken, normalize.SourceCard, normalize.SourceBankAccount}
}

// Create implements [adapters.Creator]. Rebilly answers 201 for a new instrument,
// and 303 with the instrument as the body for one that the customer had already
// and that is updated now: Existing is set, the redirect is not followed.
//
// The outcome is that of the call that stores. What comes after it cannot undo
// it, so that a failure there is no failure of Create:
//   - with a token, the billing address is written by a second call; if that
//     fails, the instrument is returned with the address it got from its token;
//   - with in.Default, the customer is changed next; if that fails, Default is false;
//   - if the answer has no body and the instrument that its Location names cannot
//     be read, what is known from the request is returned.
func (a *Adapter) Create(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
	const op = "create"
	body, err := checkedCreate(op, in)
	if err != nil {
		return adapters.Instrument{}, err
	}
	resp, err := a.send(ctx, rest.Request{
		Op: op, Method: http.MethodPost, Path: instrumentsPath, Query: expandCustomer, Body: body,
	}, http.StatusSeeOther)
	if err != nil {
		if e, ok := errors.AsType[*normalize.Error](err); ok && in.Source.BankAccount != nil && !in.Source.BankAccount.IBAN.IsZero() {
			accountToIBAN(e.Fields)
		}
		return adapters.Instrument{}, err
	}
	w, ins, err := a.created(ctx, op, resp, in)
	if err != nil {
		return adapters.Instrument{}, err
	}
	if in.Source.Type == normalize.SourceRebillyToken && in.BillingAddress != nil {
		patch := map[string]any{"billingAddress": contactPatch(*in.BillingAddress)}
		if patched, err := a.patch(ctx, op, ins.References[refInstrument], patch); err == nil {
			w = patched
			ins = patched.instrument()
		}
	}
	if w.ID != "" {
		ins = a.knownDefault(ctx, op, w)
	}
	if in.Default && !ins.Default {
		if changed, err := a.setDefault(ctx, op, ins); err == nil {
			ins = changed
		}
	}
	ins.Existing = resp.Status != http.StatusCreated
	return ins, nil
}

func checkedCreate(op string, in adapters.CreateInput) (map[string]any, error) {
	var errs []normalize.FieldError
	if !validID(in.Customer) {
		errs = append(errs, badID("/customer_id"))
	}
	body, bodyErrs := createBody(in)
	if errs = append(errs, bodyErrs...); len(errs) > 0 {
		e := normalize.Invalid(errs...)
		e.Op = op
		return nil, e
	}
	return body, nil
}

// created reads the instrument from the answer, or finds it through Location if
// the answer has no body. The wire form is empty if only the id could be learnt.
func (a *Adapter) created(ctx context.Context, op string, resp rest.Response, in adapters.CreateInput) (wireInstrument, adapters.Instrument, error) {
	if len(resp.Body) > 0 {
		w, err := decodeInstrument(op, resp)
		return w, w.instrument(), err
	}
	id, ok := a.located(resp.Header.Get("Location"))
	if !ok {
		return wireInstrument{}, adapters.Instrument{}, rest.BadResponse(op, resp, "the provider's answer does not say which instrument it stored", nil)
	}
	w, err := a.read(ctx, op, id)
	if err != nil {
		return wireInstrument{}, known(id, in), nil //nolint:nilerr // it is stored; only reading it back failed
	}
	return w, w.instrument(), nil
}

// located takes an instrument's id from a Location header, which must name an
// instrument at the address that we call and nowhere else.
func (a *Adapter) located(location string) (string, bool) {
	u, err := url.Parse(location)
	if err != nil || u.Host != "" && !strings.EqualFold(u.Host, a.client.Base.Host) {
		return "", false
	}
	i := strings.LastIndex(u.Path, instrumentsPath+"/")
	if i < 0 {
		return "", false
	}
	id := u.Path[i+len(instrumentsPath)+1:]
	return id, validID(id)
}

// known makes an instrument of what the request says. Its status is pending,
// since Rebilly could not be asked.
func known(id string, in adapters.CreateInput) adapters.Instrument {
	out := adapters.Instrument{
		References: normalize.References{refInstrument: id, refCustomer: in.Customer},
		Customer:   in.Customer, Type: in.Source.InstrumentType(), Status: normalize.StatusPending,
	}
	switch s := in.Source; {
	case s.Card != nil:
		n := s.Card.Number.Reveal()
		out.Card = &normalize.Card{
			Brand: normalize.BrandOf(n), BIN: normalize.BINOf(n), Last4: normalize.Last4Of(n),
			ExpMonth: s.Card.ExpMonth, ExpYear: s.Card.ExpYear,
		}
		out.BillingAddress = in.BillingAddress
	case s.BankAccount != nil:
		out.BankAccount = &normalize.BankAccount{
			AccountType: s.BankAccount.AccountType, RoutingNumber: s.BankAccount.RoutingNumber,
			Last4: normalize.Last4Of(s.BankAccount.AccountNumber.Reveal() + s.BankAccount.IBAN.Reveal()),
		}
		out.BillingAddress = in.BillingAddress
	}
	return out
}

// accountToIBAN names the member that the caller sent the account number in.
func accountToIBAN(fields []normalize.FieldError) {
	for i, f := range fields {
		if f.Pointer == "/source/account_number" {
			fields[i].Pointer = "/source/iban"
		}
	}
}
