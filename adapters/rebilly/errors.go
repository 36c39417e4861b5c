package rebilly

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// problem is Rebilly's error body (RFC 9457). The 2021 shapes had the string
// "error", and older servers a list "details" [S21, SDK].
type problem struct {
	Type          text          `json:"type"`
	Title         text          `json:"title"`
	Status        number        `json:"status"`
	Detail        text          `json:"detail"`
	Error         text          `json:"error"`
	InvalidFields invalidFields `json:"invalidFields"`
}

// invalidFields is a list of {field, message} [S26]; for a while it was an
// object of lists of messages (RebillyAPI issues 675 to 677), read as well.
type invalidFields []invalidField

type invalidField struct {
	Field   text `json:"field"`
	Message text `json:"message"`
}

// UnmarshalJSON implements [json.Unmarshaler]. It never fails.
func (f *invalidFields) UnmarshalJSON(b []byte) error {
	*f = nil
	var list []loose[invalidField]
	if rest.Unmarshal(b, &list) == nil {
		for _, e := range list {
			if e.Set {
				*f = append(*f, e.Value)
			}
		}
		return nil
	}
	var object loose[map[string]json.RawMessage]
	_ = rest.Unmarshal(b, &object)
	for field, raw := range object.Value {
		var messages []text
		if rest.Unmarshal(raw, &messages) != nil {
			var one text
			_ = one.UnmarshalJSON(raw)
			messages = []text{one}
		}
		*f = append(*f, invalidField{Field: text(field), Message: text(joinText(messages))})
	}
	slices.SortFunc(*f, func(a, b invalidField) int { return strings.Compare(string(a.Field), string(b.Field)) })
	return nil
}

func joinText(messages []text) string {
	var b strings.Builder
	for _, m := range messages {
		b.WriteString(string(m) + " ")
	}
	return b.String()
}

// refusal reads an error answer. What each status means is in rest.StatusError;
// here is only what Rebilly adds to it.
//
//	401, 403  wrong key, or a key without the permission or from another address [DOC]: the status decides
//	404, 409  the status decides; the caller knows what a 409 is about
//	422       invalidFields says what; one of "token" is a used or expired token [INF]
//	429       "a request cannot be executed because …" [S26]: it was not
func refusal(r rest.Response, now time.Time) rest.Refusal {
	var p problem
	object := bytes.HasPrefix(bytes.TrimSpace(r.Body), []byte("{")) && rest.Unmarshal(r.Body, &p) == nil
	recognized := object && (p.Title != "" || p.Detail != "" || p.Error != "" || p.Status != 0 || len(p.InvalidFields) > 0)
	out := rest.Refusal{Recognized: recognized, RequestID: requestID(r.Header)}
	if r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable {
		out.RetryAfter = retryAfter(r.Header, now)
	}
	if !recognized {
		return out
	}
	out.ProviderCode = providerCode(p)
	out.Unexecuted = r.Status == http.StatusTooManyRequests
	if r.Status == http.StatusUnprocessableEntity || r.Status == http.StatusBadRequest {
		out.Fields = fieldErrors(p.InvalidFields)
		if len(out.Fields) > 0 {
			out.Code = out.Fields[0].Code
		}
		for _, f := range out.Fields { // what is wrong with a token decides over all else: it must be minted again
			if f.Code != normalize.InvalidField {
				out.Code = f.Code
			}
		}
	}
	return out
}

// wordy is text that can hold no number, so that a title which quotes one does
// not become a code.
var wordy = regexp.MustCompile(`^[A-Za-z][A-Za-z .:/_-]{0,79}$`)

// providerCode is the problem's type, or its title where the type says nothing.
func providerCode(p problem) string {
	switch {
	case p.Type != "" && p.Type != "about:blank" && wordy.MatchString(string(p.Type)):
		return string(p.Type)
	case len(p.InvalidFields) > 0:
		return "invalidFields"
	case wordy.MatchString(string(p.Title)):
		return string(p.Title)
	}
	return ""
}

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID reads X-Request-Id. Rebilly documents no such header; it is there
// for what stands in front of it.
func requestID(h http.Header) string {
	if id := h.Get("X-Request-Id"); requestIDPattern.MatchString(id) {
		return id
	}
	return ""
}

// fieldErrors maps invalidFields, each pointer once.
func fieldErrors(fields invalidFields) []normalize.FieldError {
	var out []normalize.FieldError
	for _, f := range fields {
		e := normalize.FieldError{
			Pointer: pointerOf(string(f.Field)), Code: normalize.InvalidField, Message: "the provider refused the value",
		}
		if f.Field == "token" {
			e.Code, e.Message = tokenProblem(string(f.Message))
		}
		if !slices.ContainsFunc(out, func(o normalize.FieldError) bool { return o.Pointer == e.Pointer }) {
			out = append(out, e)
		}
	}
	return out
}

// tokenProblem tells a used token from an expired one. A token expires when it
// is used, or 30 minutes after it was made [S26]; only the message says which,
// and its wording is not documented. The word refines the code of a refusal that
// is certain anyway, it never decides about the outcome.
func tokenProblem(message string) (normalize.Code, string) {
	m := strings.ToLower(message)
	switch {
	case strings.Contains(m, "already") || strings.Contains(m, "was used") || strings.Contains(m, "been used"):
		return normalize.TokenAlreadyUsed, "the token was used already"
	case strings.Contains(m, "expired"):
		return normalize.TokenExpired, "the token is expired"
	}
	return normalize.InvalidField, "the provider refused the token"
}

// pointerOf maps a dotted path of Rebilly's to a JSON pointer into the API's
// request; "" where the field has no counterpart there.
func pointerOf(field string) string {
	parent, rest, nested := strings.Cut(field, ".")
	switch {
	case parent == "billingAddress" || parent == "primaryAddress":
		return addressPointer(rest)
	case parent == "customFields" && nested:
		return "/metadata/" + normalize.EscapePointer(rest)
	case nested:
		return ""
	}
	return map[string]string{
		"customerId": "/customer_id", "customFields": "/metadata", "method": "/source/type",
		"token": "/source/token", "pan": "/source/number", "cvv": "/source/cvc",
		"expMonth": "/source/exp_month", "expYear": "/source/exp_year",
		"accountNumber": "/source/account_number", "routingNumber": "/source/routing_number",
		"accountType": "/source/account_type", "accountNumberType": "/source",
		"filter": "/filter", "sort": "/sort", "limit": "/limit", "offset": "/cursor", "q": "/q",
	}[field]
}

func addressPointer(rest string) string {
	word, _, _ := strings.Cut(rest, ".")
	switch word {
	case "emails":
		return "/billing_address/email"
	case "phoneNumbers":
		return "/billing_address/phone"
	}
	for _, m := range addressMembers(normalize.Address{}) {
		if m.word == word {
			return "/billing_address/" + m.name
		}
	}
	return "/billing_address"
}

// sourceToCard moves pointers into the source to where an update has them. An
// update without a new source knows the expiry date as the card's.
func sourceToCard(fields []normalize.FieldError) {
	for i, f := range fields {
		if f.Pointer == "/source/exp_month" || f.Pointer == "/source/exp_year" {
			fields[i].Pointer = "/card" + strings.TrimPrefix(f.Pointer, "/source")
		}
	}
}

// unixSeconds is where a number stops being a delay and is a point in time:
// 2001-09-09. No delay of 31 years is meant.
const unixSeconds = 1_000_000_000

// retryAfter reads the headers of both generations: X-RateLimit-Retry-After is
// Unix seconds, not a delay [S26]; then Retry-After, which the PHP client reads;
// then Rate-Limit-Reset, a date [S21]. Between 0 and an hour.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(h.Get("X-RateLimit-Retry-After"), 10, 64); err == nil && n > 0 {
		if n < unixSeconds {
			return rest.ParseRetryAfter(strconv.FormatInt(n, 10), now)
		}
		return rest.ClampRetry(time.Unix(min(n, 1<<40), 0).Sub(now))
	}
	if s := h.Get("Retry-After"); s != "" {
		return rest.RetryAfterHeader(h, now)
	}
	return rest.ParseRetryAfter(h.Get("Rate-Limit-Reset"), now)
}
