package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"

	"github.com/polyvault/polyvault/gateway"
)

// sweepStep is how many expired entries a write frees. More than one, so that
// space is freed faster than it can be used up.
const sweepStep = 4

// Write implements [gateway.Store]. It is one transaction, claims and index
// changes included. A write is known by its nonce as long as no other has
// followed it on the same entry. A member that is both removed and added is added.
func (s *Store) Write(ctx context.Context, w gateway.Write) (gateway.Written, error) {
	const op = "write"
	if err := ctx.Err(); err != nil {
		return gateway.Written{}, failed(op, err)
	}
	if err := w.Validate(); err != nil {
		return gateway.Written{}, failed(op, err)
	}
	// The leader of the batch fills in out, perhaps after this call gave up.
	out := new(gateway.Written)
	err := s.commits.Do(ctx, func(tx *bbolt.Tx) (err error) {
		*out, err = s.apply(tx, w)
		return err
	})
	if err != nil {
		return gateway.Written{}, failed(op, err)
	}
	return *out, nil
}

func (s *Store) apply(tx *bbolt.Tx, w gateway.Write) (gateway.Written, error) {
	out := gateway.Written{Now: s.now()}
	if err := sweep(tx, out.Now); err != nil {
		return out, err
	}
	old, err := get(tx, out.Now, []byte(w.Key))
	if err != nil {
		return out, err
	}
	switch {
	case old.version == w.Expect:
		out.Applied = true
		out.Current, err = replace(tx, out.Now, w)
	case old.version == w.Next() && string(old.nonce) == w.Nonce:
		out.Applied = true // before; the reply was lost
		out.Current = old.entry()
	default:
		out.Current = old.entry()
	}
	if err != nil {
		return out, err
	}
	if out.Applied {
		if err := changeIndexes(tx, w); err != nil {
			return out, err
		}
		if err := release(tx, w.Release); err != nil {
			return out, err
		}
	}
	if out.Owners, err = claim(tx, w.Claims); err != nil {
		return out, err
	}
	out.Loaded, err = loadAll(tx, out.Now, w.Load)
	return out, err
}

// replace puts the entry that w describes into the place of any other.
func replace(tx *bbolt.Tx, now time.Time, w gateway.Write) (gateway.Entry, error) {
	key := []byte(w.Key)
	entries, expiries := tx.Bucket([]byte(bucketEntries)), tx.Bucket([]byte(bucketExpiry))
	old, err := decode(entries.Get(key)) // even if it is over
	if err != nil {
		return gateway.Entry{}, err
	}
	if old.expiry != 0 {
		if err := expiries.Delete(expiryKey(old.expiry, key)); err != nil {
			return gateway.Entry{}, err
		}
	}
	r := record{version: w.Next(), nonce: []byte(w.Nonce), data: w.Value}
	if w.TTL > 0 {
		// Rounded up: an entry may live a moment longer, never shorter.
		r.expiry = millis(now.Add(w.TTL + time.Millisecond - 1))
		if err := expiries.Put(expiryKey(r.expiry, key), nil); err != nil {
			return gateway.Entry{}, err
		}
	}
	return r.entry(), entries.Put(key, r.encode())
}

// sweep frees the entries that have been over for longest.
func sweep(tx *bbolt.Tx, now time.Time) error {
	entries, expiries := tx.Bucket([]byte(bucketEntries)), tx.Bucket([]byte(bucketExpiry))
	limit := millis(now)
	for range sweepStep {
		row, _ := expiries.Cursor().First()
		if row == nil || binary.BigEndian.Uint64(row) > limit {
			return nil
		}
		row = bytes.Clone(row)
		if err := entries.Delete(row[8:]); err != nil {
			return err
		}
		if err := expiries.Delete(row); err != nil {
			return err
		}
	}
	return nil
}

func changeIndexes(tx *bbolt.Tx, w gateway.Write) error {
	indexes := tx.Bucket([]byte(bucketIndexes))
	for _, m := range w.Remove {
		if err := indexes.Delete(indexRow(m)); err != nil {
			return err
		}
	}
	for _, m := range w.Add {
		if err := indexes.Put(indexRow(m), nil); err != nil {
			return err
		}
	}
	return nil
}

func release(tx *bbolt.Tx, claims []gateway.Claim) error {
	bucket := tx.Bucket([]byte(bucketClaims))
	for _, c := range claims {
		if string(bucket.Get([]byte(c.Key))) != c.Owner {
			continue
		}
		if err := bucket.Delete([]byte(c.Key)); err != nil {
			return err
		}
	}
	return nil
}

func claim(tx *bbolt.Tx, claims []gateway.Claim) (owners []string, err error) {
	bucket := tx.Bucket([]byte(bucketClaims))
	for _, c := range claims {
		owner := bucket.Get([]byte(c.Key))
		if owner == nil {
			owner = []byte(c.Owner)
			if err := bucket.Put([]byte(c.Key), owner); err != nil {
				return nil, err
			}
		}
		owners = append(owners, string(owner))
	}
	return owners, nil
}
