package gateway

import (
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// Created is the answer to a create.
type Created struct {
	// Instrument is what was stored; zero while Operation is set.
	Instrument normalize.Instrument
	// Operation is set, and Instrument is not, while the outcome is unknown: answer 202.
	Operation    *Operation
	Replayed     bool   // the answer to an earlier request with the same key
	Deduplicated bool   // the same card was there already, and was updated: answer 200, not 201
	Provider     string // the provider that holds it
	// Attempts are what was tried to store it, and who was passed over; nil for a replay.
	Attempts []AttemptView
}

// Read is an instrument and how fresh the answer is.
type Read struct {
	Instrument normalize.Instrument
	Provider   string
	Stale      bool          // the provider could not be asked: this is the stored view
	Age        time.Duration // since the view was last seen at the provider; for Stale
}

// Changed is the answer to a change.
type Changed struct {
	Instrument *normalize.Instrument // as it is now; nil after a delete, and for a customer
	Provider   string                // the provider that holds it
	Customer   *normalize.Customer
	Token      *normalize.ProviderToken // of a provider token that was added, or that is still to be removed
	Created    bool                     // the customer was not known before
	Replayed   bool                     // the answer to an earlier request with the same key
}

// Failure is an error of a request that reached the record: what was tried, and
// where the caller can look it up.
type Failure struct {
	Err         *normalize.Error
	OperationID string
	Attempts    []AttemptView
	Replayed    bool // the answer to an earlier request with the same key
}

// Error implements error.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error proper.
func (f *Failure) Unwrap() error { return f.Err }

// AttemptView is one try to store an instrument at one provider, as callers see it.
type AttemptView struct {
	Provider string            `json:"provider"`
	Outcome  normalize.Outcome `json:"outcome"`
	Code     normalize.Code    `json:"code,omitempty"`
	MS       int64             `json:"ms"` // how long the call took, in milliseconds
}

// Operation is what is known of a create.
type Operation struct {
	Object     string            `json:"object"` // always "operation"
	ID         string            `json:"id"`     // the instrument's id
	State      State             `json:"state"`
	Outcome    normalize.Outcome `json:"outcome"`
	Instrument string            `json:"instrument_id,omitempty"` // set once it exists; another's id if this request was a duplicate
	Attempts   []AttemptView     `json:"attempts"`
	Advice     string            `json:"advice,omitempty"` // what can be done about it; for people
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
}

// ListOperationsInput selects operations.
type ListOperationsInput struct {
	State  State  // StateUnknown or StateManual
	Limit  int    // 1–100; 0 is 20
	Cursor string // OperationPage.NextCursor; "" for the first page
}

// OperationPage is one page of operations.
type OperationPage struct {
	Data       []Operation `json:"data"`
	HasMore    bool        `json:"has_more"`
	NextCursor string      `json:"next_cursor,omitempty"`
}

// ListInput selects stored instruments.
type ListInput struct {
	Filter []normalize.Clause // all must hold
	Query  string             // found, without case, in last4, BIN, customer, name, email or metadata values
	Sort   string             // created_at, updated_at or exp, "-" before it for descending; "" is -created_at
	Limit  int                // 1–100; 0 is 20
	Cursor string             // InstrumentPage.NextCursor; "" for the first page
}

// InstrumentPage is one page of instruments.
type InstrumentPage struct {
	Data       []normalize.Instrument `json:"data"`
	HasMore    bool                   `json:"has_more"`
	NextCursor string                 `json:"next_cursor,omitempty"`
}

// CustomerPage is one page of a customer's instruments, asked of the providers.
type CustomerPage struct {
	InstrumentPage
	Incomplete bool           `json:"incomplete"` // a provider could not be asked
	Sources    []SourceStatus `json:"sources"`
}

// SourceStatus says what one provider contributed to a list.
type SourceStatus struct {
	Provider string         `json:"provider"`
	Status   string         `json:"status"`         // "ok", or "stored": its instruments are shown as last seen
	Code     normalize.Code `json:"code,omitempty"` // why not ok
}

// DeleteScope says from where an instrument is removed.
type DeleteScope string

// The delete scopes.
const (
	ScopeProvider DeleteScope = "provider" // from the provider, as a caller of it would
	ScopeVault    DeleteScope = "vault"    // also from the vault behind the provider, where it has one
	ScopeGateway  DeleteScope = "gateway"  // only forgotten here; the provider keeps it
)

// ImportItem is one create of a bulk import.
type ImportItem struct {
	Key    string // its idempotency key
	Input  normalize.CreateInput
	Fields []normalize.FieldError // what was wrong with it before it came here; such an item fails
}

// ItemResult is the result of one item of a bulk request.
type ItemResult struct {
	Created Created // of an import
	Err     error   // nil if the item succeeded
}
