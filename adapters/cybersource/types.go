package cybersource

import (
	"encoding/json"
	"strings"
)

// What is read. Every member is optional and none may fail the whole answer:
// the official examples themselves send "true" for true and leave out members.

// text reads a string, or a number or boolean as its literal; anything else is "".
type text string

// UnmarshalJSON implements [json.Unmarshaler]. It never fails.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	switch {
	case json.Unmarshal(b, &s) == nil:
		*t = text(s)
	case len(b) > 0 && b[0] != '{' && b[0] != '[' && b[0] != '"':
		*t = text(b)
	default:
		*t = ""
	}
	return nil
}

// isTrue reads a boolean that may be spelled as a string.
func (t text) isTrue() bool { return strings.EqualFold(string(t), "true") }

// optional reads a T, or nothing where the answer has something else in its place.
type optional[T any] struct{ v *T }

// UnmarshalJSON implements [json.Unmarshaler]. It never fails.
func (o *optional[T]) UnmarshalJSON(b []byte) error {
	var v *T
	if json.Unmarshal(b, &v) == nil {
		o.v = v
	}
	return nil
}

// or returns the value, or the zero T if there is none.
func (o optional[T]) or() T {
	if o.v == nil {
		var zero T
		return zero
	}
	return *o.v
}

type idBody struct {
	ID text `json:"id"`
}

type cardBody struct {
	Number          text `json:"number"` // masked; instrument identifiers only
	ExpirationMonth text `json:"expirationMonth"`
	ExpirationYear  text `json:"expirationYear"`
	Type            text `json:"type"` // three digits (v2) or words (v1)
}

type bankBody struct {
	Number        text `json:"number"` // masked; instrument identifiers only
	RoutingNumber text `json:"routingNumber"`
	Type          text `json:"type"` // a word or its letter
}

type billToBody struct {
	FirstName          text `json:"firstName"`
	LastName           text `json:"lastName"`
	Company            text `json:"company"`
	Address1           text `json:"address1"`
	Address2           text `json:"address2"`
	Locality           text `json:"locality"`
	AdministrativeArea text `json:"administrativeArea"`
	PostalCode         text `json:"postalCode"`
	Country            text `json:"country"`
	Email              text `json:"email"`
	PhoneNumber        text `json:"phoneNumber"`
}

type identifierBody struct {
	ID          text               `json:"id"`
	State       text               `json:"state"`
	Card        optional[cardBody] `json:"card"`
	BankAccount optional[bankBody] `json:"bankAccount"`
}

type instrumentBody struct {
	ID                   text                 `json:"id"`
	State                text                 `json:"state"`
	Default              text                 `json:"default"`
	Card                 optional[cardBody]   `json:"card"`
	BankAccount          optional[bankBody]   `json:"bankAccount"`
	BillTo               optional[billToBody] `json:"billTo"`
	InstrumentIdentifier optional[idBody]     `json:"instrumentIdentifier"`
	Embedded             optional[struct {
		InstrumentIdentifier optional[identifierBody] `json:"instrumentIdentifier"`
	}] `json:"_embedded"`
}

// identifier returns the instrument identifier that the answer carries; its zero value if none.
func (b instrumentBody) identifier() identifierBody {
	return b.Embedded.or().InstrumentIdentifier.or()
}

type listBody struct {
	Total optional[int64] `json:"total"`
	Links optional[struct {
		Next optional[struct {
			Href text `json:"href"`
		}] `json:"next"`
	}] `json:"_links"`
	Embedded optional[struct {
		PaymentInstruments []optional[instrumentBody] `json:"paymentInstruments"`
	}] `json:"_embedded"`
}

type customerBody struct {
	ID               text `json:"id"`
	BuyerInformation optional[struct {
		MerchantCustomerID text `json:"merchantCustomerID"`
		Email              text `json:"email"`
	}] `json:"buyerInformation"`
	DefaultPaymentInstrument optional[idBody] `json:"defaultPaymentInstrument"`
}

type paymentBody struct {
	ID               text `json:"id"`
	Status           text `json:"status"`
	TokenInformation optional[struct {
		PaymentInstrument    optional[idBody] `json:"paymentInstrument"`
		InstrumentIdentifier optional[idBody] `json:"instrumentIdentifier"`
	}] `json:"tokenInformation"`
	ErrorInformation optional[struct {
		Reason text `json:"reason"`
	}] `json:"errorInformation"`
}

// What is written.

type identifierRequest struct {
	Card        *cardNumber    `json:"card,omitempty"`
	BankAccount *accountNumber `json:"bankAccount,omitempty"`
}

type cardNumber struct {
	Number string `json:"number"`
}

type accountNumber struct {
	Number        string `json:"number"`
	RoutingNumber string `json:"routingNumber"`
}

type instrumentRequest struct {
	Default               bool            `json:"default,omitempty"`
	Card                  *cardRequest    `json:"card,omitempty"`
	BankAccount           *accountRequest `json:"bankAccount,omitempty"`
	BuyerInformation      *buyerRequest   `json:"buyerInformation,omitempty"`
	BillTo                *billToRequest  `json:"billTo,omitempty"`
	ProcessingInformation *bankProcessing `json:"processingInformation,omitempty"`
	InstrumentIdentifier  idRequest       `json:"instrumentIdentifier"`
}

type idRequest struct {
	ID string `json:"id"`
}

type cardRequest struct {
	ExpirationMonth string `json:"expirationMonth,omitempty"` // "MM"
	ExpirationYear  string `json:"expirationYear,omitempty"`  // "YYYY"
	Type            string `json:"type,omitempty"`            // three digits
}

type accountRequest struct {
	Type string `json:"type"`
}

type buyerRequest struct {
	MerchantCustomerID string `json:"merchantCustomerID,omitempty"`
	Email              string `json:"email,omitempty"`
	Currency           string `json:"currency,omitempty"`
}

type bankProcessing struct {
	BankTransferOptions struct {
		SECCode string `json:"SECCode"`
	} `json:"bankTransferOptions"`
}

type billToRequest struct {
	FirstName          string `json:"firstName,omitempty"`
	LastName           string `json:"lastName,omitempty"`
	Company            string `json:"company,omitempty"`
	Address1           string `json:"address1,omitempty"`
	Address2           string `json:"address2,omitempty"`
	Locality           string `json:"locality,omitempty"`
	AdministrativeArea string `json:"administrativeArea,omitempty"`
	PostalCode         string `json:"postalCode,omitempty"`
	Country            string `json:"country,omitempty"`
	Email              string `json:"email,omitempty"`
	PhoneNumber        string `json:"phoneNumber,omitempty"`
}

type customerRequest struct {
	BuyerInformation           buyerRequest `json:"buyerInformation"`
	ClientReferenceInformation codeRequest  `json:"clientReferenceInformation"`
}

type codeRequest struct {
	Code string `json:"code"` // up to 50
}

type paymentRequest struct {
	ProcessingInformation struct {
		ActionList       []string `json:"actionList"`
		ActionTokenTypes []string `json:"actionTokenTypes"`
		Capture          bool     `json:"capture"`
	} `json:"processingInformation"`
	PaymentInformation struct {
		Customer idRequest `json:"customer"`
	} `json:"paymentInformation"`
	OrderInformation struct {
		AmountDetails struct {
			TotalAmount string `json:"totalAmount"`
			Currency    string `json:"currency"`
		} `json:"amountDetails"`
		BillTo *billToRequest `json:"billTo,omitempty"`
	} `json:"orderInformation"`
	TokenInformation struct {
		TransientTokenJWT string                 `json:"transientTokenJwt"`
		PaymentInstrument *defaultInstrumentFlag `json:"paymentInstrument,omitempty"`
	} `json:"tokenInformation"`
}

type defaultInstrumentFlag struct {
	Default bool `json:"default"`
}
