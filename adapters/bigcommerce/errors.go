package bigcommerce

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// retryFloor is the pause after a 429 without usable headers, which is how the
// platform sheds load. Source: "API rate limits"; a client that read the missing
// header as zero made a storm of retries.
const retryFloor = 3 * time.Second

// refusal reads an error answer. It never keeps the provider's words, which may
// quote what was sent.
//
//	status  forms of the body                            source
//	any     {"status","title","type","errors"?}          V3 status codes page
//	401,403 {"code","message"} as well                   customers.v3 examples
//	404,422 {"errors":[…],"meta":{…}} in batches         reference "Stored Instruments"
//	4xx     with "detail" and "code" (payments family)   payments.v3
//	401,429,5xx  empty or HTML                           seen by users
func refusal(op string, r rest.Response) rest.Refusal {
	out := rest.Refusal{RequestID: requestID(r.Header), RetryAfter: retryAfter(r.Status, r.Header)}
	var e baseError
	if err := json.Unmarshal(r.Body, &e); err == nil {
		out.Recognized = recognized(e)
		out.ProviderCode = providerCode(e)
		out.Fields = fieldErrors(messagesOf(r.Body))
	}
	switch r.Status {
	case http.StatusTooManyRequests:
		// Source: rate limit pages; a limited request is refused before it is processed.
		out.Unexecuted = true
	case http.StatusNotFound:
		if op == opCreate || op == opListAll {
			out.Code = normalize.ProviderMisconfigured // nothing that the caller named: the store's address
		}
	case http.StatusUnprocessableEntity:
		if op == opDelete {
			out.Code = normalize.InvalidState // the vault does not let go of it
		}
	}
	return out
}

// recognized reports whether e is in one of the provider's own forms.
func recognized(e baseError) bool {
	switch errs := bytes.TrimSpace(e.Errors); {
	case bytes.HasPrefix(errs, []byte("[")) || len(errorsOf(errs)) > 0:
		return true // a batch's result
	case bytes.HasPrefix(errs, []byte("{")) && (e.Status != 0 || e.Title != ""):
		return true
	}
	return e.Status != 0 && e.Title != "" || e.Code != 0 && e.Message != ""
}

// providerCode returns the payments family's code, e.g. "30051", or that of the edge, e.g. "401".
func providerCode(e baseError) string {
	if e.Code == 0 {
		return ""
	}
	return strconv.Itoa(int(e.Code))
}

func requestID(h http.Header) string {
	id := h.Get("X-Request-Id")
	if len(id) > 64 || strings.ContainsFunc(id, notVisibleASCII) {
		return ""
	}
	return id
}

// retryAfter reads when to try again: the milliseconds until the window resets,
// else the seconds of X-Retry-After, else the floor. Only a 429, and a 503 that
// says so, have it.
func retryAfter(status int, h http.Header) time.Duration {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	if status == http.StatusTooManyRequests {
		if ms, err := strconv.ParseFloat(h.Get("X-Rate-Limit-Time-Reset-Ms"), 64); err == nil && ms > 0 && ms <= 3.6e6 {
			d := time.Duration(ms * float64(time.Millisecond))
			return rest.ClampRetry((d + time.Millisecond - 1).Truncate(time.Millisecond)) // rounded up
		}
	}
	for _, name := range []string{"X-Retry-After", "Retry-After"} {
		if s, err := strconv.Atoi(h.Get(name)); err == nil && s > 0 {
			return rest.ClampRetry(time.Duration(s) * time.Second)
		}
	}
	if status == http.StatusTooManyRequests {
		return retryFloor
	}
	return 0
}

// errorsOf returns the elements of a batch's errors: an array, or, as seen on a
// sibling endpoint, the single error as an object.
func errorsOf(raw json.RawMessage) []baseError {
	var list []baseError
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var one baseError
	if json.Unmarshal(raw, &one) == nil && one.Status != 0 {
		return []baseError{one}
	}
	return nil
}

// messagesOf collects the field messages of an error body: those of the error
// itself and those of a batch's items.
func messagesOf(body []byte) map[string]text {
	out := map[string]text{}
	var e baseError
	if json.Unmarshal(body, &e) != nil {
		return out
	}
	items := errorsOf(e.Errors)
	if len(items) == 0 {
		items = []baseError{e}
	}
	for _, item := range items {
		var messages map[string]text
		if json.Unmarshal(item.Errors, &messages) == nil {
			maps.Copy(out, messages)
		}
	}
	return out
}

// fieldErrors maps field paths to normalized pointers, in a fixed order. A path
// that is not known gives no field: it could hold anything.
func fieldErrors(messages map[string]text) []normalize.FieldError {
	var out []normalize.FieldError
	for _, path := range slices.Sorted(maps.Keys(messages)) {
		pointer := pointerOf(path)
		if pointer == "" || slices.ContainsFunc(out, func(f normalize.FieldError) bool { return f.Pointer == pointer }) {
			continue
		}
		f := normalize.FieldError{Pointer: pointer, Code: normalize.InvalidField, Message: "the provider does not accept the value"}
		if m := strings.ToLower(string(messages[path])); strings.Contains(m, "missing") || strings.Contains(m, "required") {
			f.Code, f.Message = normalize.MissingField, "the provider requires it"
		}
		out = append(out, f)
	}
	return out
}

// pointerOf translates a field path such as "0.instrument.expiry_year",
// "[0].billing_address.street_1" or "obj.customer_id"; "" if it is not known.
// How paths of an import are written is not published, so any prefix is dropped.
func pointerOf(path string) string {
	parts := pathParts(path)
	if slices.Contains(parts, trustedShipping) {
		return "" // never the caller's
	}
	for i := range parts { // known names have one part or two, whatever is around them
		if p := fieldPointer(strings.Join(parts[i:min(i+2, len(parts))], ".")); p != "" {
			return p
		}
	}
	return ""
}

func pathParts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]/", r) })
}

// namesField reports whether one of the paths ends in the field.
func namesField(messages map[string]text, field string) bool {
	for path := range messages {
		if slices.Contains(pathParts(path), field) {
			return true
		}
	}
	return false
}

// fieldPointer translates a request member's name.
//
// Source: reference "Stored Instruments", import and update bodies.
func fieldPointer(name string) string {
	if member, ok := strings.CutPrefix(name, "billing_address."); ok {
		if m := addressMember(member); m != "" {
			return "/billing_address/" + m
		}
		return "/billing_address"
	}
	switch strings.TrimPrefix(name, "instrument.") {
	case "vault_token":
		return "/source/vault_token"
	case "provider_customer_id":
		return "/source/provider_customer_id"
	case "type":
		return "/source/instrument_type"
	case "brand":
		return "/source/brand"
	case "expiry_month":
		return "/source/exp_month"
	case "expiry_year":
		return "/source/exp_year"
	case "last_4":
		return "/source/last4"
	case "iin":
		return "/source/bin"
	case "email":
		return "/source/email"
	case "issuer":
		return "/source/issuer"
	case "masked_account_number":
		return "/source/masked_account_number"
	case "instrument":
		return "/source"
	case "payment_method_id":
		return "/source/payment_method_id"
	case "currency_code":
		return "/source/currency"
	case "customer_id":
		return "/customer_id"
	case "billing_address":
		return "/billing_address"
	case "default_instrument", "make_default", "is_default":
		return "/default"
	}
	return ""
}

// addressMember translates an address member's name, of requests and of answers.
func addressMember(name string) string {
	switch name {
	case "first_name", "last_name", "company", "city", "postal_code", "email", "phone":
		return name
	case "street_1", "address1":
		return "line1"
	case "street_2", "address2":
		return "line2"
	case "state_or_province", "state_or_province_code":
		return "region"
	case "country_code":
		return "country"
	}
	return ""
}
