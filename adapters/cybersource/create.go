package cybersource

import (
	"context"
	"errors"
	"net/http"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

const paymentsPath = "/pts/v2/payments"

// SourceTypes implements [adapters.Creator].
func (a *Adapter) SourceTypes() []normalize.SourceType {
	return []normalize.SourceType{
		normalize.SourceCard, normalize.SourceBankAccount,
		normalize.SourceInstrumentIdentifier, normalize.SourceTransientToken,
	}
}

// Create implements [adapters.Creator]. A number takes two calls: one for its
// instrument identifier, one for the payment instrument; the error's outcome is
// about the payment instrument, since only that is an instrument.
func (a *Adapter) Create(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
	if _, err := customerPath(opCreate, in.Customer); err != nil {
		return adapters.Instrument{}, err
	}
	switch s := in.Source; {
	case s.Type == normalize.SourceCard && s.Card != nil:
		brand := normalize.BrandOf(s.Card.Number.Reveal())
		return a.createFromNumber(ctx, in.Customer,
			identifierRequest{Card: &cardNumber{Number: s.Card.Number.Reveal()}},
			instrumentRequest{
				Default: in.Default,
				Card:    toCardRequest(s.Card.ExpMonth, s.Card.ExpYear, brand),
				BillTo:  toBillTo(in.BillingAddress, s.Card.HolderName),
			})
	case s.Type == normalize.SourceBankAccount && s.BankAccount != nil:
		return a.createFromAccount(ctx, in, *s.BankAccount)
	case s.Type == normalize.SourceInstrumentIdentifier && s.InstrumentIdentifier != nil:
		id := *s.InstrumentIdentifier
		if !idPattern.MatchString(id.InstrumentIdentifier) {
			return adapters.Instrument{}, invalid(opCreate, "/source/instrument_identifier", normalize.InvalidField, "is not an instrument identifier's id")
		}
		return a.storeInstrument(ctx, in.Customer, identifierBody{ID: text(id.InstrumentIdentifier)}, instrumentRequest{
			Default: in.Default,
			Card:    toCardRequest(id.ExpMonth, id.ExpYear, id.Brand),
			BillTo:  toBillTo(in.BillingAddress, ""),
		})
	case s.Type == normalize.SourceTransientToken && s.TransientToken != nil:
		return a.createFromToken(ctx, in, s.TransientToken.TransientToken)
	}
	return adapters.Instrument{}, &normalize.Error{
		Code: normalize.UnsupportedSource, Outcome: normalize.NotSent, Op: opCreate, Msg: "the provider does not take this source",
	}
}

func (a *Adapter) createFromAccount(ctx context.Context, in adapters.CreateInput, s normalize.BankAccountSource) (adapters.Instrument, error) {
	if !s.IBAN.IsZero() {
		return adapters.Instrument{}, invalid(opCreate, "/source/iban", normalize.UnsupportedSource,
			"the provider stores accounts with a routing number only")
	}
	processing := &bankProcessing{}
	processing.BankTransferOptions.SECCode = "WEB" // authorized by the account's holder over the internet
	return a.createFromNumber(ctx, in.Customer,
		identifierRequest{BankAccount: &accountNumber{Number: s.AccountNumber.Reveal(), RoutingNumber: s.RoutingNumber}},
		instrumentRequest{
			Default:               in.Default,
			BankAccount:           &accountRequest{Type: accountWord(s.AccountType)},
			BuyerInformation:      &buyerRequest{Currency: a.currency},
			BillTo:                toBillTo(in.BillingAddress, s.HolderName),
			ProcessingInformation: processing,
		})
}

// createFromNumber stores the number, then the payment instrument upon it. The
// two can be torn apart: when somebody else deletes the last payment instrument
// of the same number in between, the provider removes the identifier with it.
// The pair is then made once more, which is safe: the provider has refused.
func (a *Adapter) createFromNumber(ctx context.Context, customer string, number identifierRequest, req instrumentRequest) (adapters.Instrument, error) {
	made := false
	for again := true; ; again = false {
		identifier, isNew, err := a.storeIdentifier(ctx, number)
		if err != nil {
			return adapters.Instrument{}, beforeInstrument(err)
		}
		made = made || isNew
		ins, err := a.storeInstrument(ctx, customer, identifier, req)
		switch {
		case err == nil:
			return ins, nil
		case again && vanished(err):
			continue
		case made && normalize.OutcomeOf(err) == normalize.Rejected:
			// Ours, and nothing stands upon it. If this fails, what stays is a number
			// that the next create of the same card finds again: no harm.
			_ = a.DeleteInstrumentIdentifier(ctx, string(identifier.ID))
		}
		return adapters.Instrument{}, afterIdentifier(err)
	}
}

// beforeInstrument gives a failure of the first call the outcome of the whole. An
// ambiguous one is NotSent: the request that stores the payment instrument was
// never made, so trying again, here or elsewhere, cannot store it twice; and
// storing the identifier again finds the one that there may be.
func beforeInstrument(err error) error {
	e, ok := errors.AsType[*normalize.Error](err)
	if !ok || e.Outcome != normalize.Unknown {
		return err
	}
	out := *e
	out.Outcome = normalize.NotSent
	return &out
}

// vanished reports whether the provider refused a payment instrument for want of
// its identifier. v1 documents the two types; v2 may say it by the status, which
// it would also do for the customer.
func vanished(err error) bool {
	e, ok := errors.AsType[*normalize.Error](err)
	return ok && e.Outcome == normalize.Rejected && (identifierMissing(e) ||
		e.HTTPStatus == http.StatusNotFound || e.HTTPStatus == http.StatusGone)
}

func identifierMissing(e *normalize.Error) bool {
	return e.ProviderCode == "instrumentIdentifierNotFound" || e.ProviderCode == "instrumentIdentifierGone"
}

// afterIdentifier corrects what a refusal says about an identifier that the
// caller did not bring: that it vanished twice is bad luck, not bad input.
func afterIdentifier(err error) error {
	e, ok := errors.AsType[*normalize.Error](err)
	if !ok || !identifierMissing(e) {
		return err
	}
	out := *e
	out.Code, out.Outcome, out.Fields = normalize.Conflict, normalize.NotSent, nil
	out.Msg = "the card's identifier was deleted at the provider at the same time"
	return &out
}

// storeIdentifier stores a card or account number. The provider dedupes: 200
// means that it had it, 201 that it is new.
func (a *Adapter) storeIdentifier(ctx context.Context, req identifierRequest) (identifier identifierBody, isNew bool, err error) {
	r, err := a.call(ctx, rest.Request{Op: opIdentifier, Method: http.MethodPost, Path: identifiersPath, Body: req})
	if err != nil {
		return identifierBody{}, false, err
	}
	if err := rest.Decode(opIdentifier, r, &identifier); err != nil {
		return identifierBody{}, false, err
	}
	if !idPattern.MatchString(string(identifier.ID)) {
		return identifierBody{}, false, rest.BadResponse(opIdentifier, r, "the provider's answer has no usable id", nil)
	}
	return identifier, r.Status == http.StatusCreated, nil
}

// storeInstrument stores the payment instrument. identifier is what is known of
// it, for an answer that does not embed it.
func (a *Adapter) storeInstrument(ctx context.Context, customer string, identifier identifierBody, req instrumentRequest) (adapters.Instrument, error) {
	path, err := customerPath(opCreate, customer)
	if err != nil {
		return adapters.Instrument{}, err
	}
	req.InstrumentIdentifier.ID = string(identifier.ID)
	r, err := a.call(ctx, rest.Request{Op: opCreate, Method: http.MethodPost, Path: path + "/payment-instruments", Body: req})
	if err != nil {
		return adapters.Instrument{}, err
	}
	var b instrumentBody
	if err := rest.Decode(opCreate, r, &b); err != nil {
		return adapters.Instrument{}, err
	}
	if !idPattern.MatchString(string(b.ID)) {
		return adapters.Instrument{}, rest.BadResponse(opCreate, r, "the provider's answer has no usable id", nil)
	}
	if b.identifier().ID != "" {
		identifier = b.identifier()
	}
	ins := toInstrument(b, identifier, place{customer: customer, vault: a.vault, now: a.now()})
	ins.Version = r.Header.Get("Etag")
	return ins, nil
}

// createFromToken stores what a transient token stands for, with an authorization
// of nothing that also verifies the card: of the two ways that the provider has,
// the one that an HTTP Signature is enough for. Once it has answered with an id
// the instrument is stored, so a failing read of it changes nothing but how much
// is known of it.
func (a *Adapter) createFromToken(ctx context.Context, in adapters.CreateInput, token normalize.Secret) (adapters.Instrument, error) {
	r, err := a.call(ctx, rest.Request{Op: opCreate, Method: http.MethodPost, Path: paymentsPath, Body: a.toPayment(in, token)})
	if err != nil {
		return adapters.Instrument{}, err
	}
	var b paymentBody
	if err := rest.Decode(opCreate, r, &b); err != nil {
		return adapters.Instrument{}, err
	}
	tokens := b.TokenInformation.or()
	id := string(tokens.PaymentInstrument.or().ID)
	if !idPattern.MatchString(id) {
		return adapters.Instrument{}, noToken(r, b)
	}
	ref := normalize.References{refCustomer: in.Customer, refPaymentInstrument: id}
	if ins, err := a.Get(ctx, ref); err == nil {
		return ins, nil
	}
	known := instrumentBody{ID: text(id), InstrumentIdentifier: tokens.InstrumentIdentifier}
	ins := toInstrument(known, identifierBody{}, place{customer: in.Customer, vault: a.vault, now: a.now()})
	ins.Type, ins.Card = normalize.TypeCard, &normalize.Card{Brand: normalize.BrandOther}
	return ins, nil
}

func (a *Adapter) toPayment(in adapters.CreateInput, token normalize.Secret) paymentRequest {
	var p paymentRequest
	p.ProcessingInformation.ActionList = []string{"TOKEN_CREATE"}
	p.ProcessingInformation.ActionTokenTypes = []string{"paymentInstrument", "instrumentIdentifier"}
	p.PaymentInformation.Customer.ID = in.Customer
	p.OrderInformation.AmountDetails.TotalAmount = "0"
	p.OrderInformation.AmountDetails.Currency = a.currency
	p.OrderInformation.BillTo = toBillTo(in.BillingAddress, "")
	p.TokenInformation.TransientTokenJWT = token.Reveal()
	if in.Default {
		p.TokenInformation.PaymentInstrument = &defaultInstrumentFlag{Default: true}
	}
	return p
}

// noToken makes the error for an authorization that answered without a payment
// instrument. A decline is an answer with status 201.
func noToken(r rest.Response, b paymentBody) *normalize.Error {
	e := rest.BadResponse(opCreate, r, "the provider's answer has no payment instrument", nil)
	e.RequestID = requestID(r.Header)
	if reason := string(b.ErrorInformation.or().Reason); wordPattern.MatchString(reason) {
		e.ProviderCode = reason
	}
	switch string(b.Status) {
	case "DECLINED", "AUTHORIZED_RISK_DECLINED":
		e.Code, e.Outcome, e.Msg = normalize.CardDeclined, normalize.Rejected, "the card was declined"
	case "INVALID_REQUEST":
		e.Code, e.Outcome, e.Msg = normalize.InvalidField, normalize.Rejected, "the provider refused the request's data"
	}
	return e
}
