package main

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/polyvault/polyvault/gateway"
)

// providerMetrics tell how the providers of the configuration in force are. Counters
// begin again when a provider is configured anew.
type providerMetrics struct {
	l *live

	// By provider.
	drained, disabled, alarm, probes, refusedBudget *prometheus.Desc
	// By provider and class.
	breaker, inFlight, limit, requests, errorRate, slowRate, calls, trips, refused, alarms *prometheus.Desc
}

func newProviderMetrics(l *live) *providerMetrics {
	with := func(more ...string) []string { return append([]string{"provider", "class"}, more...) }
	return &providerMetrics{
		l:             l,
		drained:       desc("provider_drained", "1 while an operator has drained the provider.", "provider"),
		disabled:      desc("provider_disabled", "1 while the provider is disabled in the configuration.", "provider"),
		alarm:         desc("provider_alarm", "1 while the provider refuses the gateway's credentials.", "provider"),
		probes:        desc("provider_probes_total", "Probes of whether the provider has recovered.", "provider", "result"),
		refusedBudget: desc("provider_refused_budget_total", "Creates over the provider's retry budget, which were not sent.", "provider"),
		breaker:       desc("provider_breaker_state", "0 closed, 1 half open, 2 open.", with()...),
		inFlight:      desc("provider_in_flight", "Calls to the provider that are in flight.", with()...),
		limit:         desc("provider_in_flight_limit", "Calls to the provider that may be in flight.", with()...),
		requests:      desc("provider_window_requests", "Calls in the breaker's window.", with()...),
		errorRate:     desc("provider_error_ratio", "Share of the calls in the breaker's window that failed, 0 to 1.", with()...),
		slowRate:      desc("provider_slow_ratio", "Share of the calls in the breaker's window that were slow, 0 to 1.", with()...),
		calls:         desc("provider_calls_total", "Calls that were made, by what is known of their effect.", with("outcome")...),
		trips:         desc("provider_breaker_trips_total", "How often the breaker opened.", with()...),
		refused:       desc("provider_refused_total", "Calls that were not made, by what refused them.", with("by")...),
		alarms:        desc("provider_alarms_total", "How often the provider began to refuse the gateway's credentials.", with()...),
	}
}

// Describe implements [prometheus.Collector].
func (m *providerMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.drained, m.disabled, m.alarm, m.probes, m.refusedBudget,
		m.breaker, m.inFlight, m.limit, m.requests, m.errorRate, m.slowRate, m.calls, m.trips, m.refused, m.alarms,
	} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *providerMetrics) Collect(out chan<- prometheus.Metric) {
	service, _ := m.l.now()
	for _, p := range service.Providers() {
		out <- gauge(m.drained, oneIf(p.Drained), p.Name)
		out <- gauge(m.disabled, oneIf(p.Disabled), p.Name)
		out <- gauge(m.alarm, oneIf(p.Alarm != nil), p.Name)
		out <- counter(m.probes, float64(p.Counters.ProbesOK), p.Name, "ok")
		out <- counter(m.probes, float64(p.Counters.ProbesFailed), p.Name, "failed")
		out <- counter(m.refusedBudget, float64(p.Counters.RefusedBudget), p.Name)
		for class, s := range p.Classes {
			m.collectClass(out, s, p.Name, class)
		}
	}
}

func (m *providerMetrics) collectClass(out chan<- prometheus.Metric, s gateway.ClassStatus, labels ...string) {
	with := func(more string) []string { return append(slices.Clip(labels), more) }
	out <- gauge(m.breaker, breakerNumber(s.Breaker), labels...)
	out <- gauge(m.inFlight, float64(s.InFlight), labels...)
	out <- gauge(m.limit, float64(s.Limit), labels...)
	out <- gauge(m.requests, float64(s.Requests), labels...)
	out <- gauge(m.errorRate, s.ErrorRate, labels...)
	out <- gauge(m.slowRate, s.SlowRate, labels...)
	for outcome, n := range s.Counters.Calls {
		out <- counter(m.calls, float64(n), with(string(outcome))...)
	}
	out <- counter(m.trips, float64(s.Counters.Trips), labels...)
	out <- counter(m.refused, float64(s.Counters.RefusedBreaker), with("breaker")...)
	out <- counter(m.refused, float64(s.Counters.RefusedBulkhead), with("bulkhead")...)
	out <- counter(m.alarms, float64(s.Counters.Alarms), labels...)
}

func breakerNumber(state string) float64 {
	return map[string]float64{"half_open": 1, "open": 2}[state]
}
