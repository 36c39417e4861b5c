package rebilly

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/polyvault/polyvault/normalize"
)

// filter is a filter in Rebilly's mini-language [DOC]: clauses joined by ";",
// each "field:value,value". There is no escaping, so that a value which holds a
// character of the language would become a condition of its own, and one
// customer's list could show another's: such values are refused.
type filter struct {
	clauses  []string
	from, to time.Time // bounds of createdTime; zero is open
	created  bool      // a clause on createdTime that is not a range is among clauses
}

func newFilter(customer string, clauses []normalize.Clause) (*filter, *normalize.Error) {
	f := &filter{}
	if customer != "" {
		if !validID(customer) || !safeValue(customer) {
			return nil, normalize.Invalid(normalize.FieldError{
				Pointer: "/customer_id", Code: normalize.InvalidField, Message: "the provider cannot filter by this reference",
			})
		}
		f.clauses = append(f.clauses, "customerId:"+customer)
	}
	for _, c := range clauses {
		if err := f.add(c); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// String returns the filter; "" if there is none.
func (f *filter) String() string {
	clauses := f.clauses
	if !f.from.IsZero() || !f.to.IsZero() {
		clauses = append(slices.Clone(clauses), "createdTime:"+stamp(f.from)+".."+stamp(f.to))
	}
	return strings.Join(clauses, ";")
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// goOn narrows the filter to what comes at or after a creation time in the
// order; it reports false if that cannot be said.
func (f *filter) goOn(after, by string) bool {
	at := text(after).time()
	switch {
	case f.created:
		return false
	case by == "created_at":
		f.narrow(at, time.Time{})
	case by == "-created_at":
		f.narrow(time.Time{}, at)
	default:
		return false
	}
	return true
}

func (f *filter) narrow(from, to time.Time) {
	if from.After(f.from) {
		f.from = from
	}
	if !to.IsZero() && (f.to.IsZero() || to.Before(f.to)) {
		f.to = to
	}
}

// kind is how a field's values are checked and translated.
type kind int

const (
	verbatim kind = iota
	integer
	instant
	translated
)

// filterField returns Rebilly's name for a normalized field. What is not listed
// Rebilly does not know (provider, default, fingerprint, expires_before), or only
// the gateway does (customer_id is the merchant's own id: see ListInput.Customer).
func filterField(name string) (word string, k kind, ok bool) {
	if key, isMetadata := strings.CutPrefix(name, "metadata."); isMetadata {
		return "customFields." + key, verbatim, customField.MatchString(key)
	}
	switch name {
	case "status", "brand":
		return name, translated, true
	case "type":
		return "method", translated, true
	case "bin", "last4":
		return name, verbatim, true
	case "exp_month":
		return "expMonth", integer, true
	case "exp_year":
		return "expYear", integer, true
	case "created_at":
		return "createdTime", instant, true
	case "updated_at":
		return "updatedTime", instant, true
	case "billing_address.country":
		return "billingAddress.country", verbatim, true
	}
	return "", 0, false
}

// customField is the form of a custom field's name [S26]; a dot would make it a path.
var customField = regexp.MustCompile(`^[\w-]{1,60}$`)

func (f *filter) add(c normalize.Clause) *normalize.Error {
	word, k, ok := filterField(c.Field)
	if !ok {
		return unsupported("the provider cannot filter by this field")
	}
	if c.Values == nil {
		return f.addRange(c, word, k)
	}
	values := make([]string, 0, len(c.Values))
	for _, v := range c.Values {
		v, ok := filterValue(v, k)
		if !ok {
			return badFilter()
		}
		values = append(values, v)
	}
	negate := c.Negate
	if k == translated {
		values, negate, ok = translate(c.Field, values, negate)
		if !ok {
			return unsupported("the provider cannot filter by this value")
		}
	}
	if len(values) == 0 {
		return badFilter()
	}
	if negate {
		for i, v := range values {
			values[i] = "!" + v // on every value: one older guide lets the first speak for all [DOC]
		}
	}
	f.created = f.created || word == "createdTime"
	f.clauses = append(f.clauses, word+":"+strings.Join(values, ","))
	return nil
}

func (f *filter) addRange(c normalize.Clause, word string, k kind) *normalize.Error {
	if k == translated || k == verbatim {
		return unsupported("the provider knows ranges of numbers and times only")
	}
	from, okFrom := filterBound(c.From, k)
	to, okTo := filterBound(c.To, k)
	if !okFrom || !okTo || from == "" && to == "" || c.Negate {
		return badFilter()
	}
	if word == "createdTime" { // one clause in all, so that a cursor can narrow it
		f.narrow(text(from).time(), text(to).time())
		return nil
	}
	f.clauses = append(f.clauses, word+":"+from+".."+to)
	return nil
}

func filterBound(v string, k kind) (string, bool) {
	if v == "" {
		return "", true
	}
	return filterValue(v, k)
}

// filterValue checks a value and writes it the way Rebilly reads it.
func filterValue(v string, k kind) (string, bool) {
	if !safeValue(v) {
		return "", false
	}
	switch k {
	case integer:
		n, err := strconv.Atoi(v)
		return strconv.Itoa(n), err == nil && n >= 0
	case instant:
		t := text(v).time()
		return stamp(t), !t.IsZero()
	case verbatim, translated:
	}
	return v, true
}

func safeValue(v string) bool {
	return v != "" && len(v) <= 255 && utf8.ValidString(v) && !strings.ContainsAny(v, ",;!@") &&
		!strings.Contains(v, "..") && v[0] != '.' && v[len(v)-1] != '.' && !strings.ContainsFunc(v, unicode.IsControl)
}

func badFilter() *normalize.Error {
	return normalize.Invalid(normalize.FieldError{
		Pointer: "/filter", Code: normalize.InvalidField,
		Message: "a value has the wrong form for its field, or holds one of , ; ! @ .. which the provider's filters cannot express",
	})
}

// translate maps values of status, type and brand. It reports false where the
// set of Rebilly's words that are meant cannot be written down.
func translate(field string, values []string, negate bool) ([]string, bool, bool) {
	switch field {
	case "type":
		return methods(values, negate)
	case "brand":
		return brands(values, negate)
	}
	words := map[string][]string{
		"active": {"active", "inactive"}, "verification_needed": {"verification-needed"},
		"expired": {"expired"}, "deactivated": {"deactivated"},
	}
	var out []string
	for _, v := range values {
		word, ok := words[strings.ToLower(v)]
		if !ok {
			return nil, false, false // pending stands for words that nobody knows, and nothing is failed
		}
		out = append(out, word...)
	}
	return out, negate, true
}

// methods maps types. "other" is whatever has no type of its own, so that it is
// written as the negation of what has.
func methods(values []string, negate bool) ([]string, bool, bool) {
	words := []struct {
		typ  normalize.Type
		word string
	}{
		{normalize.TypeCard, methodCard}, {normalize.TypeBankAccount, methodACH}, {normalize.TypePayPal, methodPayPal},
	}
	other := false
	for _, v := range values {
		if !slices.Contains(normalize.Types(), normalize.Type(strings.ToLower(v))) {
			return nil, false, false
		}
		other = other || strings.EqualFold(v, string(normalize.TypeOther))
	}
	var out []string
	for _, w := range words {
		named := slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, string(w.typ)) })
		if named != other {
			out = append(out, w.word)
		}
	}
	return out, negate != other, len(out) > 0
}

// brands maps brands; "other" are Rebilly's brands that have no word here. A
// brand that Rebilly has not cannot be asked for: it may be any "other".
func brands(values []string, negate bool) ([]string, bool, bool) {
	var out []string
	for _, v := range values {
		found := false
		for _, n := range brandNames() {
			if strings.EqualFold(v, string(n.brand)) {
				out, found = append(out, n.word), true
			}
		}
		if !found {
			return nil, false, false
		}
	}
	return out, negate, true
}

// decodeNumbers reads JSON and keeps numbers as they were written.
func decodeNumbers(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}
