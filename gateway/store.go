package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Store keeps the gateway's records. It knows nothing of what is in them: a
// record is bytes with a version. Every method but Dump is one round trip.
//
// All methods are safe for concurrent use and fail only with an error that
// wraps [ErrStore]; a write that failed may or may not have happened, and is
// idempotent by its nonce when it is tried again.
type Store interface {
	// Load returns the entries under keys, in their order; one that does not exist
	// has version 0. It also returns the store's own time.
	Load(ctx context.Context, keys ...string) (Loaded, error)
	// Write replaces the entry under w.Key if its version is still w.Expect, and in
	// the same round trip (two where indexes and claims live on other nodes) changes index members, claims names and loads further
	// entries. Only the entry itself is conditional: index changes are idempotent,
	// hold nothing that the entries do not, and are applied after the entry; they
	// are left out if the entry was not written. Claims and loads are always done.
	Write(ctx context.Context, w Write) (Written, error)
	// Scan returns up to limit members of an index in byte order, after the member
	// `after` ("" for the first), or before it and descending if reverse is set.
	Scan(ctx context.Context, index, after string, limit int, reverse bool) ([]string, error)
	// Dump calls fn with every entry that lives for ever, in any order and each at
	// least once, while others write: an entry that is written meanwhile comes as it
	// was before or after. Claims, indexes and what has a time to live are left out.
	// fn is never called twice at the same time, and may keep the value; its error
	// ends the dump and is returned as it is. A dump that cannot be complete fails.
	Dump(ctx context.Context, fn func(key string, e Entry) error) error
	// Ping fails if the store cannot answer.
	Ping(ctx context.Context) error
	// Close releases what the store holds.
	Close() error
}

// Forgetful is a store that can tell when it may have lost writes which it had
// acknowledged: after a power cut, or when a replica took over that had not seen
// everything.
type Forgetful interface {
	// ForgotAt is when that was noticed last, on this gateway's clock; zero if never.
	// A request that comes after it meets a store that knows of it.
	ForgotAt() time.Time
}

// ErrStore is wrapped by every error of a store.
var ErrStore = errors.New("store")

// Entry is a value with its version. Version 0 means that there is none.
type Entry struct {
	Value   []byte
	Version uint64
}

// Loaded is the result of a Load.
type Loaded struct {
	Entries []Entry
	Now     time.Time // the store's clock, by which leases are measured
}

// Write is a change of one entry, and what is done along with it.
type Write struct {
	Key    string
	Expect uint64 // 0: the entry must not exist
	Value  []byte // at most 1 MiB
	// Version is the entry's version afterwards; 0 is Expect + 1. Only a restore sets
	// it, to give an entry the version that it had. It must be above Expect.
	Version uint64
	// Nonce makes the write idempotent: the same one sent twice, since the first
	// answer was lost, is applied once and reported as applied. 1–64 bytes.
	Nonce string
	TTL   time.Duration // 0: for ever; else how long the entry lives
	// Add and Remove change ordered indexes.
	Add, Remove []Member
	// Release gives names up that Owner holds, before Claims are made. Like index
	// changes, it is left out if the entry was not written.
	Release []Claim
	// Claims reserve names: the first to claim one keeps it. Each is an entry of its own.
	Claims []Claim
	// Load reads further entries along with the write.
	Load []string
}

// Next is the version that the entry gets.
func (w Write) Next() uint64 {
	if w.Version != 0 {
		return w.Version
	}
	return w.Expect + 1
}

// The bounds of what a store takes, the same in every store.
const (
	maxValue = 1 << 20 // bytes
	MaxName  = 1024    // bytes of a key, index, member or owner: also what a scan asks for
	maxNonce = 64      // bytes
)

// Validate reports what no store may accept. Every store asks it first, so that
// all of them take the same writes.
func (w Write) Validate() error {
	switch {
	case len(w.Value) > maxValue:
		return fmt.Errorf("the value has %d bytes; at most %d are stored", len(w.Value), maxValue)
	case w.Nonce == "" || len(w.Nonce) > maxNonce:
		return fmt.Errorf("the nonce must have 1 to %d bytes", maxNonce)
	case w.TTL < 0:
		return errors.New("the time to live must not be negative")
	case w.Expect == ^uint64(0):
		return errors.New("the expected version has no successor")
	case w.Next() <= w.Expect:
		return errors.New("the version must be above the expected one")
	}
	names := []string{w.Key}
	for _, m := range slices.Concat(w.Add, w.Remove) {
		names = append(names, m.Index, m.Member)
	}
	for _, c := range slices.Concat(w.Claims, w.Release) {
		names = append(names, c.Key, c.Owner)
	}
	for _, name := range names {
		if name == "" || len(name) > MaxName {
			return fmt.Errorf("a key, index, member or owner must have 1 to %d bytes", MaxName)
		}
	}
	return nil
}

// Member is one member of an index: a byte string, ordered by its bytes.
type Member struct{ Index, Member string }

// Claim reserves Key for Owner.
type Claim struct{ Key, Owner string }

// Written is the result of a Write.
type Written struct {
	Applied bool     // false: the entry's version was another
	Current Entry    // the entry as it is now, whether written here or by another
	Owners  []string // for each claim, who holds it
	Loaded  []Entry  // for each of Write.Load
	Now     time.Time
}
