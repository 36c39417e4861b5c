package gateway

import (
	"cmp"
	"fmt"

	"github.com/go-json-experiment/json"
)

// durableEvent is an event as it is stored: its body, which shows an instrument with
// names and addresses, is sealed.
type durableEvent struct {
	event
	Body     string `json:"body,omitempty"` // in the clear: of an entry from before bodies were sealed
	SealedBy string `json:"sealed_by,omitempty"`
	Sealed   []byte `json:"sealed,omitempty"` // the body
}

func (e event) place() place { return place{tenant: e.Tenant, record: eventKey(e.Tenant, e.ID)} }

// encodeEvent writes an event's durable form, sealed under the current key.
func (s *Sealer) encodeEvent(e event) []byte {
	b, err := s.tryEncodeEvent(e)
	if err != nil {
		panic("gateway: an event is always encodable: " + err.Error())
	}
	return b
}

func (s *Sealer) tryEncodeEvent(e event) ([]byte, error) {
	box, err := s.box(s.Current(), e.place())
	if err != nil {
		return nil, err
	}
	d := durableEvent{event: e, SealedBy: s.Current(), Sealed: box.seal("", []byte(e.Body))}
	d.event.Body = ""
	return json.Marshal(d, encodeOptions())
}

// decodeEvent reads the event under key. An entry from before bodies were sealed is
// read as it is.
func (s *Sealer) decodeEvent(key string, entry Entry) (storedEvent, error) {
	var d durableEvent
	if err := json.Unmarshal(entry.Value, &d); err != nil {
		return storedEvent{}, fmt.Errorf("%w: an event cannot be read: %w", ErrStore, err)
	}
	if d.Schema != schemaVersion {
		return storedEvent{}, fmt.Errorf("%w: event %s has schema %d, this release reads %d", ErrStore, d.ID, d.Schema, schemaVersion)
	}
	e := d.event
	e.Body = d.Body
	switch at := e.place().record; {
	case at != key:
		return storedEvent{}, fmt.Errorf("%w: %w: an event under another's key, %s under %s", ErrStore, ErrUnreadable, at, key)
	case d.clear():
		return storedEvent{e, entry.Version}, nil
	case d.Body != "":
		return storedEvent{}, fmt.Errorf("%w: %w: the body of %s is in the clear in an event that is sealed", ErrStore, ErrUnreadable, at)
	}
	box, err := s.box(d.SealedBy, e.place())
	if err != nil {
		return storedEvent{}, err
	}
	body, err := box.open("", d.Sealed)
	if err != nil {
		return storedEvent{}, err
	}
	e.Body = string(body)
	return storedEvent{e, entry.Version}, nil
}

func (d durableEvent) clear() bool { return d.SealedBy == "" && d.Sealed == nil }

// under is the id of the key that an event's body is sealed under, or [NoKey].
func (d durableEvent) under() string { return cmp.Or(d.SealedBy, NoKey) }
