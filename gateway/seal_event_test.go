package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func canaryEvent() event {
	return event{
		Schema: schemaVersion, ID: "evt_00000000000000000000000000", Tenant: acme, Type: InstrumentUpdated, Instrument: "ins_00000000000000000000000000",
		OccurredAt: testTime, Body: `{"name":"CANARY-NAME","address":"CANARY-STREET"}`,
		Deliveries: []delivery{{Endpoint: endpointID(hookURL), Host: hookHost, State: DeliveryPending, Next: testTime}},
	}
}

// clearForm is an event as it was stored before bodies were sealed.
func (e event) clearForm(t *testing.T) []byte {
	t.Helper()
	b, err := json.Marshal(struct {
		event
		Body string `json:"body"`
	}{e, e.Body})
	require.NoError(t, err)
	return b
}

func TestAnEventsBodyIsSealed(t *testing.T) {
	t.Parallel()
	s, e := testSealer(), canaryEvent()
	key := eventKey(e.Tenant, e.ID)
	sealed := s.encodeEvent(e)
	require.Empty(t, readable(sealed), "%s", sealed)
	require.NotContains(t, string(sealed), "CANARY")
	for name, value := range map[string][]byte{"sealed": sealed, "from before": e.clearForm(t)} {
		back, err := s.decodeEvent(key, Entry{Value: value, Version: 3})
		require.NoError(t, err, name)
		require.Equal(t, storedEvent{e, 3}, back, name)
		require.Equal(t, e.members(), back.members(), name)
	}
	require.Contains(t, string(e.clearForm(t)), "CANARY")
}

func TestAnEventOpensOnlyWhereItBelongs(t *testing.T) {
	t.Parallel()
	s, e := testSealer(), canaryEvent()
	key := eventKey(e.Tenant, e.ID)
	other := e
	other.ID = "evt_11111111111111111111111111"
	for name, edit := range map[string]func(d, of map[string]any){
		"another event's body":          func(d, of map[string]any) { d["sealed"] = of["sealed"] },
		"another event":                 func(d, of map[string]any) { d["id"], d["sealed"] = of["id"], of["sealed"] },
		"another event under its id":    func(d, of map[string]any) { d["sealed"], d["instrument"] = of["sealed"], "ins_1" },
		"another tenant":                func(d, _ map[string]any) { d["tenant"] = loose },
		"a body in the clear":           func(d, _ map[string]any) { d["body"] = "{}" },
		"a key that is not in the ring": func(d, _ map[string]any) { d["sealed_by"] = "gone" },
		"another key of the ring":       func(d, _ map[string]any) { d["sealed_by"] = "r-k2" },
		"no key":                        func(d, _ map[string]any) { delete(d, "sealed_by") },
		"nothing sealed":                func(d, _ map[string]any) { delete(d, "sealed") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d, of map[string]any
			require.NoError(t, json.Unmarshal(s.encodeEvent(e), &d))
			require.NoError(t, json.Unmarshal(s.encodeEvent(other), &of))
			edit(d, of)
			b, err := json.Marshal(d)
			require.NoError(t, err)
			got, err := s.decodeEvent(key, Entry{Value: b, Version: 1})
			require.ErrorIs(t, err, ErrUnreadable)
			require.ErrorIs(t, err, ErrStore)
			require.Zero(t, got)
		})
	}
	_, err := s.decodeEvent(eventKey(loose, e.ID), Entry{Value: s.encodeEvent(e), Version: 1})
	require.ErrorIs(t, err, ErrUnreadable)
}

// Events are sealed under the current key with everything else, those that wait and
// those that live for a time only, and are what they were before.
func TestEventsAreRotated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful, seldom(time.Hour))
		heard := w.hears()
		stop := w.tells(t)
		w.stores(t, acme, input("cus", card(visa)), "settled")
		synctest.Wait()
		heard.answers = []int{500}
		w.stores(t, acme, input("cus", card(mastercard)), "waits")
		synctest.Wait()
		stop()
		all := heard.all()
		require.Len(t, all, 2)
		inTheClear := eventKey(acme, all[1].id)
		w.store.mu.Lock()
		e, err := w.decodeEvent(inTheClear, w.store.load([]string{inTheClear})[0])
		require.NoError(t, err)
		was := w.store.entries[inTheClear]
		was.value = e.clearForm(t)
		w.store.entries[inTheClear] = was
		w.store.mu.Unlock()
		under := func(w *world) map[string]int {
			r := Resealing{Store: w.store, Sealer: w.sealer.Load(), Tenants: []string{acme}, DryRun: true, Verify: true}
			done, err := r.Run(t.Context())
			require.NoError(t, err)
			require.Empty(t, done.Unreadable)
			return done.Values
		}
		require.Equal(t, map[string]int{"r-k1": 4, NoKey: 1}, under(w), "two instruments, a customer, and two events")

		time.Sleep(24 * time.Hour)
		for _, ring := range [][]string{{"r-k1", "e1"}, {"e1"}} {
			w = w.reloaded(t, eventful, seldom(time.Hour), ringOf(ring...))
		}
		rotates(t, time.Minute, w)
		require.Equal(t, map[string]int{"e1": 5}, under(w))
		require.Equal(t, map[string]int{"e1": 5}, w.Rotation().Values, "the count is of events, too")
		require.False(t, w.Rotation().Pending)
		for _, got := range all {
			require.NotContains(t, w.store.raw(eventKey(acme, got.id)), "acc")
			e, err := w.Event(t.Context(), acme, got.id)
			require.NoError(t, err)
			require.JSONEq(t, string(got.raw), string(e.Payload))
		}
		left := w.store.brief[eventKey(acme, all[0].id)]
		require.InDelta(t, (29 * 24 * time.Hour).Hours(), left.Hours(), 1, "it lives no longer than before")
		require.Zero(t, w.store.brief[inTheClear], "who waits lives for ever")

		w.heardBy(heard)
		ctx, cancel := context.WithCancel(t.Context())
		go w.RunEvents(ctx)
		time.Sleep(2 * time.Hour)
		cancel()
		synctest.Wait()
		all = heard.all()
		require.Len(t, all, 3)
		require.True(t, bytes.Equal(all[1].raw, all[2].raw), "what is sent is the same to the byte")
	})
}

// An event that does not open keeps no other one from being delivered.
func TestOneUnreadableEventHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful)
		heard := w.hears()
		heard.answers = []int{500, 500, 500}
		stop := w.tells(t)
		for _, key := range []string{"1", "2", "3"} {
			w.stores(t, acme, input("cus-"+key, card(visa)), key)
			synctest.Wait()
		}
		bad := eventKey(acme, heard.all()[0].id)
		w.store.mu.Lock()
		e := w.store.entries[bad]
		e.value = bytes.Replace(e.value, []byte(`"sealed_by":"r-k1"`), []byte(`"sealed_by":"r-k9"`), 1)
		w.store.entries[bad] = e
		w.store.mu.Unlock()
		time.Sleep(time.Minute)
		all := heard.all()
		stop()
		require.Len(t, all, 5)
		require.ElementsMatch(t, []string{all[1].id, all[2].id}, []string{all[3].id, all[4].id})
		require.Positive(t, w.Unreadable())
		_, err := w.Event(t.Context(), acme, all[0].id)
		require.ErrorIs(t, err, ErrUnreadable)
	})
}

// A record that does not open keeps no other one's events from being relayed.
func TestOneUnreadableRecordHoldsUpNoOthersEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful)
		heard := w.hears()
		bad := w.stores(t, acme, input("cus-1", card(visa)), "1").Instrument.ID
		good := w.stores(t, acme, input("cus-2", card(visa)), "2").Instrument.ID
		w.store.mu.Lock()
		e := w.store.entries[bad]
		e.value = bytes.Replace(e.value, []byte(`"sealed_by":"r-k1"`), []byte(`"sealed_by":"r-k9"`), 1)
		w.store.entries[bad] = e
		w.store.mu.Unlock()
		for len(w.events.changed) > 0 {
			<-w.events.changed // whoever changed them has died
		}
		w.recent.cache.Purge()
		stop := w.tells(t)
		time.Sleep(time.Minute)
		stop()
		all := heard.all()
		require.Len(t, all, 1)
		require.Equal(t, good, all[0].body.Data.ID)
	})
}

// An event comes back from a backup or a journal, and waits again; one that does not
// open is refused before anything is written.
func TestAnEventIsRestored(t *testing.T) {
	t.Parallel()
	s, e := testSealer(), canaryEvent()
	key := eventKey(e.Tenant, e.ID)
	for name, value := range map[string][]byte{"sealed": s.encodeEvent(e), "from before": e.clearForm(t)} {
		store := newMemStore()
		for range 2 {
			_, err := Restore(t.Context(), store, s, key, Entry{Value: value, Version: 4}, false)
			require.NoError(t, err, name)
		}
		require.NotContains(t, store.raw(key), "CANARY", name)
		back, err := s.decodeEvent(key, store.load([]string{key})[0])
		require.NoError(t, err, name)
		require.Equal(t, storedEvent{e, 4}, back, name)
		require.Len(t, store.indexes[indexDeliveries(acme, endpointID(hookURL))], 1, name)
		older := e
		older.Body = "older"
		done, err := Restore(t.Context(), store, s, key, Entry{Value: s.encodeEvent(older), Version: 3}, false)
		require.NoError(t, err, name)
		require.Equal(t, RestoredNothing, done, name)
	}
	require.ErrorIs(t, mustSealer(testKeys("k9")).Check(key, Entry{Value: s.encodeEvent(e), Version: 4}), ErrUnreadable)
}
