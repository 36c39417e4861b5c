package gateway

import (
	"context"
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
