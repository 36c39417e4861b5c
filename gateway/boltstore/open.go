package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/internal/groupcommit"
)

// Store is a [gateway.Store] in a bbolt file.
type Store struct {
	db      *bbolt.DB
	commits *groupcommit.Committer[change]
	clock   atomic.Int64 // the latest time given out, Unix nanoseconds
}

var _ gateway.Store = (*Store)(nil)

// Open opens the file, or creates it. The error says what to do.
func Open(c Config) (*Store, error) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, failed("configuration", errors.New(strings.Join(problems, "; ")))
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultTimeout // 0 would wait for ever
	}
	db, err := bbolt.Open(c.Path, 0o600, &bbolt.Options{
		Timeout:      timeout,
		FreelistType: bbolt.FreelistMapType, // the array slows down with a large file
		MaxSize:      c.MaxBytes,
	})
	if err != nil {
		return nil, failed("open", fmt.Errorf("%s: %w", c.Path, explain(err)))
	}
	s := &Store{db: db, commits: newCommitter(db)}
	if err := s.prepare(c.Path); err != nil {
		return nil, failed("open", fmt.Errorf("%s: %w", c.Path, errors.Join(err, db.Close())))
	}
	return s, nil
}

func explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the folder must exist, and this user must be allowed to write there and to the file: %w", err)
	case errors.Is(err, bolterrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w (%w)", errDamaged, err)
	default:
		return err // of the file system, with the path
	}
}

// prepare makes the buckets, and the file's name as durable as what is in it.
func (s *Store) prepare(path string) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketEntries, bucketExpiry, bucketClaims, bucketIndexes, bucketMeta} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(bucketMeta))
		found := meta.Get([]byte(keyFormat))
		if found == nil {
			return meta.Put([]byte(keyFormat), []byte(format))
		}
		if !bytes.Equal(found, []byte(format)) {
			return errFormat
		}
		return nil
	})
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// now is the wall clock, which is held still while it has been set back, so that
// no lease is measured by a time that runs backwards.
func (s *Store) now() time.Time {
	now := time.Now().UnixNano()
	for {
		last := s.clock.Load()
		if now <= last {
			return time.Unix(0, last)
		}
		if s.clock.CompareAndSwap(last, now) {
			return time.Unix(0, now)
		}
	}
}

// failed wraps err in [gateway.ErrStore] with the operation. No error of bbolt
// holds a key or a value.
func failed(op string, err error) error {
	return fmt.Errorf("%w: bolt: %s: %w", gateway.ErrStore, op, err)
}
