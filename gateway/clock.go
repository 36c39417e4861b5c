package gateway

import (
	"sync"
	"time"
)

// clock keeps how far the store's clock is ahead of this gateway's.
type clock struct {
	mu      sync.Mutex
	learned bool
	ahead   time.Duration
}

func (c *clock) learn(store, local time.Time) {
	if store.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learned, c.ahead = true, store.Sub(local)
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
