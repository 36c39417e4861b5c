package normalize

import "time"

// Type is the kind of an instrument.
type Type string

// The instrument types.
const (
	TypeCard        Type = "card"
	TypeBankAccount Type = "bank_account"
	TypePayPal      Type = "paypal"
	TypeOther       Type = "other"
)

// Types returns every instrument type.
func Types() []Type { return []Type{TypeCard, TypeBankAccount, TypePayPal, TypeOther} }

// Status is where an instrument is in its life.
type Status string

// The instrument statuses. What a provider calls it stays in ProviderToken.ProviderStatus.
const (
	StatusPending            Status = "pending"
	StatusActive             Status = "active"
	StatusExpired            Status = "expired"
	StatusVerificationNeeded Status = "verification_needed"
	StatusDeactivated        Status = "deactivated"
	StatusFailed             Status = "failed"
)

// Statuses returns every instrument status.
func Statuses() []Status {
	return []Status{StatusPending, StatusActive, StatusExpired, StatusVerificationNeeded, StatusDeactivated, StatusFailed}
}

// Instrument is a stored payment instrument as callers of the API see it. It
// never holds a card number, an account number or a security code.
type Instrument struct {
	Object         string            `json:"object"` // always "instrument"
	ID             string            `json:"id"`     // "ins_" and 26 Crockford base32 characters
	CustomerID     string            `json:"customer_id"`
	Type           Type              `json:"type"`
	Status         Status            `json:"status"`
	Default        bool              `json:"default"`
	Card           *Card             `json:"card"`
	BankAccount    *BankAccount      `json:"bank_account"`
	PayPal         *PayPal           `json:"paypal"`
	BillingAddress *Address          `json:"billing_address"`
	Fingerprint    *string           `json:"fingerprint"`                  // "fp_…"; null when no identity of the number is known
	FingerprintOf  string            `json:"fingerprint_origin,omitempty"` // "number" or the provider type whose identity it is
	Metadata       map[string]string `json:"metadata"`
	ProviderTokens []ProviderToken   `json:"provider_tokens"`
	CreatedAt      time.Time         `json:"created_at"`
	UpdatedAt      time.Time         `json:"updated_at"`
}

// Card is the part of a card that may be shown. Empty strings and zeroes mean
// that the provider does not tell.
type Card struct {
	Brand         Brand  `json:"brand"`
	BIN           string `json:"bin"`                      // 6 or 8 ASCII digits
	Last4         string `json:"last4"`                    // exactly 4 ASCII digits
	ExpMonth      int    `json:"exp_month"`                // 1–12
	ExpYear       int    `json:"exp_year"`                 // four digits
	IssuerCountry string `json:"issuer_country,omitempty"` // ISO 3166-1 alpha-2
	IssuerName    string `json:"issuer_name,omitempty"`
}

// AccountType is the kind of a bank account.
type AccountType string

// The bank account types. Providers without corporate_checking file it under their nearest word.
const (
	AccountChecking          AccountType = "checking"
	AccountSavings           AccountType = "savings"
	AccountCorporateChecking AccountType = "corporate_checking"
	AccountOther             AccountType = "other"
)

// BankAccount is the part of a bank account that may be shown.
type BankAccount struct {
	AccountType   AccountType `json:"account_type,omitempty"`
	Last4         string      `json:"last4"`                    // the last digits of the account number, up to 4
	RoutingNumber string      `json:"routing_number,omitempty"` // 9 digits (US) where the provider shows it
	BankName      string      `json:"bank_name,omitempty"`
	Country       string      `json:"country,omitempty"` // ISO 3166-1 alpha-2
}

// PayPal is a stored PayPal account.
type PayPal struct {
	Email string `json:"email"`
}

// Address is a billing address. Lengths are in characters; empty means absent.
// The bounds are the narrowest that all three providers accept, so that an
// address which is stored once can be mirrored anywhere.
type Address struct {
	FirstName  string `json:"first_name,omitempty"`  // up to 45
	LastName   string `json:"last_name,omitempty"`   // up to 45
	Company    string `json:"company,omitempty"`     // up to 60
	Line1      string `json:"line1,omitempty"`       // up to 60
	Line2      string `json:"line2,omitempty"`       // up to 60
	City       string `json:"city,omitempty"`        // up to 45
	Region     string `json:"region,omitempty"`      // up to 20; the two-letter code in the US and Canada
	PostalCode string `json:"postal_code,omitempty"` // up to 10 letters, digits, spaces and hyphens
	Country    string `json:"country,omitempty"`     // ISO 3166-1 alpha-2, upper case
	Email      string `json:"email,omitempty"`       // up to 255
	Phone      string `json:"phone,omitempty"`       // up to 15
}

// Role is what a provider token is to its instrument.
type Role string

// The roles of a provider token.
const (
	RolePrimary Role = "primary"
	RoleMirror  Role = "mirror"
)

// References are a provider's ids for one thing, by what they name: "customer",
// "payment_instrument", "instrument", "token", … Never parsed, always opaque.
type References map[string]string

// ProviderToken is where an instrument lives at one provider.
type ProviderToken struct {
	Provider       string     `json:"provider"`      // the configured name
	ProviderType   string     `json:"provider_type"` // the adapter, e.g. "cybersource"
	Role           Role       `json:"role"`
	Status         Status     `json:"status"`
	References     References `json:"references,omitempty"` // only for callers with scope references:read
	ProviderStatus string     `json:"provider_status"`      // the provider's own word; "" if it has none
	SyncedAt       time.Time  `json:"synced_at"`
	Code           Code       `json:"code,omitempty"`   // of a failed mirror: why it was not stored
	Behind         *Behind    `json:"behind,omitempty"` // only where provider tokens are listed by themselves
}

// Behind is what was changed in an instrument and has not reached a provider yet.
type Behind struct {
	Since   time.Time `json:"since"`
	Changes []string  `json:"changes"` // billing_address, card.exp, default, deactivated, deleted
	Tries   int       `json:"tries"`   // that failed
	Code    Code      `json:"code,omitempty"`
	NextAt  time.Time `json:"next_at,omitzero"` // of the next try; absent if the provider cannot do it, or refused it
}
