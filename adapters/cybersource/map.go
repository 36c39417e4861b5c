package cybersource

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// The names of the references.
const (
	refCustomer             = "customer"
	refPaymentInstrument    = "payment_instrument"
	refInstrumentIdentifier = "instrument_identifier"
)

// place is where an instrument was asked for: what the answer itself may leave out.
type place struct {
	customer string
	vault    string
	now      time.Time
}

// toInstrument makes the normalized instrument of a customer payment instrument
// and the instrument identifier that it stands upon, which wins where both tell.
func toInstrument(b instrumentBody, identifier identifierBody, at place) adapters.Instrument {
	identifierID := firstOf(identifier.ID, b.InstrumentIdentifier.or().ID)
	ins := adapters.Instrument{
		References: normalize.References{
			refCustomer:          at.customer,
			refPaymentInstrument: string(b.ID),
		},
		Customer:       at.customer,
		Type:           typeOf(b, identifier),
		Default:        b.Default.isTrue(),
		BillingAddress: toAddress(b.BillTo.v),
	}
	if identifierID != "" {
		ins.References[refInstrumentIdentifier] = identifierID
		// Ids are not case-sensitive, so one spelling is chosen for comparing.
		ins.Identity = at.vault + ":" + strings.ToUpper(identifierID)
	}
	switch ins.Type {
	case normalize.TypeCard:
		ins.Card = toCard(b.Card.or(), identifier.Card.or())
	case normalize.TypeBankAccount:
		ins.BankAccount = toBankAccount(b.BankAccount.or(), identifier.BankAccount.or())
	default:
	}
	ins.Status, ins.ProviderStatus = toStatus(b.State, identifier.State)
	if ins.Status == normalize.StatusActive && ins.Card != nil && normalize.Expired(ins.Card.ExpMonth, ins.Card.ExpYear, at.now) {
		ins.Status = normalize.StatusExpired // the provider has no such state
	}
	return ins
}

func typeOf(b instrumentBody, identifier identifierBody) normalize.Type {
	switch {
	case identifier.Card.v != nil:
		return normalize.TypeCard
	case identifier.BankAccount.v != nil:
		return normalize.TypeBankAccount
	case b.Card.v != nil:
		return normalize.TypeCard
	case b.BankAccount.v != nil:
		return normalize.TypeBankAccount
	}
	return normalize.TypeOther
}

// toStatus maps the documented states: ACTIVE, and CLOSED for an account that its
// issuer has closed, which therefore fails when it is charged. A word that is not
// known is not taken for usable.
func toStatus(states ...text) (status normalize.Status, word string) {
	status = normalize.StatusActive
	for _, s := range states {
		switch strings.ToUpper(string(s)) {
		case "CLOSED":
			return normalize.StatusFailed, string(s)
		case "ACTIVE":
			if word == "" {
				word = string(s)
			}
		case "":
		default:
			status, word = normalize.StatusPending, string(s)
		}
	}
	return status, word
}

func toCard(instrument, identifier cardBody) *normalize.Card {
	lead, trail := normalize.ParseMask(string(identifier.Number))
	c := &normalize.Card{
		ExpMonth: number(instrument.ExpirationMonth, 1, 12),
		ExpYear:  normalize.FullYear(number(instrument.ExpirationYear, 1, 9999)),
	}
	switch n := len(lead); { // some vaults show eight leading digits
	case n >= 8:
		c.BIN = lead[:8]
	case n >= 6:
		c.BIN = lead[:6]
	}
	c.Last4 = normalize.Last4Of(trail)
	var known bool
	if c.Brand, known = brandOf(string(instrument.Type)); !known && c.BIN != "" {
		c.Brand = normalize.BrandOf(c.BIN) // card.type is optional since 2026-04
	}
	return c
}

func toBankAccount(instrument, identifier bankBody) *normalize.BankAccount {
	b := &normalize.BankAccount{Last4: accountTail(string(identifier.Number))}
	switch strings.ToLower(string(instrument.Type)) {
	case "checking", "c":
		b.AccountType = normalize.AccountChecking
	case "savings", "s":
		b.AccountType = normalize.AccountSavings
	case "corporate checking", "x":
		b.AccountType = normalize.AccountCorporateChecking
	case "":
	default: // general ledger, and words to come
		b.AccountType = normalize.AccountOther
	}
	if r := string(identifier.RoutingNumber); normalize.ValidRoutingNumber(r) {
		b.RoutingNumber, b.Country = r, "US" // it may be masked
	}
	return b
}

// accountTail returns up to four last digits of a masked account number. A number
// without a mask is not shown unless it has no more than four digits.
func accountTail(s string) string {
	_, trail := normalize.ParseMask(s)
	if trail == "" && len(s) <= 4 && number(text(s), 0, 9999) > 0 {
		trail = s
	}
	return trail[max(0, len(trail)-4):]
}

func toCardRequest(month, year int, brand normalize.Brand) *cardRequest {
	c := &cardRequest{Type: cardType(brand)}
	if month != 0 {
		c.ExpirationMonth = fmt.Sprintf("%02d", month)
	}
	if year != 0 {
		c.ExpirationYear = fmt.Sprintf("%04d", year)
	}
	return c
}

func accountWord(t normalize.AccountType) string {
	switch t {
	case normalize.AccountSavings:
		return "savings"
	case normalize.AccountCorporateChecking:
		return "corporate checking"
	default:
		return "checking"
	}
}

// number reads a decimal between low and high; 0 if it is none.
func number(t text, low, high int) int {
	n, err := strconv.Atoi(strings.TrimSpace(string(t)))
	if err != nil || n < low || n > high {
		return 0
	}
	return n
}

func firstOf(a, b text) string {
	if a != "" {
		return string(a)
	}
	return string(b)
}
