// Package adapters declares what a payment provider can do. A provider's package
// implements [Adapter] and those of the one-method interfaces that its API has;
// the method set is the declaration of its capabilities, there is no second list.
//
// Adapters do not log, retry or keep state. Every method is safe for concurrent
// use, makes its calls with the *http.Client it was opened with, returns promptly
// once its context is done, and fails only with a [*normalize.Error] whose
// Outcome says what is known of the effect.
package adapters

import (
	"context"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// Instrument is an instrument as one provider holds it.
type Instrument struct {
	References     normalize.References // where it lives; enough for every other call on it
	Customer       string               // the provider's customer reference
	Type           normalize.Type
	Status         normalize.Status
	ProviderStatus string // the provider's own word; "" if it has none
	Default        bool
	Card           *normalize.Card
	BankAccount    *normalize.BankAccount
	PayPal         *normalize.PayPal
	BillingAddress *normalize.Address
	Identity       string    // the provider's own identity of the card or account number, comparable within one vault; "" if none
	Version        string    // the provider's entity tag or revision, for Update; "" if it has none
	CreatedAt      time.Time // zero if the provider does not tell
	UpdatedAt      time.Time
	Existing       bool // Create only: the provider had it already and updated it
}

// Adapter is the part every provider has.
type Adapter interface {
	// Type names the adapter, e.g. "cybersource". It never changes.
	Type() string
	// Get fetches the instrument that ref names.
	// It fails with NotFound or InstrumentDeleted if there is none (any more).
	Get(ctx context.Context, ref normalize.References) (Instrument, error)
}

// Creator is implemented by providers that can store a new instrument.
type Creator interface {
	// SourceTypes lists the sources that Create accepts, provider_reference aside.
	SourceTypes() []normalize.SourceType
	// Create stores in.Source for the customer and returns the instrument as the
	// provider now holds it. An error's Outcome says whether the provider may have
	// stored it all the same.
	Create(ctx context.Context, in CreateInput) (Instrument, error)
}

// CreateInput is what a provider needs to store an instrument.
type CreateInput struct {
	Customer       string // the provider's customer reference
	Source         normalize.Source
	BillingAddress *normalize.Address
	Default        bool
}

// CustomerCreator is implemented by providers at which the gateway can make a customer.
type CustomerCreator interface {
	// CreateCustomer makes the customer, or finds the one that an earlier call with
	// the same Key made where the provider can tell, and returns the provider's reference.
	CreateCustomer(ctx context.Context, in CustomerInput) (reference string, err error)
}

// CustomerInput describes a customer to a provider.
type CustomerInput struct {
	Key        string // unique per tenant and customer, stable; 1–40 of A-Z a-z 0-9 _
	MerchantID string // the merchant's own customer id, for people who look at the provider's pages
	Address    *normalize.Address
}

// Lister is implemented by providers that can list instruments.
type Lister interface {
	// List returns one page, in the provider's order unless Sort is given. It
	// refuses what the provider cannot do with UnsupportedOperation.
	List(ctx context.Context, in ListInput) (Page, error)
}

// ListInput selects instruments at a provider.
type ListInput struct {
	Customer string             // the provider's customer reference; "" asks for every customer's where the provider can
	Filter   []normalize.Clause // all must hold; a provider without filters answers UnsupportedOperation if there are any
	Sort     []string           // normalized names, "-" for descending
	Query    string             // partial text search
	Limit    int                // 1–100; 0 means the provider's default
	Cursor   string             // Page.Next of the page before; "" for the first
}

// Page is one page of a list.
type Page struct {
	Items []Instrument
	Next  string // "" on the last page
	Total int    // all instruments that match; -1 if the provider does not tell
}

// Updater is implemented by providers that can change an instrument.
type Updater interface {
	// Update changes what in names and returns the instrument as it now is. It
	// fails with UnsupportedOperation, before sending, for a member that the
	// provider cannot change.
	Update(ctx context.Context, ref normalize.References, in UpdateInput) (Instrument, error)
}

// UpdateInput is a change to an instrument. What is nil stays.
type UpdateInput struct {
	BillingAddress      *normalize.Address // the whole new address
	ExpMonth, ExpYear   *int               // both or neither
	Source              *normalize.Source  // a one-time token that carries new data for the same instrument
	Version             string             // Instrument.Version that it must still have; "" for any. Providers without versions ignore it
	ClearBillingAddress bool
}

// DefaultSetter is implemented by providers at which a customer has a default instrument.
type DefaultSetter interface {
	// SetDefault makes the instrument its customer's default, which ends the one before.
	SetDefault(ctx context.Context, ref normalize.References) (Instrument, error)
}

// Deactivator is implemented by providers that can retire an instrument and keep its record.
type Deactivator interface {
	// Deactivate is idempotent: an instrument that is deactivated already is returned as it is.
	Deactivate(ctx context.Context, ref normalize.References) (Instrument, error)
}

// Deleter is implemented by providers that can remove an instrument.
type Deleter interface {
	// Delete is idempotent: an instrument that is gone already is a success. It
	// fails with DefaultInstrumentInUse where another must become the default first.
	Delete(ctx context.Context, ref normalize.References) error
}

// VaultDeleter is implemented by providers whose Delete leaves the data in a
// vault behind them, and which can remove it there as well.
type VaultDeleter interface {
	// DeleteVault is idempotent, like Delete.
	DeleteVault(ctx context.Context, ref normalize.References) error
}

// BulkDeleter is implemented by providers that can remove several instruments in one call.
type BulkDeleter interface {
	// DeleteMany returns one error, or nil, for each of refs, in their order.
	DeleteMany(ctx context.Context, refs []normalize.References) []error
}

// ReferenceChecker is implemented by providers whose references have a form that
// can be checked before a call.
type ReferenceChecker interface {
	// CheckReferences returns what is missing or malformed in references that a
	// caller brought, with pointers relative to the references object.
	CheckReferences(ref normalize.References) []normalize.FieldError
}

// Locator is implemented by providers whose references hold more than the place
// itself, or write the same place in several ways.
type Locator interface {
	// Locate returns a text that is equal for references to the same instrument and
	// differs for others.
	Locate(ref normalize.References) string
}

// Prober is implemented by providers that have a cheap read which shows that they
// answer.
type Prober interface {
	// Probe makes the cheapest read that the provider answers in its own form, its
	// word that there is no such thing included. It changes nothing, reads no
	// customer's data where that can be helped, and returns nil if the provider
	// answered so. It fails with ProviderMisconfigured where the provider refuses the
	// credentials.
	Probe(ctx context.Context) error
}

// Charger is implemented by providers whose payment call can name a stored instrument.
type Charger interface {
	// Charge returns what the provider's payment call needs of the instrument, as a
	// struct whose JSON has that call's own member names. It makes no call.
	Charge(ref normalize.References, t normalize.Type) any
}
