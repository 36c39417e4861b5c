package gateway

import (
	"math/rand/v2"
	"time"
)

// BreakerConfig shapes a provider's circuit breakers. Zero values have defaults.
type BreakerConfig struct {
	Window              time.Duration // what the rates are measured over; default 60 s
	MinRequests         int           // fewer in the window never trip it by rate; default 20
	FailureRatio        float64       // 0–1; default 0.5
	ConsecutiveFailures int           // default 5
	SlowCall            time.Duration // a call that takes longer is slow; default half of the provider's timeout
	SlowRatio           float64       // 0–1, the share of slow calls that trips it; default 0.8
	OpenFor             time.Duration // how long it stays open the first time; doubled each time in a row; default 15 s
	OpenForMax          time.Duration // what the doubling ends at; default 2 min, and never below OpenFor
	Probes              int           // calls let through while half open; default 1
}

// withDefaults fills in what is zero, for a provider whose calls take up to timeout.
func (c BreakerConfig) withDefaults(timeout time.Duration) BreakerConfig {
	orDefault(&c.Window, time.Minute)
	orDefault(&c.MinRequests, 20)
	orDefault(&c.FailureRatio, 0.5)
	orDefault(&c.ConsecutiveFailures, 5)
	orDefault(&c.SlowCall, timeout/2)
	orDefault(&c.SlowRatio, 0.8)
	orDefault(&c.OpenFor, 15*time.Second)
	orDefault(&c.OpenForMax, 2*time.Minute)
	orDefault(&c.Probes, 1)
	c.OpenForMax = max(c.OpenForMax, c.OpenFor)
	return c
}

func orDefault[T int | float64 | time.Duration](field *T, v T) {
	if *field <= 0 {
		*field = v
	}
}

// openJitter is how far an open time may be off, so that gateways which saw the
// same outage do not come back at the same moment.
const openJitter = 0.2

// openTime is how long the breaker stays open after it has opened n times in a row
// before: doubled each time up to OpenForMax, then up to 20 % more or less.
func (c BreakerConfig) openTime(n int) time.Duration {
	d := c.OpenFor
	for range n {
		if d *= 2; d >= c.OpenForMax {
			d = c.OpenForMax
			break
		}
	}
	return time.Duration(float64(d) * (1 + openJitter*(2*rand.Float64()-1))) //nolint:gosec // spreads load, hides nothing
}
