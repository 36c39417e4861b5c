package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Restored says what became of an entry that was to be restored.
type Restored int

// What becomes of an entry.
const (
	RestoredNothing Restored = iota // the store has this state of it, or a later one
	RestoredNew                     // the store did not have it
	RestoredOver                    // the store had an earlier state, or another life of the same id
)

// maxRestoreTries bounds how often an entry is tried that others keep changing.
const maxRestoreTries = 100

// Restore brings an entry of a backup or a journal into the store, with its version
// and, for a record, its index members and claims, unless the store's is as late.
// Entries may come in any order and any number of times, and gateways may serve
// meanwhile. With dryRun it says what it would do. Entries under one key must not
// be restored at the same time, or what is said of them may be wrong. sealer must have
// the keys of both, the entry and the store.
func Restore(ctx context.Context, store Store, sealer *Sealer, key string, from Entry, dryRun bool) (Restored, error) {
	state, err := restorable(sealer, key, from)
	if err != nil {
		return RestoredNothing, err
	}
	loaded, err := store.Load(ctx, key)
	if err != nil {
		return RestoredNothing, err
	}
	have := loaded.Entries[0]
	for range maxRestoreTries {
		w, next, changed, err := state.over(key, have)
		if err != nil || !changed {
			return RestoredNothing, err
		}
		done := RestoredOver
		if have.Version == 0 {
			done = RestoredNew
		}
		if dryRun {
			return done, nil
		}
		res, err := store.Write(ctx, w)
		if err != nil && pause(ctx, rewriteAfter) == nil {
			res, err = store.Write(ctx, w) // its nonce makes that safe
		}
		if err != nil {
			return RestoredNothing, err
		}
		if res.Applied {
			return done, onePlaceEach(ctx, store, sealer, next, res.Owners)
		}
		have = res.Current
	}
	return RestoredNothing, errBusyEntry
}

var errBusyEntry = fmt.Errorf("%w: an entry is changed by others all the time: restore again", ErrStore)

// restoring is an entry to be restored; record, customer and event are nil if it is none.
type restoring struct {
	sealer   *Sealer
	entry    Entry
	drains   bool // it is the drained providers'
	record   *stored
	customer *storedCustomer
	event    *storedEvent
}

var errNoVersion = errors.New("an entry without a version cannot be restored")

func restorable(sealer *Sealer, key string, e Entry) (restoring, error) {
	if e.Version == 0 {
		return restoring{}, errNoVersion
	}
	if strings.HasPrefix(key, customerPrefix) {
		c, err := sealer.decodeCustomer(key, e)
		return restoring{sealer: sealer, entry: e, customer: &c}, err
	}
	if key == drainedKey {
		_, err := decodeDrains(e)
		return restoring{sealer: sealer, entry: e, drains: true}, err
	}
	if isEventKey(key) {
		ev, err := sealer.decodeEvent(key, e)
		return restoring{sealer: sealer, entry: e, event: &ev}, err
	}
	if !ValidInstrumentID(key) {
		return restoring{sealer: sealer, entry: e}, nil
	}
	rec, err := sealer.decode(key, e.Value)
	if err != nil {
		return restoring{}, err
	}
	return restoring{sealer: sealer, entry: e, record: &stored{rec, e.Version}}, nil
}

// over is the write that makes the store's entry what it should be, and the record
// that it holds then.
func (r restoring) over(key string, have Entry) (w Write, next stored, changed bool, err error) {
	if r.customer != nil {
		return r.overCustomer(key, have)
	}
	if r.drains {
		next, changed, err := mergedDrains(have, r.entry)
		return Write{Key: key, Expect: have.Version, Value: next.Value, Version: next.Version, Nonce: nonce()}, stored{}, changed, err
	}
	if r.event != nil {
		w, changed, err := overEvent(r.sealer, *r.event, have)
		return w, stored{}, changed, err
	}
	if r.record == nil {
		w = Write{Key: key, Expect: have.Version, Value: r.entry.Value, Version: r.entry.Version, Nonce: nonce()}
		return w, stored{}, r.entry.Version > have.Version, nil
	}
	cur := stored{version: have.Version}
	if have.Version > 0 {
		if cur.Record, err = r.sealer.decode(key, have.Value); err != nil {
			return w, next, false, err
		}
	}
	if next, changed = merged(cur, *r.record); !changed {
		return w, next, false, nil
	}
	w = recordWrite(r.sealer, cur, next)
	if have.Version == 0 {
		w.Value = r.entry.Value // as it was, to the byte
	}
	return w, next, true, nil
}

func (r restoring) overCustomer(key string, have Entry) (w Write, none stored, changed bool, err error) {
	cur, err := r.sealer.decodeCustomer(key, have)
	if err != nil {
		return w, none, false, err
	}
	next, changed := mergedCustomer(cur, *r.customer)
	w = Write{Key: key, Expect: have.Version, Value: r.entry.Value, Version: next.version, Nonce: nonce()}
	if have.Version > 0 {
		next.Named = slices.Compact(slices.Sorted(slices.Values(slices.Concat(cur.Named, r.customer.Named))))
		w.Value = r.sealer.encodeCustomer(next.customer)
	}
	w.Add = next.members()
	return w, none, changed, err
}

// recordWrite replaces a record, with all that follows from it. It claims all names
// of next, in their order.
func recordWrite(sealer *Sealer, cur, next stored) Write {
	w := Write{Key: recordKey(next.ID), Expect: cur.version, Version: next.version, Value: sealer.encode(next.Record), Nonce: nonce()}
	var before []Member
	if cur.version > 0 {
		before = cur.members()
	}
	w.Add, w.Remove = indexChange(before, next.members())
	for _, c := range next.Claims {
		w.Claims = append(w.Claims, Claim{Key: c, Owner: next.ID})
	}
	for _, c := range cur.Claims {
		if !slices.Contains(next.Claims, c) {
			w.Release = append(w.Release, Claim{Key: c, Owner: next.ID})
		}
	}
	return w
}
