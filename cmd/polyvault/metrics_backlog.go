package main

import "github.com/prometheus/client_golang/prometheus"

// backlogMetrics tell what the reconciler has to do, as its last sweep saw it.
type backlogMetrics struct {
	l *live

	waiting, due, oldestDue, behind, oldestLack, undecidable *prometheus.Desc
}

func newBacklogMetrics(l *live) *backlogMetrics {
	return &backlogMetrics{
		l:           l,
		waiting:     desc("reconciler_waiting_records", "Records that something is to be done about, now or later; up to 1000 are looked at."),
		due:         desc("reconciler_due_records", "Records whose time to be looked at has come."),
		oldestDue:   desc("reconciler_oldest_due_seconds", "For how long the first of them has been due."),
		behind:      desc("mirrors_behind", "Provider tokens of due records that lack a change of their instrument."),
		oldestLack:  desc("mirrors_oldest_behind_seconds", "Since when the first of them lacks it."),
		undecidable: desc("reconciler_undecided_creates", "Due creates whose provider could not be asked so far."),
	}
}

// Describe implements [prometheus.Collector].
func (m *backlogMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.waiting, m.due, m.oldestDue, m.behind, m.oldestLack, m.undecidable} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *backlogMetrics) Collect(out chan<- prometheus.Metric) {
	service, _ := m.l.now()
	b := service.Backlog()
	out <- gauge(m.waiting, float64(b.Waiting))
	out <- gauge(m.due, float64(b.Due))
	out <- gauge(m.oldestDue, b.OldestDue.Seconds())
	out <- gauge(m.behind, float64(b.Behind))
	out <- gauge(m.oldestLack, b.OldestLack.Seconds())
	out <- gauge(m.undecidable, float64(b.Undecidable))
}
