package normalize

import (
	"slices"
	"strconv"
)

// ExplainInput is a create as far as routes look at it: what would become of it is
// asked without its card.
type ExplainInput struct {
	CustomerID  string            // "": no route for a share of the customers matches
	Type        Type              // "": what the source types stand for
	SourceTypes []SourceType      // 1–8, in the order of the create's sources
	Currency    string            // ISO 4217
	Country     string            // ISO 3166-1 alpha-2
	Brand       Brand             // "": what the BIN stands for
	BIN         string            // 6–8 digits
	Metadata    map[string]string // as a create's
	Provider    string            // asked for by name; required for a provider_reference
}

// Validate returns everything that is wrong with the request; nil if nothing is.
func (in ExplainInput) Validate() []FieldError {
	v := validator{}
	if in.CustomerID != "" {
		v.customerID("/customer_id", in.CustomerID)
	}
	if in.Type != "" && !slices.Contains(Types(), in.Type) {
		v.add("/type", InvalidField, "is not a known instrument type")
	}
	switch n := len(in.SourceTypes); {
	case n == 0:
		v.add("/source_types", MissingField, "at least one source type is required")
	case n > MaxSources:
		v.add("/source_types", OutOfRange, "at most 8 source types are accepted")
	}
	for i, t := range in.SourceTypes {
		if !slices.Contains(SourceTypes(), t) {
			v.add("/source_types/"+strconv.Itoa(i), UnsupportedSource, "is not a known source type")
		}
	}
	v.currency("/currency", in.Currency)
	v.country("/country", in.Country)
	if in.Brand != "" && !slices.Contains(Brands(), in.Brand) {
		v.add("/brand", InvalidField, "is not a known brand")
	}
	if in.BIN != "" && (!isDigits(in.BIN) || len(in.BIN) < 6 || len(in.BIN) > 8) {
		v.add("/bin", InvalidField, "must be the first 6 to 8 digits of the card number")
	}
	v.metadata("/metadata", in.Metadata)
	if in.Provider != "" {
		v.name("/provider", in.Provider)
	} else if slices.Contains(in.SourceTypes, SourceProviderReference) {
		v.add("/provider", MissingField, "is required with a provider_reference: it names whose reference it is")
	}
	return v.errs
}

// ValidMetadataKey reports whether k may be a key of an instrument's metadata.
func ValidMetadataKey(k string) bool { return metadataKey.MatchString(k) && !ContainsCardNumber(k) }
