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
	// Noticed is told of each webhook that names a provider which takes them, by what
	// became of it.
	Noticed(provider string, result NoticeResult)
	// Limited is told of each request, and of each create, that a tenant's limit refused.
	Limited(tenant string, by LimitName)
}

// NoticeResult is what became of a provider's webhook.
type NoticeResult string

// What becomes of webhooks.
const (
	NoticeActedUpon  NoticeResult = "acted_upon" // what it names is looked at, or is marked to be
	NoticeRepeated   NoticeResult = "repeated"   // that was done already
	NoticeEmpty      NoticeResult = "empty"      // it names nothing that the gateway looks at
	NoticeDeferred   NoticeResult = "deferred"   // it cannot be acted upon now, and is sent again
	NoticeRefused    NoticeResult = "refused"    // it is not the provider's
	NoticeUnreadable NoticeResult = "unreadable" // it is the provider's, and not what is documented
)

// NoticeResults are all of them.
func NoticeResults() []NoticeResult {
	return []NoticeResult{NoticeActedUpon, NoticeRepeated, NoticeEmpty, NoticeDeferred, NoticeRefused, NoticeUnreadable}
}

// LimitName names one of [Limits].
type LimitName string

// The limits.
const (
	LimitTenant              LimitName = "tenant"
	LimitKey                 LimitName = "key"
	LimitCreatesPerCustomer  LimitName = "creates_per_customer"
	LimitCreatesPerAddress   LimitName = "creates_per_address"
	LimitDeclinesPerCustomer LimitName = "declines_per_customer"
)

// LimitNames are those of the limits that are set.
func (l Limits) LimitNames() []LimitName {
	var out []LimitName
	for _, one := range []struct {
		name LimitName
		set  bool
	}{
		{LimitTenant, l.Tenant.limits()}, {LimitKey, l.Key.limits()},
		{LimitCreatesPerCustomer, l.CreatesPerCustomer.limits()}, {LimitCreatesPerAddress, l.CreatesPerAddress.limits()},
		{LimitDeclinesPerCustomer, l.DeclinesPerCustomer.limits()},
	} {
		if one.set {
			out = append(out, one.name)
		}
	}
	return out
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

func (unobserved) ProviderCall(ProviderCall)    {}
func (unobserved) StoreCall(StoreCall)          {}
func (unobserved) PassedOver(string, Reason)    {}
func (unobserved) FailedOver(string)            {}
func (unobserved) Noticed(string, NoticeResult) {}
func (unobserved) Limited(string, LimitName)    {}
