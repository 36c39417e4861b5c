package gateway

import (
	"slices"
	"strings"
	"time"
)

// event is the durable state of an event that is to be delivered: an entry of its own,
// which lives for ever while an endpoint waits for it, and for eventRetention after
// that. What is sent is frozen here, to the byte; the store has it sealed.
type event struct {
	Schema     int        `json:"schema"`
	ID         string     `json:"id"`
	Tenant     string     `json:"tenant"`
	Type       EventType  `json:"type"`
	Instrument string     `json:"instrument,omitempty"` // its id
	Provider   string     `json:"provider,omitempty"`
	OccurredAt time.Time  `json:"occurred_at"`
	Body       string     `json:"-"` // JSON, as it is sent; see durableEvent
	Deliveries []delivery `json:"deliveries"`
}

// delivery is how far an event has come at one endpoint.
type delivery struct {
	Endpoint    string        `json:"endpoint"` // its id
	Host        string        `json:"host"`
	State       DeliveryState `json:"state"`
	Tries       int           `json:"tries,omitempty"`       // that failed
	Next        time.Time     `json:"next,omitzero"`         // while pending: when it is tried, or tried again if who tries it now dies
	LastAt      time.Time     `json:"last_at,omitzero"`      // of the last try that ended
	LastStatus  int           `json:"last_status,omitempty"` // HTTP status; 0 if there was no answer
	LastError   string        `json:"last_error,omitempty"`  // what went wrong, without any part of the answer
	DeliveredAt time.Time     `json:"delivered_at,omitzero"`
}

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"   // it is to be tried, or tried again
	DeliveryDelivered DeliveryState = "delivered" // the endpoint has acknowledged it
	DeliveryFailed    DeliveryState = "failed"    // it was given up; a replay tries it again
)

// eventRetention is how long a settled event is kept, and how long an event may wait
// for an endpoint that is not there.
const eventRetention = 30 * 24 * time.Hour

// deliveryTimeout bounds one try, from the dial to the end of the answer.
const deliveryTimeout = 10 * time.Second

// claimedFor is how long a delivery is left to the gateway that has begun it.
const claimedFor = deliveryTimeout + 20*time.Second

// retryDelays are the pauses after each failed try.
func retryDelays() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

// retryDelay is how long to wait after a number of failed tries, up to a fifth longer
// with chance, from 0 up to 1, so that what failed together is not tried together
// again. more is false when it is time to give up.
func retryDelay(tries int, chance float64) (wait time.Duration, more bool) {
	delays := retryDelays()
	if tries < 1 || tries > len(delays) {
		return 0, false
	}
	base := delays[tries-1]
	return base + time.Duration(chance*float64(base)/5), true
}

const eventKeyPrefix = "evt/"

func eventKey(tenant, id string) string { return eventKeyPrefix + tenant + "/" + id }

// indexOutbox lists the tenant's records that carry events which nobody has relayed.
func indexOutbox(tenant string) string { return "ev/" + tenant + "/outbox" }

// indexEvents lists a tenant's events by when they happened.
func indexEvents(tenant string) string { return "ev/" + tenant + "/all" }

// indexFailedEvents lists those that were given up at some endpoint.
func indexFailedEvents(tenant string) string { return "ev/" + tenant + "/failed" }

// indexDeliveries lists what one endpoint waits for, by when it is to be tried. It has
// a list of its own so that what is slow there holds up nobody else.
func indexDeliveries(tenant, endpoint string) string { return "ev/" + tenant + "/due/" + endpoint }

// members are the index entries that an event should have; a pure function of it.
func (e event) members() []Member {
	at := timeKey(e.OccurredAt)
	out := []Member{{indexEvents(e.Tenant), member(at, e.ID)}}
	for _, d := range e.Deliveries {
		if d.State == DeliveryPending {
			out = append(out, Member{indexDeliveries(e.Tenant, d.Endpoint), member(timeKey(d.Next), member(at, e.ID))})
		}
	}
	if e.state() == DeliveryFailed {
		out = append(out, Member{indexFailedEvents(e.Tenant), member(at, e.ID)})
	}
	return out
}

// state is the event's as a whole: failed if it was given up anywhere, else pending
// while an endpoint waits for it.
func (e event) state() DeliveryState {
	state := DeliveryDelivered
	for _, d := range e.Deliveries {
		switch d.State {
		case DeliveryFailed:
			return DeliveryFailed
		case DeliveryPending:
			state = DeliveryPending
		case DeliveryDelivered:
		}
	}
	return state
}

// life is how long the entry lives: for ever while somebody waits for it.
func (e event) life() time.Duration {
	for _, d := range e.Deliveries {
		if d.State == DeliveryPending {
			return 0
		}
	}
	return eventRetention
}

// at finds the delivery to an endpoint; -1 if there is none.
func (e event) at(endpoint string) int {
	return slices.IndexFunc(e.Deliveries, func(d delivery) bool { return d.Endpoint == endpoint })
}

// with is the event with one delivery replaced, or added.
func (e event) with(d delivery) event {
	e.Deliveries = slices.Clone(e.Deliveries)
	if i := e.at(d.Endpoint); i >= 0 {
		e.Deliveries[i] = d
	} else {
		e.Deliveries = append(e.Deliveries, d)
	}
	return e
}

// outcome is what became of one try.
type outcome struct {
	status int    // HTTP; 0 if there was no answer
	err    string // "" if it was delivered
	final  bool   // nothing is tried again
}

// ended is the delivery after a try.
func (d delivery) ended(o outcome, now time.Time, chance float64) delivery {
	d.LastAt, d.LastStatus, d.LastError, d.Next = now, o.status, o.err, time.Time{}
	if o.err == "" {
		d.State, d.DeliveredAt = DeliveryDelivered, now
		return d
	}
	d.Tries++
	wait, more := retryDelay(d.Tries, chance)
	if o.final || !more {
		d.State = DeliveryFailed
		return d
	}
	d.Next = now.Add(wait)
	return d
}

// replayed is the delivery as if it had never been tried.
func (d delivery) replayed(now time.Time) delivery {
	return delivery{Endpoint: d.Endpoint, Host: d.Host, State: DeliveryPending, Next: now}
}

// storedEvent is an event with the version that the store has of it.
type storedEvent struct {
	event
	version uint64
}

// eventWrite replaces an event, with the index members that follow from it. What
// should be there is added even if it was before: a crash between two round trips may
// have left it out.
func eventWrite(sealer *Sealer, cur storedEvent, next event) Write {
	var before []Member
	if cur.version > 0 {
		before = cur.members()
	}
	after := next.members()
	_, remove := indexChange(before, after)
	return Write{
		Key: eventKey(next.Tenant, next.ID), Expect: cur.version, Value: sealer.encodeEvent(next), Nonce: nonce(), TTL: next.life(),
		Add: after, Remove: remove,
	}
}

// overEvent is the write that brings an event of a backup or a journal into the store.
// The later state stays; one that was settled since is delivered once more, since no
// file has what lives for a time only.
func overEvent(sealer *Sealer, from storedEvent, have Entry) (w Write, changed bool, err error) {
	if have.Version >= from.version {
		return w, false, nil
	}
	cur := storedEvent{}
	if have.Version > 0 {
		if cur, err = sealer.decodeEvent(eventKey(from.Tenant, from.ID), have); err != nil {
			return w, false, err
		}
	}
	w = eventWrite(sealer, cur, from.event)
	w.Version = from.version
	return w, true, nil
}

func isEventKey(key string) bool { return strings.HasPrefix(key, eventKeyPrefix) }

// ValidEventID reports whether id has the form of an event's id: "evt_" and 26
// characters of Crockford's base32 in lower case.
func ValidEventID(id string) bool {
	rest, ok := strings.CutPrefix(id, eventPrefix)
	return ok && len(rest) == 26 && strings.Trim(rest, crockfordAlphabet) == ""
}
