package gateway

import (
	"sync"
	"time"
)

// slowSample is the round trip from which on a reading of the store's clock says
// too little about the difference: the gateway may have been stopped in between.
const slowSample = time.Second

// clock keeps how far the store's clock is ahead of this gateway's.
type clock struct {
	mu      sync.Mutex
	learned bool
	ahead   time.Duration
}

// learn takes the store's time from an answer that was asked for at sent and came
// at received, on the gateway's clock.
func (c *clock) learn(store, sent, received time.Time) {
	if store.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	trip := received.Sub(sent)
	if c.learned && (trip < 0 || trip > slowSample) {
		return
	}
	c.learned, c.ahead = true, store.Sub(sent.Add(trip/2))
}

func (c *clock) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.learned
}

// at converts a local time to the store's, in UTC and to the microsecond, which
// is what a record keeps.
func (c *clock) at(local time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return local.Add(c.ahead).UTC().Truncate(time.Microsecond)
}
