package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// encryptionMetrics tell how far what the store holds is sealed under the current key.
type encryptionMetrics struct {
	l *live

	values, age, pending, unreadable *prometheus.Desc
}

func newEncryptionMetrics(l *live) *encryptionMetrics {
	return &encryptionMetrics{
		l:          l,
		values:     desc("encryption_values", "Stored values by the encryption key that they are sealed under, as the last walk through the store left them; key \"none\" is in the clear.", "key"),
		age:        desc("encryption_key_age_seconds", "How long ago a gateway first sealed under the current key.", "key"),
		pending:    desc("encryption_walk_pending", "1 until the store was walked since this gateway went over to its key, with nothing left under another one. An old key may be removed once this is 0 at every gateway."),
		unreadable: desc("encryption_unreadable_total", "Stored values that did not open when this gateway read them."),
	}
}

// Describe implements [prometheus.Collector].
func (m *encryptionMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.values, m.age, m.pending, m.unreadable} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *encryptionMetrics) Collect(out chan<- prometheus.Metric) {
	service, _ := m.l.now()
	r := service.Rotation()
	for _, id := range service.EncryptionKeyIDs() {
		if r.Known && r.Values[id] == 0 {
			out <- gauge(m.values, 0, id) // what may be removed is told, too
		}
	}
	for id, n := range r.Values {
		if n > 0 {
			out <- gauge(m.values, float64(n), id)
		}
	}
	if !r.Since.IsZero() {
		out <- gauge(m.age, max(0, time.Since(r.Since).Seconds()), r.Key)
	}
	out <- gauge(m.pending, oneIf(r.Pending))
	out <- counter(m.unreadable, float64(service.Unreadable()))
}
