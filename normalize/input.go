package normalize

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// MaxSources is how many sources one create request may bring.
const MaxSources = 8

// CreateInput is a request to store an instrument.
type CreateInput struct {
	CustomerID     string            `json:"customer_id"` // the merchant's own; 1–100 of A–Z a–z 0–9 . _ @ ~ : + -
	Sources        []Source          `json:"-"`           // 1–8; the route uses the first that a provider accepts
	BillingAddress *Address          `json:"billing_address"`
	Default        bool              `json:"default"`
	Metadata       map[string]string `json:"metadata"` // up to 20 keys of up to 40 characters, values up to 500
	Currency       string            `json:"currency"` // ISO 4217; a routing hint
	Country        string            `json:"country"`  // ISO 3166-1 alpha-2; a routing hint
	Provider       string            `json:"provider"` // a configured provider's name; "" lets the routes decide
}

// Validate returns everything that is wrong with the request, in document order;
// nil if nothing is. now decides whether an expiry date is past.
func (in CreateInput) Validate(now time.Time) []FieldError {
	v := validator{now: now}
	v.customerID("/customer_id", in.CustomerID)
	v.sources(in.Sources)
	if in.BillingAddress != nil {
		v.address("/billing_address", *in.BillingAddress)
	}
	v.metadata("/metadata", in.Metadata)
	v.currency("/currency", in.Currency)
	v.country("/country", in.Country)
	if in.Provider != "" {
		v.name("/provider", in.Provider)
	}
	return v.errs
}

// MirrorInput asks for an instrument to be stored at a further provider.
type MirrorInput struct {
	Sources  []Source // 1–8; the first that a provider accepts is used
	Provider string   // a configured provider's name; "" for the first that accepts a source and has none of the instrument
}

// Validate returns everything that is wrong with the request; nil if nothing is.
func (in MirrorInput) Validate(now time.Time) []FieldError {
	v := validator{now: now}
	v.sources(in.Sources)
	if in.Provider != "" {
		v.name("/provider", in.Provider)
	}
	return v.errs
}

// sources checks the sources of a request.
func (v *validator) sources(all []Source) {
	switch n := len(all); {
	case n == 0:
		v.add("/sources", MissingField, "at least one source is required")
	case n > MaxSources:
		v.add("/sources", OutOfRange, "at most 8 sources are accepted")
	}
	for i, s := range all {
		v.source("/sources/"+strconv.Itoa(i), s)
	}
}

// AddressPatch is a JSON Merge Patch (RFC 7396) of an address: member name to new
// value, nil to remove the member.
type AddressPatch map[string]*string

// Apply returns a with the patch applied. Unknown names are ignored; decoding has refused them.
func (p AddressPatch) Apply(a Address) Address {
	for name, field := range addressFields(&a) {
		if value, ok := p[name]; ok {
			if *field = ""; value != nil {
				*field = *value
			}
		}
	}
	return a
}

// addressFields gives access to an address's members by their JSON names.
func addressFields(a *Address) map[string]*string {
	return map[string]*string{
		"first_name": &a.FirstName, "last_name": &a.LastName, "company": &a.Company,
		"line1": &a.Line1, "line2": &a.Line2, "city": &a.City, "region": &a.Region,
		"postal_code": &a.PostalCode, "country": &a.Country, "email": &a.Email, "phone": &a.Phone,
	}
}

// Members returns what is set of an address, by its JSON names. A nil one has none.
func (a *Address) Members() map[string]string {
	out := map[string]string{}
	if a == nil {
		return out
	}
	for name, field := range addressFields(a) {
		if *field != "" {
			out[name] = *field
		}
	}
	return out
}

// AddressMembers returns the JSON names of an address's members, sorted.
func AddressMembers() []string {
	return slices.Sorted(maps.Keys(addressFields(&Address{})))
}

// UpdateInput is a JSON Merge Patch of an instrument. What is nil stays.
type UpdateInput struct {
	BillingAddress      AddressPatch
	ClearBillingAddress bool // "billing_address": null
	ExpMonth, ExpYear   *int
	Default             *bool
	Metadata            map[string]*string // nil value: remove the key
	ClearMetadata       bool               // "metadata": null
	Source              *Source            // a token that replaces the card's data at the provider
	IfMatch             string             // the ETag that the instrument must still have; "" for none
}

// Empty reports whether the patch changes nothing.
func (in UpdateInput) Empty() bool {
	return in.BillingAddress == nil && !in.ClearBillingAddress && in.ExpMonth == nil && in.ExpYear == nil &&
		in.Default == nil && in.Metadata == nil && !in.ClearMetadata && in.Source == nil
}

// Validate returns everything that is wrong with the patch by itself; nil if nothing is.
func (in UpdateInput) Validate(now time.Time) []FieldError {
	v := validator{now: now}
	v.address("/billing_address", in.BillingAddress.Apply(Address{}))
	if in.ExpMonth != nil && (*in.ExpMonth < 1 || *in.ExpMonth > 12) {
		v.add("/card/exp_month", OutOfRange, "must be 1 to 12")
	}
	if in.ExpYear != nil {
		v.expYear("/card/exp_year", *in.ExpYear)
	}
	if in.ExpMonth != nil && in.ExpYear != nil && len(v.errs) == 0 && Expired(*in.ExpMonth, *in.ExpYear, now) {
		v.add("/card/exp_year", ExpiredCard, "the expiry date is past")
	}
	if in.Default != nil && !*in.Default {
		v.add("/default", InvalidField, "cannot be set to false: make another instrument the default instead")
	}
	set := map[string]string{}
	for k, value := range in.Metadata {
		if set[k] = ""; value != nil {
			set[k] = *value
		}
	}
	v.metadata("/metadata", set)
	if in.Source != nil {
		v.source("/source", *in.Source)
	}
	return v.errs
}

// CustomerInput is a request to tell the gateway where a customer is known.
type CustomerInput struct {
	ID                 string
	ProviderReferences map[string]string // provider name to that provider's customer reference
}

// Validate returns everything that is wrong with the request; nil if nothing is.
func (in CustomerInput) Validate() []FieldError {
	v := validator{}
	v.customerID("/id", in.ID)
	for _, name := range slices.Sorted(maps.Keys(in.ProviderReferences)) {
		p := "/provider_references/" + EscapePointer(name)
		v.name(p, name)
		v.reference(p, in.ProviderReferences[name])
	}
	return v.errs
}

// DrainInput says why a provider is taken out of the routes, or put back.
type DrainInput struct {
	Reason string // for people; up to 200 characters
}

// Validate returns what is wrong with the input.
func (in DrainInput) Validate() []FieldError {
	v := validator{}
	v.text("/reason", in.Reason, 200)
	return v.errs
}

// Customer is the gateway's view of a merchant's customer.
type Customer struct {
	Object             string            `json:"object"` // always "customer"
	ID                 string            `json:"id"`
	ProviderReferences map[string]string `json:"provider_references"`
	CreatedAt          time.Time         `json:"created_at"`
	UpdatedAt          time.Time         `json:"updated_at"`
}

// ValidCustomerID reports whether id may name a customer.
func ValidCustomerID(id string) bool {
	v := validator{}
	v.customerID("", id)
	return len(v.errs) == 0
}

// PatchOf is the patch that makes an address into a: every member is set or removed.
func PatchOf(a Address) AddressPatch {
	p := AddressPatch{}
	for name, value := range addressFields(&a) {
		if p[name] = nil; *value != "" {
			p[name] = value
		}
	}
	return p
}
