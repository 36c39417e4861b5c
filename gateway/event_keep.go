package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// What is done about all events from time to time, by one gateway at a time: cards that
// are about to expire are told of, and what is older than its time is given up.

const keepKey = "ops/events" // its version is whose turn it is; it has a time to live

const keepEvery = time.Hour

// keepEvents does it if it is time, and if no other gateway does.
func (s *Service) keepEvents(ctx context.Context, now time.Time) {
	if ok, err := s.takeTurn(ctx, now); err != nil || !ok {
		s.noteEvents(ctx, "it could not be found out whose turn it is to look after events", "", err)
		return
	}
	for tenant := range s.endpoints {
		err := s.tellExpiring(ctx, tenant, now)
		s.noteEvents(ctx, "not all cards that are about to expire could be told of", tenant, err)
		err = s.dropOldEvents(ctx, tenant, now)
		s.noteEvents(ctx, "not all old events could be dropped", tenant, err)
	}
}

func (s *Service) takeTurn(ctx context.Context, now time.Time) (bool, error) {
	loaded, err := s.loadEntries(ctx, keepKey)
	if err != nil {
		return false, err
	}
	var turn struct {
		Next time.Time `json:"next"`
	}
	cur := loaded.Entries[0]
	if cur.Version > 0 {
		if err := json.Unmarshal(cur.Value, &turn); err != nil {
			return false, fmt.Errorf("%w: %s cannot be read: %w", ErrStore, keepKey, err)
		}
	}
	if now.Before(turn.Next) {
		return false, nil
	}
	turn.Next = now.Add(keepEvery)
	value, err := json.Marshal(turn)
	if err != nil {
		return false, err
	}
	res, err := s.write(ctx, Write{Key: keepKey, Expect: cur.Version, Value: value, Nonce: nonce(), TTL: 2 * keepEvery})
	return err == nil && res.Applied, err
}

// expiresAt is when the record's card is taken for expired; ok is false if it has no
// expiry date.
func (r Record) expiresAt() (at time.Time, ok bool) {
	c := r.View.Card
	if c == nil || c.ExpMonth < 1 || c.ExpMonth > 12 || c.ExpYear == 0 {
		return time.Time{}, false
	}
	return time.Date(c.ExpYear, time.Month(c.ExpMonth)+1, 1, 12, 0, 0, 0, time.UTC), true // as normalize.Expired has it
}

// expiring reports whether it is to be told that the record's card is about to expire:
// once for each expiry date, and not of what is expired or retired already.
func (r Record) expiring(before time.Duration, now time.Time) bool {
	if !r.live() || r.MirrorOf != "" || r.retired() || r.ExpiryTold == r.expiryKey() {
		return false
	}
	end, ok := r.expiresAt()
	return ok && now.Before(end) && !now.Before(end.Add(-before))
}

// expiryTold is the record after it was told. Nothing that a caller sees changes.
func (r Record) expiryTold(before time.Duration, now time.Time) (Record, error) {
	if !r.expiring(before, now) {
		return r.refuse("tell that it expires")
	}
	r.ExpiryTold = r.expiryKey()
	return r, nil
}

// tellExpiring goes through the cards that expire from this month on.
func (s *Service) tellExpiring(ctx context.Context, tenant string, now time.Time) error {
	month := func(t time.Time) string { return fmt.Sprintf("%04d%02d", t.Year(), t.Month()) }
	first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	after, until := month(first.AddDate(0, -1, 0)), month(now.Add(s.expiringBefore))+"~"
	for ctx.Err() == nil {
		members, err := s.store.Scan(ctx, indexByExpiry(tenant), after, scanPage, false)
		if err != nil {
			return storeError("events", err)
		}
		more := len(members) == scanPage
		for i, m := range members {
			if m > until {
				members, more = members[:i], false
				break
			}
		}
		recs, err := s.loadReadable(ctx, "events", members)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			if rec == nil || !rec.expiring(s.expiringBefore, now) {
				continue
			}
			// What refuses has changed meanwhile: it is looked at again in an hour.
			_, err := s.change(ctx, "events", *rec, func(r Record) (Record, error) { return r.expiryTold(s.expiringBefore, now) })
			s.noteEvents(ctx, "that a card is about to expire could not be told", rec.ID, err)
		}
		if !more {
			return nil
		}
		after = members[len(members)-1]
	}
	return nil
}

// dropOldEvents gives up what has waited for longer than events are kept, and removes
// what is left in the indexes of those whose time is over.
func (s *Service) dropOldEvents(ctx context.Context, tenant string, now time.Time) error {
	until := timeKey(now.Add(-eventRetention)) + "~"
	for _, index := range []string{indexEvents(tenant), indexFailedEvents(tenant)} {
		after := ""
		for ctx.Err() == nil {
			members, err := s.store.Scan(ctx, index, after, scanPage, false)
			if err != nil {
				return storeError("events", err)
			}
			more := len(members) == scanPage
			for i, m := range members {
				if m > until {
					members, more = members[:i], false
					break
				}
			}
			if err := s.dropAged(ctx, tenant, index, members); err != nil {
				return err
			}
			if !more {
				break
			}
			after = members[len(members)-1]
		}
	}
	return nil
}

func (s *Service) dropAged(ctx context.Context, tenant, index string, members []string) error {
	if len(members) == 0 {
		return nil
	}
	keys := make([]string, len(members))
	for i, m := range members {
		keys[i] = eventKey(tenant, memberID(m))
	}
	loaded, err := s.loadEntries(ctx, keys...)
	if err != nil {
		return storeError("events", err)
	}
	var dead []Member
	for i, entry := range loaded.Entries {
		if entry.Version == 0 {
			dead = append(dead, Member{index, members[i]})
			continue
		}
		e, err := s.decodeEvent(keys[i], entry)
		if errors.Is(err, ErrUnreadable) {
			continue // it keeps no other one from being dropped
		}
		if err != nil {
			return err
		}
		if e.life() > 0 {
			continue
		}
		if _, err := s.write(ctx, s.eventWrite(e, e.abandoned())); err != nil {
			return storeError("events", err)
		}
		s.log.Error("an event was given up: its endpoint was away for as long as events are kept", zap.String("event", e.ID), zap.String("tenant", tenant))
	}
	return s.dropEventMembers(ctx, dead)
}

// abandoned is the event with nobody waiting for it any more.
func (e event) abandoned() event {
	for _, d := range e.Deliveries {
		if d.State == DeliveryPending {
			d.State, d.Next, d.LastError = DeliveryFailed, time.Time{}, "abandoned"
			e = e.with(d)
		}
	}
	return e
}

// dropEventMembers removes index members whose entries are over. A store changes
// indexes along with an entry only: here with one that is over in a second.
func (s *Service) dropEventMembers(ctx context.Context, members []Member) error {
	if len(members) == 0 {
		return nil
	}
	id := nonce()
	_, err := s.write(ctx, Write{Key: "ops/gone/" + id, Value: []byte("{}"), Nonce: id, TTL: time.Second, Remove: members})
	if err != nil {
		return storeError("events", err)
	}
	return nil
}
