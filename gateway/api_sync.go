package gateway

import "github.com/polyvault/polyvault/normalize"

// SyncInput says what is compared with the providers. At least one of CustomerID and
// Provider is set.
type SyncInput struct {
	CustomerID string // "" for every customer
	Provider   string // "" for every provider where the customer is known
	Repair     bool
	Limit      int    // instruments to compare, 1–100; 0 is 100
	Cursor     string // DriftPage.NextCursor; "" for the first page
}

// DriftPage is what is not in step, of some instruments.
type DriftPage struct {
	Data       []Drift     `json:"data"`
	Counts     DriftCounts `json:"counts"`
	HasMore    bool        `json:"has_more"`
	NextCursor string      `json:"next_cursor,omitempty"`
}

// DriftCounts says how much was compared for a page.
type DriftCounts struct {
	Instruments int `json:"instruments"`
	Compared    int `json:"compared"` // places at providers: the sum of those below, but for Repaired
	InStep      int `json:"in_step"`
	Differing   int `json:"differing"`
	Absent      int `json:"absent"`
	Unreachable int `json:"unreachable"`
	UnknownHere int `json:"unknown_here"`
	Repaired    int `json:"repaired"`
}

// Drift is one place at a provider that is not as the record says.
type Drift struct {
	Object       string               `json:"object"`        // always "drift"
	InstrumentID *string              `json:"instrument_id"` // nil for what is unknown here, unless it was adopted
	CustomerID   string               `json:"customer_id"`
	Provider     string               `json:"provider"`
	Role         normalize.Role       `json:"role,omitempty"` // "" for what is unknown here
	State        DriftState           `json:"state"`
	References   normalize.References `json:"references,omitempty"` // of what is unknown here
	Differences  []Difference         `json:"differences"`
	Repaired     bool                 `json:"repaired"`
	ErrorCode    normalize.Code       `json:"error_code,omitempty"` // why it could not be compared or repaired
}

// DriftState says what a provider has of a token.
type DriftState string

// The drift states.
const (
	DriftPresent     DriftState = "present" // it differs
	DriftAbsent      DriftState = "absent"  // the provider's own word
	DriftUnreachable DriftState = "unreachable"
	DriftUnknownHere DriftState = "unknown_here"
)

// Difference is one member that is not the same in the record and at the provider.
type Difference struct {
	Field string `json:"field"` // as in an instrument, such as "card.exp_year"; "status" is the token's
	Here  string `json:"here"`  // "" if it is not set
	There string `json:"there"`
}
