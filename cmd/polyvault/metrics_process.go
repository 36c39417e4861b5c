package main

import "github.com/prometheus/client_golang/prometheus"

// processMetrics tell of the whole process what can be asked for: requests that are
// being served, connections to Redis, the reference keys in use.
type processMetrics struct {
	l *live

	inFlight, key, limitsAlone                           *prometheus.Desc
	spans                                                *prometheus.Desc
	connections, limit, hits, misses, poolTimeout, stale *prometheus.Desc
}

func newProcessMetrics(l *live) *processMetrics {
	return &processMetrics{
		l:           l,
		inFlight:    desc("http_requests_in_flight", "Requests that are being served."),
		key:         desc("reference_key_info", "The configured reference keys: current is the one that new ids are made with. Always 1.", "id", "use"),
		limitsAlone: desc("limits_alone", "1 while this gateway keeps limits by itself, since the store cannot be asked."),
		spans:       desc("trace_spans_total", "Spans that the trace collector took, and that were lost since it did not; only while requests are traced.", "result"),
		connections: desc("redis_connections", "Open connections to Redis.", "state"),
		limit:       desc("redis_connections_limit", "Connections that may be open to each server of Redis."),
		hits:        desc("redis_pool_hits_total", "Requests to Redis that found a free connection."),
		misses:      desc("redis_pool_misses_total", "Requests to Redis that had to open a connection."),
		poolTimeout: desc("redis_pool_timeouts_total", "Requests to Redis that got no connection in time."),
		stale:       desc("redis_pool_stale_total", "Connections to Redis that were closed since they were broken or old."),
	}
}

// Describe implements [prometheus.Collector].
func (m *processMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.inFlight, m.key, m.limitsAlone, m.spans, m.connections, m.limit, m.hits, m.misses, m.poolTimeout, m.stale} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *processMetrics) Collect(out chan<- prometheus.Metric) {
	out <- gauge(m.inFlight, float64(m.l.api.InFlight()))
	service, c := m.l.now()
	out <- gauge(m.limitsAlone, oneIf(service.LimitsAlone()))
	for i, k := range c.Keys.Reference {
		use := "former"
		if i == 0 {
			use = "current"
		}
		out <- gauge(m.key, 1, k.ID, use)
	}
	if t := m.l.telemetry.tracer; t != nil {
		delivered, lost := t.Spans()
		out <- counter(m.spans, float64(delivered), "delivered")
		out <- counter(m.spans, float64(lost), "lost")
	}
	if m.l.telemetry.redis == nil {
		return
	}
	p := m.l.telemetry.redis.Pool()
	out <- gauge(m.connections, float64(p.Idle), "idle")
	out <- gauge(m.connections, float64(max(0, p.Total-p.Idle)), "in_use")
	out <- gauge(m.limit, float64(p.Limit))
	out <- counter(m.hits, float64(p.Hits))
	out <- counter(m.misses, float64(p.Misses))
	out <- counter(m.poolTimeout, float64(p.Timeouts))
	out <- counter(m.stale, float64(p.Stale))
}
