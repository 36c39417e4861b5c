package gateway

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/zap"
)

// noticeEntry is the durable state of one of a provider's events, so that what is delivered
// many times, to many gateways, is acted upon once.
type noticeEntry struct {
	Schema int         `json:"schema"`
	State  noticeState `json:"state"`
	By     string      `json:"by,omitempty"`   // the nonce of who acts upon it
	Until  time.Time   `json:"until,omitzero"` // for how long it is left to them, on the store's clock
}

type noticeState string

const (
	noticeOpen noticeState = "open" // somebody acts upon it until then, or nobody has
	noticeDone noticeState = "done" // it was acted upon
)

const (
	// noticeKept is how long an event is remembered; what is delivered later is refused
	// for its age, where its provider dates what it signs.
	noticeKept = 72 * time.Hour
	// noticeLeft is for how long an event is left to who acts upon it: longer than a
	// provider's call and what goes with it.
	noticeLeft = 15 * time.Second
	// noticePoll is how often who waits for another gateway looks.
	noticePoll = 50 * time.Millisecond
)

func noticeKey(key ReferenceKey, provider, id string) string {
	return "ntc/" + provider + "/" + hex.EncodeToString(key.mac("event", provider, id)[:16])
}

type storedNotice struct {
	noticeEntry
	entry   string
	version uint64
}

// openNotice takes an event for this request. fresh is false if it was acted upon
// already. While somebody else is at it, it waits, and in the end has it sent again.
func (s *Service) openNotice(ctx context.Context, p *Provider, id string) (cur storedNotice, fresh bool, err error) {
	mine := nonce()
	cur.entry = noticeKey(s.current(), p.name, id)
	var older []string
	for _, key := range s.keys[1:] {
		older = append(older, noticeKey(key, p.name, id))
	}
	for end := time.Now().Add(noticeBudget); ; {
		now := s.clock.at(s.now())
		if cur.version == 0 || !now.Before(cur.Until) {
			next := noticeEntry{Schema: schemaVersion, State: noticeOpen, By: mine, Until: now.Add(noticeLeft)}
			res, err := s.write(ctx, Write{Key: cur.entry, Expect: cur.version, Value: next.encode(), Nonce: nonce(), TTL: noticeKept, Load: older})
			if err != nil {
				return cur, false, storeError("notice", err)
			}
			for _, e := range res.Loaded {
				if had, err := decodeNotice(e); err == nil && had.State == noticeDone {
					return cur, false, nil // under a key of before
				}
			}
			if cur.noticeEntry, err = decodeNotice(res.Current); err != nil {
				return cur, false, storeError("notice", err)
			}
			cur.version = res.Current.Version
		} else if cur, err = s.reloadNotice(ctx, cur); err != nil {
			return cur, false, err
		}
		switch {
		case cur.State == noticeDone:
			return cur, false, nil
		case cur.By == mine:
			return cur, true, nil
		case time.Now().After(end):
			return cur, false, notYet(nil)
		}
		if err := pause(ctx, noticePoll); err != nil {
			return cur, false, notYet(err)
		}
	}
}

func (s *Service) reloadNotice(ctx context.Context, cur storedNotice) (storedNotice, error) {
	res, err := s.loadEntries(ctx, cur.entry)
	if err != nil {
		return cur, storeError("notice", err)
	}
	if cur.version = res.Entries[0].Version; cur.version == 0 {
		return cur, nil
	}
	if cur.noticeEntry, err = decodeNotice(res.Entries[0]); err != nil {
		return cur, storeError("notice", err)
	}
	return cur, nil
}

// closeNotice says what became of an event. If that cannot be written, or somebody took
// it over, another delivery is acted upon once more, which costs a look.
func (s *Service) closeNotice(ctx context.Context, cur storedNotice, state noticeState) {
	next := noticeEntry{Schema: schemaVersion, State: state}
	_, err := s.write(ctx, Write{Key: cur.entry, Expect: cur.version, Value: next.encode(), Nonce: nonce(), TTL: noticeKept})
	if err != nil {
		s.log.Info("what became of a notice could not be written down", zap.Error(err))
	}
}

func (e noticeEntry) encode() []byte {
	b, err := json.Marshal(e, encodeOptions())
	if err != nil {
		panic("gateway: an event is always encodable: " + err.Error())
	}
	return b
}

func decodeNotice(e Entry) (noticeEntry, error) {
	var out noticeEntry
	if e.Version == 0 {
		return out, nil
	}
	if err := json.Unmarshal(e.Value, &out); err != nil || out.Schema != schemaVersion {
		return out, fmt.Errorf("%w: what became of a notice cannot be read (schema %d)", ErrStore, out.Schema)
	}
	return out, nil
}
