package gateway

import "time"

// Backlog is what this gateway's reconciler last saw of the work that all gateways
// share. It looks at a thousand records at most.
type Backlog struct {
	At          time.Time     // when it looked; zero if it has not yet
	Waiting     int           // records that something is to be done about, now or later
	Due         int           // of them, those whose time has come
	OldestDue   time.Duration // for how long the first of those has been due
	Behind      int           // provider tokens of those that lack a change
	OldestLack  time.Duration // since when the first of those lacks it
	Undecidable int           // creates of those whose provider could not be asked so far
}

func (b *Backlog) add(r Record, now time.Time) {
	b.Due++
	b.OldestDue = max(b.OldestDue, now.Sub(r.due()))
	if r.State == StateUnknown && r.Tries > 0 {
		b.Undecidable++
	}
	for _, t := range r.Tokens {
		if t.Behind != nil {
			b.Behind++
			b.OldestLack = max(b.OldestLack, now.Sub(t.Behind.Since))
		}
	}
}

// Backlog returns what the reconciler last saw.
func (s *Service) Backlog() Backlog {
	if b := s.backlog.Load(); b != nil {
		return *b
	}
	return Backlog{}
}
