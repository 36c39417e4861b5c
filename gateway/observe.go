package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// Observer is told of what the gateway does to providers and to the store, for metrics.
// Every request calls it, from many goroutines: its methods must return at once, and
// have nothing to fail with.
type Observer interface {
	// ProviderCall is told of each call to a provider that was made, probes aside.
	ProviderCall(ProviderCall)
	// StoreCall is told of each request to the store, when it has ended.
	StoreCall(StoreCall)
	// PassedOver is told of a candidate that a create or a mirror did not go to.
	PassedOver(provider string, why Reason)
	// FailedOver is told of an instrument that was stored at a provider because those
	// before it could not take it.
	FailedOver(provider string)
}

// ProviderCall is a call to a provider that has ended.
type ProviderCall struct {
	Provider  string // the configured name
	Operation string // such as "create" and "get"
	Outcome   normalize.Outcome
	Code      normalize.Code // of the error; "" if there was none
	Took      time.Duration
}

// StoreCall is a request to the store that has ended.
type StoreCall struct {
	Operation StoreOperation
	Result    StoreResult
	Took      time.Duration
}

// StoreOperation names a method of [Store].
type StoreOperation string

// The operations of a store that requests wait for.
const (
	StoreLoad  StoreOperation = "load"
	StoreWrite StoreOperation = "write"
	StoreScan  StoreOperation = "scan"
	StorePing  StoreOperation = "ping"
)

// StoreResult is how a request to the store ended.
type StoreResult string

// The results of requests to a store.
const (
	StoreOK       StoreResult = "ok"
	StoreConflict StoreResult = "conflict" // a write found another version than it expected: somebody was faster
	StoreCanceled StoreResult = "canceled" // the caller went away, which says nothing of the store
	StoreFailed   StoreResult = "error"    // late answers included
)

// storeResult is the result of a request that ended with err. ctx is the caller's own.
func storeResult(ctx context.Context, err error) StoreResult {
	switch {
	case err == nil:
		return StoreOK
	case errors.Is(ctx.Err(), context.Canceled):
		return StoreCanceled
	default:
		return StoreFailed
	}
}

// unobserved is the observer of a gateway that nobody observes.
type unobserved struct{}

func (unobserved) ProviderCall(ProviderCall) {}
func (unobserved) StoreCall(StoreCall)       {}
func (unobserved) PassedOver(string, Reason) {}
func (unobserved) FailedOver(string)         {}
