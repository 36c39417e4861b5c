package gateway

import (
	"errors"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// refused is the cause of an error of a provider that was not called. It is what
// an attempt shows as its code.
type refused Reason

// Error implements error.
func (r refused) Error() string { return string(r) }

// unavailable is the error of a call that was not made.
func (p *Provider) unavailable(why Reason, retry time.Duration) *normalize.Error {
	return &normalize.Error{
		Code: normalize.ProviderUnavailable, Outcome: normalize.NotSent, Msg: why.message(), Provider: p.name, RetryAfter: retry, Err: refused(why),
	}
}

// message says why a provider was not called.
func (r Reason) message() string {
	switch r {
	case ReasonBreakerOpen:
		return "the provider's circuit breaker is open: it was not called"
	case ReasonBulkheadFull:
		return "too many calls to the provider are in flight: it was not called"
	case ReasonDrained:
		return "an operator has drained the provider: it was not called"
	case ReasonRetryBudget:
		return "too many creates come from other providers already: it was not called"
	default:
		return "the provider was not called"
	}
}

// wasRefused reports whether err is of a provider that was not called.
func wasRefused(err error) bool {
	_, ok := errors.AsType[refused](err)
	return ok
}

// attemptCode is what an attempt that failed shows: why the provider was not
// called, else the error's own code.
func attemptCode(err error) normalize.Code {
	if why, ok := errors.AsType[refused](err); ok {
		return normalize.Code(why)
	}
	return normalize.CodeOf(err)
}
