package rebilly

import "github.com/polyvault/polyvault/normalize"

// Charge is the part of the body of POST /transactions that names the instrument [S26].
type Charge struct {
	CustomerID         string             `json:"customerId,omitempty"` // "" if it was never told
	PaymentInstruction PaymentInstruction `json:"paymentInstruction"`
}

// PaymentInstruction names a stored instrument at Rebilly.
type PaymentInstruction struct {
	PaymentInstrumentID string `json:"paymentInstrumentId"`
}

// Charge implements [adapters.Charger] with a [Charge].
func (*Adapter) Charge(ref normalize.References, _ normalize.Type) any {
	return Charge{CustomerID: ref[refCustomer], PaymentInstruction: PaymentInstruction{ref[refInstrument]}}
}
