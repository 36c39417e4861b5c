package gateway

import (
	"context"
	"errors"

	"go.uber.org/zap"
)

// encode writes a record's durable form under the key that is current now, whichever
// generation writes.
func (e *engine) encode(r Record) []byte { return e.sealer.Load().encode(r) }

// decode reads the durable form of the record with this id.
func (e *engine) decode(id string, value []byte) (Record, error) {
	r, err := e.sealer.Load().decode(id, value)
	e.noteUnreadable(err)
	return r, err
}

func (e *engine) encodeCustomer(c customer) []byte { return e.sealer.Load().encodeCustomer(c) }

// decodeCustomer reads the entry of a tenant's customer, who may have none yet.
func (e *engine) decodeCustomer(entry Entry, tenant, id string) (storedCustomer, error) {
	if entry.Version == 0 {
		return storedCustomer{customer: customer{Schema: schemaVersion, Tenant: tenant, ID: id}}, nil
	}
	c, err := e.sealer.Load().decodeCustomer(customerEntryKey(tenant, id), entry)
	e.noteUnreadable(err)
	return c, err
}

func (e *engine) encodeKeyUse(entry string, k keyUse) []byte {
	return e.sealer.Load().encodeKeyUse(entry, k)
}

func (e *engine) decodeKeyUse(entry string, value Entry) (storedKeyUse, error) {
	k, err := e.sealer.Load().decodeKeyUse(entry, value)
	e.noteUnreadable(err)
	return k, err
}

// eventWrite is the write that replaces an event, sealed under the key that is current now.
func (e *engine) eventWrite(cur storedEvent, next event) Write {
	return eventWrite(e.sealer.Load(), cur, next)
}

// decodeEvent reads the event under key.
func (e *engine) decodeEvent(key string, entry Entry) (storedEvent, error) {
	out, err := e.sealer.Load().decodeEvent(key, entry)
	e.noteUnreadable(err)
	return out, err
}

// noteUnreadable raises an alarm if a stored value does not open: somebody has changed
// the store, or a key was taken away too early.
func (e *engine) noteUnreadable(err error) {
	if err == nil || !errors.Is(err, ErrUnreadable) {
		return
	}
	e.unreadable.Add(1)
	now, last := e.now().UnixNano(), e.unreadableLogged.Load()
	if now-last < int64(alarmEvery) && last != 0 || !e.unreadableLogged.CompareAndSwap(last, now) {
		return
	}
	e.log.Error("A STORED VALUE DOES NOT OPEN: it was changed or moved in the store, or its encryption key is missing",
		zap.Int64("values", e.unreadable.Load()), zap.Duration("again_after", alarmEvery), zap.Error(err))
}

// loadReadable is loadMembers for work that one record which does not open must not keep
// from all the others: that one is left out.
func (s *Service) loadReadable(ctx context.Context, op string, members []string) ([]*stored, error) {
	recs, err := s.loadMembers(ctx, op, members)
	if !errors.Is(err, ErrUnreadable) {
		return recs, err
	}
	recs = make([]*stored, len(members))
	for i, m := range members {
		one, err := s.loadMembers(ctx, op, []string{m})
		switch {
		case errors.Is(err, ErrUnreadable):
			continue
		case err != nil:
			return nil, err
		}
		recs[i] = one[0]
	}
	return recs, nil
}

// Unreadable is how often a stored value did not open.
func (s *Service) Unreadable() int64 { return s.unreadable.Load() }

// EncryptionKeyIDs are the ids of the keys that stored values can be opened with, the
// current one first.
func (s *Service) EncryptionKeyIDs() []string { return s.sealer.Load().KeyIDs() }
