package config

import "encoding/json"

// Tracing says where spans of requests are sent to. Without the section nothing is traced.
type Tracing struct {
	Endpoint  string  `json:"endpoint"`  // http or https URL of an OpenTelemetry collector (OTLP over HTTP), to which /v1/traces is added
	Sample    float64 `json:"sample"`    // the share of requests that is traced unless their caller traces them or not; 0–1, default 0.01
	Propagate bool    `json:"propagate"` // tells providers the trace's id, in the header traceparent; default false
}

// UnmarshalJSON fills in defaults.
func (t *Tracing) UnmarshalJSON(b []byte) error {
	type plain Tracing
	v := plain{Sample: 0.01}
	err := json.Unmarshal(b, &v)
	*t = Tracing(v)
	return err
}
