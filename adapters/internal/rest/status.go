package rest

import (
	"net/http"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// Refusal is what an adapter read from an error answer.
type Refusal struct {
	Recognized   bool                   // the body is the provider's own error form
	Code         normalize.Code         // what it means; "" lets the status decide
	ProviderCode string                 // verbatim
	RequestID    string                 // the provider's correlation id
	Fields       []normalize.FieldError // with normalized pointers
	RetryAfter   time.Duration
	// Unexecuted says that the provider documents that it refuses this status
	// before executing anything (429 at some), so another provider may be tried.
	Unexecuted bool
}

// StatusError makes the error for an answer that is not a success. The outcome
// comes from the status alone, and from whether a 4xx came from the provider
// itself; what is not listed is Unknown.
func StatusError(op string, r Response, ref Refusal) *normalize.Error {
	e := &normalize.Error{
		Op: op, HTTPStatus: r.Status, ProviderCode: ref.ProviderCode, RequestID: ref.RequestID,
		Fields: ref.Fields, RetryAfter: ref.RetryAfter,
	}
	e.Code, e.Outcome, e.Msg = byStatus(r.Status)
	switch {
	case ref.Unexecuted:
		e.Outcome = normalize.NotSent
	case e.Outcome == normalize.Rejected && !ref.Recognized && r.Status != http.StatusUnauthorized && r.Status != http.StatusForbidden:
		// A proxy or a login page between us and the provider can answer 4xx too.
		e.Code, e.Outcome, e.Msg = normalize.ProviderBadResponse, normalize.Unknown, "the answer does not come from the provider's API"
	}
	if ref.Code != "" && e.Outcome != normalize.Unknown {
		e.Code = ref.Code
		if msg := messageFor(ref.Code); msg != "" {
			e.Msg = msg
		}
	}
	return e
}

func byStatus(status int) (normalize.Code, normalize.Outcome, string) {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return normalize.InvalidField, normalize.Rejected, "the provider refused the request's data"
	case http.StatusUnauthorized, http.StatusForbidden:
		return normalize.ProviderMisconfigured, normalize.Rejected, "the provider refused the gateway's credentials"
	case http.StatusNotFound:
		return normalize.NotFound, normalize.Rejected, "the provider has no such instrument"
	case http.StatusConflict:
		return normalize.Conflict, normalize.Rejected, "the request conflicts with the instrument's state at the provider"
	case http.StatusGone:
		return normalize.InstrumentDeleted, normalize.Rejected, "the instrument was deleted at the provider"
	case http.StatusPreconditionFailed:
		return normalize.VersionMismatch, normalize.Rejected, "the instrument was changed in the meantime"
	case http.StatusTooManyRequests:
		return normalize.ProviderRateLimited, normalize.Unknown, "the provider limits the rate of requests"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return normalize.ProviderTimeout, normalize.Unknown, "the provider did not answer in time"
	}
	if status >= 400 && status <= 499 {
		return normalize.ProviderError, normalize.Rejected, "the provider refused the request"
	}
	if status >= 500 {
		return normalize.ProviderError, normalize.Unknown, "the provider failed"
	}
	return normalize.ProviderBadResponse, normalize.Unknown, "the provider answered with an unexpected status"
}

func messageFor(c normalize.Code) string {
	switch c {
	case normalize.CardDeclined:
		return "the card was declined"
	case normalize.ExpiredCard:
		return "the card is expired"
	case normalize.TokenExpired:
		return "the one-time token is expired"
	case normalize.TokenAlreadyUsed:
		return "the one-time token was used already"
	case normalize.DefaultInstrumentInUse:
		return "the instrument is the customer's default: make another one the default first"
	case normalize.ProviderMisconfigured:
		return "the provider refused the gateway's configuration"
	case normalize.InvalidState:
		return "the instrument's state at the provider does not allow it"
	default:
		return ""
	}
}

// RetryAfterHeader reads Retry-After: seconds, or an HTTP date. 0 if there is none.
func RetryAfterHeader(h http.Header, now time.Time) time.Duration {
	return ParseRetryAfter(h.Get("Retry-After"), now)
}

// ParseRetryAfter reads a delay in seconds or an HTTP date, between 0 and an hour.
func ParseRetryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(max(0, min(n, 3600))) * time.Second // bounded first: the product could overflow
	}
	for _, layout := range []string{http.TimeFormat, time.RFC1123Z, time.RFC1123, time.RFC822Z, time.RFC822, time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, s); err == nil {
			return ClampRetry(t.Sub(now))
		}
	}
	return 0
}

// ClampRetry keeps a provider's hint between 0 and an hour.
func ClampRetry(d time.Duration) time.Duration { return min(max(d, 0), time.Hour) }
