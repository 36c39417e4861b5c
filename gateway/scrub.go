package gateway

import (
	"errors"
	"slices"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// A provider's answer is stored, logged and shown, so that no card number may come in
// by it. What is text loses what looks like one. A reference is what a provider finds
// its instrument by, and providers make tokens that look like card numbers: it is only
// compared with the number that was sent.

// errTellsNumber is a provider's answer that names an instrument by its card number.
var errTellsNumber = errors.New("the provider's answer uses the card's number as a reference")

// scrub takes what looks like a card number out of a provider's answer.
func scrub(out any) {
	switch v := out.(type) {
	case *adapters.Instrument:
		scrubInstrument(v)
	case *adapters.Page:
		for i := range v.Items {
			scrubInstrument(&v.Items[i])
		}
	}
}

func scrubInstrument(ins *adapters.Instrument) {
	ins.ProviderStatus, ins.Version = numberless(ins.ProviderStatus), numberless(ins.Version)
	if c := ins.Card; c != nil && tells(c.BIN, c.Last4, c.IssuerCountry, c.IssuerName) {
		clean := *c // a copy: the adapter may still hold the other
		clean.BIN, clean.Last4 = numberless(c.BIN), numberless(c.Last4)
		clean.IssuerCountry, clean.IssuerName = numberless(c.IssuerCountry), numberless(c.IssuerName)
		ins.Card = &clean
	}
	if b := ins.BankAccount; b != nil && tells(b.Last4, b.RoutingNumber, b.BankName, b.Country) {
		clean := *b
		clean.Last4, clean.RoutingNumber = numberless(b.Last4), numberless(b.RoutingNumber)
		clean.BankName, clean.Country = numberless(b.BankName), numberless(b.Country)
		ins.BankAccount = &clean
	}
	if p := ins.PayPal; p != nil && tells(p.Email) {
		ins.PayPal = &normalize.PayPal{}
	}
	if a := ins.BillingAddress; a != nil && tells(a.FirstName, a.LastName, a.Company, a.Line1, a.Line2, a.City, a.Region, a.PostalCode, a.Country, a.Email, nationalPhone(a)) {
		clean := normalize.Address{
			FirstName: numberless(a.FirstName), LastName: numberless(a.LastName), Company: numberless(a.Company),
			Line1: numberless(a.Line1), Line2: numberless(a.Line2), City: numberless(a.City), Region: numberless(a.Region),
			PostalCode: numberless(a.PostalCode), Country: numberless(a.Country), Email: numberless(a.Email), Phone: a.Phone,
		}
		if tells(nationalPhone(a)) {
			clean.Phone = ""
		}
		ins.BillingAddress = &clean
	}
}

// nationalPhone is a telephone number that could be taken for a card's: an international
// one begins with +.
func nationalPhone(a *normalize.Address) string {
	if strings.HasPrefix(a.Phone, "+") {
		return ""
	}
	return a.Phone
}

func tells(texts ...string) bool { return slices.ContainsFunc(texts, normalize.ContainsCardNumber) }

func numberless(s string) string {
	if normalize.ContainsCardNumber(s) {
		return ""
	}
	return s
}

// scrubError does the same for what a provider said of a failure. The error is a copy.
func scrubError(e *normalize.Error) {
	e.ProviderCode, e.RequestID = numberless(e.ProviderCode), numberless(e.RequestID)
	if e.Err != nil && normalize.ContainsCardNumber(e.Err.Error()) {
		e.Err = errors.New("[redacted]: its text holds what looks like a card number")
	}
}

// withoutNumber fails if a provider refers to what was stored by the number that it was
// sent. It has stored it, and what it calls it may not be written down.
func withoutNumber(ins adapters.Instrument, src *normalize.Source) (adapters.Instrument, error) {
	if src == nil || src.Card == nil {
		return ins, nil
	}
	number := src.Card.Number.Reveal()
	told := ins.Customer == number || ins.Identity == number
	for _, reference := range ins.References {
		told = told || reference == number
	}
	if !told {
		return ins, nil
	}
	return adapters.Instrument{}, &normalize.Error{
		Code: normalize.ProviderBadResponse, Outcome: normalize.Unknown, Msg: "the provider's answer cannot be used", Err: errTellsNumber,
	}
}
