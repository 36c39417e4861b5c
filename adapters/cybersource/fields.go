package cybersource

import (
	"slices"

	"github.com/polyvault/polyvault/normalize"
)

// fieldsOf translates the members that a refusal names. Those without a
// counterpart are left out; the provider's texts always are.
func fieldsOf(op string, e providerError) []normalize.FieldError {
	code, message := normalize.InvalidField, "the provider refuses the value"
	switch e.kind {
	case "missingFields", "MISSING_FIELD":
		code, message = normalize.MissingField, "the provider requires it"
	case "instrumentIdentifierNotFound", "instrumentIdentifierGone":
		return []normalize.FieldError{{
			Pointer: "/source/instrument_identifier", Code: code, Message: "the provider does not know it (any more)",
		}}
	}
	var fields []normalize.FieldError
	for _, d := range e.details {
		f := normalize.FieldError{Pointer: pointerOf(op, d), Code: code, Message: message}
		if f.Pointer == "/source/transient_token" {
			f.Code, f.Message = normalize.TokenExpired, "is expired, was used before, or belongs to another merchant"
		}
		if f.Pointer != "" && !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	return fields
}

// pointerOf returns the normalized pointer of one of the provider's members; "" if there is none.
func pointerOf(op string, d detail) string {
	if _, last, ok := cutLast(d.location); ok {
		d.location = last // "orderInformation.billTo"
	}
	if p := billToPointer(d.name); p != "" && (d.location == "billTo" || d.location == "") {
		return "/billing_address/" + p
	}
	switch d.location + "." + d.name {
	case "card.number":
		return "/source/number"
	case "card.expirationMonth", ".expirationMonth":
		return expiryOf(op) + "/exp_month"
	case "card.expirationYear", ".expirationYear":
		return expiryOf(op) + "/exp_year"
	case "card.type":
		return "/source"
	case "bankAccount.number":
		return "/source/account_number"
	case "bankAccount.routingNumber", ".routingNumber":
		return "/source/routing_number"
	case "bankAccount.type":
		return "/source/account_type"
	case "instrumentIdentifier.id":
		return "/source/instrument_identifier"
	case "tokenInformation.jti", "tokenInformation.transientTokenJwt":
		return "/source/transient_token"
	case "customer.id", "buyerInformation.merchantCustomerID":
		return "/customer_id"
	case "buyerInformation.email":
		return "/billing_address/email"
	case ".limit":
		return "/limit"
	case ".offset":
		return "/cursor"
	case ".default":
		return "/default"
	}
	return ""
}

func expiryOf(op string) string {
	if op == opCreate || op == opIdentifier {
		return "/source"
	}
	return "/card"
}

func billToPointer(name string) string {
	switch name {
	case "firstName":
		return "first_name"
	case "lastName":
		return "last_name"
	case "company":
		return "company"
	case "address1":
		return "line1"
	case "address2":
		return "line2"
	case "locality":
		return "city"
	case "administrativeArea":
		return "region"
	case "postalCode":
		return "postal_code"
	case "country":
		return "country"
	case "email":
		return "email"
	case "phoneNumber":
		return "phone"
	}
	return ""
}
