package gateway

import (
	"sync"
	"time"
)

// slowBuckets is how many parts a window is cut into, as finely as it rolls.
const slowBuckets = 10

// slowRate counts calls, and which of them were slow, over a rolling window.
type slowRate struct {
	bucket time.Duration // the length of one

	mu    sync.Mutex
	start time.Time // of the current bucket
	ring  [slowBuckets]slowCount
	at    int // the current bucket
}

type slowCount struct{ calls, slow int }

func newSlowRate(window time.Duration) slowRate { return slowRate{bucket: window / slowBuckets} }

// add counts a call, and returns the counts of the window with it.
func (s *slowRate) add(now time.Time, slow bool) (calls, slowCalls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	if s.ring[s.at].calls++; slow {
		s.ring[s.at].slow++
	}
	return s.sum()
}

// counts are those of the window.
func (s *slowRate) counts(now time.Time) (calls, slowCalls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	return s.sum()
}

func (s *slowRate) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring = [slowBuckets]slowCount{}
}

func (s *slowRate) sum() (calls, slow int) {
	for _, b := range s.ring {
		calls += b.calls
		slow += b.slow
	}
	return calls, slow
}

// turn empties the buckets that the window has left behind.
func (s *slowRate) turn(now time.Time) {
	if s.start.IsZero() {
		s.start = now
	}
	for range slowBuckets {
		if now.Sub(s.start) < s.bucket {
			return
		}
		s.at = (s.at + 1) % slowBuckets
		s.ring[s.at] = slowCount{}
		s.start = s.start.Add(s.bucket)
	}
	if now.Sub(s.start) >= s.bucket {
		s.start = now // nothing was asked for longer than a window: all are empty
	}
}
