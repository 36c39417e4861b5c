// Package metrics counts and times what a gateway does, for Prometheus. What it counts
// is told to it as it happens; what can be asked for is collected elsewhere, when it is
// scraped.
package metrics

import (
	"cmp"
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/httpapi"
	"github.com/polyvault/polyvault/normalize"
)

// none is the label of what a request or a call did not have: Prometheus takes an empty
// label for a missing one.
const none = "none"

// Meter counts and times. It is a [gateway.Observer], and its Request is for
// [httpapi.Config]. Labels are configured names and the sets of the contract; nothing
// that a caller made up becomes one.
type Meter struct {
	requests       *handles[request, prometheus.Counter]
	requestTime    *handles[string, prometheus.Observer]
	tenantRequests *handles[tenantRequest, prometheus.Counter]
	calls          *handles[providerCall, prometheus.Counter]
	callTime       *handles[providerOperation, prometheus.Observer]
	failovers      *handles[string, prometheus.Counter]
	passed         *handles[passedOver, prometheus.Counter]
	notices        *handles[notice, prometheus.Counter]
	limited        *handles[limited, prometheus.Counter]
	store          *handles[storeCall, prometheus.Counter]
	storeTime      *handles[gateway.StoreOperation, prometheus.Observer]

	collectors []prometheus.Collector
}

var _ gateway.Observer = (*Meter)(nil)

type (
	request struct {
		operation, method string
		status            int
		code              normalize.Code
	}
	tenantRequest struct {
		tenant  string
		hundred int // of the status
	}
	providerOperation struct{ provider, operation string }
	providerCall      struct {
		provider, operation string
		outcome             normalize.Outcome
		code                normalize.Code
	}
	passedOver struct {
		provider string
		reason   gateway.Reason
	}
	notice struct {
		provider string
		result   gateway.NoticeResult
	}
	limited struct {
		tenant string
		by     gateway.LimitName
	}
	storeCall struct {
		operation gateway.StoreOperation
		result    gateway.StoreResult
	}
)

// New makes a Meter that has counted nothing.
func New() *Meter {
	m := &Meter{}
	m.aboutRequests()
	m.aboutProviders()
	m.aboutOthers()
	m.aboutStore()
	return m
}

// Collectors are what a registry needs of it.
func (m *Meter) Collectors() []prometheus.Collector { return m.collectors }

func (m *Meter) aboutRequests() {
	requests := m.counter("http_requests_total", "Requests that were answered. code is that of the problem, or none.", "operation", "method", "status", "code")
	m.requests = newHandles(func(k request) prometheus.Counter {
		return requests.WithLabelValues(cmp.Or(k.operation, none), k.method, strconv.Itoa(k.status), cmp.Or(string(k.code), none))
	})
	took := m.histogram("http_request_duration_seconds", "From a request's headers to the end of its answer.", slowBuckets(), "operation")
	m.requestTime = newHandles(func(operation string) prometheus.Observer { return took.WithLabelValues(cmp.Or(operation, none)) })
	tenants := m.counter("tenant_requests_total", "Requests of each tenant, by the class of the answer's status; none is who did not authenticate.", "tenant", "class")
	m.tenantRequests = newHandles(func(k tenantRequest) prometheus.Counter {
		return tenants.WithLabelValues(cmp.Or(k.tenant, none), strconv.Itoa(k.hundred)+"xx")
	})
}

func (m *Meter) aboutProviders() {
	calls := m.counter("provider_operations_total", "Calls to providers that were made, probes aside. code is that of the error, or none.",
		"provider", "operation", "outcome", "code")
	m.calls = newHandles(func(k providerCall) prometheus.Counter {
		return calls.WithLabelValues(k.provider, k.operation, string(k.outcome), cmp.Or(string(k.code), none))
	})
	took := m.histogram("provider_operation_duration_seconds", "How long calls to providers took, from the first request of each to its last answer.",
		slowBuckets(), "provider", "operation")
	m.callTime = newHandles(func(k providerOperation) prometheus.Observer { return took.WithLabelValues(k.provider, k.operation) })
	failovers := m.counter("create_failovers_total", "Instruments that a provider stored because those before it could not take them.", "provider")
	m.failovers = newHandles(func(provider string) prometheus.Counter { return failovers.WithLabelValues(provider) })
	passed := m.counter("create_passed_over_total", "Candidates that creates and mirrors did not go to, by why not.", "provider", "reason")
	m.passed = newHandles(func(k passedOver) prometheus.Counter { return passed.WithLabelValues(k.provider, string(k.reason)) })
}

func (m *Meter) aboutOthers() {
	notices := m.counter("webhooks_total", "Webhooks of providers, by what became of them.", "provider", "result")
	m.notices = newHandles(func(k notice) prometheus.Counter { return notices.WithLabelValues(k.provider, string(k.result)) })
	refused := m.counter("limits_refused_total", "Requests, and creates, that a limit of their tenant refused.", "tenant", "limit")
	m.limited = newHandles(func(k limited) prometheus.Counter { return refused.WithLabelValues(k.tenant, string(k.by)) })
}

func (m *Meter) aboutStore() {
	calls := m.counter("store_operations_total", "Requests to the store. A conflict is a write that found another version; canceled is a caller that went away.",
		"operation", "result")
	m.store = newHandles(func(k storeCall) prometheus.Counter {
		return calls.WithLabelValues(string(k.operation), string(k.result))
	})
	took := m.histogram("store_operation_duration_seconds", "How long requests to the store took, its journal included.", storeBuckets(), "operation")
	m.storeTime = newHandles(func(op gateway.StoreOperation) prometheus.Observer { return took.WithLabelValues(string(op)) })
	for _, op := range []gateway.StoreOperation{gateway.StoreLoad, gateway.StoreWrite, gateway.StoreScan, gateway.StorePing} {
		// A rate of errors is known from the first one on only if there was a 0 before it.
		m.store.of(storeCall{op, gateway.StoreFailed})
		m.store.of(storeCall{op, gateway.StoreOK})
	}
}

// Request counts a request that was answered.
func (m *Meter) Request(_ context.Context, o httpapi.Observation) {
	m.requests.of(request{o.Operation, o.Method, o.Status, o.Code}).Inc()
	m.requestTime.of(o.Operation).Observe(o.Took.Seconds())
	m.tenantRequests.of(tenantRequest{o.Tenant, o.Status / 100}).Inc()
}

// ProviderCall implements [gateway.Observer].
func (m *Meter) ProviderCall(c gateway.ProviderCall) {
	m.calls.of(providerCall{c.Provider, c.Operation, c.Outcome, c.Code}).Inc()
	m.callTime.of(providerOperation{c.Provider, c.Operation}).Observe(c.Took.Seconds())
}

// StoreCall implements [gateway.Observer].
func (m *Meter) StoreCall(c gateway.StoreCall) {
	m.store.of(storeCall{c.Operation, c.Result}).Inc()
	m.storeTime.of(c.Operation).Observe(c.Took.Seconds())
}

// PassedOver implements [gateway.Observer].
func (m *Meter) PassedOver(provider string, why gateway.Reason) {
	m.passed.of(passedOver{provider, why}).Inc()
}

// FailedOver implements [gateway.Observer].
func (m *Meter) FailedOver(provider string) { m.failovers.of(provider).Inc() }

// Noticed implements [gateway.Observer].
func (m *Meter) Noticed(provider string, result gateway.NoticeResult) {
	m.notices.of(notice{provider, result}).Inc()
}

// Limited implements [gateway.Observer].
func (m *Meter) Limited(tenant string, by gateway.LimitName) { m.limited.of(limited{tenant, by}).Inc() }

// Webhooks makes the series of providers that send webhooks, as Providers does.
func (m *Meter) Webhooks(names ...string) {
	for _, name := range names {
		for _, result := range gateway.NoticeResults() {
			m.notices.of(notice{name, result})
		}
	}
}

// Limits makes the series of a tenant's limits, as Providers does.
func (m *Meter) Limits(tenant string, names ...gateway.LimitName) {
	for _, name := range names {
		m.limited.of(limited{tenant, name})
	}
}

// Providers makes the series of providers that have had no failover yet, so that their
// first one shows as a rate.
func (m *Meter) Providers(names ...string) {
	for _, name := range names {
		m.failovers.of(name)
	}
}

func (m *Meter) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "polyvault_" + name, Help: help}, labels)
	m.collectors = append(m.collectors, c)
	return c
}

// histogram has classic buckets for every Prometheus, and sparse ones for those that
// ask for them.
func (m *Meter) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "polyvault_" + name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
	}, labels)
	m.collectors = append(m.collectors, h)
	return h
}

// slowBuckets are in seconds, for what may wait for a provider.
func slowBuckets() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

// storeBuckets are in seconds, for what waits for the store.
func storeBuckets() []float64 {
	return []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5}
}
