package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
// be restored at the same time, or what is said of them may be wrong.
func Restore(ctx context.Context, store Store, key string, from Entry, dryRun bool) (Restored, error) {
	state, err := restorable(key, from)
	if err != nil {
		return RestoredNothing, err
	}
	loaded, err := store.Load(ctx, key)
	if err != nil {
		return RestoredNothing, err
	}
	have := loaded.Entries[0]
	for range maxRestoreTries {
		w, changed, err := state.over(key, have)
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
			return done, nil
		}
		have = res.Current
	}
	return RestoredNothing, fmt.Errorf("%w: an entry is changed by others all the time: restore again", ErrStore)
}

// restoring is an entry to be restored; record is nil if it is none.
type restoring struct {
	entry  Entry
	record *stored
}

var errNoVersion = errors.New("an entry without a version cannot be restored")

func restorable(key string, e Entry) (restoring, error) {
	if e.Version == 0 {
		return restoring{}, errNoVersion
	}
	if !ValidInstrumentID(key) {
		return restoring{entry: e}, nil
	}
	rec, err := decodeRecord(e.Value)
	if err != nil {
		return restoring{}, err
	}
	if recordKey(rec.ID) != key {
		return restoring{}, fmt.Errorf("%w: a record under another's key", ErrStore)
	}
	return restoring{entry: e, record: &stored{rec, e.Version}}, nil
}

// over is the write that makes the store's entry what it should be.
func (r restoring) over(key string, have Entry) (w Write, changed bool, err error) {
	w = Write{Key: key, Expect: have.Version, Nonce: nonce()}
	if r.record == nil {
		w.Value, w.Version = r.entry.Value, r.entry.Version
		return w, r.entry.Version > have.Version, nil
	}
	cur := stored{version: have.Version}
	var before []Member
	if have.Version > 0 {
		if cur.Record, err = decodeRecord(have.Value); err != nil {
			return w, false, err
		}
		before = cur.members()
	}
	next, changed := merged(cur, *r.record)
	if !changed {
		return w, false, nil
	}
	w.Value, w.Version = next.encode(), next.version
	if have.Version == 0 {
		w.Value = r.entry.Value // as it was, to the byte
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
	return w, true, nil
}
