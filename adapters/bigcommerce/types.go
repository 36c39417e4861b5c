package bigcommerce

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Requests. They are written strictly: the names of request addresses differ
// from those of answers, and a wrong name is accepted without a word by the provider.

// importItem is one element of POST /payments/stored-instruments.
// Trusted shipping addresses are optional there and not sent.
type importItem struct {
	PaymentMethodID   string           `json:"payment_method_id"`
	CurrencyCode      string           `json:"currency_code"`
	CustomerID        json.Number      `json:"customer_id"` // a number: a string answers 422
	Instrument        importInstrument `json:"instrument"`
	BillingAddress    addressRequest   `json:"billing_address"` // required for every type
	DefaultInstrument bool             `json:"default_instrument,omitempty"`
}

// importInstrument holds the members of all three kinds; those of the others stay out.
type importInstrument struct {
	VaultToken          string `json:"vault_token"`
	ProviderCustomerID  string `json:"provider_customer_id,omitempty"`
	Type                string `json:"type"`
	Brand               string `json:"brand,omitempty"`
	ExpiryYear          int    `json:"expiry_year,omitempty"` // four digits
	ExpiryMonth         int    `json:"expiry_month,omitempty"`
	Last4               string `json:"last_4,omitempty"`
	IIN                 string `json:"iin,omitempty"`
	Email               string `json:"email,omitempty"`
	Issuer              string `json:"issuer,omitempty"`
	MaskedAccountNumber string `json:"masked_account_number,omitempty"`
}

// addressRequest is the shape of addresses in requests. Empty members are sent
// as "", which also clears what a merge of an update would keep. The name of the
// state is in the reference's example only, not in its schema, so it stays out
// unless there is no code for it.
type addressRequest struct {
	FirstName           string `json:"first_name"`
	LastName            string `json:"last_name"`
	Email               string `json:"email"`
	Company             string `json:"company"`
	Street1             string `json:"street_1"`
	Street2             string `json:"street_2"`
	City                string `json:"city"`
	StateOrProvince     string `json:"state_or_province,omitempty"`
	StateOrProvinceCode string `json:"state_or_province_code"`
	CountryCode         string `json:"country_code"`
	Phone               string `json:"phone"`
	PostalCode          string `json:"postal_code"`
}

// updateRequest is the body of PUT /payments/stored-instruments.
type updateRequest struct {
	Token          string          `json:"token"`
	BillingAddress *addressRequest `json:"billing_address,omitempty"`
	// TrustedShipping is optional in the current reference and required in an
	// older one. It cannot be read back, so it is sent, empty, only if it is asked for.
	TrustedShipping *[]addressRequest `json:"trusted_shipping_addresses,omitempty"`
	MakeDefault     bool              `json:"make_default,omitempty"`
	IsDefault       bool              `json:"is_default,omitempty"`
}

// Answers. Every member is optional by the published schema, and is read as such.

// row is an instrument in any answer: management rows and customer rows have
// different names for the BIN and other words for type and brand.
type row struct {
	CustomerID          text            `json:"customer_id"` // management rows only
	Token               text            `json:"token"`
	Type                text            `json:"type"`
	IsDefault           flag            `json:"is_default"`
	Brand               text            `json:"brand"`
	ExpiryMonth         number          `json:"expiry_month"`
	ExpiryYear          number          `json:"expiry_year"`
	IIN                 text            `json:"iin"`                          // management rows
	IssuerID            text            `json:"issuer_identification_number"` // customer rows
	Last4               text            `json:"last_4"`
	Email               text            `json:"email"`
	Issuer              text            `json:"issuer"`
	MaskedAccountNumber text            `json:"masked_account_number"`
	BillingAddress      json.RawMessage `json:"billing_address"` // an addressAnswer, or an empty array for none
}

// addressAnswer is the shape of addresses in answers.
type addressAnswer struct {
	FirstName           text `json:"first_name"`
	LastName            text `json:"last_name"`
	Email               text `json:"email"`
	Company             text `json:"company"`
	Address1            text `json:"address1"`
	Address2            text `json:"address2"`
	City                text `json:"city"`
	StateOrProvince     text `json:"state_or_province"`
	StateOrProvinceCode text `json:"state_or_province_code"`
	CountryCode         text `json:"country_code"`
	Phone               text `json:"phone"`
	PostalCode          text `json:"postal_code"`
}

// envelope is {"data": …, "errors": …, "meta": …}.
type envelope struct {
	Data   json.RawMessage `json:"data"`
	Errors json.RawMessage `json:"errors"`
	Meta   json.RawMessage `json:"meta"`
}

type listMeta struct {
	Pagination *struct {
		Total       *number `json:"total"`
		CurrentPage number  `json:"current_page"`
		TotalPages  number  `json:"total_pages"`
		Links       *links  `json:"links"`
	} `json:"pagination"`
	CursorPagination *struct {
		PerPage   number `json:"per_page"`
		EndCursor text   `json:"end_cursor"`
		Links     *links `json:"links"`
	} `json:"cursor_pagination"`
}

type links struct {
	Next text `json:"next"` // a query string with its "?"
}

// batchMeta counts the items of an import or a bulk delete.
type batchMeta struct {
	Total   *number `json:"total"`
	Success *number `json:"success"`
	Failed  *number `json:"failed"`
}

// baseError is the provider's error form, and the {code, message} of its edge.
type baseError struct {
	Status  number          `json:"status"`
	Title   text            `json:"title"`
	Code    number          `json:"code"`
	Message text            `json:"message"`
	Errors  json.RawMessage `json:"errors"` // field path to message; an array in batches
}

// text reads a string, or a number as it is written; anything else is "".
type text string

// UnmarshalJSON implements [json.Unmarshaler]. It never fails: one odd member
// must not make an instrument unreadable.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
	} else if _, err := strconv.ParseFloat(string(b), 64); err == nil {
		*t = text(b)
	}
	return nil
}

// number reads an integer, also one in a string; anything else is 0.
type number int

// UnmarshalJSON implements [json.Unmarshaler]. It never fails.
func (n *number) UnmarshalJSON(b []byte) error {
	*n = 0
	var t text
	_ = t.UnmarshalJSON(b)
	s, _ := strings.CutSuffix(strings.TrimSpace(string(t)), ".0")
	if v, err := strconv.Atoi(s); err == nil {
		*n = number(v)
	}
	return nil
}

// flag reads a boolean, also as "true" or 1; anything else is false.
type flag bool

// UnmarshalJSON implements [json.Unmarshaler]. It never fails.
func (f *flag) UnmarshalJSON(b []byte) error {
	s := string(bytes.Trim(b, `"`))
	*f = s == "true" || s == "1"
	return nil
}
