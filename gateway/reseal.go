package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"
)

// NoKey stands for the key of what an earlier release stored in the clear.
const NoKey = "none"

// resealed is what is to be done with a stored value.
type resealed struct {
	under string                            // the id of the key that it is sealed under, NoKey, or "" if nothing in it is to be sealed
	value []byte                            // what it should be, sealed under the current key; nil if it is that, or is to be left alone
	open  bool                              // somebody is about to write it, and will seal it then
	ttl   func(now time.Time) time.Duration // how long it is to live from then on; nil for ever
}

// sealedHead is what shows of a value without opening it.
type sealedHead struct {
	Schema   int       `json:"schema"`
	State    State     `json:"state"`
	LeaseEnd time.Time `json:"lease_end"`
	SealedBy string    `json:"sealed_by"`
}

// reseal says what is to be done with the entry under key. Nothing but the seal
// changes: it is the same record, with the same entity tag. verify has what need not be
// changed opened as well. It fails with [ErrUnreadable] if the entry does not open; under
// tells its key all the same.
func (s *Sealer) reseal(key string, value []byte, now time.Time, verify bool) (out resealed, err error) {
	record, isCustomer := ValidInstrumentID(key), strings.HasPrefix(key, customerPrefix)
	if isEventKey(key) {
		return s.resealEvent(key, value, verify)
	}
	if !record && !isCustomer {
		return out, nil
	}
	var head sealedHead
	if err := json.Unmarshal(value, &head); err != nil {
		return out, fmt.Errorf("%w: %w: %s cannot be read: %w", ErrStore, ErrUnreadable, key, err)
	}
	if out.under = head.SealedBy; head.Schema == clearSchema {
		out.under = NoKey
	}
	current := out.under == s.Current() || out.under == ""
	if current && !verify {
		return out, nil
	}
	var again []byte
	if record {
		r, err := s.decode(key, value)
		if err != nil {
			return out, err
		}
		again = s.encode(r)
	} else {
		c, err := s.decodeCustomer(key, Entry{Value: value, Version: 1})
		if err != nil {
			return out, err
		}
		again = s.encodeCustomer(c.customer)
	}
	switch out.open = head.State == StateSending || head.State == StateReserved || now.Before(head.LeaseEnd); {
	case current:
		out.open = false
	case !out.open:
		out.value = again
	}
	return out, nil
}

// Check fails if an entry cannot be opened or is of a later release: what a restore
// asks before it writes anything.
func (s *Sealer) Check(key string, e Entry) error {
	_, err := restorable(s, key, e)
	return err
}

// Resealing seals what a store holds under a Sealer's current key. Gateways may serve
// meanwhile, and others may do the same: every value is replaced only if it is still
// what was read. It may be stopped at any point and begun again.
type Resealing struct {
	Store  Store
	Sealer *Sealer
	// Tenants are those whose settled events are sealed anew as well: they live for a time
	// only, so that a walk through what lives for ever does not see them.
	Tenants []string
	DryRun  bool // nothing is written
	Verify  bool // what need not be sealed anew is opened all the same, to see whether that works
	// AtOnce is how many values are worked on at the same time; default 1.
	AtOnce int
	// Pace is called before each value is looked at, and once more before it is
	// written; an error ends the work. Optional. It is called from several goroutines.
	Pace func(ctx context.Context, write bool) error

	mu   sync.Mutex
	done Resealed // guarded by mu
}

// Resealed is what became of a store's values.
type Resealed struct {
	Values     map[string]int // by the key that they are under at the end: its id, or NoKey
	Resealed   int            // values that were sealed under the current key; with DryRun, that would be
	Waiting    int            // values under another key that somebody is about to write, and will seal then
	Unreadable []string       // keys of the entries that do not open, sorted; they are counted in Values, too
	Why        error          // of the first of them
}

// Run walks the store once. What comes twice while the store is changed may be counted twice.
func (r *Resealing) Run(ctx context.Context) (Resealed, error) {
	r.done = Resealed{Values: map[string]int{}}
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(max(1, r.AtOnce))
	now, err := r.Store.Load(ctx)
	if err != nil {
		return r.done, err
	}
	began := time.Now()
	err = r.Store.Dump(working, func(key string, e Entry) error {
		if r.Pace != nil {
			if err := r.Pace(working, false); err != nil {
				return err
			}
		}
		at := now.Now.Add(time.Since(began))
		work.Go(func() error { return r.value(working, key, e, at) })
		return working.Err()
	})
	for _, tenant := range r.Tenants {
		if err == nil && working.Err() == nil {
			err = r.events(working, work, tenant, func() time.Time { return now.Now.Add(time.Since(began)) })
		}
	}
	if failed := work.Wait(); failed != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = failed
	}
	slices.Sort(r.done.Unreadable)
	return r.done, err
}

// value sees to one entry; again when somebody else was faster.
func (r *Resealing) value(ctx context.Context, key string, e Entry, now time.Time) error {
	for range maxRestoreTries {
		out, err := r.Sealer.reseal(key, e.Value, now, r.Verify)
		switch {
		case errors.Is(err, ErrUnreadable):
			r.count(out, key, err)
			return nil
		case err != nil:
			return err
		case out.value == nil || r.DryRun:
			r.count(out, key, nil)
			return nil
		}
		if r.Pace != nil {
			if err := r.Pace(ctx, true); err != nil {
				return err
			}
		}
		w := Write{Key: key, Expect: e.Version, Value: out.value, Nonce: nonce()}
		if out.ttl != nil {
			w.TTL = out.ttl(now)
		}
		res, err := r.Store.Write(ctx, w)
		if err != nil {
			return err
		}
		if res.Applied {
			r.count(resealed{under: r.Sealer.Current(), value: out.value}, key, nil)
			return nil
		}
		if e = res.Current; e.Version == 0 {
			return nil // it is gone
		}
	}
	return errBusyEntry
}

func (r *Resealing) count(out resealed, key string, unreadable error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if out.under != "" {
		r.done.Values[out.under]++
	}
	switch {
	case unreadable != nil:
		if r.done.Why == nil {
			r.done.Why = unreadable
		}
		if !slices.Contains(r.done.Unreadable, key) && len(r.done.Unreadable) < maxUnreadable {
			r.done.Unreadable = append(r.done.Unreadable, key)
		}
	case out.value != nil:
		r.done.Resealed++
	case out.open:
		r.done.Waiting++
	}
}

// maxUnreadable bounds how many entries that do not open are named.
const maxUnreadable = 1000

// others are the values under other keys than the current one.
func (r Resealed) others(current string) int {
	n := 0
	for id := range maps.Keys(r.Values) {
		if id != current {
			n += r.Values[id]
		}
	}
	return n
}
