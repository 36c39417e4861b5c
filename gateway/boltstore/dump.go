package boltstore

import (
	"context"

	"go.etcd.io/bbolt"

	"github.com/polyvault/polyvault/gateway"
)

// A page of a dump ends after this many rows, or once it holds this many bytes.
const (
	dumpRows  = 256
	dumpBytes = 4 << 20
)

// Dump implements [gateway.Store], in the order of the keys. Every page is a
// transaction of its own: a long one would keep the pages that writers replace
// meanwhile from being used again, and so the file growing.
func (s *Store) Dump(ctx context.Context, fn func(key string, e gateway.Entry) error) error {
	const op = "dump"
	var after []byte
	for {
		if err := ctx.Err(); err != nil {
			return failed(op, err)
		}
		page, last, err := s.page(after)
		if err != nil {
			return failed(op, err)
		}
		for _, item := range page {
			if err := fn(item.key, item.entry); err != nil {
				return err
			}
		}
		if last == nil {
			return nil
		}
		after = last
	}
}

type dumped struct {
	key   string
	entry gateway.Entry
}

// page reads entries from the first key after `after` on, and returns the last
// key that it looked at, nil at the end of the file.
func (s *Store) page(after []byte) (page []dumped, last []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket([]byte(bucketEntries)).Cursor()
		key, value := cursor.First()
		if after != nil {
			// The first key that sorts after it, whether it is still there or not.
			key, value = cursor.Seek(append(after, 0))
		}
		for rows, size := 0, 0; key != nil; key, value = cursor.Next() {
			r, err := decode(value)
			if err != nil {
				return err
			}
			if r.expiry == 0 {
				page = append(page, dumped{string(key), r.entry()})
				size += len(r.data)
			}
			if rows++; rows == dumpRows || size >= dumpBytes {
				last = append([]byte{}, key...)
				return nil
			}
		}
		return nil
	})
	return page, last, err
}
