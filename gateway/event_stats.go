package gateway

import (
	"context"
	"strings"
	"time"
)

// EventStats is what this gateway knows of one endpoint's events. What waits is all
// gateways', as last sampled, and is counted up to 1000; the rest is this gateway's own
// since it started.
type EventStats struct {
	Tenant, Host string
	Endpoint     string        // "ep_…": tells two endpoints of one host apart
	Pending      int           // events that wait for the endpoint
	OldestAge    time.Duration // since the first of those happened; 0 if there is none
	Delivered    int64         // tries that were acknowledged
	FailedTries  int64
	GivenUp      int64
	Gone         bool // it answered 410: it is sent nothing until its configuration changes
	Disabled     bool
}

// maxCounted bounds what is read to count what waits.
const maxCounted = 1000

// EventStats returns what is known of every configured endpoint, in no order.
func (s *Service) EventStats() []EventStats {
	var out []EventStats
	now := s.clock.at(s.now())
	for tenant, endpoints := range s.endpoints {
		for _, e := range endpoints {
			c := e.counts
			st := EventStats{
				Tenant: tenant, Host: e.host, Endpoint: e.id, Pending: int(c.pending.Load()), Gone: e.gone.Load(), Disabled: e.config.Disabled,
				Delivered: c.delivered.Load(), FailedTries: c.failedTries.Load(), GivenUp: c.givenUp.Load(),
			}
			if oldest := c.oldest.Load(); oldest != 0 {
				st.OldestAge = max(0, now.Sub(time.UnixMicro(oldest)))
			}
			out = append(out, st)
		}
	}
	return out
}

// countWaiting samples what waits for an endpoint.
func (s *Service) countWaiting(ctx context.Context, e *endpoint) {
	members, err := s.store.Scan(ctx, indexDeliveries(e.tenant, e.id), "", maxCounted, false)
	if err != nil {
		return // the next sample says
	}
	oldest := ""
	for _, m := range members {
		if _, rest, ok := strings.Cut(m, "|"); ok {
			if at, _, _ := strings.Cut(rest, "|"); oldest == "" || at < oldest {
				oldest = at
			}
		}
	}
	e.counts.pending.Store(int64(len(members)))
	e.counts.oldest.Store(parseTimeKey(oldest))
}
