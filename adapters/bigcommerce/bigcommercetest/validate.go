package bigcommercetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// The kinds of instruments, in the management API's words.
const (
	kindCard   = "credit_card"
	kindPayPal = "paypal_account"
	kindBank   = "bank_account"
)

func chargeWord(kind string) string {
	switch kind {
	case kindCard:
		return "stored_card"
	case kindPayPal:
		return "stored_paypal_account"
	default:
		return "stored_bank_account"
	}
}

// upperBrand is the customer API's word for an imported brand.
func upperBrand(brand string) string {
	switch brand {
	case "american_express":
		return "AMEX"
	default:
		return strings.ToUpper(brand)
	}
}

var (
	methodPattern = regexp.MustCompile(`^[a-z0-9_]+\.[a-z0-9_]+$`)
	digitsPattern = regexp.MustCompile(`^[0-9]+$`)
)

// Messages as other V3 resources of the provider were seen to write them.
const (
	missing     = "error.path.missing"
	notNumber   = "error.expected.jsnumber"
	notString   = "error.expected.jsstring"
	notObject   = "error.expected.jsobject"
	notArray    = "error.expected.jsarray"
	notBoolean  = "error.expected.jsboolean"
	notAccepted = "error.invalid"
)

// object is a JSON object that is being validated; what is wrong is collected in
// errs under prefix and the member's name.
type object struct {
	members map[string]any
	prefix  string
	errs    map[string]string
}

func (o object) fail(name, message string) { o.errs[o.prefix+name] = message }

func (o object) has(name string) bool {
	_, ok := o.members[name]
	return ok
}

// text returns a string member. null is not a string.
func (o object) text(name string, required bool) string {
	v, ok := o.members[name]
	if !ok {
		if required {
			o.fail(name, missing)
		}
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		o.fail(name, notString)
	case required && s == "":
		o.fail(name, "is required")
	}
	return s
}

// integer returns a required integer member.
func (o object) integer(name string) int {
	v, ok := o.members[name]
	if !ok {
		o.fail(name, missing)
		return 0
	}
	n, ok := v.(json.Number)
	if !ok {
		o.fail(name, notNumber)
		return 0
	}
	i, err := strconv.Atoi(n.String())
	if err != nil {
		o.fail(name, notNumber)
	}
	return i
}

func (o object) boolean(name string) bool {
	v, ok := o.members[name]
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		o.fail(name, notBoolean)
	}
	return b
}

// child returns an object member; false if there is none or it is none.
func (o object) child(name string, required bool) (object, bool) {
	v, ok := o.members[name]
	if !ok {
		if required {
			o.fail(name, missing)
		}
		return object{}, false
	}
	m, ok := v.(map[string]any)
	if !ok {
		o.fail(name, notObject)
		return object{}, false
	}
	return object{members: m, prefix: o.prefix + name + ".", errs: o.errs}, true
}

// address is a stored billing address, in the names of requests.
type address map[string]string

// address reads a billing or shipping address of a request. Unknown names are not refused, but lost.
func (o object) address() address {
	out := address{}
	for _, name := range []string{
		"first_name", "last_name", "email", "company", "street_1", "street_2", "city",
		"state_or_province", "state_or_province_code", "country_code", "phone", "postal_code",
	} {
		out[name] = o.text(name, false)
	}
	if c := out["country_code"]; c != "" && !normalize.ValidCountry(c) {
		o.fail("country_code", notAccepted)
	}
	return out
}

// answer translates the names of requests to those of answers.
func (a address) answer() map[string]any {
	out := map[string]any{}
	for name, value := range a {
		switch name {
		case "street_1":
			name = "address1"
		case "street_2":
			name = "address2"
		}
		out[name] = value
	}
	return out
}

// shipping checks the optional list of trusted shipping addresses, which nothing shows again.
func (o object) shipping() {
	v, ok := o.members["trusted_shipping_addresses"]
	if !ok {
		return
	}
	list, ok := v.([]any)
	if !ok {
		o.fail("trusted_shipping_addresses", notArray)
		return
	}
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			o.fail("trusted_shipping_addresses["+strconv.Itoa(i)+"]", notObject)
			continue
		}
		object{members: m, prefix: o.prefix + "trusted_shipping_addresses[" + strconv.Itoa(i) + "].", errs: o.errs}.address()
	}
}

// decode reads one JSON value with its numbers as they are written.
func decode(body []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, errors.Is(err, io.EOF)
}
