package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// How fast a gateway walks the store in the background, in values a second.
const (
	resealRate = 500
	lookRate   = 5000
)

// rotationEvery is how often a gateway looks at the entry of the encryption keys.
const rotationEvery = time.Second

// Rotation is how far what the store holds is sealed under this gateway's current key,
// as all gateways know it together.
type Rotation struct {
	Known      bool           // whether the entry has been seen yet
	Key        string         // that this gateway seals under
	Since      time.Time      // when a gateway did so first; zero if no walk has begun yet
	Values     map[string]int // by key, as the last walk left them; NoKey for what is in the clear
	Unreadable int            // values that did not open in the last walk
	// Pending is true until the store was walked after this gateway had gone over to
	// its key, and nothing that can be opened was left under another one. Once no gateway
	// is pending, what another key's Values say is final, and a key with 0 can be removed.
	Pending bool
}

// rotating is what a gateway knows of the rotation.
type rotating struct {
	mu    sync.Mutex
	since time.Time // from when on nothing is sealed here under another key, on this gateway's clock
	seen  *rotation // as last read; nil if it was not yet
}

func (r *rotating) from(since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since = since
}

func (r *rotating) see(seen rotation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = &seen
}

func (r *rotating) all() (since time.Time, seen *rotation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.since, r.seen
}

// Rotation tells how far the rotation of the encryption keys is.
func (s *Service) Rotation() Rotation {
	out := Rotation{Key: s.sealer.Load().Current(), Pending: true}
	since, seen := s.rotating.all()
	if seen == nil {
		return out
	}
	out.Known, out.Since, out.Values, out.Unreadable = true, seen.Since[out.Key], maps.Clone(seen.Values), seen.Unreadable
	out.Pending = seen.pending(out.Key, s.clock.at(since))
	return out
}

// maySealWith says why the gateway may not go over to another ring: as long as values
// are known to be under a key, it is not taken away.
func (s *Service) maySealWith(next *Sealer) error {
	now := s.sealer.Load()
	if err := now.mayBecome(next); err != nil {
		return err
	}
	_, seen := s.rotating.all()
	if seen == nil {
		return nil
	}
	for _, id := range now.KeyIDs() {
		if n := seen.Values[id]; n > 0 && !next.Has(id) {
			return fmt.Errorf("encryption key %q cannot be left out: %d values were still sealed under it at %s; keep it until that is 0",
				id, n, seen.EndedAt.Format(time.RFC3339))
		}
	}
	return nil
}

// sealWith puts a ring in force for all generations.
func (s *Service) sealWith(next *Sealer) {
	if was := s.sealer.Swap(next); was.Current() != next.Current() {
		s.rotating.from(s.now().Add(straggling))
	}
}

// RotateEncryption seals, in the background and until ctx is done, what the store holds
// under another key than the current one. It runs in every gateway, once, whichever
// generation it is called on; one at a time does the work.
func (s *Service) RotateEncryption(ctx context.Context) {
	t := time.NewTicker(rotationEvery)
	defer t.Stop()
	said := ""
	for {
		if err := s.latest.Load().rotateOnce(ctx); err != nil && ctx.Err() == nil {
			if text := err.Error(); text != said {
				said = text
				s.log.Warn("what the store holds could not be sealed under the current key yet: it is tried again", zap.Error(err))
			}
		} else {
			said = ""
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// rotateOnce looks at the entry, and walks the store if that is this gateway's to do now.
func (s *Service) rotateOnce(ctx context.Context) error {
	res, err := s.loadEntries(ctx, rotationKey)
	if err != nil {
		return err
	}
	cur := res.Entries[0]
	seen, err := decodeRotation(cur)
	if err != nil {
		return err
	}
	s.rotating.see(seen)
	since, _ := s.rotating.all()
	now, sealer := s.clock.at(s.now()), s.sealer.Load()
	if !seen.due(sealer.Current(), s.clock.at(since), now) {
		return nil
	}
	w := &rotationWalk{s: s, sealer: sealer, state: seen, version: cur.Version}
	if taken, err := w.put(ctx, seen.taken(sealer.Current(), s.owner, now)); err != nil || !taken {
		return err
	}
	return w.run(ctx, now)
}

// rotationWalk is a walk through the store under the entry's lease.
type rotationWalk struct {
	s      *Service
	sealer *Sealer

	mu      sync.Mutex // one write of the entry at a time
	state   rotation
	version uint64
}

var errRotationLost = errors.New("another gateway has taken over the rotation of the encryption keys, or the keys have changed")

// put writes the entry; false says that another gateway has written it.
func (w *rotationWalk) put(ctx context.Context, next rotation) (bool, error) {
	value, err := next.encode()
	if err != nil {
		return false, err
	}
	res, err := w.s.write(ctx, Write{Key: rotationKey, Expect: w.version, Value: value, Nonce: nonce(), TTL: rotationKept})
	if err != nil || !res.Applied {
		return false, err
	}
	w.state, w.version = next, res.Current.Version
	w.s.rotating.see(next)
	return true, nil
}

func (w *rotationWalk) run(ctx context.Context, began time.Time) error {
	s := w.s
	look, write := rate.NewLimiter(lookRate, lookRate/10), rate.NewLimiter(resealRate, resealRate/10)
	tenants := slices.Sorted(maps.Keys(s.tenants))
	work := Resealing{Store: s.store, Sealer: w.sealer, Tenants: tenants, AtOnce: 4, Pace: func(ctx context.Context, writing bool) error {
		limit := look
		if writing {
			limit = write
		}
		if err := limit.Wait(ctx); err != nil {
			return err
		}
		return w.keep(ctx)
	}}
	done, err := work.Run(ctx)
	if err != nil {
		w.giveBack(ctx)
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.state.walked(done, began, s.clock.at(s.now()))
	if written, err := w.put(ctx, next); err != nil || !written {
		return errors.Join(err, errRotationLost)
	}
	w.tell(done)
	return nil
}

// giveBack ends the lease of a walk that was broken off, so that it is begun again soon.
func (w *rotationWalk) giveBack(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.state
	next.Owner, next.LeaseEnd = "", time.Time{}
	if _, err := w.put(context.WithoutCancel(ctx), next); err != nil {
		w.s.log.Info("the lease of the rotation of the encryption keys is left to run out", zap.Error(err))
	}
}

// keep renews the lease when half of it is over, and ends the walk if it is lost or if
// the gateway has gone over to another key.
func (w *rotationWalk) keep(ctx context.Context) error {
	if w.s.sealer.Load().Current() != w.sealer.Current() {
		return errRotationLost
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.s.clock.at(w.s.now())
	if now.Add(rotationLease / 2).Before(w.state.LeaseEnd) {
		return nil
	}
	if kept, err := w.put(ctx, w.state.taken(w.sealer.Current(), w.s.owner, now)); err != nil || !kept {
		return errors.Join(err, errRotationLost)
	}
	return nil
}

// tell logs what a walk has done.
func (w *rotationWalk) tell(done Resealed) {
	fields := []zap.Field{
		zap.String("key", w.sealer.Current()), zap.Any("values", done.Values), zap.Int("sealed_now", done.Resealed), zap.Int("left", w.state.Left),
	}
	if n := len(done.Unreadable); n > 0 {
		w.s.log.Error("STORED VALUES DO NOT OPEN: they were changed or moved in the store, or their encryption key is missing",
			append(fields, zap.Int("unreadable", n), zap.Strings("first", done.Unreadable[:min(n, 20)]), zap.Error(done.Why))...)
		return
	}
	w.s.log.Info("what the store holds was walked: it is sealed under the current key, but for what is left", fields...)
}

// MayReseal fails if no gateway has sealed under the Sealer's current key yet, though
// some have under another one: those that serve might not have the key.
func MayReseal(ctx context.Context, store Store, sealer *Sealer) error {
	res, err := store.Load(ctx, rotationKey)
	if err != nil {
		return err
	}
	state, err := decodeRotation(res.Entries[0])
	if err != nil || state.Key == "" {
		return err
	}
	if _, used := state.Since[sealer.Current()]; !used {
		return fmt.Errorf("no gateway has sealed under the encryption key %q yet: the newest one in use is %q; reload or restart the gateways with it first",
			sealer.Current(), state.Key)
	}
	return nil
}

// NoteResealed writes into the store's entry what a walk outside of a gateway has done,
// so that gateways count on from there. It began at that time, on the store's clock.
func NoteResealed(ctx context.Context, store Store, sealer *Sealer, done Resealed, began time.Time) error {
	for range maxRestoreTries {
		res, err := store.Load(ctx, rotationKey)
		if err != nil {
			return err
		}
		cur := res.Entries[0]
		state, err := decodeRotation(cur)
		if err != nil {
			return err
		}
		lease, owner := state.LeaseEnd, state.Owner
		next := state.taken(sealer.Current(), owner, res.Now.UTC()).walked(done, began.UTC(), res.Now.UTC())
		next.LeaseEnd, next.Owner = lease, owner // of a gateway that walks at the same time
		value, err := next.encode()
		if err != nil {
			return err
		}
		written, err := store.Write(ctx, Write{Key: rotationKey, Expect: cur.Version, Value: value, Nonce: nonce(), TTL: rotationKept})
		if err != nil || written.Applied {
			return err
		}
	}
	return errBusyEntry
}

// KeysOf are the ids of a count, sorted.
func (r Resealed) KeysOf() []string { return slices.Sorted(maps.Keys(r.Values)) }
