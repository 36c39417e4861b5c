package gateway

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// reconcileAtOnce is how many records one gateway settles at one provider at the same
// time: a provider that hangs must not keep the others' records waiting.
const reconcileAtOnce = 4

// share is the reconciler's part of a provider's capacity. The zero value has no
// bound on the rate.
type share struct {
	mu      sync.Mutex
	limit   *rate.Limiter
	working map[string]bool // ids
}

func newShare(perSecond float64) share {
	return share{limit: rate.NewLimiter(rate.Limit(perSecond), burstOf(perSecond))}
}

// adjust sets the rate, in records a second.
func (s *share) adjust(perSecond float64) {
	if next := rate.Limit(perSecond); s.limit.Limit() != next {
		s.limit.SetLimit(next)
		s.limit.SetBurst(burstOf(perSecond))
	}
}

func burstOf(perSecond float64) int { return max(1, int(perSecond)) }

// take reports whether work on a record may begin now. It must be given back.
func (s *share) take(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.working) >= reconcileAtOnce || s.working[id] || s.limit != nil && !s.limit.AllowN(time.Now(), 1) {
		return false
	}
	if s.working == nil {
		s.working = map[string]bool{}
	}
	s.working[id] = true
	return true
}

// wait takes a share as soon as there is one. It fails only with ctx's error.
func (s *share) wait(ctx context.Context, id string) error {
	for !s.take(id) {
		if err := pause(ctx, shareEvery); err != nil {
			return err
		}
	}
	return nil
}

// shareEvery is how often somebody who waits for a share asks again.
const shareEvery = 20 * time.Millisecond

func (s *share) give(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.working, id)
}
