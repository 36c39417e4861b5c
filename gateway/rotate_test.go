package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// ringOf gives a world encryption keys.
func ringOf(ids ...string) func(*Config) {
	return func(c *Config) {
		c.Encryption = nil
		for _, id := range ids {
			key := encryptionKey(id)
			if len(id) > 2 && id[:2] == derivedPrefix {
				key.Secret = nil
			}
			c.Encryption = append(c.Encryption, key)
		}
	}
}

// rotates runs the background work of gateways for a while.
func rotates(t *testing.T, d time.Duration, gateways ...*world) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	var all sync.WaitGroup
	for _, g := range gateways {
		all.Go(func() { g.RotateEncryption(ctx) })
	}
	all.Wait()
}

// under counts the stored values by the key that they are under.
func (w *world) under(t *testing.T) map[string]int {
	t.Helper()
	r := Resealing{Store: w.store, Sealer: w.sealer.Load(), DryRun: true, Verify: true}
	done, err := r.Run(t.Context())
	require.NoError(t, err)
	require.Empty(t, done.Unreadable)
	return done.Values
}

// What is under an old key is sealed under the current one, in the background and by
// one gateway at a time; nobody sees a difference but in the store.
func TestOldKeysAreRotatedAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring)
		other := w.another(mirroring)
		ids, before := []string{}, map[string]string{}
		for i := range 20 {
			in := mirrorInput()
			in.CustomerID = fmt.Sprint("cus-", i)
			ids = append(ids, w.stores(t, acme, in, fmt.Sprint("key-", i)).Instrument.ID)
		}
		for _, id := range ids {
			r, err := w.Get(t.Context(), acme, id, true)
			require.NoError(t, err)
			before[id] = asJSON(t, r.Instrument) + ETag(r.Instrument)
		}
		require.Equal(t, map[string]int{"r-k1": 60}, w.under(t), "an instrument, its mirror and its customer each")

		_, err := w.Reload(w.config(mirroring, ringOf("e1")))
		require.ErrorContains(t, err, `add it behind "r-k1" first`)
		for _, ring := range [][]string{{"r-k1", "e1"}, {"e1"}} {
			w, other = w.reloaded(t, mirroring, ringOf(ring...)), other.reloaded(t, mirroring, ringOf(ring...))
		}
		require.True(t, w.Rotation().Pending)
		rotates(t, time.Minute, w, other)
		require.Equal(t, map[string]int{"e1": 60}, w.under(t))
		for _, g := range []*world{w, other} {
			r := g.Rotation()
			require.Equal(t, map[string]int{"e1": 60}, r.Values)
			require.False(t, r.Pending)
			require.Equal(t, "e1", r.Key)
			require.False(t, r.Since.IsZero())
		}
		for _, id := range ids {
			r, err := other.Get(t.Context(), acme, id, true)
			require.NoError(t, err)
			require.Equal(t, before[id], asJSON(t, r.Instrument)+ETag(r.Instrument), "no visible change")
		}
		again := w.stores(t, acme, func() normalize.CreateInput { in := mirrorInput(); in.CustomerID = "cus-3"; return in }(), "key-3")
		require.True(t, again.Replayed)

		// And again, with values under the key that an operator would like to take away.
		w = w.reloaded(t, mirroring, ringOf("e1", "e2"))
		w = w.reloaded(t, mirroring, ringOf("e2", "e1"))
		_, err = w.Reload(w.config(mirroring, ringOf("e2")))
		require.ErrorContains(t, err, "60 values were still sealed under it")
		rotates(t, time.Minute, w)
		w = w.reloaded(t, mirroring, ringOf("e2"))
		require.Equal(t, map[string]int{"e2": 60}, w.under(t))
		_, err = w.Get(t.Context(), acme, ids[0], false)
		require.NoError(t, err)
	})
}

// A record that a create is about to write is left to it, and waited for.
func TestAnOpenRecordIsLeftToItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.stores(t, acme, input("cus", card(mastercard)), "first")
		hold := make(chan struct{})
		w.a.will("create", step{blocks: hold})
		var wg sync.WaitGroup
		wg.Go(func() { w.stores(t, acme, input("cus", card(visa)), "key") })
		synctest.Wait()
		s := mustSealer(testKeys("k1"), encryptionKey("e1"))
		r := Resealing{Store: w.store, Sealer: s}
		done, err := r.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, done.Waiting)
		require.Equal(t, map[string]int{"e1": 2, "r-k1": 1}, done.Values)
		w.sealer.Store(s)
		close(hold)
		wg.Wait()
		require.Equal(t, map[string]int{"e1": 3}, w.under(t), "it was sealed by its own end")
	})
}

// Values that an earlier release stored in the clear are sealed without being asked for.
func TestWhatIsInTheClearIsSealed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		cust, err := w.loadCustomer(t.Context(), "test", acme, "cus")
		require.NoError(t, err)
		rec := w.record(t, ins.ID)
		c := cust.customer
		c.Schema = clearSchema
		w.store.mu.Lock()
		for key, value := range map[string][]byte{ins.ID: rec.encode(), customerEntryKey(acme, "cus"): []byte(asJSON(t, c))} {
			e := w.store.entries[key]
			e.value = value
			w.store.entries[key] = e
		}
		w.store.mu.Unlock()
		require.Equal(t, map[string]int{NoKey: 2}, w.under(t))
		read, err := w.Get(t.Context(), acme, ins.ID, true)
		require.NoError(t, err)
		require.Equal(t, asJSON(t, ins), asJSON(t, read.Instrument))
		rotates(t, time.Minute, w)
		require.Equal(t, map[string]int{"r-k1": 2}, w.under(t))
		require.NotContains(t, w.store.raw(ins.ID), `"i1"`)
		read, err = w.Get(t.Context(), acme, ins.ID, true)
		require.NoError(t, err)
		require.Equal(t, asJSON(t, ins), asJSON(t, read.Instrument))
	})
}

// A walk may be stopped at any write, and is gone on with by whoever is there.
func TestARotationThatDiesIsGoneOnWith(t *testing.T) {
	t.Parallel()
	for at := range 12 {
		t.Run(fmt.Sprint("at write ", at), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				for i := range 4 {
					w.stores(t, acme, input(fmt.Sprint("cus-", i), card(visa)), fmt.Sprint("key-", i))
				}
				for _, ring := range [][]string{{"r-k1", "e1"}, {"e1"}} {
					w = w.reloaded(t, ringOf(ring...))
				}
				ctx, kill := context.WithCancel(t.Context())
				w.store.fail(func(n int, _ Write) fate {
					if n > at {
						kill()
						return failsBefore
					}
					return works
				})
				w.RotateEncryption(ctx)
				w.store.fail(nil)
				next := w.another(ringOf("e1"))
				rotates(t, 2*time.Minute, next)
				require.Equal(t, map[string]int{"e1": 8}, next.under(t))
				require.False(t, next.Rotation().Pending)
			})
		})
	}
}

// Rotation beside requests that change the same records: nothing is lost, and nothing
// is left under the old key.
func TestRotationUnderConcurrentWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var ids []string
		for i := range 10 {
			ids = append(ids, w.stores(t, acme, input(fmt.Sprint("cus-", i), card(visa)), fmt.Sprint("key-", i)).Instrument.ID)
		}
		w = w.reloaded(t, ringOf("r-k1", "e1"))
		now := w.reloaded(t, ringOf("e1"))
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { now.RotateEncryption(ctx) })
		for _, g := range []*world{w, now} { // the one of a generation that is over, too
			for i, id := range ids {
				all.Go(func() {
					for n := range 40 {
						value := fmt.Sprint(n)
						_, err := g.Update(t.Context(), acme, id, normalize.UpdateInput{Metadata: map[string]*string{"n": &value}})
						if err != nil {
							require.Equal(t, normalize.Conflict, normalize.CodeOf(err), "%v", err)
						}
						g.stores(t, acme, input(fmt.Sprint("cus-", i), card(visa)), fmt.Sprint("key-", i))
						time.Sleep(500 * time.Millisecond)
					}
				})
			}
		}
		time.Sleep(40 * time.Second)
		stop()
		all.Wait()
		require.Equal(t, map[string]int{"e1": 20}, now.under(t))
		for _, id := range ids {
			got, err := now.Get(t.Context(), acme, id, true)
			require.NoError(t, err)
			require.Equal(t, "39", got.Instrument.Metadata["n"])
		}
		require.Equal(t, 10, w.a.live())
	})
}

func TestWhenAWalkIsDue(t *testing.T) {
	t.Parallel()
	began := testTime
	done := rotation{}.taken("e1", "me", began).walked(Resealed{Values: map[string]int{"e1": 3}}, began, began.Add(time.Minute))
	left := done
	left.Left = 2
	later := began.Add(time.Hour)
	for name, tc := range map[string]struct {
		r          rotation
		key        string
		since, now time.Time
		want       bool
	}{
		"nobody has yet":                    {rotation{}, "e1", began, later, true},
		"not yet, for stragglers":           {rotation{}, "e1", later, began, false},
		"another one does it":               {rotation{}.taken("e1", "other", later), "e1", began, later, false},
		"the other one is not heard of":     {rotation{}.taken("e1", "other", later.Add(-time.Minute)), "e1", began, later, true},
		"done":                              {done, "e1", began, later, false},
		"done before this gateway had gone": {done, "e1", began.Add(time.Second), later, true},
		"done a day ago":                    {done, "e1", began, began.Add(walkEvery), true},
		"a new key":                         {done, "e2", began, later, true},
		"some left, just now":               {left, "e1", began, left.EndedAt.Add(time.Second), false},
		"some left":                         {left, "e1", began, left.EndedAt.Add(walkAgainAfter), true},
		"this gateway is behind":            {done.taken("e2", "me", began.Add(time.Minute)).walked(Resealed{}, began, later), "e1", began, later, false},
	} {
		require.Equal(t, tc.want, tc.r.due(tc.key, tc.since, tc.now), name)
	}
}

// What cannot be opened is named and counted, and keeps nothing else from being sealed.
func TestWhatDoesNotOpenIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(ringOf("e0"))
	lost := w.stores(t, acme, input("cus", card(visa)), "key").Instrument.ID
	fine := w.another()
	kept := fine.stores(t, acme, input("cus-2", card(visa)), "key-2").Instrument.ID
	r := Resealing{Store: w.store, Sealer: mustSealer(testKeys("k1"), encryptionKey("e1"))}
	done, err := r.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{customerEntryKey(acme, "cus"), lost}, done.Unreadable)
	require.ErrorContains(t, done.Why, `"e0", which is not in the ring`)
	require.Equal(t, map[string]int{"e0": 2, "e1": 2}, done.Values)
	require.Equal(t, 2, done.Resealed)
	require.NotContains(t, done.Unreadable, kept)
	for _, key := range done.Unreadable {
		require.ErrorIs(t, r.Sealer.Check(key, Entry{Value: []byte(w.store.raw(key)), Version: 1}), ErrUnreadable)
	}
	require.NoError(t, r.Sealer.Check(kept, Entry{Value: []byte(w.store.raw(kept)), Version: 1}))
}
