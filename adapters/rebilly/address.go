package rebilly

import (
	"strings"
	"unicode/utf8"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// maxName is how long Rebilly's firstName and lastName may be, in characters [S26].
const maxName = 45

// address maps a contact; nil if it holds nothing that an address has.
func (w wireContact) address() *normalize.Address {
	a := normalize.Address{
		FirstName: string(w.FirstName), LastName: string(w.LastName), Company: string(w.Organization),
		Line1: string(w.Address), Line2: string(w.Address2), City: string(w.City), Region: string(w.Region),
		PostalCode: string(w.PostalCode), Country: countryOf(w.Country),
		Email: preferred(w.Emails.Value), Phone: preferred(w.PhoneNumbers.Value),
	}
	if a == (normalize.Address{}) {
		return nil
	}
	return &a
}

// preferred returns the primary entry's value, or the first one's.
func preferred(entries []loose[labelled]) string {
	first := ""
	for _, e := range entries {
		if e.Value.Primary {
			return string(e.Value.Value)
		}
		if first == "" {
			first = string(e.Value.Value)
		}
	}
	return first
}

// addressMember pairs a member of an address with Rebilly's name for it.
type addressMember struct {
	name, word string // normalized, Rebilly's
	value      string
}

func addressMembers(a normalize.Address) []addressMember {
	return []addressMember{
		{"first_name", "firstName", a.FirstName},
		{"last_name", "lastName", a.LastName},
		{"company", "organization", a.Company},
		{"line1", "address", a.Line1},
		{"line2", "address2", a.Line2},
		{"city", "city", a.City},
		{"region", "region", a.Region},
		{"postal_code", "postalCode", a.PostalCode},
		{"country", "country", a.Country},
	}
}

// contact makes Rebilly's form of an address. Empty members are left out, since
// an empty string breaks Rebilly's patterns [S26].
func contact(a normalize.Address) map[string]any {
	out := map[string]any{}
	for _, m := range addressMembers(a) {
		if m.value != "" {
			out[m.word] = m.value
		}
	}
	if a.Email != "" {
		out["emails"] = mainEntry(a.Email)
	}
	if a.Phone != "" {
		out["phoneNumbers"] = mainEntry(a.Phone)
	}
	return out
}

// contactPatch makes an address that replaces the one there is. Whether Rebilly
// replaces or merges billingAddress in a PATCH is not documented, so that what is
// to be gone is written as null (each of these members is nullable; the lists are
// not, but may be empty) [S26]. What a normalized address does not hold, such as
// jobTitle or a second email, is lost where Rebilly replaces.
func contactPatch(a normalize.Address) map[string]any {
	out := contact(a)
	for _, m := range addressMembers(a) {
		if m.value == "" {
			out[m.word] = nil
		}
	}
	for word, value := range map[string]string{"emails": a.Email, "phoneNumbers": a.Phone} {
		if value == "" {
			out[word] = []any{}
		}
	}
	return out
}

func mainEntry(value string) []any {
	return []any{map[string]any{"label": "main", "value": value, "primary": true}}
}

// checkAddress finds what Rebilly's patterns refuse although a normalized
// address may hold it: characters outside the basic multilingual plane [S26].
func checkAddress(a *normalize.Address) []normalize.FieldError {
	if a == nil {
		return nil
	}
	var errs []normalize.FieldError
	for _, m := range append(addressMembers(*a), addressMember{name: "email", value: a.Email}, addressMember{name: "phone", value: a.Phone}) {
		if astral(m.value) {
			errs = append(errs, astralError("/billing_address/"+m.name))
		}
	}
	return errs
}

func astral(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r > 0xffff })
}

func astralError(pointer string) normalize.FieldError {
	return normalize.FieldError{
		Pointer: pointer, Code: normalize.InvalidField, Message: "the provider accepts no emoji or other characters above U+FFFF",
	}
}

// named returns the address with the holder's name where it has none of its own:
// Rebilly keeps the cardholder's name nowhere else.
func named(a *normalize.Address, holder string) (normalize.Address, []normalize.FieldError) {
	out := normalize.Address{}
	if a != nil {
		out = *a
	}
	if holder == "" || out.FirstName != "" || out.LastName != "" {
		return out, nil
	}
	if astral(holder) {
		return out, []normalize.FieldError{astralError("/source/holder_name")}
	}
	first, last, ok := splitName(holder)
	if !ok {
		return out, []normalize.FieldError{{
			Pointer: "/source/holder_name", Code: normalize.OutOfRange, Message: "the provider accepts a first and a last name of 45 characters each",
		}}
	}
	out.FirstName, out.LastName = first, last
	return out, nil
}

// splitName puts the first word into the first name and the rest into the last
// name, or more words into the first name if the rest would be too long.
func splitName(holder string) (first, last string, ok bool) {
	words := strings.Fields(holder)
	for i := 1; i <= len(words); i++ {
		first, last = strings.Join(words[:i], " "), strings.Join(words[i:], " ")
		if utf8.RuneCountInString(first) <= maxName && utf8.RuneCountInString(last) <= maxName {
			return first, last, true
		}
	}
	return "", "", len(words) == 0
}

// createBody makes the body of POST /payment-instruments: exactly one of its
// variants, never a mixture [S26].
func createBody(in adapters.CreateInput) (map[string]any, []normalize.FieldError) {
	body := map[string]any{"customerId": in.Customer}
	switch s := in.Source; {
	case s.Type == normalize.SourceRebillyToken && s.RebillyToken != nil:
		if errs := checkToken(s.RebillyToken.Token); errs != nil {
			return nil, errs
		}
		body["token"] = s.RebillyToken.Token.Reveal()
		return body, checkAddress(in.BillingAddress)
	case s.Type == normalize.SourceCard && s.Card != nil:
		body["method"] = methodCard
		body["pan"] = s.Card.Number.Reveal()
		body["expMonth"], body["expYear"] = s.Card.ExpMonth, s.Card.ExpYear
		if cvc := s.Card.CVC.Reveal(); cvc != "" {
			body["cvv"] = cvc
		}
		return withAddress(body, in.BillingAddress, s.Card.HolderName)
	case s.Type == normalize.SourceBankAccount && s.BankAccount != nil:
		bankBody(body, *s.BankAccount)
		return withAddress(body, in.BillingAddress, s.BankAccount.HolderName)
	}
	return nil, []normalize.FieldError{{
		Pointer: "/source/type", Code: normalize.UnsupportedSource, Message: "must be rebilly_token, card or bank_account for this provider",
	}}
}

func bankBody(body map[string]any, b normalize.BankAccountSource) {
	body["method"] = methodACH // for an IBAN as well
	if iban := b.IBAN.Reveal(); iban != "" {
		body["accountNumberType"], body["accountNumber"] = "IBAN", iban
		return
	}
	body["accountNumberType"], body["accountNumber"] = "BBAN", b.AccountNumber.Reveal()
	body["routingNumber"], body["accountType"] = b.RoutingNumber, accountTypeWord(b.AccountType)
}

// withAddress adds billingAddress, which the raw variants require even if
// nothing is known: then it is {}.
func withAddress(body map[string]any, a *normalize.Address, holder string) (map[string]any, []normalize.FieldError) {
	address, errs := named(a, holder)
	if errs = append(checkAddress(a), errs...); len(errs) > 0 {
		return nil, errs
	}
	body["billingAddress"] = contact(address)
	return body, nil
}

// patchBody makes the body of PATCH /payment-instruments/{id}: exactly one of
// the token, card and bank account variants, which cannot be mixed [S26]. An
// address alone is a body of all three.
func patchBody(in adapters.UpdateInput) (map[string]any, *normalize.Error) {
	body := map[string]any{}
	switch {
	case (in.ExpMonth == nil) != (in.ExpYear == nil):
		return nil, normalize.Invalid(normalize.FieldError{
			Pointer: "/card", Code: normalize.InvalidField, Message: "exp_month and exp_year can only be changed together",
		})
	case in.Source != nil && in.ExpMonth != nil:
		return nil, unsupported("the provider takes the expiry date from the token: send either")
	case in.Source != nil && (in.Source.Type != normalize.SourceRebillyToken || in.Source.RebillyToken == nil):
		return nil, normalize.Invalid(normalize.FieldError{
			Pointer: "/source/type", Code: normalize.UnsupportedSource, Message: "must be rebilly_token for this provider",
		})
	case in.Source != nil:
		if errs := checkToken(in.Source.RebillyToken.Token); errs != nil {
			return nil, normalize.Invalid(errs...)
		}
		body["token"] = in.Source.RebillyToken.Token.Reveal()
	case in.ExpMonth != nil:
		body["expMonth"], body["expYear"] = *in.ExpMonth, *in.ExpYear
	}
	if errs := checkAddress(in.BillingAddress); errs != nil {
		return nil, normalize.Invalid(errs...)
	}
	switch {
	case in.BillingAddress != nil:
		body["billingAddress"] = contactPatch(*in.BillingAddress)
	case in.ClearBillingAddress:
		body["billingAddress"] = contactPatch(normalize.Address{})
	}
	return body, nil
}
