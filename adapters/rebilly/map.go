package rebilly

import (
	"strconv"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// The kinds of reference in an instrument's References.
const (
	refInstrument = "instrument"
	refCustomer   = "customer"
)

// Rebilly's words for methods that have a normalized type [S26]. There are some
// 165 others, with new ones appearing: they read as TypeOther.
const (
	methodCard   = "payment-card"
	methodACH    = "ach"
	methodECheck = "echeck" // what tokens may say for ach
	methodPayPal = "paypal"
)

// instrument maps an instrument as Rebilly shows it. Default is filled in from
// the embedded customer, if there is one.
func (w wireInstrument) instrument() adapters.Instrument {
	out := adapters.Instrument{
		References:     normalize.References{refInstrument: string(w.ID)},
		Customer:       string(w.CustomerID),
		Type:           typeOf(string(w.Method)),
		Status:         statusOf(string(w.Status)),
		ProviderStatus: string(w.Status),
		Default:        w.customer().Value.isDefault(string(w.ID)),
		CreatedAt:      w.CreatedTime.time(),
		UpdatedAt:      w.UpdatedTime.time(),
	}
	if w.CustomerID != "" {
		out.References[refCustomer] = string(w.CustomerID)
	}
	if w.Revision > 0 {
		out.Version = strconv.Itoa(int(w.Revision))
	}
	if w.Address.Set {
		out.BillingAddress = w.Address.Value.address()
	}
	switch out.Type {
	case normalize.TypeCard:
		out.Card = w.card()
	case normalize.TypeBankAccount:
		out.BankAccount = w.bankAccount()
	case normalize.TypePayPal:
		out.PayPal = &normalize.PayPal{Email: string(w.Username)}
	case normalize.TypeOther:
	}
	// Identity stays empty: Rebilly's fingerprint is made from bin and last4 only
	// [S26], so that two different cards can share one.
	return out
}

// isDefault reports whether the customer pays with the instrument by default.
func (w wireCustomer) isDefault(instrument string) bool {
	return instrument != "" && string(w.Default.Value.PaymentInstrumentID) == instrument
}

func typeOf(method string) normalize.Type {
	switch method {
	case methodCard:
		return normalize.TypeCard
	case methodACH, methodECheck:
		return normalize.TypeBankAccount
	case methodPayPal:
		return normalize.TypePayPal
	}
	return normalize.TypeOther
}

// statusOf maps Rebilly's status. A freshly stored, perfectly usable instrument
// is "inactive" there, which only says that no transaction was approved yet
// [DOC]. A word that is not known reads as pending: nobody should be led to
// charge an instrument because of a word that nobody understood.
func statusOf(status string) normalize.Status {
	switch status {
	case "active", "inactive":
		return normalize.StatusActive
	case "verification-needed":
		return normalize.StatusVerificationNeeded
	case "expired":
		return normalize.StatusExpired
	case "deactivated":
		return normalize.StatusDeactivated
	}
	return normalize.StatusPending
}

func (w wireInstrument) card() *normalize.Card {
	c := &normalize.Card{
		Brand: brandOf(string(w.Brand)), BIN: leading(string(w.BIN), 6), Last4: trailing(string(w.Last4), 4),
		IssuerCountry: countryOf(w.BankCountry), IssuerName: string(w.BankName),
	}
	if c.Brand == "" {
		c.Brand = normalize.BrandOf(c.BIN)
	}
	if month, year := int(w.ExpMonth), normalize.FullYear(int(w.ExpYear)); month >= 1 && month <= 12 && year >= 2000 && year <= 9999 {
		c.ExpMonth, c.ExpYear = month, year
	}
	return c
}

func (w wireInstrument) bankAccount() *normalize.BankAccount {
	return &normalize.BankAccount{
		AccountType: accountTypeOf(string(w.AccountType)), Last4: trailing(string(w.Last4), 4),
		RoutingNumber: string(w.RoutingNumber), BankName: string(w.BankName),
	}
}

// countryOf returns an ISO 3166-1 alpha-2 code; "" for anything else.
func countryOf(t text) string {
	if c := strings.ToUpper(string(t)); normalize.ValidCountry(c) {
		return c
	}
	return ""
}

// leading returns the first n digits and no more, should a provider ever show
// more; "" if there are fewer.
func leading(s string, n int) string {
	if len(s) < n || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s[:n]
}

// trailing is leading for the last n digits.
func trailing(s string, n int) string {
	if len(s) < n || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s[len(s)-n:]
}

// brandName pairs a normalized brand with Rebilly's exact word for it [S26].
type brandName struct {
	brand normalize.Brand
	word  string
}

// brandNames lists Rebilly's whole enumeration. Those that polyvault has no word
// for are normalize.BrandOther.
func brandNames() []brandName {
	return []brandName{
		{normalize.Visa, "Visa"},
		{normalize.Mastercard, "MasterCard"},
		{normalize.Amex, "American Express"},
		{normalize.Discover, "Discover"},
		{normalize.Diners, "Diners Club"},
		{normalize.JCB, "JCB"},
		{normalize.Maestro, "Maestro"},
		{normalize.UnionPay, "China UnionPay"},
		{normalize.BrandOther, "Solo"},
		{normalize.BrandOther, "Electron"},
		{normalize.BrandOther, "Voyager"},
		{normalize.BrandOther, "Switch"},
		{normalize.BrandOther, "Laser"},
		{normalize.BrandOther, "AstroPay Card"},
	}
}

func brandOf(word string) normalize.Brand {
	if word == "" {
		return ""
	}
	for _, n := range brandNames() {
		if strings.EqualFold(n.word, word) {
			return n.brand
		}
	}
	return normalize.BrandOther
}

func accountTypeOf(word string) normalize.AccountType {
	switch word {
	case "":
		return ""
	case "checking":
		return normalize.AccountChecking
	case "savings":
		return normalize.AccountSavings
	}
	return normalize.AccountOther
}

// accountTypeWord maps to checking, savings or other [S26]. There is no word for
// a company's checking account, and checking is what it is.
func accountTypeWord(t normalize.AccountType) string {
	switch t {
	case normalize.AccountChecking, normalize.AccountCorporateChecking:
		return "checking"
	case normalize.AccountSavings:
		return "savings"
	case normalize.AccountOther:
	}
	return "other"
}
