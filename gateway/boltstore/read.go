package boltstore

import (
	"bytes"
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/polyvault/polyvault/gateway"
)

// Load implements [gateway.Store]. The entries are of one moment.
func (s *Store) Load(ctx context.Context, keys ...string) (gateway.Loaded, error) {
	const op = "load"
	if err := ctx.Err(); err != nil {
		return gateway.Loaded{}, failed(op, err)
	}
	var out gateway.Loaded
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		out.Now = s.now()
		out.Entries, err = loadAll(tx, out.Now, keys)
		return err
	})
	if err != nil {
		return gateway.Loaded{}, failed(op, err)
	}
	return out, nil
}

func loadAll(tx *bbolt.Tx, now time.Time, keys []string) ([]gateway.Entry, error) {
	entries := make([]gateway.Entry, len(keys))
	for i, key := range keys {
		r, err := get(tx, now, []byte(key))
		if err != nil {
			return nil, err
		}
		entries[i] = r.entry()
	}
	return entries, nil
}

// get returns the zero record if there is none or it is over.
func get(tx *bbolt.Tx, now time.Time, key []byte) (record, error) {
	r, err := decode(tx.Bucket([]byte(bucketEntries)).Get(key))
	if err != nil || r.over(now) {
		return record{}, err
	}
	return r, nil
}

// Scan implements [gateway.Store].
func (s *Store) Scan(ctx context.Context, index, after string, limit int, reverse bool) ([]string, error) {
	const op = "scan"
	if err := ctx.Err(); err != nil {
		return nil, failed(op, err)
	}
	if limit <= 0 || len(index) > gateway.MaxName {
		return nil, nil
	}
	var members []string
	err := s.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket([]byte(bucketIndexes)).Cursor()
		prefix := indexPrefix(index)
		row, next := seek(cursor, prefix, after), cursor.Next
		if reverse {
			row, next = seekBack(cursor, prefix, after), cursor.Prev
		}
		for ; bytes.HasPrefix(row, prefix) && len(members) < limit; row, _ = next() {
			members = append(members, string(row[len(prefix):]))
		}
		return nil
	})
	if err != nil {
		return nil, failed(op, err)
	}
	return members, nil
}

// seek goes to the first row after the member.
func seek(cursor *bbolt.Cursor, prefix []byte, after string) []byte {
	target := append(bytes.Clone(prefix), after...)
	row, _ := cursor.Seek(target)
	if after != "" && bytes.Equal(row, target) {
		row, _ = cursor.Next()
	}
	return row
}

// seekBack goes to the last row before the member, or to the index's last row.
func seekBack(cursor *bbolt.Cursor, prefix []byte, after string) []byte {
	target := append(bytes.Clone(prefix), after...)
	if after == "" {
		// The prefix counted up by one is the first that comes after all rows of
		// the index. It does not overflow: its first byte is that of a length.
		for i := len(target) - 1; ; i-- {
			target[i]++
			if target[i] != 0 {
				break
			}
		}
	}
	row, _ := cursor.Seek(target)
	if row == nil {
		row, _ = cursor.Last()
		return row
	}
	row, _ = cursor.Prev()
	return row
}

// Ping implements [gateway.Store].
func (s *Store) Ping(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		err = s.db.View(func(*bbolt.Tx) error { return nil })
	}
	if err != nil {
		return failed("ping", err)
	}
	return nil
}

// Close implements [gateway.Store]. It waits for transactions that have begun.
// Closing twice is harmless.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return failed("close", err)
	}
	return nil
}
