package normalize

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// validator collects what is wrong, so that a caller sees all of it at once.
type validator struct {
	now  time.Time
	errs []FieldError
}

func (v *validator) add(pointer string, code Code, message string) {
	v.errs = append(v.errs, FieldError{Pointer: pointer, Code: code, Message: message})
}

// EscapePointer escapes one reference token of a JSON pointer (RFC 6901).
func EscapePointer(token string) string {
	if !strings.ContainsAny(token, "~/") {
		return token // nearly always, and a Replacer costs more than all the rest of a check
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}

// required reports whether s is set, and records that it is missing if not.
func (v *validator) required(pointer, s string) bool {
	if s == "" {
		v.add(pointer, MissingField, "is required")
		return false
	}
	return true
}

// text checks a free-text member: length in characters, nothing invisible that
// could hide or reorder what people read, and no card number.
func (v *validator) text(pointer, s string, limit int) {
	switch {
	case !utf8.ValidString(s):
		v.add(pointer, InvalidField, "must be valid UTF-8")
	case utf8.RuneCountInString(s) > limit:
		v.add(pointer, OutOfRange, fmt.Sprintf("must be at most %d characters", limit))
	case strings.IndexFunc(s, forbiddenRune) >= 0:
		v.add(pointer, InvalidField, "must not hold control or text-direction characters")
	case s != "" && strings.TrimSpace(s) == "":
		v.add(pointer, InvalidField, "must not be blank; leave it out instead")
	case ContainsCardNumber(s):
		v.pan(pointer)
	}
}

func (v *validator) pan(pointer string) {
	v.add(pointer, PANInUnexpectedField, "holds what looks like a card number; send it only as a card source's number")
}

// forbiddenRune refuses control characters, whatever reorders text (which makes it read
// differently from what it is), and what nobody can see. The two joiners (U+200C, U+200D)
// pass: Persian and Indic names are written with them.
func forbiddenRune(r rune) bool {
	switch {
	case r < 0x80:
		return r < ' ' || r == 0x7f
	case r == 0x200c || r == 0x200d:
		return false
	default:
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Cf, r) ||
			r == 0x2028 || r == 0x2029 || r == unicode.ReplacementChar
	}
}

var (
	customerIDPattern = regexp.MustCompile(`^[A-Za-z0-9._@~:+-]{1,100}$`)
	namePattern       = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	referencePattern  = regexp.MustCompile(`^[A-Za-z0-9._@~:+=/-]{1,128}$`)
	postalPattern     = regexp.MustCompile(`^[A-Za-z0-9 -]{1,10}$`)
	phonePattern      = regexp.MustCompile(`^\+?[0-9(). x/-]{3,20}$`)
	emailPattern      = regexp.MustCompile(`^[^\s@<>"(),:;\\]{1,64}@[^\s@<>"(),:;\\.]+(\.[^\s@<>"(),:;\\.]+)+$`)
	metadataKey       = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,40}$`)
	paymentMethodID   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,60}\.[A-Za-z0-9_-]{1,60}$`)
	jwtPattern        = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$`)
	tokenPattern      = regexp.MustCompile(`^[A-Za-z0-9._~@=+/-]{1,512}$`)
	identifierPattern = regexp.MustCompile(`^[A-Za-z0-9]{12,32}$`)
	maskedPattern     = regexp.MustCompile(`^[0-9Xx*]{2,34}$`)
)

func (v *validator) customerID(pointer, id string) {
	if !v.required(pointer, id) {
		return
	}
	switch {
	case !customerIDPattern.MatchString(id) || id == "." || id == "..":
		v.add(pointer, InvalidField, "must be 1 to 100 of A-Z a-z 0-9 . _ @ ~ : + -")
	case ContainsCardNumber(id):
		v.pan(pointer)
	}
}

func (v *validator) name(pointer, s string) {
	if !namePattern.MatchString(s) {
		v.add(pointer, InvalidField, "must be a provider's name: a-z 0-9 and hyphens, up to 63")
	}
}

func (v *validator) reference(pointer, s string) {
	switch {
	case s == "":
		v.add(pointer, MissingField, "is required")
	case !referencePattern.MatchString(s) || s == "." || strings.Contains(s, ".."):
		v.add(pointer, InvalidField, "must be a provider's reference: up to 128 of A-Z a-z 0-9 . _ @ ~ : + = / -")
	case IsWrittenCardNumber(s), IsCardNumber(s) && len(s) != 16 && len(s) != 19:
		// CyberSource's own token formats are 16 or 19 digits. They begin like no scheme's cards, so those pass.
		v.pan(pointer)
	}
}

// address checks each member's length and form; every member is optional.
func (v *validator) address(pointer string, a Address) {
	for _, m := range []struct {
		name, value string
		limit       int
	}{
		{"first_name", a.FirstName, 45},
		{"last_name", a.LastName, 45},
		{"company", a.Company, 60},
		{"line1", a.Line1, 60},
		{"line2", a.Line2, 60},
		{"city", a.City, 45},
		{"region", a.Region, 20},
	} {
		v.text(pointer+"/"+m.name, m.value, m.limit)
	}
	if a.PostalCode != "" && !postalPattern.MatchString(a.PostalCode) {
		v.add(pointer+"/postal_code", InvalidField, "must be up to 10 letters, digits, spaces and hyphens")
	}
	v.country(pointer+"/country", a.Country)
	v.email(pointer+"/email", a.Email)
	if a.Phone != "" {
		switch {
		case !phonePattern.MatchString(a.Phone):
			v.add(pointer+"/phone", InvalidField, "must be 3 to 15 digits, with + ( ) . - / x and spaces")
		case digitCount(a.Phone) > 15:
			v.add(pointer+"/phone", OutOfRange, "must have at most 15 digits")
		case a.Phone[0] != '+' && ContainsCardNumber(a.Phone):
			v.pan(pointer + "/phone")
		}
	}
}

func (v *validator) email(pointer, s string) {
	switch {
	case s == "":
	case utf8.RuneCountInString(s) > 255:
		v.add(pointer, OutOfRange, "must be at most 255 characters")
	case !utf8.ValidString(s) || strings.IndexFunc(s, forbiddenRune) >= 0 || !emailPattern.MatchString(s):
		v.add(pointer, InvalidField, "must be an email address")
	case ContainsCardNumber(s):
		v.pan(pointer)
	}
}

func digitCount(s string) int {
	n := 0
	for _, r := range s {
		if r >= '0' && r <= '9' {
			n++
		}
	}
	return n
}

func (v *validator) country(pointer, s string) {
	if s != "" && !ValidCountry(s) {
		v.add(pointer, InvalidField, "must be an ISO 3166-1 alpha-2 country code in upper case")
	}
}

func (v *validator) currency(pointer, s string) {
	if s != "" && !ValidCurrency(s) {
		v.add(pointer, InvalidField, "must be an ISO 4217 currency code in upper case")
	}
}

func (v *validator) metadata(pointer string, m map[string]string) {
	if len(m) > 20 {
		v.add(pointer, OutOfRange, "must have at most 20 keys")
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		p := pointer + "/" + EscapePointer(k)
		switch {
		case ContainsCardNumber(k):
			v.pan(pointer)
		case !metadataKey.MatchString(k):
			v.add(pointer, InvalidField, "keys must be 1 to 40 of A-Z a-z 0-9 _ . -")
		default:
			if value := m[k]; len(value) > 500 || strings.Trim(value, " ") != "" { // blank is a value here
				v.text(p, value, 500)
			}
		}
	}
}

func (v *validator) expYear(pointer string, year int) {
	if year < 2000 || year > 2099 {
		v.add(pointer, OutOfRange, "must be a four-digit year, 2000 to 2099")
	}
}

// expiry checks a card's expiry; a past one is refused, since no provider can charge it.
func (v *validator) expiry(pointer string, month, year int) {
	before := len(v.errs)
	switch {
	case month == 0:
		v.add(pointer+"/exp_month", MissingField, "is required")
	case month < 1 || month > 12:
		v.add(pointer+"/exp_month", OutOfRange, "must be 1 to 12")
	}
	if year == 0 {
		v.add(pointer+"/exp_year", MissingField, "is required")
	} else {
		v.expYear(pointer+"/exp_year", year)
	}
	if len(v.errs) == before && Expired(month, year, v.now) {
		v.add(pointer+"/exp_year", ExpiredCard, "the expiry date is past")
	}
}
