package normalize

// SourceType says what a source is made of.
type SourceType string

// The source types.
const (
	SourceCard                 SourceType = "card"
	SourceBankAccount          SourceType = "bank_account"
	SourceInstrumentIdentifier SourceType = "cybersource_instrument_identifier"
	SourceTransientToken       SourceType = "cybersource_transient_token"
	SourceRebillyToken         SourceType = "rebilly_token"
	SourceVaultedToken         SourceType = "vaulted_token"
	SourceProviderReference    SourceType = "provider_reference"
)

// SourceTypes returns every source type.
func SourceTypes() []SourceType {
	return []SourceType{
		SourceCard, SourceBankAccount, SourceInstrumentIdentifier, SourceTransientToken,
		SourceRebillyToken, SourceVaultedToken, SourceProviderReference,
	}
}

// Source is what an instrument is made from. Exactly the member that Type names
// is set; [Source.Validate] checks it.
type Source struct {
	Type                 SourceType
	Card                 *CardSource
	BankAccount          *BankAccountSource
	InstrumentIdentifier *InstrumentIdentifierSource
	TransientToken       *TransientTokenSource
	RebillyToken         *RebillyTokenSource
	VaultedToken         *VaultedTokenSource
	ProviderReference    *ProviderReferenceSource
}

// CardSource is a raw card. It lives in memory for one request and is never stored.
type CardSource struct {
	Number     Secret `json:"number"`    // 12–19 ASCII digits, no separators
	ExpMonth   int    `json:"exp_month"` // 1–12
	ExpYear    int    `json:"exp_year"`  // four digits
	CVC        Secret `json:"cvc"`       // 3–4 ASCII digits; optional
	HolderName string `json:"holder_name"`
}

// BankAccountSource is a raw bank account: either AccountNumber with
// RoutingNumber and AccountType, or IBAN.
type BankAccountSource struct {
	AccountNumber Secret      `json:"account_number"` // 4–17 ASCII digits
	RoutingNumber string      `json:"routing_number"` // 9 digits, ABA checksum
	AccountType   AccountType `json:"account_type"`
	IBAN          Secret      `json:"iban"` // upper case, no spaces
	HolderName    string      `json:"holder_name"`
}

// InstrumentIdentifierSource is a card or account that CyberSource TMS already knows.
type InstrumentIdentifierSource struct {
	InstrumentIdentifier string `json:"instrument_identifier"` // opaque, 12–32 characters
	ExpMonth             int    `json:"exp_month"`
	ExpYear              int    `json:"exp_year"`
	Brand                Brand  `json:"brand"` // optional
}

// TransientTokenSource is a CyberSource Flex Microform or Unified Checkout token, a JWT.
type TransientTokenSource struct {
	TransientToken Secret `json:"transient_token"`
}

// RebillyTokenSource is a Rebilly FramePay token: single use, 30 minutes.
type RebillyTokenSource struct {
	Token Secret `json:"token"`
}

// VaultedTokenSource is an instrument in the vault of a payment gateway behind
// BigCommerce, to be registered with the store. Nothing is checked with that
// gateway: wrong data is stored and fails when it is charged.
type VaultedTokenSource struct {
	PaymentMethodID     string `json:"payment_method_id"` // e.g. "braintree.credit_card"
	Currency            string `json:"currency"`          // ISO 4217
	VaultToken          Secret `json:"vault_token"`
	ProviderCustomerID  string `json:"provider_customer_id"`
	InstrumentType      Type   `json:"instrument_type"`       // card, paypal or bank_account
	Brand               Brand  `json:"brand"`                 // card
	BIN                 string `json:"bin"`                   // card; 6 digits
	Last4               string `json:"last4"`                 // card
	ExpMonth            int    `json:"exp_month"`             // card
	ExpYear             int    `json:"exp_year"`              // card
	Email               string `json:"email"`                 // paypal
	Issuer              string `json:"issuer"`                // bank_account
	MaskedAccountNumber string `json:"masked_account_number"` // bank_account
}

// ProviderReferenceSource names an instrument that a provider already stores.
type ProviderReferenceSource struct {
	Provider   string     `json:"provider"`
	References References `json:"references"`
}

// OneTime reports whether the source is a token that one provider can use once.
func (s Source) OneTime() bool { return s.TransientToken != nil || s.RebillyToken != nil }

// InstrumentType returns the type of the instrument that the source makes;
// TypeOther when only the provider can tell.
func (s Source) InstrumentType() Type {
	switch s.Type {
	case SourceCard, SourceInstrumentIdentifier, SourceTransientToken, SourceRebillyToken:
		return TypeCard
	case SourceBankAccount:
		return TypeBankAccount
	case SourceVaultedToken:
		if s.VaultedToken != nil {
			return s.VaultedToken.InstrumentType
		}
	case SourceProviderReference:
	}
	return TypeOther
}

// CardFacts returns the brand and BIN that the source tells; zero if it tells none.
func (s Source) CardFacts() (brand Brand, bin string) {
	switch {
	case s.Card != nil:
		n := s.Card.Number.Reveal()
		return BrandOf(n), BINOf(n)
	case s.VaultedToken != nil:
		return s.VaultedToken.Brand, s.VaultedToken.BIN
	case s.InstrumentIdentifier != nil:
		return s.InstrumentIdentifier.Brand, ""
	}
	return "", ""
}

// Raw reports whether the source is a card or account number in the clear.
func (s Source) Raw() bool { return s.Type == SourceCard || s.Type == SourceBankAccount }
