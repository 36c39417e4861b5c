package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// problemBase is in front of every problem's type. It names, and need not resolve.
const problemBase = "https://polyvault.dev/problems/"

// problem is an error as callers see it (RFC 9457).
type problem struct {
	Type        string                 `json:"type"`
	Title       string                 `json:"title"`
	Status      int                    `json:"status"`
	Code        normalize.Code         `json:"code"`
	Outcome     normalize.Outcome      `json:"outcome"`
	Retry       normalize.Retry        `json:"retry"`
	Detail      string                 `json:"detail"`
	RequestID   string                 `json:"request_id"`
	OperationID string                 `json:"operation_id,omitempty"`
	Errors      []normalize.FieldError `json:"errors,omitempty"`
	Provider    *problemProvider       `json:"provider,omitempty"`
	Attempts    []gateway.AttemptView  `json:"attempts,omitempty"`
}

// problemProvider is what the provider itself said, for a support case there.
type problemProvider struct {
	Name       string `json:"name"`
	HTTPStatus int    `json:"http_status,omitzero"`
	Code       string `json:"code,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
}

// classified returns the error that err is to be shown as. An error that nobody
// classified is a fault of ours, of which nothing is shown.
func classified(err error) *normalize.Error {
	if e, ok := errors.AsType[*normalize.Error](err); ok {
		return e
	}
	return &normalize.Error{
		Code: normalize.InternalError, Outcome: normalize.Unknown, Msg: "something went wrong in the gateway", Err: err,
	}
}

// newProblem renders err. keyed says whether the request had an idempotency key.
func newProblem(err error, requestID string, keyed bool) problem {
	e := classified(err)
	kind := kindOf(e.Code)
	p := problem{
		Type: problemBase + string(e.Code), Title: kind.title, Status: kind.status, Code: e.Code, Outcome: e.Outcome,
		Retry: retryOf(e, keyed), Detail: withoutSecrets(e.Msg), RequestID: requestID,
	}
	for _, f := range e.Fields {
		f.Pointer, f.Message = safePointer(f.Pointer), withoutSecrets(f.Message)
		p.Errors = append(p.Errors, f)
	}
	if e.Provider != "" {
		p.Provider = &problemProvider{
			Name: e.Provider, HTTPStatus: e.HTTPStatus,
			Code: withoutSecrets(e.ProviderCode), RequestID: withoutSecrets(e.RequestID),
		}
	}
	if f, ok := errors.AsType[*gateway.Failure](err); ok {
		p.OperationID, p.Attempts = f.OperationID, f.Attempts
	}
	return p
}

// withFields tells of a missing idempotency key together with what else is wrong.
func withFields(keyErr, decodeErr error, fields []normalize.FieldError) error {
	if e, ok := errors.AsType[*normalize.Error](decodeErr); ok {
		fields = e.Fields
	}
	if len(fields) == 0 {
		return keyErr
	}
	out := *classified(keyErr)
	out.Fields = append([]normalize.FieldError{{Code: out.Code, Message: `header "Idempotency-Key" is required`}}, fields...)
	return &out
}

// retryOf is what the caller may do. Reads, patches and deletes have no key, and
// repeating them does no harm: what a create may do with its key, they may do without.
// What the provider definitively refused is saved under a key: with it the answer stays.
func retryOf(e *normalize.Error, keyed bool) normalize.Retry {
	if keyed && e.Outcome == normalize.Rejected {
		return normalize.RetryNever
	}
	retry := normalize.RetryOf(e.Code, e.Outcome)
	if retry == normalize.RetrySameKey && !keyed {
		return normalize.RetrySafe
	}
	return retry
}

// retryAfter is the Retry-After header in whole seconds, rounded up; 0 for none.
func retryAfter(e *normalize.Error) int {
	seconds := int((e.RetryAfter + time.Second - 1) / time.Second)
	switch e.Code {
	case normalize.RateLimited, normalize.ProviderRateLimited, normalize.IdempotencyKeyInUse,
		normalize.ProviderUnavailable, normalize.NoEligibleProvider, normalize.StoreUnavailable, normalize.AuditUnavailable:
		return max(seconds, 1)
	default:
		return max(seconds, 0)
	}
}

// handleError is the one place where an error becomes an answer. Echo calls it.
func (a *API) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return // too late to say anything; the log line has the error
	}
	err = fromEcho(c, err)
	e, x := classified(err), exchangeOf(c)
	x.err, x.code = err, e.Code
	h := c.Response().Header()
	h.Del("ETag")
	h.Set("Gateway-Outcome", string(e.Outcome))
	if e.Provider != "" {
		h.Set("Gateway-Provider", e.Provider)
	}
	if f, ok := errors.AsType[*gateway.Failure](err); ok {
		x.instrument, x.attempts = f.OperationID, f.Attempts
		if f.Replayed {
			h.Set("Idempotent-Replayed", "true")
		}
	}
	if seconds := retryAfter(e); seconds > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
	switch e.Code {
	case normalize.InvalidAPIKey:
		h.Set("WWW-Authenticate", `Bearer realm="polyvault"`)
	case normalize.InvalidWebhook:
		h.Set("WWW-Authenticate", `Basic realm="polyvault webhooks"`)
	default:
	}
	p := newProblem(err, x.requestID, x.keyed)
	writeJSON(c, p.Status, "application/problem+json", p)
}

// fromEcho classifies the errors that Echo itself raises: for paths and methods
// that do not exist, and for parameters that its generated code cannot read. What
// those say holds values, so nothing of it is shown.
func fromEcho(c echo.Context, err error) error {
	he, ok := errors.AsType[*echo.HTTPError](err)
	if !ok {
		return err
	}
	e := &normalize.Error{Outcome: normalize.NotSent, Err: he}
	switch {
	case he.Code == http.StatusMethodNotAllowed:
		e.Code, e.Msg = normalize.MethodNotAllowed, "the Allow header lists the methods of this path"
	case he.Code == http.StatusNotFound || emptyPathParam(c):
		e.Code, e.Outcome, e.Msg = normalize.NotFound, normalize.Rejected, "there is no such resource"
	case he.Code == http.StatusBadRequest:
		e.Code, e.Msg = normalize.InvalidField, "a parameter of the path or the query is not valid"
		e.Fields = []normalize.FieldError{{Code: e.Code, Message: "a parameter of the path or the query cannot be read"}}
	default:
		e.Code, e.Outcome, e.Msg = normalize.InternalError, normalize.Unknown, "something went wrong in the gateway"
	}
	return e
}

func emptyPathParam(c echo.Context) bool {
	return slices.Contains(c.ParamValues(), "")
}
