package gateway

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// defaultRetryBudget is in creates a second.
const defaultRetryBudget = 100

// budget bounds how many creates a second may come to a provider after they were
// tried at another one, so that one provider's outage does not become the next
// one's. What was not used in a second may come at once.
type budget struct {
	limit   *rate.Limiter
	refused *atomic.Int64
}

func newBudget(perSecond float64) budget {
	return budget{rate.NewLimiter(rate.Limit(perSecond), max(1, int(math.Ceil(perSecond)))), new(atomic.Int64)}
}

// take reports whether another create may come now.
func (b budget) take() bool {
	if b.limit.AllowN(time.Now(), 1) {
		return true
	}
	b.refused.Add(1)
	return false
}
