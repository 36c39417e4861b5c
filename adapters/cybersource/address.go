package cybersource

import (
	"strings"
	"unicode/utf8"

	"github.com/polyvault/polyvault/normalize"
)

func toAddress(b *billToBody) *normalize.Address {
	if b == nil || *b == (billToBody{}) {
		return nil
	}
	return &normalize.Address{
		FirstName: string(b.FirstName), LastName: string(b.LastName), Company: string(b.Company),
		Line1: string(b.Address1), Line2: string(b.Address2), City: string(b.Locality), Region: string(b.AdministrativeArea),
		PostalCode: string(b.PostalCode), Country: strings.ToUpper(string(b.Country)),
		Email: string(b.Email), Phone: string(b.PhoneNumber),
	}
}

// toBillTo writes an address. The provider has no holder name: it stands in the
// names of the address, and only where those are free.
func toBillTo(a *normalize.Address, holder string) *billToRequest {
	var in normalize.Address
	if a != nil {
		in = *a
	}
	if in.FirstName == "" && in.LastName == "" {
		in.FirstName, in.LastName = splitName(holder)
	}
	if in == (normalize.Address{}) {
		return nil
	}
	return &billToRequest{
		FirstName: in.FirstName, LastName: in.LastName, Company: in.Company, Address1: in.Line1, Address2: in.Line2,
		Locality: in.City, AdministrativeArea: in.Region, PostalCode: in.PostalCode, Country: in.Country,
		Email: in.Email, PhoneNumber: phone(in.Phone),
	}
}

// billToPatch writes an address for a merge patch: every member, null for those
// that are absent, since a member that is left out would keep its old value.
func billToPatch(a normalize.Address) map[string]*string {
	patch := map[string]*string{}
	for name, value := range map[string]string{
		"firstName": a.FirstName, "lastName": a.LastName, "company": a.Company, "address1": a.Line1, "address2": a.Line2,
		"locality": a.City, "administrativeArea": a.Region, "postalCode": a.PostalCode, "country": a.Country,
		"email": a.Email, "phoneNumber": phone(a.Phone),
	} {
		if patch[name] = nil; value != "" {
			patch[name] = &value
		}
	}
	return patch
}

// splitName splits at the last space. A part that is longer than the provider's
// 60 characters is left out rather than cut.
func splitName(holder string) (first, last string) {
	holder = strings.TrimSpace(holder)
	if i := strings.LastIndexByte(holder, ' '); i >= 0 {
		first, last = strings.TrimSpace(holder[:i]), holder[i+1:]
	} else {
		last = holder
	}
	if utf8.RuneCountInString(first) > 60 || utf8.RuneCountInString(last) > 60 {
		return "", ""
	}
	return first, last
}

// phone shortens a number to the provider's 15 characters: without its separators
// and extension, and at last without its plus sign. Shorter ones stay as they are.
func phone(s string) string {
	if len(s) <= 15 {
		return s
	}
	s, _, _ = strings.Cut(s, "x")
	digits := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
	if strings.HasPrefix(s, "+") && len(digits) < 15 {
		return "+" + digits
	}
	return digits[:min(15, len(digits))]
}
