package main

import "github.com/prometheus/client_golang/prometheus"

// keyMetrics tell how often each API key is used, so that it can be seen when a key
// that was replaced is used no more.
type keyMetrics struct {
	l *live

	requests, afterEnd, lastUsed, notAfter *prometheus.Desc
}

func newKeyMetrics(l *live) *keyMetrics {
	return &keyMetrics{
		l:        l,
		requests: desc("api_key_requests_total", "Requests with the API key.", "tenant", "key"),
		afterEnd: desc("api_key_requests_after_end_total", "Requests that were refused since the API key's not_after had come.", "tenant", "key"),
		lastUsed: desc("api_key_last_used_timestamp_seconds", "When the API key was last used in this process, in Unix time; 0 for never.", "tenant", "key"),
		notAfter: desc("api_key_not_after_timestamp_seconds", "When the API key ends by itself, in Unix time. Of keys that do.", "tenant", "key"),
	}
}

// Describe implements [prometheus.Collector].
func (m *keyMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.requests, m.afterEnd, m.lastUsed, m.notAfter} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *keyMetrics) Collect(out chan<- prometheus.Metric) {
	for _, u := range m.l.api.KeyUses() {
		out <- counter(m.requests, float64(u.Count), u.Tenant, u.Name)
		out <- counter(m.afterEnd, float64(u.AfterEnd), u.Tenant, u.Name)
		last := 0.0
		if !u.LastUsed.IsZero() {
			last = float64(u.LastUsed.Unix())
		}
		out <- gauge(m.lastUsed, last, u.Tenant, u.Name)
		if !u.NotAfter.IsZero() {
			out <- gauge(m.notAfter, float64(u.NotAfter.Unix()), u.Tenant, u.Name)
		}
	}
}
