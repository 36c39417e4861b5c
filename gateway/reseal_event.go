package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"
)

// resealEvent is reseal for an event. Who changes it meanwhile seals it then, and
// nothing is lost: what became of a delivery is written again over what is there.
func (s *Sealer) resealEvent(key string, value []byte, verify bool) (out resealed, err error) {
	var head durableEvent
	if err := json.Unmarshal(value, &head); err != nil {
		return out, fmt.Errorf("%w: %w: %s cannot be read: %w", ErrStore, ErrUnreadable, key, err)
	}
	out.under = head.under()
	current := out.under == s.Current()
	if current && !verify {
		return out, nil
	}
	e, err := s.decodeEvent(key, Entry{Value: value, Version: 1})
	if err != nil || current {
		return out, err
	}
	out.value = s.encodeEvent(e.event)
	if e.life() > 0 {
		out.ttl = e.rest
	}
	return out, nil
}

// rest is how long a settled event is kept from now on.
func (e event) rest(now time.Time) time.Duration {
	settled := e.OccurredAt
	for _, d := range e.Deliveries {
		if d.LastAt.After(settled) {
			settled = d.LastAt
		}
	}
	return max(settled.Add(eventRetention).Sub(now), time.Minute)
}

// events walks what a tenant's index of events has, for those that Dump leaves out.
func (r *Resealing) events(ctx context.Context, work *errgroup.Group, tenant string, now func() time.Time) error {
	for after, more := "", true; more; {
		members, err := r.Store.Scan(ctx, indexEvents(tenant), after, scanPage, false)
		if err != nil {
			return err
		}
		keys := make([]string, len(members))
		for i, m := range members {
			keys[i] = eventKey(tenant, memberID(m))
		}
		if more = len(members) == scanPage; len(keys) == 0 {
			return nil
		}
		after = members[len(members)-1]
		loaded, err := r.Store.Load(ctx, keys...)
		if err != nil {
			return err
		}
		for i, e := range loaded.Entries {
			if e.Version == 0 || !settledEvent(e.Value) {
				continue // it is over, or was seen among what lives for ever
			}
			if r.Pace != nil {
				if err := r.Pace(ctx, false); err != nil {
					return err
				}
			}
			work.Go(func() error { return r.value(ctx, keys[i], e, now()) })
		}
	}
	return ctx.Err()
}

// settledEvent reports whether a stored event lives for a time only. What cannot be
// read does, so that the walk counts it.
func settledEvent(value []byte) bool {
	var d durableEvent
	return json.Unmarshal(value, &d) != nil || d.life() > 0
}
