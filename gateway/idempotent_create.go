package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// keyOfChange reports whether one of the entries, loaded along with a create's
// record, says that its idempotency key belongs to a change.
func keyOfChange(entries []Entry) bool {
	for _, e := range entries {
		if e.Version == 0 {
			continue
		}
		if k, err := peekKeyUse(e); err != nil || k.State != keyRefused {
			return true
		}
	}
	return false
}

// refuseKey closes a record that was written before it was known that its key
// belongs to a change. Nothing was sent.
func (c *creation) refuseKey(ctx context.Context, cur stored) (Created, error) {
	cur.KeyTaken = true
	return c.notDone(ctx, cur, keyReused(routeMember))
}

// otherIDs are the ids that a gateway with the same reference keys in another order
// would make of this idempotency key. Each of two creates that begin at the same time, at
// two such gateways, loads the other's record in the round trip of its own first
// write, so that one of them at least sees the other.
func (c *creation) otherIDs(begun Record) []string {
	if len(c.ids) < 2 || len(begun.Attempts) > 1 {
		return nil // who comes later finds this one
	}
	return slices.DeleteFunc(slices.Clone(c.ids), func(id string) bool { return id == begun.ID })
}

// otherRecord is the record of the same idempotency key under another reference key,
// among the entries that were loaded for otherIDs; nil if there is none that counts.
func (c *creation) otherRecord(begun Record, entries []Entry) (*stored, error) {
	for i, id := range c.otherIDs(begun) {
		if entries[i].Version == 0 {
			continue
		}
		rec, err := c.s.decode(id, entries[i].Value)
		if err != nil {
			return nil, storeError("create", err)
		}
		if !rec.unused() {
			return &stored{rec, entries[i].Version}, nil
		}
	}
	return nil, nil
}

// yieldKey leaves an idempotency key to its record under another reference key, or
// gives up if that one cannot be read. Nothing was sent under this one.
func (c *creation) yieldKey(ctx context.Context, cur stored, other *stored, err error) (Created, error) {
	cur.KeyTaken = true
	if err != nil {
		return c.notDone(ctx, cur, asError(err))
	}
	if _, err := c.notDone(ctx, cur, keyInUse()); err != nil && normalize.CodeOf(err) != normalize.IdempotencyKeyInUse {
		return Created{}, err
	}
	return c.resume(ctx, *other, c.s.clock.at(c.s.now()))
}

// unused reports whether nothing was ever done under a record, since the key was a
// change's, so that another request may have it once the key is free again.
func (r Record) unused() bool {
	return r.KeyTaken && r.State == StateFailed && r.Answer == nil && r.Pinned == "" && len(r.Attempts) == 1
}

// renewed gives an unused record to another request. It stays FAILED, which is
// what the indexes know it as, until its first attempt begins.
func (r Record) renewed(customer string, digest map[string]string, now time.Time) Record {
	r.CustomerID, r.Digest, r.Attempts, r.Want, r.CreatedAt, r.UpdatedAt = customer, digest, nil, nil, now, now
	return r
}

// routeMember is the place of a request that differs when the operation, or the
// resource that it is about, does.
const routeMember = "route"

// keyReused refuses a key that was used for another request, naming the place that
// differs: a JSON pointer, or a header, a parameter or the route in words.
func keyReused(place string) *normalize.Error {
	field := normalize.FieldError{Pointer: place, Code: normalize.IdempotencyKeyReused, Message: "differs from the first request"}
	switch {
	case place == routeMember:
		field.Pointer, field.Message = "", "the first request with this key was another operation, or about another resource"
	case place[0] != '/':
		field.Pointer, field.Message = "", place+" "+field.Message
	}
	return &normalize.Error{
		Code: normalize.IdempotencyKeyReused, Outcome: normalize.NotSent,
		Msg: "the idempotency key was used for a different request", Fields: []normalize.FieldError{field},
	}
}
