package main

import (
	"github.com/prometheus/client_golang/prometheus"
)

// configMetrics tell which configuration is in force.
type configMetrics struct {
	l                                           *live
	generation, lastSuccess, loadedAt, reloaded *prometheus.Desc
}

func newConfigMetrics(l *live) *configMetrics {
	return &configMetrics{
		l:           l,
		generation:  desc("config_generation", "How many configurations this process has had in force."),
		lastSuccess: desc("config_last_reload_success", "1 if the newest configuration is in force, 0 if it was refused."),
		loadedAt:    desc("config_last_success_timestamp_seconds", "When the configuration in force was taken into use, in Unix time."),
		reloaded:    desc("config_reloads_total", "Configurations that were taken into use or refused while the process ran.", "result"),
	}
}

// Describe implements [prometheus.Collector].
func (m *configMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.generation, m.lastSuccess, m.loadedAt, m.reloaded} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *configMetrics) Collect(out chan<- prometheus.Metric) {
	status := m.l.api.ConfigStatus()
	out <- gauge(m.generation, float64(status.Generation))
	out <- gauge(m.lastSuccess, oneIf(status.Error == nil))
	out <- gauge(m.loadedAt, float64(status.LoadedAt.UnixMilli())/1000)
	out <- counter(m.reloaded, float64(m.l.succeeded.Load()), "success")
	out <- counter(m.reloaded, float64(m.l.failed.Load()), "failure")
}
