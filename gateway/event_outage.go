package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Breakers are each gateway's own, and an outage is everybody's: what the gateways see
// of a provider comes together in one entry, which is down from the first breaker that
// opens until none is open any more.

// health is the entry of a provider. It has a time to live, so that no backup holds it.
type health struct {
	Schema  int                  `json:"schema"`
	Down    bool                 `json:"down"`
	Since   time.Time            `json:"since,omitzero"`
	Reports map[string]time.Time `json:"reports,omitempty"` // by gateway, when it last said that a breaker of its own is not closed
	Events  []PendingEvent       `json:"events,omitempty"`  // not relayed yet
}

func healthKey(provider string) string { return "ops/health/" + provider }

const (
	healthLife   = 7 * 24 * time.Hour // of the entry, from its last change
	reportEvery  = 15 * time.Second   // a gateway says again that a breaker is open
	reportHolds  = time.Minute        // after that, a gateway that said no more is taken for ended
	healthEvents = 16                 // that wait while nobody relays them; the oldest give way
)

// reported is the entry after a gateway said whether a breaker of its own is open, and
// whether that is worth a write.
func (h health) reported(gateway string, down bool, provider string, now time.Time) (next health, changed bool) {
	next = h
	next.Reports = maps.Clone(h.Reports)
	maps.DeleteFunc(next.Reports, func(_ string, at time.Time) bool { return now.Sub(at) >= reportHolds })
	last, said := next.Reports[gateway]
	changed = len(next.Reports) != len(h.Reports)
	switch {
	case down && (!said || now.Sub(last) >= reportEvery):
		if next.Reports == nil {
			next.Reports = map[string]time.Time{}
		}
		next.Reports[gateway], changed = now, true
	case !down && said:
		delete(next.Reports, gateway)
		changed = true
	}
	switch is := len(next.Reports) > 0; {
	case is && !h.Down:
		next.Down, next.Since = true, now
		next.Events = append(slices.Clone(h.Events), PendingEvent{ID: newEventID(), Type: ProviderDown, Provider: provider, At: now})
	case !is && h.Down:
		next.Down, changed = false, true
		next.Events = append(slices.Clone(h.Events), PendingEvent{ID: newEventID(), Type: ProviderRecovered, Provider: provider, At: now})
	}
	next.Events = next.Events[max(0, len(next.Events)-healthEvents):]
	return next, changed
}

func decodeHealth(e Entry) (health, error) {
	h := health{Schema: schemaVersion}
	if e.Version == 0 {
		return h, nil
	}
	if err := json.Unmarshal(e.Value, &h); err != nil || h.Schema != schemaVersion {
		return h, fmt.Errorf("%w: the entry of a provider's outages cannot be read (schema %d)", ErrStore, h.Schema)
	}
	return h, nil
}

// outages is what this gateway last said of its providers.
type outages struct {
	mu   sync.Mutex
	down map[string]bool
}

// said notes what is said of a provider, and reports whether it was said before.
func (o *outages) said(provider string, down bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.down[provider]
	o.down[provider] = down
	return before == down
}

// forget makes the next round say it again.
func (o *outages) forget(provider string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.down, provider)
}

// open reports whether one of the provider's breakers is not closed.
func (p *Provider) open() bool {
	return slices.ContainsFunc(p.classes(), func(c *class) bool {
		state, _ := c.breaker.gate()
		return state != breakerClosed
	})
}

// watchProviders says what has changed about this gateway's breakers, and with all set
// also looks at what the others say.
func (s *Service) watchProviders(ctx context.Context, work *sync.WaitGroup, now time.Time, all bool) {
	var names, keys []string
	down := map[string]bool{}
	for _, name := range s.order {
		down[name] = s.providers[name].open()
		if known := s.events.outages.said(name, down[name]); known && !all {
			continue
		}
		names, keys = append(names, name), append(keys, healthKey(name))
	}
	if len(keys) == 0 {
		return
	}
	loaded, err := s.loadEntries(ctx, keys...)
	for i, name := range names {
		if err == nil {
			err = s.reportHealth(ctx, work, name, loaded.Entries[i], down[name], now)
		}
		if err != nil {
			s.events.outages.forget(name)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("it could not be told which providers are down", zap.Error(err))
	}
}

// reportHealth brings a provider's entry up to date, and relays its events.
func (s *Service) reportHealth(ctx context.Context, work *sync.WaitGroup, provider string, cur Entry, down bool, now time.Time) error {
	for range 10 {
		h, err := decodeHealth(cur)
		if err != nil {
			return err
		}
		next, changed := h.reported(s.owner, down, provider, now)
		if len(h.Events) > 0 {
			// Everybody who comes by relays: who wrote them may have ended.
			if err := s.relayHealth(ctx, work, h); err != nil {
				return err
			}
			relayed := Record{Events: next.Events}.relayed(h.Events)
			next.Events, changed = relayed.Events, true
		}
		if !changed {
			return nil
		}
		value, err := json.Marshal(next)
		if err != nil {
			return err
		}
		res, err := s.write(ctx, Write{Key: healthKey(provider), Expect: cur.Version, Value: value, Nonce: nonce(), TTL: healthLife})
		if err != nil {
			return storeError("events", err)
		}
		if cur = res.Current; res.Applied && len(next.Events) == 0 {
			return nil
		}
	}
	return nil // others are at it
}

func (s *Service) relayHealth(ctx context.Context, work *sync.WaitGroup, h health) error {
	for _, p := range h.Events {
		for tenant := range s.endpoints {
			e := newEvent(tenant, p, providerData{Provider: p.Provider, DownSince: h.Since})
			if err := s.emit(ctx, work, e); err != nil {
				return err
			}
		}
	}
	return nil
}
