package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/polyvault/polyvault/gateway/audit"
)

// auditMetrics tell how the audit log does.
type auditMetrics struct {
	log                                     *audit.Log // nil for none
	entries, lost, failures, failing, queue *prometheus.Desc
}

func newAuditMetrics(l *live) *auditMetrics {
	return &auditMetrics{
		log:      l.audit.log,
		entries:  desc("audit_entries_total", "Entries of the audit log that were written."),
		lost:     desc("audit_lost_total", "Entries of the audit log that could not be written, for good."),
		failures: desc("audit_failures_total", "Writes, syncs and rotations of the audit log that failed."),
		failing:  desc("audit_failing", "1 while the audit log cannot be written."),
		queue:    desc("audit_waiting", "Requests whose entries wait to be written."),
	}
}

// Describe implements [prometheus.Collector].
func (m *auditMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.entries, m.lost, m.failures, m.failing, m.queue} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *auditMetrics) Collect(out chan<- prometheus.Metric) {
	if m.log == nil {
		return
	}
	s := m.log.Status()
	out <- counter(m.entries, float64(s.Written))
	out <- counter(m.lost, float64(s.Lost))
	out <- counter(m.failures, float64(s.Failed))
	out <- gauge(m.failing, oneIf(s.Failing))
	out <- gauge(m.queue, float64(s.Waiting))
}
