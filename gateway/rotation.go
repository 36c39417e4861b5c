package gateway

import (
	"fmt"
	"maps"
	"time"

	"github.com/go-json-experiment/json"
)

// rotationKey is the entry in which the gateways write down how far what the store
// holds is sealed under the newest key. Whoever has its lease walks the store.
const rotationKey = "ops/encryption"

// rotation is that entry. It holds no secrets.
type rotation struct {
	Schema     int                  `json:"schema"`
	Key        string               `json:"key"`                // the newest key that a gateway has sealed under
	Since      map[string]time.Time `json:"since,omitempty"`    // when each key came first to a ring's head
	Owner      string               `json:"owner,omitempty"`    // the gateway that walks the store
	LeaseEnd   time.Time            `json:"lease_end,omitzero"` // on the store's clock
	BeganAt    time.Time            `json:"began_at,omitzero"`  // of the last complete walk
	EndedAt    time.Time            `json:"ended_at,omitzero"`
	Values     map[string]int       `json:"values,omitempty"` // as that walk left them
	Left       int                  `json:"left,omitempty"`   // of them, those that another walk may seal
	Unreadable int                  `json:"unreadable,omitempty"`
	UpdatedAt  time.Time            `json:"updated_at"`
}

func decodeRotation(e Entry) (rotation, error) {
	r := rotation{Schema: clearSchema}
	if e.Version == 0 {
		return r, nil
	}
	if err := json.Unmarshal(e.Value, &r); err != nil || r.Schema != clearSchema {
		return r, fmt.Errorf("%w: the entry of the encryption keys cannot be read (schema %d)", ErrStore, r.Schema)
	}
	return r, nil
}

func (r rotation) encode() ([]byte, error) {
	return json.Marshal(r, encodeOptions(), json.Deterministic(true))
}

const (
	// walkAgainAfter is when what a walk had to leave is looked at again.
	walkAgainAfter = 5 * time.Second
	// walkEvery is how often a store in which all is well is walked: for what was
	// restored, or written by a gateway that had not gone over to the newest key.
	walkEvery = 24 * time.Hour
	// rotationLease is how long a walk that is not heard of is left alone.
	rotationLease = 30 * time.Second
	// rotationKept is how long the entry lives, which every walk writes: it is no part of a
	// backup, since what it says is of this store.
	rotationKept = 30 * 24 * time.Hour
	// straggling is how long a write that was sealed before a reload may still be on
	// its way: the store is asked twice.
	straggling = 2 * storeTimeout
)

// newer reports whether another gateway has gone over to a key after one had done so to
// this one: it is not for the one that is behind to seal all back.
func (r rotation) newer(current string) bool {
	since, known := r.Since[current]
	return r.Key != "" && r.Key != current && known && since.Before(r.Since[r.Key])
}

// pending reports whether a walk is still to be made for a gateway that seals under
// current, and has done so since.
func (r rotation) pending(current string, since time.Time) bool {
	return r.Key != current || r.BeganAt.Before(since) || r.Left > 0
}

// due reports whether the gateway should begin a walk.
func (r rotation) due(current string, since, now time.Time) bool {
	switch {
	case now.Before(r.LeaseEnd) || now.Before(since) || r.newer(current):
		return false
	case r.Key != current || r.BeganAt.Before(since):
		return true
	case r.Left > 0:
		return !now.Before(r.EndedAt.Add(walkAgainAfter))
	default:
		return !now.Before(r.BeganAt.Add(walkEvery))
	}
}

// taken gives the walk to an owner.
func (r rotation) taken(current, owner string, now time.Time) rotation {
	r.Schema, r.Owner, r.LeaseEnd, r.UpdatedAt = clearSchema, owner, now.Add(rotationLease), now
	if r.Key != current {
		r.Key, r.Since = current, maps.Clone(r.Since)
		if r.Since == nil {
			r.Since = map[string]time.Time{}
		}
		r.Since[current] = now
	}
	return r
}

// walked ends the walk.
func (r rotation) walked(done Resealed, began, now time.Time) rotation {
	r.Owner, r.LeaseEnd, r.UpdatedAt = "", time.Time{}, now
	r.BeganAt, r.EndedAt, r.Values = began, now, done.Values
	r.Unreadable, r.Left = len(done.Unreadable), max(0, done.others(r.Key)-len(done.Unreadable))
	r.Since = maps.Clone(r.Since)
	maps.DeleteFunc(r.Since, func(id string, _ time.Time) bool {
		return id != r.Key && done.Values[id] == 0 && len(r.Since) > maxSince
	})
	return r
}

// maxSince bounds how many keys are remembered that nothing is under any more.
const maxSince = 16
