package main

import "github.com/prometheus/client_golang/prometheus"

// eventMetrics tell how the delivery of events goes. What waits is all gateways', the
// counters are this one's.
type eventMetrics struct {
	l *live

	pending, oldest, delivered, failed, givenUp, gone, disabled *prometheus.Desc
}

func newEventMetrics(l *live) *eventMetrics {
	of := func(name, help string) *prometheus.Desc { return desc(name, help, "tenant", "host", "endpoint") }
	return &eventMetrics{
		l:         l,
		pending:   of("events_pending", "Events that wait for the endpoint; up to 1000 are counted."),
		oldest:    of("events_oldest_pending_seconds", "Since when the oldest of them has waited; 0 if there is none."),
		delivered: of("events_delivered_total", "Deliveries that the endpoint acknowledged."),
		failed:    of("events_failed_tries_total", "Tries that the endpoint did not acknowledge."),
		givenUp:   of("events_given_up_total", "Events that were given up after all tries."),
		gone:      of("events_endpoint_gone", "1 while the endpoint is sent nothing since it answered 410."),
		disabled:  of("events_endpoint_disabled", "1 while the endpoint is disabled in the configuration."),
	}
}

// Describe implements [prometheus.Collector].
func (m *eventMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.pending, m.oldest, m.delivered, m.failed, m.givenUp, m.gone, m.disabled} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *eventMetrics) Collect(out chan<- prometheus.Metric) {
	service, _ := m.l.now()
	for _, s := range service.EventStats() {
		labels := []string{s.Tenant, s.Host, s.Endpoint}
		out <- gauge(m.pending, float64(s.Pending), labels...)
		out <- gauge(m.oldest, s.OldestAge.Seconds(), labels...)
		out <- counter(m.delivered, float64(s.Delivered), labels...)
		out <- counter(m.failed, float64(s.FailedTries), labels...)
		out <- counter(m.givenUp, float64(s.GivenUp), labels...)
		out <- gauge(m.gone, oneIf(s.Gone), labels...)
		out <- gauge(m.disabled, oneIf(s.Disabled), labels...)
	}
}
