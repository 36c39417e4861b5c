package boltstore

import (
	"go.etcd.io/bbolt"

	"github.com/polyvault/polyvault/gateway/internal/groupcommit"
)

// maxBatch bounds what one transaction holds in memory: each request up to 1 MiB.
const maxBatch = 64

// change is one write's part of a transaction; an error fails the whole of it.
type change func(tx *bbolt.Tx) error

// newCommitter makes concurrent writes share transactions, and so the disk's sync.
// bbolt's Batch would do the like, but makes a lone writer wait for its delay first.
func newCommitter(db *bbolt.DB) *groupcommit.Committer[change] {
	return groupcommit.New(maxBatch, func(batch []change) error {
		return db.Update(func(tx *bbolt.Tx) error {
			for _, apply := range batch {
				if err := apply(tx); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
