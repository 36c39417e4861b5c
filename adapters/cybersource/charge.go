package cybersource

import "github.com/polyvault/polyvault/normalize"

// Charge is the part of the body of POST /pts/v2/payments that names the instrument.
// The three ids may stand beside each other: they are of the same stored card.
type Charge struct {
	PaymentInformation PaymentInformation `json:"paymentInformation"`
}

// PaymentInformation names a stored instrument at CyberSource.
type PaymentInformation struct {
	Customer             TokenID  `json:"customer"`
	PaymentInstrument    TokenID  `json:"paymentInstrument"`
	InstrumentIdentifier *TokenID `json:"instrumentIdentifier,omitempty"` // nil if it was never told
}

// TokenID is one of TMS's ids.
type TokenID struct {
	ID string `json:"id"`
}

// Charge implements [adapters.Charger] with a [Charge].
func (*Adapter) Charge(ref normalize.References, _ normalize.Type) any {
	out := Charge{PaymentInformation{
		Customer: TokenID{ref[refCustomer]}, PaymentInstrument: TokenID{ref[refPaymentInstrument]},
	}}
	if id := ref[refInstrumentIdentifier]; id != "" {
		out.PaymentInformation.InstrumentIdentifier = &TokenID{id}
	}
	return out
}
