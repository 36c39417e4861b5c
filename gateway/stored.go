package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// stored is a record with the version that the store has of it; version 0 is a
// record that was not written yet.
type stored struct {
	Record
	version uint64
}

// errChanged says that somebody else wrote the record first.
var errChanged = errors.New("the record was changed by another request")

// put writes next over cur, with the events of what differs, and moves the index
// members and claims that differ between them, in one round trip. On errChanged the
// result holds the record as the other writer left it. That a relay has taken events
// from the record meanwhile is nobody's change: it is then written once more.
func (s *Service) put(ctx context.Context, op string, cur stored, next Record, load ...string) (stored, Written, error) {
	next.Named = s.named(next)
	next = s.withEvents(cur, next)
	after, res, err := s.putAsItIs(ctx, op, cur, next, load...)
	for range maxRelayedMeanwhile {
		if !errors.Is(err, errChanged) || !cur.onlyRelayed(after.Record) {
			break
		}
		next = next.relayed(cur.relayed(after.Events).Events)
		cur = after
		after, res, err = s.putAsItIs(ctx, op, cur, next, load...)
	}
	if err == nil {
		s.relaySoon(after)
	}
	return after, res, err
}

// maxRelayedMeanwhile bounds how often a write gives way to relays.
const maxRelayedMeanwhile = 3

// putAsItIs is put without the events of what differs.
func (s *Service) putAsItIs(ctx context.Context, op string, cur stored, next Record, load ...string) (stored, Written, error) {
	var before []Member
	if cur.version > 0 {
		before = cur.members()
	}
	add, remove := indexChange(before, next.members())
	if len(cur.Events) > 0 && len(next.Events) > 0 {
		add = append(add, next.outboxMember()) // once more: a crash between two round trips may have left it out
	}
	w := Write{
		Key: recordKey(next.ID), Expect: cur.version, Value: s.encode(next), Nonce: nonce(),
		Add: add, Remove: remove, Load: load,
	}
	for _, c := range next.Claims {
		// Until the instrument exists every write claims all: to claim a name twice
		// costs nothing, and one that was lost is noticed.
		if cur.State != StateCompleted || !slices.Contains(cur.Claims, c) {
			w.Claims = append(w.Claims, Claim{Key: c, Owner: next.ID})
		}
	}
	for _, c := range cur.Claims {
		if !slices.Contains(next.Claims, c) {
			w.Release = append(w.Release, Claim{Key: c, Owner: next.ID})
		}
	}
	res, err := s.write(ctx, w)
	if err != nil {
		return cur, res, storeError(op, err)
	}
	if !res.Applied && res.Current.Version == 0 {
		return cur, res, storeError(op, s.vanished(next.ID))
	}
	if !res.Applied {
		other, err := s.decode(next.ID, res.Current.Value)
		if err != nil {
			return cur, res, storeError(op, err)
		}
		return stored{other, res.Current.Version}, res, errChanged
	}
	return stored{next, res.Current.Version}, res, nil
}

// write sends a write, once more if it failed: its nonce makes that safe, and an
// answer that was lost must not leave a record behind which nobody drives.
func (s *Service) write(ctx context.Context, w Write) (Written, error) {
	sent := s.now()
	res, err := s.store.Write(ctx, w)
	if err != nil && pause(ctx, rewriteAfter) == nil {
		sent = s.now()
		res, err = s.store.Write(ctx, w)
	}
	if err == nil {
		s.clock.learn(res.Now, sent, s.now())
	}
	return res, err
}

const rewriteAfter = 50 * time.Millisecond

// loadEntries reads entries, and the store's clock with them.
func (s *Service) loadEntries(ctx context.Context, keys ...string) (Loaded, error) {
	sent := s.now()
	res, err := s.store.Load(ctx, keys...)
	if err == nil {
		s.clock.learn(res.Now, sent, s.now())
	}
	return res, err
}

// load reads records by id, nil for those that do not exist, in one round trip.
func (s *Service) load(ctx context.Context, op string, ids ...string) ([]*stored, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	res, err := s.loadEntries(ctx, ids...)
	if err != nil {
		return nil, storeError(op, err)
	}
	out := make([]*stored, len(ids))
	for i, id := range ids {
		e := res.Entries[i]
		if e.Version == 0 {
			continue
		}
		rec, err := s.recent.decode(s.sealer.Load(), id, e.Value)
		s.noteUnreadable(err)
		if err != nil {
			return nil, storeError(op, err)
		}
		out[i] = &stored{rec, e.Version}
	}
	return out, nil
}

// loadLive reads the instrument of a tenant for an operation on it. Another
// tenant's, one that was never completed, one of a mirror, and one that never was are
// the same: NotFound.
func (s *Service) loadLive(ctx context.Context, op, tenant, id string) (stored, error) {
	viaAlias := false
	for range 3 { // an alias leads to its instrument, or to a mirror, and that to its instrument
		recs, err := s.load(ctx, op, id)
		if err != nil {
			return stored{}, err
		}
		rec := recs[0]
		switch {
		case rec == nil || rec.Tenant != tenant || rec.State != StateCompleted:
			return stored{}, notFound(op)
		case rec.AliasOf != "":
			id, viaAlias = rec.AliasOf, true
		case rec.MirrorOf != "" && !viaAlias:
			return stored{}, notFound(op)
		case rec.MirrorOf != "":
			id = rec.MirrorOf
		case !rec.live():
			return *rec, &normalize.Error{
				Code: normalize.InstrumentDeleted, Outcome: normalize.Rejected, Op: op, Msg: "the instrument was deleted",
			}
		default:
			return *rec, nil
		}
	}
	return stored{}, notFound(op)
}

// change loads a live instrument, applies fn and writes the result; it starts
// again when another request was faster. fn must be a pure function of the record;
// what it refuses with a [*normalize.Error] is the answer.
func (s *Service) change(ctx context.Context, op string, cur stored, fn func(Record) (Record, error)) (stored, error) {
	for range 10 {
		next, err := fn(cur.Record)
		if _, ok := errors.AsType[*normalize.Error](err); ok {
			return cur, err
		}
		if err != nil {
			return cur, &normalize.Error{
				Code: normalize.InstrumentDeleted, Outcome: normalize.Rejected, Op: op, Msg: "the instrument was deleted", Err: err,
			}
		}
		written, _, err := s.put(ctx, op, cur, next)
		if !errors.Is(err, errChanged) {
			return written, err
		}
		cur = written
	}
	return cur, &normalize.Error{
		Code: normalize.Conflict, Outcome: normalize.NotSent, Op: op, Msg: "too many requests change the instrument at the same time",
		RetryAfter: time.Second,
	}
}

// nowAtStore is the time on the store's clock, by which leases are measured, so
// that a gateway whose own clock is wrong steals none. It asks the store once,
// then keeps the difference up to date from every answer.
func (s *Service) nowAtStore(ctx context.Context) (time.Time, error) {
	if !s.clock.known() {
		if _, err := s.loadEntries(ctx); err != nil {
			return time.Time{}, storeError("", err)
		}
	}
	return s.clock.at(s.now()), nil
}
