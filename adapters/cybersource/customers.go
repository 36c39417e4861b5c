package cybersource

import (
	"context"
	"net/http"
	"net/url"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

const identifiersPath = "/tms/v1/instrumentidentifiers"

// Customer is a customer as the provider holds it.
type Customer struct {
	Reference         string // its id
	MerchantID        string // the merchant's own id of it; "" if none was given
	Email             string
	DefaultInstrument string // the default payment instrument's id; "" if it has none
	Version           string // entity tag
}

// CreateCustomer implements [adapters.CustomerCreator]. The provider has neither an
// idempotency key nor a search, so a second call makes a second customer; Key is
// left with it for people who look for the first.
func (a *Adapter) CreateCustomer(ctx context.Context, in adapters.CustomerInput) (string, error) {
	const op = "create_customer"
	req := customerRequest{
		BuyerInformation:           buyerRequest{MerchantCustomerID: in.MerchantID},
		ClientReferenceInformation: codeRequest{Code: in.Key},
	}
	if in.Address != nil {
		req.BuyerInformation.Email = in.Address.Email
	}
	r, err := a.call(ctx, rest.Request{Op: op, Method: http.MethodPost, Path: "/tms/v2/customers", Body: req})
	if err != nil {
		return "", err
	}
	var b customerBody
	if err := rest.Decode(op, r, &b); err != nil {
		return "", err
	}
	if !idPattern.MatchString(string(b.ID)) {
		return "", rest.BadResponse(op, r, "the provider's answer has no usable id", nil)
	}
	return string(b.ID), nil
}

// GetCustomer fetches a customer by the provider's reference. It fails like [Adapter.Get].
func (a *Adapter) GetCustomer(ctx context.Context, reference string) (Customer, error) {
	const op = "get_customer"
	path, err := customerPath(op, reference)
	if err != nil {
		return Customer{}, err
	}
	r, err := a.call(ctx, rest.Request{Op: op, Method: http.MethodGet, Path: path})
	if err != nil {
		return Customer{}, err
	}
	var b customerBody
	if err := rest.Decode(op, r, &b); err != nil {
		return Customer{}, err
	}
	buyer := b.BuyerInformation.or()
	return Customer{
		Reference: firstOf(b.ID, text(reference)), MerchantID: string(buyer.MerchantCustomerID), Email: string(buyer.Email),
		DefaultInstrument: string(b.DefaultPaymentInstrument.or().ID), Version: r.Header.Get("Etag"),
	}, nil
}

// DeleteCustomer removes a customer and, at the provider, all its payment
// instruments. It is idempotent, like [Adapter.Delete].
func (a *Adapter) DeleteCustomer(ctx context.Context, reference string) error {
	const op = "delete_customer"
	path, err := customerPath(op, reference)
	if err != nil {
		return err
	}
	return a.remove(ctx, op, path)
}

// InstrumentIdentifier is a card or account number as the provider shows it.
type InstrumentIdentifier struct {
	Reference   string // its id
	Status      normalize.Status
	Card        *normalize.Card // without an expiry, which payment instruments hold
	BankAccount *normalize.BankAccount
	Version     string // entity tag
}

// GetInstrumentIdentifier fetches an instrument identifier. It fails like [Adapter.Get].
func (a *Adapter) GetInstrumentIdentifier(ctx context.Context, reference string) (InstrumentIdentifier, error) {
	const op = "get_instrument_identifier"
	path, err := identifierPath(op, reference)
	if err != nil {
		return InstrumentIdentifier{}, err
	}
	r, err := a.call(ctx, rest.Request{Op: op, Method: http.MethodGet, Path: path})
	if err != nil {
		return InstrumentIdentifier{}, err
	}
	var b identifierBody
	if err := rest.Decode(op, r, &b); err != nil {
		return InstrumentIdentifier{}, err
	}
	out := InstrumentIdentifier{Reference: firstOf(b.ID, text(reference)), Version: r.Header.Get("Etag")}
	out.Status, _ = toStatus(b.State)
	if b.Card.v != nil {
		out.Card = toCard(cardBody{}, *b.Card.v)
	} else if b.BankAccount.v != nil {
		out.BankAccount = toBankAccount(bankBody{}, *b.BankAccount.v)
	}
	return out, nil
}

// DeleteInstrumentIdentifier removes an instrument identifier. It is idempotent; it
// fails with Conflict while a payment instrument stands upon it.
func (a *Adapter) DeleteInstrumentIdentifier(ctx context.Context, reference string) error {
	const op = "delete_instrument_identifier"
	path, err := identifierPath(op, reference)
	if err != nil {
		return err
	}
	return a.remove(ctx, op, path)
}

func identifierPath(op, reference string) (string, error) {
	if !idPattern.MatchString(reference) {
		return "", invalid(op, "/references/instrument_identifier", normalize.InvalidField, "is not an instrument identifier's id")
	}
	return identifiersPath + "/" + url.PathEscape(reference), nil
}
