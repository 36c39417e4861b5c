package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// Event is an event as operators see it.
type Event struct {
	Object       string          `json:"object"` // always "event"
	ID           string          `json:"id"`     // "evt_" and 26 Crockford base32 characters
	Type         EventType       `json:"type"`
	InstrumentID string          `json:"instrument_id,omitempty"`
	Provider     string          `json:"provider,omitempty"`
	OccurredAt   time.Time       `json:"occurred_at"`
	State        DeliveryState   `json:"state"` // failed if it was given up anywhere, else pending while an endpoint waits for it
	Deliveries   []EventDelivery `json:"deliveries"`
	Payload      json.RawMessage `json:"payload,omitempty"` // what is sent; where one event is asked for
}

// EventDelivery is how far an event has come at one endpoint.
type EventDelivery struct {
	Host        string        `json:"host"`
	State       DeliveryState `json:"state"`
	Tries       int           `json:"tries"` // that failed, since the event or its last replay
	NextAt      time.Time     `json:"next_at,omitzero"`
	LastAt      time.Time     `json:"last_at,omitzero"`
	LastStatus  int           `json:"last_status,omitempty"` // HTTP status; absent if there was no answer
	LastError   string        `json:"last_error,omitempty"`  // status, timeout, connection or abandoned
	DeliveredAt time.Time     `json:"delivered_at,omitzero"`
}

// EventsInput selects events. They come with the newest first.
type EventsInput struct {
	Since, Until time.Time     // when they happened: from Since on, before Until; zero for no bound
	Type         EventType     // "" for all
	State        DeliveryState // DeliveryFailed, or "" for all
	Limit        int           // 1–100; 0 is 20
	Cursor       string        // EventPage.NextCursor; "" for the first page
}

// EventPage is one page of events.
type EventPage struct {
	Data       []Event `json:"data"`
	HasMore    bool    `json:"has_more"`
	NextCursor string  `json:"next_cursor,omitempty"`
}

// EventReplay is what became of one step of a replay.
type EventReplay struct {
	Replayed   int    `json:"replayed"`
	HasMore    bool   `json:"has_more"` // the range is not through: go on with NextCursor
	NextCursor string `json:"next_cursor,omitempty"`
}

func (e event) shown() Event {
	out := Event{
		Object: "event", ID: e.ID, Type: e.Type, InstrumentID: e.Instrument, Provider: e.Provider,
		OccurredAt: e.OccurredAt, State: e.state(), Deliveries: []EventDelivery{},
	}
	for _, d := range e.Deliveries {
		out.Deliveries = append(out.Deliveries, EventDelivery{
			Host: d.Host, State: d.State, Tries: d.Tries, NextAt: d.Next,
			LastAt: d.LastAt, LastStatus: d.LastStatus, LastError: d.LastError, DeliveredAt: d.DeliveredAt,
		})
	}
	return out
}

// Event returns one event, with what is sent.
func (s *Service) Event(ctx context.Context, tenant, id string) (Event, error) {
	cur, err := s.loadEvent(ctx, "get_event", tenant, id)
	if err != nil {
		return Event{}, err
	}
	out := cur.shown()
	out.Payload = json.RawMessage(cur.Body)
	return out, nil
}

func (s *Service) loadEvent(ctx context.Context, op, tenant, id string) (storedEvent, error) {
	if !ValidEventID(id) {
		return storedEvent{}, notFound(op)
	}
	loaded, err := s.loadEntries(ctx, eventKey(tenant, id))
	if err != nil {
		return storedEvent{}, storeError(op, err)
	}
	entry := loaded.Entries[0]
	if entry.Version == 0 {
		return storedEvent{}, notFound(op)
	}
	e, err := s.decodeEvent(eventKey(tenant, id), entry)
	if err != nil {
		return storedEvent{}, storeError(op, err)
	}
	return e, nil
}

// ListEvents returns a tenant's events, as far as they are kept.
func (s *Service) ListEvents(ctx context.Context, tenant string, in EventsInput) (EventPage, error) {
	limit, errs := checkLimit(in.Limit)
	if errs = append(errs, in.check()...); len(errs) > 0 {
		return EventPage{}, normalize.Invalid(errs...)
	}
	found, next, err := s.findEvents(ctx, "list_events", tenant, in, limit)
	if err != nil {
		return EventPage{}, err
	}
	out := EventPage{Data: []Event{}, HasMore: next != "", NextCursor: next}
	for _, e := range found {
		out.Data = append(out.Data, e.shown())
	}
	return out, nil
}

func (in EventsInput) check() []normalize.FieldError {
	var errs []normalize.FieldError
	if in.State != "" && in.State != DeliveryFailed {
		errs = append(errs, normalize.FieldError{Pointer: "/state", Code: normalize.InvalidField, Message: "must be failed or all"})
	}
	if in.Type != "" && !slices.Contains(EventTypes(), in.Type) {
		errs = append(errs, normalize.FieldError{Pointer: "/type", Code: normalize.InvalidField, Message: "must be a type of event"})
	}
	if !in.Since.IsZero() && !in.Until.IsZero() && !in.Since.Before(in.Until) {
		errs = append(errs, normalize.FieldError{Pointer: "/until", Code: normalize.OutOfRange, Message: "must be after since"})
	}
	return errs
}

// findEvents walks an index, the newest first. next is the cursor of what is left; ""
// if nothing is.
func (s *Service) findEvents(ctx context.Context, op, tenant string, in EventsInput, limit int) (found []storedEvent, next string, err error) {
	index := indexEvents(tenant)
	if in.State == DeliveryFailed {
		index = indexFailedEvents(tenant)
	}
	about := []string{"events", tenant, index, in.Since.String(), in.Until.String(), string(in.Type)}
	place, err := s.place(in.Cursor, about...)
	if err != nil {
		return nil, "", err
	}
	if place == "" && !in.Until.IsZero() {
		place = timeKey(in.Until)
	}
	from := ""
	if !in.Since.IsZero() {
		from = timeKey(in.Since)
	}
	for {
		members, err := s.store.Scan(ctx, index, place, scanPage, true)
		if err != nil {
			return nil, "", storeError(op, err)
		}
		events, err := s.loadEvents(ctx, op, tenant, members)
		if err != nil {
			return nil, "", err
		}
		for i, m := range members {
			if m < from {
				return found, "", nil
			}
			e := events[i]
			if e != nil && (in.Type == "" || e.Type == in.Type) && (in.State == "" || e.state() == in.State) {
				if len(found) == limit {
					return found, s.cursor(place, about...), nil
				}
				found = append(found, *e)
			}
			place = m
		}
		if len(members) < scanPage {
			return found, "", nil
		}
	}
}

// loadEvents reads the events of index members; nil for those that are over.
func (s *Service) loadEvents(ctx context.Context, op, tenant string, members []string) ([]*storedEvent, error) {
	if len(members) == 0 {
		return nil, nil
	}
	keys := make([]string, len(members))
	for i, m := range members {
		keys[i] = eventKey(tenant, memberID(m))
	}
	loaded, err := s.loadEntries(ctx, keys...)
	if err != nil {
		return nil, storeError(op, err)
	}
	out := make([]*storedEvent, len(members))
	for i, entry := range loaded.Entries {
		if entry.Version == 0 {
			continue
		}
		e, err := s.decodeEvent(keys[i], entry)
		if err != nil {
			return nil, storeError(op, err)
		}
		out[i] = &e
	}
	return out, nil
}

// ReplayEvent has an event delivered once more, under its own id, to every endpoint
// that now wants its type.
func (s *Service) ReplayEvent(ctx context.Context, tenant, id string) (Event, error) {
	cur, err := s.loadEvent(ctx, "replay_event", tenant, id)
	if err != nil {
		return Event{}, err
	}
	after, err := s.replay(context.WithoutCancel(ctx), cur, false)
	if err != nil {
		return Event{}, err
	}
	return after.shown(), nil
}

// ReplayEvents has those of a range delivered once more, in.Limit of them at a time:
// with State DeliveryFailed only where they were given up.
func (s *Service) ReplayEvents(ctx context.Context, tenant string, in EventsInput) (EventReplay, error) {
	limit, errs := checkLimit(in.Limit)
	if errs = append(errs, in.check()...); len(errs) > 0 {
		return EventReplay{}, normalize.Invalid(errs...)
	}
	found, next, err := s.findEvents(ctx, "replay_events", tenant, in, limit)
	if err != nil {
		return EventReplay{}, err
	}
	ctx = context.WithoutCancel(ctx)
	out := EventReplay{HasMore: next != "", NextCursor: next}
	for _, e := range found {
		if _, err := s.replay(ctx, e, in.State == DeliveryFailed); err != nil {
			return out, err
		}
		out.Replayed++
	}
	return out, nil
}

// replay makes an event wait for its endpoints again. What is delivered stays so with
// onlyFailed.
func (s *Service) replay(ctx context.Context, cur storedEvent, onlyFailed bool) (event, error) {
	const op = "replay_event"
	for range 10 {
		next, any, now := cur.event, false, s.clock.at(s.now())
		for _, ep := range s.endpoints[cur.Tenant] {
			if !ep.wants(cur.Type) {
				continue
			}
			d := delivery{Endpoint: ep.id, Host: ep.host}
			if i := next.at(ep.id); i >= 0 {
				d = next.Deliveries[i]
			}
			if onlyFailed && d.State != DeliveryFailed {
				continue
			}
			next, any = next.with(d.replayed(now)), true
		}
		if !any {
			return cur.event, &normalize.Error{
				Code: normalize.InvalidState, Outcome: normalize.NotSent, Op: op, Msg: "no configured endpoint wants events of this type",
			}
		}
		res, err := s.write(ctx, s.eventWrite(cur, next))
		if err != nil {
			return cur.event, storeError(op, err)
		}
		if res.Applied {
			return next, nil
		}
		if res.Current.Version == 0 {
			return cur.event, notFound(op)
		}
		if cur, err = s.decodeEvent(eventKey(cur.Tenant, cur.ID), res.Current); err != nil {
			return cur.event, storeError(op, err)
		}
	}
	return cur.event, &normalize.Error{
		Code: normalize.Conflict, Outcome: normalize.NotSent, Op: op, Msg: "the event is being delivered: try again", RetryAfter: time.Second,
	}
}
