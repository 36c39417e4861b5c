package gateway

import (
	"sync"
	"time"
)

// slowRate is the share of calls that were slow, over the last one to two windows.
type slowRate struct {
	window time.Duration

	mu           sync.Mutex
	start        time.Time // of the current window
	current, old slowCount
}

type slowCount struct{ calls, slow int }

func (s *slowRate) add(now time.Time, slow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	if s.current.calls++; slow {
		s.current.slow++
	}
}

// share is 0–1; 0 if there were no calls.
func (s *slowRate) share(now time.Time) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	calls := s.current.calls + s.old.calls
	if calls == 0 {
		return 0
	}
	return float64(s.current.slow+s.old.slow) / float64(calls)
}

func (s *slowRate) turn(now time.Time) {
	age := now.Sub(s.start)
	if age < s.window {
		return
	}
	if s.old = s.current; age >= 2*s.window {
		s.old = slowCount{}
	}
	s.start, s.current = now, slowCount{}
}
