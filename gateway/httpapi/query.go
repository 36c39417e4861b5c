package httpapi

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// maxQueryValue bounds every query parameter, in bytes.
const maxQueryValue = 2000

var (
	metadataParam      = regexp.MustCompile(`^metadata\[[A-Za-z0-9_.-]{1,40}\]$`)
	last4Pattern       = regexp.MustCompile(`^[0-9]{4}$`)
	fingerprintPattern = regexp.MustCompile(`^fp_[0-9a-hjkmnp-tv-z]{26}$`)
	namePattern        = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
)

// checkQuery returns everything that is wrong with a query: the pointer is that
// of the whole document, and the message names the parameter. The generated code
// reads the values afterwards; what passes here, it can read.
func checkQuery(u *url.URL, op operation) []normalize.FieldError {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return []normalize.FieldError{{Code: normalize.InvalidField, Message: "the query cannot be read"}}
	}
	var errs []normalize.FieldError
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if code, message := checkParam(name, values[name], op.query); code != "" {
			errs = append(errs, normalize.FieldError{
				Code: code, Message: "query parameter " + strconv.Quote(safeName(name)) + " " + message,
			})
		}
	}
	return errs
}

func checkParam(name string, values, known []string) (normalize.Code, string) {
	v := values[0]
	switch {
	case metadataParam.MatchString(name) && slices.Contains(known, "metadata"):
	case name == "metadata" || !slices.Contains(known, name):
		return normalize.InvalidField, "is not known"
	}
	switch {
	case len(values) > 1:
		return normalize.InvalidField, "must be sent once"
	case len(v) > maxQueryValue:
		return normalize.OutOfRange, "is too long"
	case !utf8.ValidString(v) || strings.IndexFunc(v, unicode.IsControl) >= 0:
		return normalize.InvalidField, "must be text without control characters"
	case v == "":
		return normalize.InvalidField, "must not be empty; leave it out instead"
	case !opaqueParam(name) && normalize.ContainsCardNumber(v):
		return normalize.PANInUnexpectedField, "holds what looks like a card number"
	}
	return checkValue(name, v)
}

// opaqueParam names the parameters whose values are made up by programs: a run of
// digits in them is chance.
func opaqueParam(name string) bool {
	return name == "cursor" || name == "fingerprint" || name == "idempotency_key"
}

func checkValue(name, v string) (normalize.Code, string) {
	switch name {
	case "limit":
		n, err := strconv.Atoi(v)
		if err != nil {
			return normalize.InvalidField, "must be a number, 1 to 100"
		}
		return when(n < 1 || n > 100, normalize.OutOfRange, "must be 1 to 100")
	case "default":
		return when(v != "true" && v != "false", normalize.InvalidField, "must be true or false")
	case "read":
		return when(v != "live" && v != "stored", normalize.InvalidField, "must be live or stored")
	case "state":
		return when(v != "unknown" && v != "manual", normalize.InvalidField, "must be unknown or manual")
	case "delivery_state":
		return when(v != "failed" && v != "all", normalize.InvalidField, "must be failed or all")
	case "event_type":
		return when(!slices.Contains(gateway.EventTypes(), gateway.EventType(v)), normalize.InvalidField, "must be a type of event, such as instrument.created")
	case "scope":
		return when(v != "provider" && v != "vault" && v != "gateway", normalize.InvalidField, "must be provider, vault or gateway")
	case "sort":
		field := strings.TrimPrefix(v, "-")
		return when(field != "created_at" && field != "updated_at" && field != "exp", normalize.InvalidField,
			"must be created_at, updated_at or exp, with - before it for descending")
	case "status":
		return when(!allOf(v, normalize.Statuses()), normalize.InvalidField, "must be instrument statuses, separated by commas")
	case "type":
		return when(!allOf(v, normalize.Types()), normalize.InvalidField, "must be instrument types, separated by commas")
	case "brand":
		return when(!allOf(v, normalize.Brands()), normalize.InvalidField, "must be card brands, separated by commas")
	default:
		return checkText(name, v)
	}
}

func checkText(name, v string) (normalize.Code, string) {
	switch name {
	case "provider":
		bad := slices.ContainsFunc(strings.Split(v, ","), func(n string) bool { return !namePattern.MatchString(n) })
		return when(bad, normalize.InvalidField, "must be providers' names, separated by commas")
	case "customer_id":
		return when(!normalize.ValidCustomerID(v), normalize.InvalidField, "must be a customer's id")
	case "last4":
		return when(!last4Pattern.MatchString(v), normalize.InvalidField, "must be 4 digits")
	case "fingerprint":
		return when(!fingerprintPattern.MatchString(v), normalize.InvalidField, "must be a fingerprint")
	case "expires_before":
		_, err := time.Parse(time.DateOnly, v)
		return when(err != nil, normalize.InvalidField, "must be a date, YYYY-MM-DD")
	case "created_after", "since", "until":
		_, err := time.Parse(time.RFC3339, v)
		return when(err != nil, normalize.InvalidField, "must be a time as in RFC 3339, e.g. 2026-01-31T12:00:00Z")
	case "filter":
		_, ok := normalize.ParseFilter(v)
		return when(!ok, normalize.InvalidField, "must be clauses as in status:active,expired;type:card")
	case "q":
		return when(utf8.RuneCountInString(v) > 100, normalize.OutOfRange, "must be at most 100 characters")
	case "cursor":
		return when(len(v) > 1024, normalize.InvalidCursor, "is not a cursor of this list")
	}
	return "", ""
}

func when(bad bool, code normalize.Code, message string) (normalize.Code, string) {
	if !bad {
		return "", ""
	}
	return code, message
}

func allOf[T ~string](list string, known []T) bool {
	return !slices.ContainsFunc(strings.Split(list, ","), func(v string) bool { return !slices.Contains(known, T(v)) })
}
