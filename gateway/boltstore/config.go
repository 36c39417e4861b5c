// Package boltstore keeps the gateway's records in one bbolt file, for a gateway
// without Redis. One process at a time can have the file open.
//
// # File
//
// Bucket entries: key to version (8 bytes, big endian), expiry (8 bytes, Unix
// milliseconds, 0 for never), length of the nonce (1 byte), nonce, data. Bucket
// expiry: expiry and key to nothing, so that what is over can be found in order.
// Bucket claims: key to owner. Bucket indexes: length of the index's name (2
// bytes), name, member to nothing, which keeps an index's members together and
// in their order whatever bytes the names are made of. Bucket meta: "format" to
// the version of all this.
//
// # Durability
//
// A write is acknowledged once it is on the disk (fdatasync). Writes that arrive
// while another is being synced share the next sync; a lone writer never waits
// for company.
//
// # Expiry
//
// An entry past its expiry is absent to every reader. Its space is freed by later
// writes, a few entries each; nothing runs in the background.
package boltstore

import (
	"errors"
	"time"
)

// Config says where the file is.
type Config struct {
	Path string // created with mode 0600 if it does not exist; its directory must
	// Timeout is how long Open waits for another process to let go of the file;
	// default 1s.
	Timeout time.Duration
	// MaxBytes limits the size of the file: writes fail rather than fill the disk;
	// default 0, no limit.
	MaxBytes int
}

const defaultTimeout = time.Second

// Validate returns what is wrong, one message for each problem, each beginning
// with the field's name.
func (c Config) Validate() []string {
	var problems []string
	if c.Path == "" {
		problems = append(problems, "Path: must be set")
	}
	if c.Timeout < 0 {
		problems = append(problems, "Timeout: must not be negative")
	}
	if c.MaxBytes < 0 {
		problems = append(problems, "MaxBytes: must not be negative")
	}
	return problems
}

var (
	// ErrLocked is a file that another process has open.
	ErrLocked  = errors.New("another process has the file open: stop it, or give this one a file of its own")
	errDamaged = errors.New("not a store's file, or a damaged one: restore it from a backup")
	errFormat  = errors.New("the file was written by another version of polyvault, in a format that this one does not know")
)
