package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is why a call failed. Act on Code, Outcome and Retry, never on the text.
type Error struct {
	Status         int           // HTTP status; 0 if no answer came
	Code           Code          // "" if no problem came
	Outcome        Outcome       // what is known of the effect at the provider
	Retry          Retry         // what may be done, once the client has given up
	Detail         string        // for people
	Fields         []FieldError  // what is wrong in the request, by JSON pointer
	RequestID      string        // names the exchange in the gateway's log
	OperationID    string        // for Client.Operation; "" if there is none
	IdempotencyKey string        // the request was sent with: repeat it with this key and no other
	RetryAfter     time.Duration // 0 if the gateway gave no hint
	Provider       *ProblemProvider
	Attempts       []Attempt
	Err            error // why no answer came; nil if one did
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("polyvault: no answer: %v", e.Err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "polyvault: %d %s (%s, retry: %s): %s", e.Status, e.Code, e.Outcome, e.Retry, e.Detail)
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Pointer, f.Message)
	}
	return b.String()
}

// Unwrap returns why no answer came.
func (e *Error) Unwrap() error { return e.Err }

// noAnswer is the error of an exchange that broke off: the gateway may have got
// the request, so that a create may be repeated with its key only.
func noAnswer(err error, key string) *Error {
	e := &Error{Outcome: OutcomeUnknown, Retry: RetrySafe, IdempotencyKey: key, Err: err}
	if key != "" {
		e.Retry = RetrySafeWithSameKey
	}
	return e
}

const maxProblem = 1 << 20

// problemError reads the problem of an answer. Whatever stands between client and
// gateway answers in its own words: those say nothing about the effect.
func problemError(resp *http.Response, key string) *Error {
	e := &Error{Status: resp.StatusCode, Outcome: OutcomeUnknown, Retry: RetryNever, IdempotencyKey: key}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	var p Problem
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	isProblem := strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json")
	if err != nil || !isProblem || json.Unmarshal(body, &p) != nil {
		e.Detail = "the answer is not the gateway's: " + http.StatusText(resp.StatusCode)
		if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
			e.Retry = noAnswer(nil, key).Retry
		}
		return e
	}
	e.Code, e.Outcome, e.Retry, e.Detail, e.Fields = p.Code, p.Outcome, p.Retry, p.Detail, p.Errors
	e.RequestID, e.OperationID, e.Provider, e.Attempts = p.RequestID, p.OperationID, p.Provider, p.Attempts
	return e
}
