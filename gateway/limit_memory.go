package gateway

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxLimitEntries bounds what memoryBuckets remembers: those that were not used for
// longest are forgotten first.
const maxLimitEntries = 100_000

// memoryBuckets keeps limits of one gateway: where its store keeps none, and while the
// store that would cannot be asked.
type memoryBuckets struct {
	now func() time.Time

	mu      sync.Mutex
	buckets *lru.LRU[string, bucket]
	counts  *lru.LRU[string, []counted]
}

var _ Buckets = (*memoryBuckets)(nil)

// NewMemoryBuckets makes limits that live as long as the process.
func NewMemoryBuckets(now func() time.Time) Buckets { return newMemoryBuckets(now) }

func newMemoryBuckets(now func() time.Time) *memoryBuckets {
	m := &memoryBuckets{now: now}
	m.buckets, _ = lru.NewLRU[string, bucket](maxLimitEntries, nil) // fails for a size below 1 only
	m.counts, _ = lru.NewLRU[string, []counted](maxLimitEntries, nil)
	return m
}

// Draw implements [Buckets].
func (m *memoryBuckets) Draw(ctx context.Context, key string, r Rate, want int) (Drawn, error) {
	if err := ctx.Err(); err != nil {
		return Drawn{}, limitError(err)
	}
	if err := ValidateDraw(key, r, want); err != nil {
		return Drawn{}, limitError(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, _ := m.buckets.Get(key)
	b, out := b.draw(r, m.now(), want)
	m.buckets.Add(key, b)
	return out, nil
}

// Count implements [Buckets].
func (m *memoryBuckets) Count(ctx context.Context, counts ...Count) ([]Counted, error) {
	if err := ctx.Err(); err != nil {
		return nil, limitError(err)
	}
	for _, c := range counts {
		if err := c.Validate(); err != nil {
			return nil, limitError(err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Counted, len(counts))
	for i, c := range counts {
		all, _ := m.counts.Get(c.Key)
		if all, out[i] = c.count(all, m.now()); len(all) == 0 {
			m.counts.Remove(c.Key)
		} else {
			m.counts.Add(c.Key, all)
		}
	}
	return out, nil
}
