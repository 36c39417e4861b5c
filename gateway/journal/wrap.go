package journal

import (
	"context"
	"errors"
	"time"

	"github.com/polyvault/polyvault/gateway"
)

// Wrap returns a store that appends to the journal every entry that is written for
// ever, before the write is answered. If that fails the write fails, though the
// store may have it; when it is tried again with the same nonce, the entry is appended.
// To close it closes both. What else the store can do, it can do.
func Wrap(s gateway.Store, j *Journal) gateway.Store {
	w := &journaled{Store: s, journal: j}
	forgetful, forgets := s.(gateway.Forgetful)
	buckets, limits := s.(gateway.Buckets)
	switch {
	case forgets && limits:
		return struct {
			gateway.Store
			gateway.Forgetful
			gateway.Buckets
		}{w, forgetful, buckets}
	case forgets:
		return struct {
			gateway.Store
			gateway.Forgetful
		}{w, forgetful}
	case limits:
		return struct {
			gateway.Store
			gateway.Buckets
		}{w, buckets}
	}
	return w
}

type journaled struct {
	gateway.Store
	journal *Journal
}

// Write implements [gateway.Store]. While the disk is full nothing is written to the
// store either; only the first write that fails so is there without being here.
func (s *journaled) Write(ctx context.Context, w gateway.Write) (gateway.Written, error) {
	if w.TTL == 0 {
		if err := s.journal.ready(); err != nil {
			return gateway.Written{}, err
		}
	}
	out, err := s.Store.Write(ctx, w)
	if err != nil || !out.Applied || w.TTL > 0 {
		return out, err
	}
	err = s.journal.Append(ctx, Entry{Key: w.Key, Value: w.Value, Version: w.Next(), At: time.Now()})
	if err != nil {
		return gateway.Written{}, err
	}
	return out, nil
}

// Close implements [gateway.Store].
func (s *journaled) Close() error { return errors.Join(s.Store.Close(), s.journal.Close()) }
