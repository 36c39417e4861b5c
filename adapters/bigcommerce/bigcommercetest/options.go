package bigcommercetest

import "time"

// The credentials of a stand-in with zero [Options].
const (
	DefaultStoreHash   = "sandbox"
	DefaultAccessToken = "sandbox-token"
)

// ErrorIndex is how an import's errors name the item and the member.
type ErrorIndex int

// The forms that errors of batch endpoints have; which of them this resource
// uses is not published.
const (
	IndexDotted    ErrorIndex = iota // "0.instrument.expiry_month", as on other batch endpoints
	IndexBracketed                   // "[0].instrument.expiry_month"
	IndexNone                        // "instrument.expiry_month"
)

// Options choose what the provider does not document, and the size of things.
// The zero value is a store with the default credentials.
type Options struct {
	StoreHash   string           // default [DefaultStoreHash]
	AccessToken string           // default [DefaultAccessToken]
	Customers   int              // customers 1 to this exist; default 100
	Now         func() time.Time // default time.Now

	// Quota is how many requests a window of 30 s allows; 0 for no limit. The
	// rate headers of an unlimited stand-in tell the Standard plan's 150.
	Quota int
	// EdgeErrors makes 401 and 403 {"code","message"}, the other documented form.
	EdgeErrors bool

	RejectDuplicates bool       // refuse a vault token that the customer has already; default: a new instrument
	MaxImport        int        // items in one import, more get 413; default 10
	ErrorIndex       ErrorIndex // how an import's errors name members
	SingleError      bool       // one error of a batch is an object, not an array of one

	MaxDelete         int  // tokens in one bulk delete, more get 422; default 50
	StopDeleteAtError bool // tokens after one that is not found are not deleted
	BareDelete404     bool // a bulk delete's 404 has no counts and its errors no status
	RefuseVaultDelete bool // the vault refuses: 422 on the item's path

	DefaultLimit int  // of lists; default 50
	MaxLimit     int  // more gets 422; default 250
	PagesOnly    bool // lists have no cursors
	// Lag is how long lists do not show what was created or deleted; default 0.
	Lag time.Duration
	// UnknownCustomer404 answers 404 to the list of a customer that does not exist; default: 200 and an empty list.
	UnknownCustomer404 bool

	ItemPutStatus      int  // of PUT on an instrument's path; default 404
	RequireShipping    bool // an update without trusted_shipping_addresses gets 422
	DefaultByIsDefault bool // make_default has no effect, is_default has; default: both have
	RefuseMakeDefault  bool // make_default gets 422, is_default works
	IgnoreDefault      bool // neither has an effect
	TerseUpdate        bool // the answer to an update leaves out token, customer and address
	CVVRequired        bool // charging a stored card needs its security code
	StringNumbers      bool // integers of instruments in answers are strings
	EnvelopedCustomers bool // a customer's list comes in {"data"} instead of as a bare array
}

func (o Options) withDefaults() Options {
	if o.StoreHash == "" {
		o.StoreHash = DefaultStoreHash
	}
	if o.AccessToken == "" {
		o.AccessToken = DefaultAccessToken
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range []struct {
		field *int
		value int
	}{
		{&o.Customers, 100},
		{&o.MaxImport, 10},
		{&o.MaxDelete, 50},
		{&o.DefaultLimit, 50},
		{&o.MaxLimit, 250},
		{&o.ItemPutStatus, 404},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return o
}
