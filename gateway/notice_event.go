package gateway

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/zap"
)

// event is the durable state of one of a provider's events, so that what is delivered
// many times, to many gateways, is acted upon once.
type event struct {
	Schema int        `json:"schema"`
	State  eventState `json:"state"`
	By     string     `json:"by,omitempty"`   // the nonce of who acts upon it
	Until  time.Time  `json:"until,omitzero"` // for how long it is left to them, on the store's clock
}

type eventState string

const (
	eventOpen eventState = "open" // somebody acts upon it until then, or nobody has
	eventDone eventState = "done" // it was acted upon
)

const (
	// eventKept is how long an event is remembered; what is delivered later is refused
	// for its age, where its provider dates what it signs.
	eventKept = 72 * time.Hour
	// eventLeft is for how long an event is left to who acts upon it: longer than a
	// provider's call and what goes with it.
	eventLeft = 15 * time.Second
	// eventPoll is how often who waits for another gateway looks.
	eventPoll = 50 * time.Millisecond
)

func eventKey(key ReferenceKey, provider, id string) string {
	return "evt/" + provider + "/" + hex.EncodeToString(key.mac("event", provider, id)[:16])
}

type storedEvent struct {
	event
	entry   string
	version uint64
}

// openEvent takes an event for this request. fresh is false if it was acted upon
// already. While somebody else is at it, it waits, and in the end has it sent again.
func (s *Service) openEvent(ctx context.Context, p *Provider, id string) (cur storedEvent, fresh bool, err error) {
	mine := nonce()
	cur.entry = eventKey(s.current(), p.name, id)
	var older []string
	for _, key := range s.keys[1:] {
		older = append(older, eventKey(key, p.name, id))
	}
	for end := time.Now().Add(noticeBudget); ; {
		now := s.clock.at(s.now())
		if cur.version == 0 || !now.Before(cur.Until) {
			next := event{Schema: schemaVersion, State: eventOpen, By: mine, Until: now.Add(eventLeft)}
			res, err := s.write(ctx, Write{Key: cur.entry, Expect: cur.version, Value: next.encode(), Nonce: nonce(), TTL: eventKept, Load: older})
			if err != nil {
				return cur, false, storeError("notice", err)
			}
			for _, e := range res.Loaded {
				if had, err := decodeEvent(e); err == nil && had.State == eventDone {
					return cur, false, nil // under a key of before
				}
			}
			if cur.event, err = decodeEvent(res.Current); err != nil {
				return cur, false, storeError("notice", err)
			}
			cur.version = res.Current.Version
		} else if cur, err = s.reloadEvent(ctx, cur); err != nil {
			return cur, false, err
		}
		switch {
		case cur.State == eventDone:
			return cur, false, nil
		case cur.By == mine:
			return cur, true, nil
		case time.Now().After(end):
			return cur, false, notYet(nil)
		}
		if err := pause(ctx, eventPoll); err != nil {
			return cur, false, notYet(err)
		}
	}
}

func (s *Service) reloadEvent(ctx context.Context, cur storedEvent) (storedEvent, error) {
	res, err := s.loadEntries(ctx, cur.entry)
	if err != nil {
		return cur, storeError("notice", err)
	}
	if cur.version = res.Entries[0].Version; cur.version == 0 {
		return cur, nil
	}
	if cur.event, err = decodeEvent(res.Entries[0]); err != nil {
		return cur, storeError("notice", err)
	}
	return cur, nil
}

// closeEvent says what became of an event. If that cannot be written, or somebody took
// it over, another delivery is acted upon once more, which costs a look.
func (s *Service) closeEvent(ctx context.Context, cur storedEvent, state eventState) {
	next := event{Schema: schemaVersion, State: state}
	_, err := s.write(ctx, Write{Key: cur.entry, Expect: cur.version, Value: next.encode(), Nonce: nonce(), TTL: eventKept})
	if err != nil {
		s.log.Info("what became of a notice could not be written down", zap.Error(err))
	}
}

func (e event) encode() []byte {
	b, err := json.Marshal(e, encodeOptions())
	if err != nil {
		panic("gateway: an event is always encodable: " + err.Error())
	}
	return b
}

func decodeEvent(e Entry) (event, error) {
	var out event
	if e.Version == 0 {
		return out, nil
	}
	if err := json.Unmarshal(e.Value, &out); err != nil || out.Schema != schemaVersion {
		return out, fmt.Errorf("%w: what became of a notice cannot be read (schema %d)", ErrStore, out.Schema)
	}
	return out, nil
}
