package bigcommerce

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// The names of references.
const (
	refCustomer      = "customer"          // the store's customer id, an integer
	refToken         = "token"             // the stored instrument
	refPaymentMethod = "payment_method_id" // needed to charge; no read shows it
	refVaultCustomer = "vault_customer"    // provider_customer_id at import; no read shows it
)

var (
	errNoToken     = errors.New("an instrument without a token")
	errNoType      = errors.New("an instrument without a type")
	errOtherToken  = errors.New("another instrument than the one that was asked for")
	errOtherHolder = errors.New("an instrument of another customer")
	errNoData      = errors.New("no data member of the expected kind")
)

// stateCode is an ISO 3166-2 subdivision code without its country.
var stateCode = regexp.MustCompile(`^[A-Z0-9]{1,3}$`)

// typeNames returns the provider's two words for a type. The management API's
// "bank_account" is inferred from its prose.
//
// Source: reference "Stored Instruments" (management), customers.v3 StoredInstrument (charge).
func typeNames(t normalize.Type) (management, charge string) {
	switch t {
	case normalize.TypeCard:
		return "credit_card", "stored_card"
	case normalize.TypePayPal:
		return "paypal_account", "stored_paypal_account"
	case normalize.TypeBankAccount:
		return "bank_account", "stored_bank_account"
	default:
		return "", ""
	}
}

// typeOf reads either word for a type.
func typeOf(word text) normalize.Type {
	for _, t := range normalize.Types() {
		if m, c := typeNames(t); m != "" && (strings.EqualFold(string(word), m) || strings.EqualFold(string(word), c)) {
			return t
		}
	}
	return normalize.TypeOther
}

// foldBrand makes MASTER_CARD, "Master Card" and mastercard one word.
func foldBrand(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
}

// brandOf reads a brand. There is no published list: management rows have lower
// case words, customer rows upper case, and the provider's own checkout knows the
// aliases here beside the plain names.
//
// Source: payments.v3 instrument_type; bigcommerce/checkout-js credit card mapping.
func brandOf(word string) normalize.Brand {
	folded := foldBrand(word)
	switch folded {
	case "americanexpress":
		return normalize.Amex
	case "master":
		return normalize.Mastercard
	case "dinersclub":
		return normalize.Diners
	}
	for _, b := range normalize.Brands() {
		if foldBrand(string(b)) == folded {
			return b
		}
	}
	return normalize.BrandOther
}

// brandName is the word to send for a brand: lower case with underscores. A
// brand that is not known stays out, since the provider lists what it is given.
func brandName(b normalize.Brand) string {
	switch b {
	case normalize.Amex:
		return "american_express"
	case normalize.Diners:
		return "diners_club"
	case normalize.BrandOther:
		return ""
	default:
		return string(b)
	}
}

// importOf makes the import item. in has been checked by checkCreate.
func importOf(in adapters.CreateInput) importItem {
	s := in.Source.VaultedToken
	kind, _ := typeNames(s.InstrumentType)
	ins := importInstrument{VaultToken: s.VaultToken.Reveal(), ProviderCustomerID: s.ProviderCustomerID, Type: kind}
	switch s.InstrumentType {
	case normalize.TypeCard:
		ins.Brand, ins.IIN, ins.Last4 = brandName(s.Brand), s.BIN, s.Last4
		ins.ExpiryMonth, ins.ExpiryYear = s.ExpMonth, normalize.FullYear(s.ExpYear)
	case normalize.TypePayPal:
		ins.Email = s.Email
	case normalize.TypeBankAccount:
		ins.Issuer, ins.MaskedAccountNumber = s.Issuer, s.MaskedAccountNumber
	default:
	}
	return importItem{
		PaymentMethodID: s.PaymentMethodID, CurrencyCode: s.Currency, CustomerID: json.Number(in.Customer),
		Instrument: ins, BillingAddress: addressTo(*in.BillingAddress), DefaultInstrument: in.Default,
	}
}

// addressTo writes an address in the names of requests.
func addressTo(a normalize.Address) addressRequest {
	out := addressRequest{
		FirstName: a.FirstName, LastName: a.LastName, Email: a.Email, Company: a.Company,
		Street1: a.Line1, Street2: a.Line2, City: a.City,
		CountryCode: a.Country, Phone: a.Phone, PostalCode: a.PostalCode,
	}
	if stateCode.MatchString(a.Region) {
		out.StateOrProvinceCode = a.Region
	} else {
		out.StateOrProvince = a.Region
	}
	return out
}

// addressFrom reads an address in the names of answers; nil if there is none.
func addressFrom(raw json.RawMessage) *normalize.Address {
	var in addressAnswer
	if json.Unmarshal(raw, &in) != nil {
		return nil // absent, or PHP's empty array for an empty object
	}
	a := normalize.Address{
		FirstName: string(in.FirstName), LastName: string(in.LastName), Company: string(in.Company),
		Line1: string(in.Address1), Line2: string(in.Address2), City: string(in.City),
		Region: string(in.StateOrProvinceCode), PostalCode: string(in.PostalCode),
		Email: string(in.Email), Phone: string(in.Phone),
	}
	if country := strings.ToUpper(string(in.CountryCode)); normalize.ValidCountry(country) {
		a.Country = country
	}
	if a.Region == "" {
		a.Region = string(in.StateOrProvince)
	}
	if a == (normalize.Address{}) {
		return nil
	}
	return &a
}

// instrumentFrom reads a row. ref carries what no row shows: the customer in
// customer rows, and the method and vault customer of the import in every row.
// Members that ref does not have are taken from the row alone.
func instrumentFrom(r row, ref normalize.References, now time.Time) (adapters.Instrument, error) {
	token, customer := string(r.Token), string(r.CustomerID)
	switch {
	case token == "":
		token = ref[refToken] // an answer to a write need not repeat it
	case ref[refToken] != "" && ref[refToken] != token:
		return adapters.Instrument{}, errOtherToken
	}
	switch {
	case customer == "" || customer == "0":
		customer = ref[refCustomer]
	case ref[refCustomer] != "" && ref[refCustomer] != customer:
		return adapters.Instrument{}, errOtherHolder
	}
	if !tokenPattern.MatchString(token) {
		return adapters.Instrument{}, errNoToken
	}
	if r.Type == "" {
		return adapters.Instrument{}, errNoType
	}
	out := adapters.Instrument{
		References: normalize.References{refToken: token},
		Customer:   customer, Type: typeOf(r.Type), Status: normalize.StatusActive, Default: bool(r.IsDefault),
		BillingAddress: addressFrom(r.BillingAddress),
	}
	for name, value := range map[string]string{
		refCustomer: customer, refPaymentMethod: ref[refPaymentMethod], refVaultCustomer: ref[refVaultCustomer],
	} {
		if value != "" {
			out.References[name] = value
		}
	}
	fill(&out, r, now)
	return out, nil
}

// fill sets the part that belongs to the type, and the status, which the
// provider does not have: an instrument is active until its card expires.
func fill(out *adapters.Instrument, r row, now time.Time) {
	switch out.Type {
	case normalize.TypeCard:
		out.Card = cardFrom(r)
		if normalize.Expired(out.Card.ExpMonth, out.Card.ExpYear, now) {
			out.Status = normalize.StatusExpired
		}
	case normalize.TypePayPal:
		out.PayPal = &normalize.PayPal{Email: string(r.Email)}
	case normalize.TypeBankAccount:
		out.BankAccount = &normalize.BankAccount{
			Last4: maskedTail(string(r.MaskedAccountNumber)), BankName: string(r.Issuer),
		}
	default:
	}
}

func cardFrom(r row) *normalize.Card {
	c := &normalize.Card{Brand: brandOf(string(r.Brand))}
	for _, bin := range []text{r.IIN, r.IssuerID} {
		if s := string(bin); digits(s) && (len(s) == 6 || len(s) == 8) {
			c.BIN = s
			break
		}
	}
	if s := string(r.Last4); digits(s) && len(s) == 4 {
		c.Last4 = s
	}
	if m := int(r.ExpiryMonth); m >= 1 && m <= 12 {
		c.ExpMonth = m
	}
	// Published examples have two-digit and four-digit years.
	if y := normalize.FullYear(int(r.ExpiryYear)); y >= 2000 && y <= 9999 {
		c.ExpYear = y
	}
	return c
}

// maskedTail returns the digits that end a masked account number, at most 4.
// "12XXX56" shows two and gets two.
func maskedTail(s string) string {
	tail := s[len(strings.TrimRight(s, "0123456789")):]
	return tail[max(0, len(tail)-4):]
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// rowsOf reads the rows of a list, a bare array or a data envelope. An answer
// that is neither is an error: no conclusion may be drawn about what it lacks.
func rowsOf(body []byte) ([]row, envelope, error) {
	var e envelope
	raw := bytes.TrimSpace(body)
	if !bytes.HasPrefix(raw, []byte("[")) {
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, e, errNoData
		}
		raw = e.Data
	}
	var elements []*row
	if !bytes.HasPrefix(raw, []byte("[")) || json.Unmarshal(raw, &elements) != nil {
		return nil, e, errNoData
	}
	rows := make([]row, 0, len(elements))
	for _, r := range elements {
		if r == nil {
			return nil, e, errNoData
		}
		rows = append(rows, *r)
	}
	return rows, e, nil
}

// rowOf reads the row of an answer to an update: an object, or an array of one.
func rowOf(body []byte) (row, error) {
	var e envelope
	if json.Unmarshal(body, &e) != nil {
		return row{}, errNoData
	}
	if rows, _, err := rowsOf(body); err == nil && len(rows) == 1 {
		return rows[0], nil
	}
	var r row
	if !bytes.HasPrefix(bytes.TrimSpace(e.Data), []byte("{")) || json.Unmarshal(e.Data, &r) != nil {
		return row{}, errNoData
	}
	return r, nil
}

// validID reports whether s is a customer or order id as the API writes it. Ten
// digits are far more than any store has, and fewer than any card number.
func validID(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && len(s) <= 10 && strconv.Itoa(n) == s
}
