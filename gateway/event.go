package gateway

import (
	"bytes"
	"crypto/rand"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// EventType says what an event tells of.
type EventType string

// The types of events. Those of an instrument are about one instrument, the others
// about a provider.
const (
	InstrumentCreated     EventType = "instrument.created"
	InstrumentUpdated     EventType = "instrument.updated"
	InstrumentExpiring    EventType = "instrument.expiring"
	InstrumentDeactivated EventType = "instrument.deactivated"
	InstrumentDeleted     EventType = "instrument.deleted"
	ProviderTokenChanged  EventType = "provider_token.changed"
	ProviderDown          EventType = "provider.down"
	ProviderRecovered     EventType = "provider.recovered"
)

// EventTypes are all types, in the order in which they are documented.
func EventTypes() []EventType {
	return []EventType{
		InstrumentCreated, InstrumentUpdated, InstrumentExpiring, InstrumentDeactivated, InstrumentDeleted,
		ProviderTokenChanged, ProviderDown, ProviderRecovered,
	}
}

// PendingEvent is an event that its record still carries: the change and the event
// are one write, so that there is never one without the other. The relay makes an
// entry of its own of it and takes it from the record.
type PendingEvent struct {
	ID       string    `json:"id"`
	Type     EventType `json:"type"`
	Provider string    `json:"provider,omitempty"` // of provider_token.changed
	At       time.Time `json:"at"`                 // when it happened
}

// maxPendingEvents bounds what a record carries while no relay takes it. Beyond that an
// event gives way to a later one of the same type and provider, which says as much.
const maxPendingEvents = 64

const eventPrefix = "evt_"

// newEventID is a random id of the form of an instrument's: an event is named once, in
// the write that makes its change, and keeps that name wherever it goes.
func newEventID() string {
	b := make([]byte, 17)
	_, _ = rand.Read(b) // never fails: it ends the process instead
	return eventPrefix + crockford().EncodeToString(b)[:26]
}

// withEvents is next with the events of what differs between it and before, the record
// that the store has (the zero one if there is none). It is a pure function but for
// the ids: what differs in nothing that a caller can see gives none.
func (r Record) withEvents(before Record, now time.Time) Record {
	found := eventsBetween(before, r, now)
	if len(found) == 0 {
		return r
	}
	events := slices.Clone(r.Events)
	for _, e := range found {
		e.ID = newEventID()
		if len(events) >= maxPendingEvents {
			events = withoutOne(events, e)
		}
		events = append(events, e)
	}
	r.Events = events
	return r
}

// withoutOne is the list without the first event that says no more than e does.
func withoutOne(events []PendingEvent, e PendingEvent) []PendingEvent {
	i := slices.IndexFunc(events, func(o PendingEvent) bool { return o.Type == e.Type && o.Provider == e.Provider })
	if i < 0 {
		return events
	}
	return slices.Delete(events, i, i+1)
}

// eventsBetween says what happened to the instrument between two states of its record,
// without ids. A mirror's own record is no instrument and has none.
func eventsBetween(before, after Record, now time.Time) []PendingEvent {
	was, is := before.live(), after.live()
	switch {
	case after.MirrorOf != "" || !was && !is:
		return nil
	case !was:
		return []PendingEvent{{Type: InstrumentCreated, At: after.UpdatedAt}}
	case !is:
		at := after.UpdatedAt
		if after.AliasOf != "" {
			at = now
		}
		return []PendingEvent{{Type: InstrumentDeleted, At: at}}
	}
	var out []PendingEvent
	retiredBefore, retired := before.retired(), after.retired()
	if !sameView(*before.View, *after.View) || retiredBefore && !retired {
		out = append(out, PendingEvent{Type: InstrumentUpdated, At: after.UpdatedAt})
	}
	if retired && !retiredBefore {
		out = append(out, PendingEvent{Type: InstrumentDeactivated, At: after.UpdatedAt})
	}
	for _, provider := range changedTokens(before.Tokens, after.Tokens) {
		out = append(out, PendingEvent{Type: ProviderTokenChanged, Provider: provider, At: after.UpdatedAt})
	}
	if after.ExpiryTold != "" && after.ExpiryTold != before.ExpiryTold {
		out = append(out, PendingEvent{Type: InstrumentExpiring, At: now})
	}
	return out
}

// retired reports whether the instrument is deactivated, by whomever.
func (r Record) retired() bool { return r.Held || r.primary().Status == normalize.StatusDeactivated }

// sameView reports whether two views look the same to a caller.
func sameView(a, b View) bool {
	metadata := maps.Equal(a.Metadata, b.Metadata)
	a.Metadata, b.Metadata = nil, nil
	return metadata && reflect.DeepEqual(a, b)
}

// changedTokens are the providers at which the instrument's token has come, gone or
// become another one, in the order of the tokens. When it was looked at is no change.
func changedTokens(before, after []Token) []string {
	var out []string
	for _, t := range after {
		i := slices.IndexFunc(before, func(o Token) bool { return o.Provider == t.Provider })
		if i < 0 || !sameTokenShown(before[i], t) {
			out = append(out, t.Provider)
		}
	}
	for _, t := range before {
		if !slices.ContainsFunc(after, func(o Token) bool { return o.Provider == t.Provider }) {
			out = append(out, t.Provider)
		}
	}
	return out
}

func sameTokenShown(a, b Token) bool {
	return a.Role == b.Role && a.Status == b.Status && a.ProviderStatus == b.ProviderStatus && a.Code == b.Code &&
		maps.Equal(a.References, b.References)
}

// relayed is the record without some of its pending events. Nothing that a caller sees
// changes with it.
func (r Record) relayed(events []PendingEvent) Record {
	r.Events = slices.DeleteFunc(slices.Clone(r.Events), func(e PendingEvent) bool {
		return slices.ContainsFunc(events, func(o PendingEvent) bool { return o.ID == e.ID })
	})
	if len(r.Events) == 0 {
		r.Events = nil
	}
	return r
}

// onlyRelayed reports whether a record is another one whose events were relayed, and
// which nobody has changed besides.
func (r Record) onlyRelayed(now Record) bool {
	if len(now.Events) >= len(r.Events) {
		return false
	}
	r.Events, now.Events = nil, nil
	return bytes.Equal(r.encodeInOrder(), now.encodeInOrder())
}

// outboxMember says where a record with pending events is found: under the time of the
// first of them, so that what has waited longest comes first.
func (r Record) outboxMember() Member {
	return Member{indexOutbox(r.Tenant), member(timeKey(r.Events[0].At), r.ID)}
}
