package rebilly

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/polyvault/polyvault/adapters/internal/rest"
)

// wireInstrument is what is read of a payment instrument, any method. Rebilly
// asks clients to tolerate members they do not know and has changed types
// before, so nothing but an object without an id is refused.
type wireInstrument struct {
	ID            text                     `json:"id"`
	CustomerID    text                     `json:"customerId"`
	Method        text                     `json:"method"`
	Status        text                     `json:"status"`
	BIN           text                     `json:"bin"`
	Last4         text                     `json:"last4"`
	ExpYear       number                   `json:"expYear"`
	ExpMonth      number                   `json:"expMonth"`
	Brand         text                     `json:"brand"`
	BankCountry   text                     `json:"bankCountry"`
	BankName      text                     `json:"bankName"`
	RoutingNumber text                     `json:"routingNumber"`
	AccountType   text                     `json:"accountType"`
	Username      text                     `json:"username"` // PayPal
	Address       loose[wireContact]       `json:"billingAddress"`
	CreatedTime   text                     `json:"createdTime"`
	UpdatedTime   text                     `json:"updatedTime"`
	Revision      number                   `json:"revision"`
	Embedded      rest.OneOrMany[embedded] `json:"_embedded"`
}

// wireContact is Rebilly's ContactObject.
type wireContact struct {
	FirstName    text                     `json:"firstName"`
	LastName     text                     `json:"lastName"`
	Organization text                     `json:"organization"`
	Address      text                     `json:"address"`
	Address2     text                     `json:"address2"`
	City         text                     `json:"city"`
	Region       text                     `json:"region"`
	Country      text                     `json:"country"`
	PostalCode   text                     `json:"postalCode"`
	PhoneNumbers loose[[]loose[labelled]] `json:"phoneNumbers"`
	Emails       loose[[]loose[labelled]] `json:"emails"`
}

// labelled is an entry of emails or phoneNumbers.
type labelled struct {
	Value   text `json:"value"`
	Primary flag `json:"primary"`
}

// wireCustomer is what is read of a customer.
type wireCustomer struct {
	ID      text               `json:"id"`
	Default loose[wireDefault] `json:"defaultPaymentInstrument"`
}

type wireDefault struct {
	PaymentInstrumentID text `json:"paymentInstrumentId"`
}

// text is a string that may come as null, a number or something else; what is
// neither a string nor a number reads as "".
type text string

// UnmarshalJSON implements [json.Unmarshaler]. It never fails.
func (t *text) UnmarshalJSON(b []byte) error {
	var str string
	switch {
	case plain(b):
		*t = text(b[1 : len(b)-1])
	case len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9'): // a number, as it is written
		*t = text(b)
	case rest.Unmarshal(b, &str) == nil:
		*t = text(str)
	default:
		*t = ""
	}
	return nil
}

// plain reports whether b is a string that stands for itself, as nearly all do:
// no escapes, ASCII.
func plain(b []byte) bool {
	return len(b) >= 2 && b[0] == '"' && bytes.IndexFunc(b, func(r rune) bool { return r == '\\' || r >= utf8.RuneSelf }) < 0
}

// time reads an RFC 3339 date-time as UTC; zero if it is none.
func (t text) time() time.Time {
	at, err := time.Parse(time.RFC3339Nano, string(t))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// number is an integer that may come as a string ("02" was seen) or null; what
// is not a number reads as 0.
type number int

// UnmarshalJSON implements [json.Unmarshaler]. It never fails.
func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(b), `" `))
	if err != nil {
		v = 0
	}
	*n = number(v)
	return nil
}

// flag is a boolean; everything but true reads as false.
type flag bool

// UnmarshalJSON implements [json.Unmarshaler]. It never fails.
func (f *flag) UnmarshalJSON(b []byte) error {
	*f = flag(bytes.Equal(b, []byte("true")))
	return nil
}

// loose is a T that reads as unset when the JSON is null or of another type.
type loose[T any] = rest.Loose[T]

// embedded holds the customer that expand=customer brings along. Today
// _embedded is an object keyed by name [S26]; it was an array of objects with
// one key each [S21].
type embedded struct {
	Customer loose[wireCustomer] `json:"customer"`
}

// customer is the one that the answer brought along; unset if it brought none.
func (w wireInstrument) customer() loose[wireCustomer] {
	for _, e := range w.Embedded {
		if e.Customer.Set {
			return e.Customer
		}
	}
	return loose[wireCustomer]{}
}
