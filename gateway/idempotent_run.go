package gateway

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/normalize"
)

// Change changes what exists already. With an idempotency key ("" for none) the
// same request gives the first final answer again for a day. An attempt is durable
// before it is made, so that a key whose gateway died goes on where it may: these
// changes can be made twice without harm. It fails with a [*Failure] or a [*normalize.Error].
func (s *Service) Change(ctx context.Context, tenant, idempotencyKey string, c Change) (Changed, error) {
	if idempotencyKey == "" {
		return c.apply(ctx, s, tenant, false)
	}
	if err := c.check(s); err != nil {
		return Changed{}, err
	}
	k := keyedChange{s: s, tenant: tenant, key: idempotencyKey, change: c}
	// A client that hangs up must not leave a change half done.
	return k.run(context.WithoutCancel(ctx))
}

// keyedChange is one change under an idempotency key.
type keyedChange struct {
	s           *Service
	tenant, key string
	change      Change
}

func (k keyedChange) run(ctx context.Context) (Changed, error) {
	s := k.s
	now, err := s.nowAtStore(ctx)
	if err != nil {
		return Changed{}, err
	}
	fresh := storedKeyUse{
		keyUse: newKeyUse(s.current(), changeDigest(s.current(), k.tenant, k.change), now),
		entry:  keyUseKey(s.current(), k.tenant, k.key),
	}
	cur, err := k.find(ctx, fresh)
	if err != nil {
		return Changed{}, err
	}
	for range 10 {
		if cur.version > 0 {
			if err := k.differs(cur); err != nil {
				return Changed{}, err
			}
		}
		if cur.Answer != nil {
			return cur.Answer.replay()
		}
		begun, err := cur.begin(s.owner, now, s.lease)
		if err != nil {
			return Changed{}, keyInUse()
		}
		start := s.now()
		next, res, err := s.putKeyUse(ctx, cur, begun, s.idsOf(k.tenant, k.key)...)
		switch {
		case errors.Is(err, errChanged):
			cur, now = next, res.Now
			continue
		case errors.Is(err, errKeyGone):
			cur, now = fresh, res.Now // its day was just over
			continue
		case err != nil:
			return Changed{}, err
		}
		if err := k.notOfCreate(ctx, next, res.Loaded); err != nil {
			return Changed{}, err
		}
		return k.make(ctx, next, start)
	}
	return Changed{}, keyInUse()
}

// find returns what the key was used for before; fresh if it was not. With one
// reference key nothing needs to be read, since writing the entry is the check.
func (k keyedChange) find(ctx context.Context, fresh storedKeyUse) (storedKeyUse, error) {
	entries := k.s.keyUseKeys(k.tenant, k.key)
	if len(entries) == 1 {
		return fresh, nil
	}
	res, err := k.s.loadEntries(ctx, entries...)
	if err != nil {
		return storedKeyUse{}, storeError("", err)
	}
	for i, e := range res.Entries {
		if e.Version == 0 {
			continue
		}
		found, err := k.s.decodeKeyUse(entries[i], e)
		if err != nil {
			return found, storeError("", err)
		}
		return found, nil
	}
	return fresh, nil
}

// differs fails if the key was used for another request than this one.
func (k keyedChange) differs(cur storedKeyUse) error {
	key, ok := k.s.keys.byID(cur.DigestKey)
	if !ok {
		return nil // what it was used for cannot be told any more, as with a create
	}
	if place := differing(cur.Digest, changeDigest(key, k.tenant, k.change)); place != "" {
		return keyReused(place)
	}
	return nil
}

// notOfCreate refuses a key that a create has. It is asked after the entry was
// written, as a create asks for the entry after its record was: of two that meet,
// one at least sees the other.
func (k keyedChange) notOfCreate(ctx context.Context, cur storedKeyUse, records []Entry) error {
	for i, e := range records {
		if e.Version == 0 {
			continue
		}
		rec, err := k.s.decode(k.s.idsOf(k.tenant, k.key)[i], e.Value)
		if err == nil && rec.KeyTaken {
			continue // nothing was done under it
		}
		next, transition := cur.refused()
		if transition != nil {
			return internalError("", transition)
		}
		if _, _, err := k.s.putKeyUse(ctx, cur, next); err != nil {
			k.s.log.Warn("a key that a create has could not be given back", zap.Error(err))
		}
		return keyReused(routeMember)
	}
	return nil
}

// make makes the change and saves its answer.
func (k keyedChange) make(ctx context.Context, cur storedKeyUse, start time.Time) (out Changed, err error) {
	s := k.s
	if s.now().Sub(start) > s.lease/2 {
		err = storeError("", errLate)
	} else {
		out, err = k.change.apply(ctx, s, k.tenant, cur.Doubt)
	}
	if cur.Doubt {
		err = stillInDoubt(err)
	}
	next, transition := cur.ended(out, err)
	if transition != nil {
		return Changed{}, internalError("", transition)
	}
	after, _, putErr := s.putKeyUse(ctx, cur, next)
	switch {
	case putErr == nil:
		return out, err
	case errors.Is(putErr, errChanged) && after.Answer != nil:
		return after.Answer.replay() // another gateway has taken over and was faster
	case errors.Is(putErr, errChanged):
		return Changed{}, keyInUse()
	}
	s.log.Error("the answer to a change could not be recorded", zap.Error(putErr))
	if err == nil {
		err = afterEffect(putErr) // never a success that the next answer may contradict
	}
	return Changed{}, err
}

// stillInDoubt words the error of a later attempt: that this one was not sent, or
// that our own credentials were refused, says nothing about the earlier one.
func stillInDoubt(err error) error {
	if err == nil || normalize.OutcomeOf(err) != normalize.NotSent && normalize.CodeOf(err) != normalize.ProviderMisconfigured {
		return err
	}
	out := *asError(err)
	out.Outcome = normalize.Unknown
	return &out
}

func keyInUse() *normalize.Error {
	return &normalize.Error{
		Code: normalize.IdempotencyKeyInUse, Outcome: normalize.Unknown,
		Msg: "a request with this idempotency key is in progress", RetryAfter: time.Second,
	}
}

// putKeyUse writes next over cur. On errChanged the result holds what the other writer left.
func (s *Service) putKeyUse(ctx context.Context, cur storedKeyUse, next keyUse, load ...string) (storedKeyUse, Written, error) {
	res, err := s.write(ctx, Write{
		Key: cur.entry, Expect: cur.version, Value: s.encodeKeyUse(cur.entry, next), Nonce: nonce(), TTL: keyKept, Load: load,
	})
	if err != nil {
		return cur, res, storeError("", err)
	}
	if res.Applied {
		return storedKeyUse{next, cur.entry, res.Current.Version}, res, nil
	}
	if res.Current.Version == 0 {
		return cur, res, storeError("", errKeyGone)
	}
	other, err := s.decodeKeyUse(cur.entry, res.Current)
	if err != nil {
		return cur, res, storeError("", err)
	}
	return other, res, errChanged
}

// errKeyGone says that an entry which was there is not any more.
var errKeyGone = errors.New("the store has forgotten what an idempotency key was used for")
