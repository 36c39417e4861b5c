package normalize

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code names a kind of failure. Codes appear in responses, logs and metric
// labels; programs act upon them, never upon a message.
type Code string

// The codes of the API. The HTTP status of each is in package httpapi.
const (
	InvalidJSON           Code = "invalid_json"
	DuplicateMember       Code = "duplicate_member"
	UnknownMember         Code = "unknown_member"
	IdempotencyKeyMissing Code = "idempotency_key_missing"
	IdempotencyKeyInvalid Code = "idempotency_key_invalid"
	InvalidCursor         Code = "invalid_cursor"

	InvalidAPIKey     Code = "invalid_api_key"
	InvalidWebhook    Code = "invalid_webhook"
	InsufficientScope Code = "insufficient_scope"

	NotFound          Code = "not_found"
	MethodNotAllowed  Code = "method_not_allowed"
	InstrumentDeleted Code = "instrument_deleted"

	IdempotencyKeyInUse    Code = "idempotency_key_in_use"
	DefaultInstrumentInUse Code = "default_instrument_in_use"
	InvalidState           Code = "invalid_state"
	Conflict               Code = "conflict"

	VersionMismatch      Code = "version_mismatch"
	BodyTooLarge         Code = "body_too_large"
	UnsupportedMediaType Code = "unsupported_media_type"

	MissingField              Code = "missing_field"
	InvalidField              Code = "invalid_field"
	OutOfRange                Code = "out_of_range"
	RawCardNotAccepted        Code = "raw_card_not_accepted"
	PANInUnexpectedField      Code = "pan_in_unexpected_field"
	UnsupportedSource         Code = "unsupported_source"
	UnsupportedOperation      Code = "unsupported_operation"
	CustomerReferenceRequired Code = "customer_reference_required"
	IdempotencyKeyReused      Code = "idempotency_key_reused"
	CardDeclined              Code = "card_declined"
	ExpiredCard               Code = "expired_card"
	TokenExpired              Code = "token_expired"
	TokenAlreadyUsed          Code = "token_already_used"

	RateLimited         Code = "rate_limited"
	ProviderRateLimited Code = "provider_rate_limited"

	InternalError         Code = "internal_error"
	ProviderError         Code = "provider_error"
	ProviderBadResponse   Code = "provider_bad_response"
	ProviderMisconfigured Code = "provider_misconfigured"

	ProviderUnavailable Code = "provider_unavailable"
	NoEligibleProvider  Code = "no_eligible_provider"
	StoreUnavailable    Code = "store_unavailable"
	AuditUnavailable    Code = "audit_unavailable"

	ProviderTimeout Code = "provider_timeout"
	OutcomeUnknown  Code = "outcome_unknown"
)

// Codes returns every code, in the order of their HTTP statuses.
func Codes() []Code {
	return []Code{
		InvalidJSON, DuplicateMember, UnknownMember, IdempotencyKeyMissing, IdempotencyKeyInvalid, InvalidCursor,
		InvalidAPIKey, InvalidWebhook, InsufficientScope, NotFound, MethodNotAllowed, InstrumentDeleted,
		IdempotencyKeyInUse, DefaultInstrumentInUse, InvalidState, Conflict,
		VersionMismatch, BodyTooLarge, UnsupportedMediaType,
		MissingField, InvalidField, OutOfRange, RawCardNotAccepted, PANInUnexpectedField, UnsupportedSource,
		UnsupportedOperation, CustomerReferenceRequired, IdempotencyKeyReused, CardDeclined, ExpiredCard,
		TokenExpired, TokenAlreadyUsed, RateLimited, ProviderRateLimited,
		InternalError, ProviderError, ProviderBadResponse, ProviderMisconfigured,
		ProviderUnavailable, NoEligibleProvider, StoreUnavailable, AuditUnavailable, ProviderTimeout, OutcomeUnknown,
	}
}

// Outcome says what is known of an attempt's effect at a provider.
type Outcome string

const (
	// NotSent means that provably no byte of the request reached the provider, or the
	// provider provably refused it before executing it. Another provider may be tried.
	NotSent Outcome = "not_sent"
	// Rejected means that the provider answered, definitively, that it did not do it.
	Rejected Outcome = "rejected"
	// Applied means that it happened.
	Applied Outcome = "applied"
	// Unknown means that it may have happened. Never try elsewhere; find out first.
	Unknown Outcome = "unknown"
)

// Error is the one error type that crosses package borders.
//
// Msg must be safe to show to an API client. Everything the provider said lives
// in ProviderCode, RequestID and Err, which are logged and, but for Err, shown
// in the problem's provider member; Err is never served.
type Error struct {
	Code         Code
	Outcome      Outcome       // NotSent, Rejected, Applied or Unknown
	Op           string        // "create", "get", …
	Msg          string        // client-safe, lower case, no trailing period
	Fields       []FieldError  // what is wrong in the request, by JSON pointer; nil if not about the input
	Provider     string        // the configured provider's name; set once, by gateway.Provider
	HTTPStatus   int           // the provider's HTTP status; 0 if it gave none
	ProviderCode string        // verbatim, e.g. "invalidFields"; empty if none
	RequestID    string        // provider correlation id; empty if none
	RetryAfter   time.Duration // 0 when there is no hint
	Err          error         // cause; may be nil
}

// FieldError names one thing that is wrong in a request.
type FieldError struct {
	Pointer string `json:"pointer"` // RFC 6901, e.g. "/sources/0/exp_month"; "" for the whole document
	Code    Code   `json:"code"`
	Message string `json:"message"` // never holds the value
}

// Error implements error. It is for operators' logs; Err's text may hold the provider's words.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Provider != "" {
		b.WriteString(e.Provider + ": ")
	}
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	fmt.Fprintf(&b, "%s (%s): %s", e.Code, e.Outcome, e.Msg)
	if e.HTTPStatus != 0 {
		fmt.Fprintf(&b, " [http %d]", e.HTTPStatus)
	}
	if e.ProviderCode != "" {
		fmt.Fprintf(&b, " [%s]", e.ProviderCode)
	}
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Pointer, f.Code)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns err's code; InternalError for an error that is not an [*Error],
// and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return InternalError
}

// OutcomeOf returns err's outcome; Unknown for an error that is not an [*Error],
// since nothing was proved, and Applied for nil.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Applied
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	return Unknown
}

// Invalid makes the error for a request that cannot be understood or accepted.
// Its code is the first field's.
func Invalid(fields ...FieldError) *Error {
	e := &Error{Code: InvalidField, Outcome: NotSent, Msg: "the request is not valid", Fields: fields}
	if len(fields) > 0 {
		e.Code = fields[0].Code
	}
	return e
}

// Retry says what a caller may do after an error.
type Retry string

// The values of the problem member "retry".
const (
	RetrySafe           Retry = "safe"               // nothing happened and the condition may pass
	RetrySameKey        Retry = "safe_with_same_key" // send it again with the same Idempotency-Key
	RetryAfterReconcile Retry = "after_reconcile"    // read the operation first
	RetryNever          Retry = "never"              // the same request will fail again
)

// RetryOf says what may be done about an error with this code and outcome.
func RetryOf(c Code, o Outcome) Retry {
	if o == Unknown {
		return RetrySameKey
	}
	switch c {
	case IdempotencyKeyInUse, Conflict, ProviderTimeout, OutcomeUnknown:
		return RetrySameKey
	case RateLimited, ProviderRateLimited, ProviderUnavailable, NoEligibleProvider, StoreUnavailable, AuditUnavailable, InternalError, ProviderError:
		return RetrySafe
	default:
		return RetryNever
	}
}
