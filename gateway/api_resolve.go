package gateway

import "github.com/polyvault/polyvault/normalize"

// Charges says what the merchant account behind a provider can charge. What is
// empty is not limited.
type Charges struct {
	Currencies []string // ISO 4217
	Countries  []string // ISO 3166-1 alpha-2
}

// ResolveInput says what an instrument is to be charged for. The zero value is any charge.
type ResolveInput struct {
	Currency         string // ISO 4217; "" if the caller does not say
	Country          string // ISO 3166-1 alpha-2; "" if the caller does not say
	ExcludeProviders []string
}

// Resolution is where an instrument can be charged.
type Resolution struct {
	Object       string          `json:"object"` // always "resolution"
	InstrumentID string          `json:"instrument_id"`
	Candidates   []Chargeable    `json:"candidates"` // to be tried in this order
	Excluded     []NotChargeable `json:"excluded"`
}

// Chargeable is one provider at which an instrument can be charged.
type Chargeable struct {
	Provider     string               `json:"provider"`
	ProviderType string               `json:"provider_type"`
	Role         normalize.Role       `json:"role"`
	References   normalize.References `json:"references"`
	Charge       any                  `json:"charge"` // see [adapters.Charger]; {} if the provider's adapter has none
	Health       Health               `json:"health"`
	Reason       string               `json:"reason"` // why it stands where it does
}

// NotChargeable is a provider at which an instrument must not be charged now.
type NotChargeable struct {
	Provider string         `json:"provider"`
	Role     normalize.Role `json:"role"`
	Reason   ExcludedReason `json:"reason"`
}

// Health is what a provider's breakers say of it, while they let calls through.
type Health string

// The healths. A provider whose breaker is open has none.
const (
	HealthHealthy    Health = "healthy"
	HealthRecovering Health = "recovering" // a breaker is half open
)

// ExcludedReason says why an instrument must not be charged at a provider.
type ExcludedReason string

// The reasons.
const (
	ExcludedBreakerOpen        ExcludedReason = "breaker_open"
	ExcludedDrained            ExcludedReason = "drained"
	ExcludedNotConfigured      ExcludedReason = "not_configured"
	ExcludedTokenPending       ExcludedReason = "token_pending"
	ExcludedTokenFailed        ExcludedReason = "token_failed"
	ExcludedVerificationNeeded ExcludedReason = "verification_needed"
	ExcludedDeactivated        ExcludedReason = "deactivated"
	ExcludedExpired            ExcludedReason = "expired"
	ExcludedCurrency           ExcludedReason = "currency_not_supported"
	ExcludedCountry            ExcludedReason = "country_not_supported"
	ExcludedByRequest          ExcludedReason = "excluded_by_request"
)
