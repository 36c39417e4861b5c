package main

import (
	"github.com/prometheus/client_golang/prometheus"
)

// providerMetrics tell how the providers of the configuration in force are.
type providerMetrics struct {
	l *live

	drained, disabled                                        *prometheus.Desc // by provider
	breaker, inFlight, limit, requests, errorRate, slowRatio *prometheus.Desc // by provider and class
}

func newProviderMetrics(l *live) *providerMetrics {
	class := []string{"provider", "class"}
	return &providerMetrics{
		l:         l,
		drained:   desc("provider_drained", "1 while an operator has taken the provider out of the routes.", "provider"),
		disabled:  desc("provider_disabled", "1 while the configuration keeps new instruments away from the provider.", "provider"),
		breaker:   desc("provider_breaker_state", "0 closed, 1 half open, 2 open.", class...),
		inFlight:  desc("provider_in_flight", "Calls to the provider that are in flight.", class...),
		limit:     desc("provider_in_flight_limit", "Calls to the provider that may be in flight.", class...),
		requests:  desc("provider_window_requests", "Calls in the breaker's window.", class...),
		errorRate: desc("provider_error_ratio", "Share of the calls in the breaker's window that failed, 0 to 1.", class...),
		slowRatio: desc("provider_slow_ratio", "Share of the calls in the breaker's window that were slow, 0 to 1.", class...),
	}
}

// Describe implements [prometheus.Collector].
func (m *providerMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.drained, m.disabled, m.breaker, m.inFlight, m.limit, m.requests, m.errorRate, m.slowRatio} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *providerMetrics) Collect(out chan<- prometheus.Metric) {
	service, _ := m.l.now()
	for _, p := range service.Providers() {
		out <- gauge(m.drained, oneIf(p.Drained), p.Name)
		out <- gauge(m.disabled, oneIf(p.Disabled), p.Name)
		for class, s := range p.Classes {
			out <- gauge(m.breaker, breakerNumber(s.Breaker), p.Name, class)
			out <- gauge(m.inFlight, float64(s.InFlight), p.Name, class)
			out <- gauge(m.limit, float64(s.Limit), p.Name, class)
			out <- gauge(m.requests, float64(s.Requests), p.Name, class)
			out <- gauge(m.errorRate, s.ErrorRate, p.Name, class)
			out <- gauge(m.slowRatio, s.SlowRate, p.Name, class)
		}
	}
}

func breakerNumber(state string) float64 {
	return map[string]float64{"half_open": 1, "open": 2}[state]
}
