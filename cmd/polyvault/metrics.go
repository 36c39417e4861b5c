package main

import (
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsHandler serves what is known of this process to Prometheus. What can be asked
// for is asked for when it is scraped, and costs no request anything; the telemetry counts
// the rest.
func metricsHandler(l *live) http.Handler {
	return promhttp.HandlerFor(metricsOf(l), promhttp.HandlerOpts{})
}

func metricsOf(l *live) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(), newConfigMetrics(l), newProviderMetrics(l), newBacklogMetrics(l), newProcessMetrics(l),
		newKeyMetrics(l), newEncryptionMetrics(l), newAuditMetrics(l), newEventMetrics(l),
	)
	r.MustRegister(l.telemetry.meter.Collectors()...)
	return r
}

// buildInfo is always 1: its labels say what runs.
func buildInfo() prometheus.Collector {
	info, _ := debug.ReadBuildInfo()
	b := buildOf(info)
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "polyvault_build_info", Help: "What runs. Always 1.",
		ConstLabels: prometheus.Labels{"version": b.version, "revision": b.revision, "goversion": b.goVersion},
	}, func() float64 { return 1 })
}

// desc describes a metric of the collectors below.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("polyvault_"+name, help, labels, nil)
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func oneIf(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}
