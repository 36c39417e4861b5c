package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func TestEachOperationGivesExactlyItsEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful)
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		require.Equal(t, []EventType{InstrumentCreated}, w.takes(t, ins.ID))
		for _, op := range []struct {
			name string
			do   func() error
			want []EventType
		}{
			{"a replay of the create", func() error { _, err := w.Create(t.Context(), acme, input("cus", card(visa)), "key"); return err }, []EventType{}},
			{"a read", func() error { _, err := w.Get(t.Context(), acme, ins.ID, false); return err }, []EventType{}},
			{"an update", func() error {
				_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpMonth: new(3)})
				return err
			}, []EventType{InstrumentUpdated}},
			{"the same update", func() error {
				_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpMonth: new(3)})
				return err
			}, []EventType{}},
			{"metadata", func() error {
				_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{Metadata: map[string]*string{"a": new("b")}})
				return err
			}, []EventType{InstrumentUpdated}},
			{"the same metadata", func() error {
				_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{Metadata: map[string]*string{"a": new("b")}})
				return err
			}, []EventType{}},
			{"a duplicate that changes nothing", func() error {
				in := input("cus", card(visa))
				in.Sources[0].Card.ExpMonth = 3
				_, err := w.Create(t.Context(), acme, in, "duplicate")
				return err
			}, []EventType{}},
			{"a change at the provider that a read sees", func() error {
				w.a.change(ins.ProviderTokens[0].References, func(i *adapters.Instrument) { i.Card.ExpYear = 2039 })
				_, err := w.Get(t.Context(), acme, ins.ID, false)
				return err
			}, []EventType{InstrumentUpdated}},
			{"a delete", func() error { return w.Delete(t.Context(), acme, ins.ID, ScopeProvider) }, []EventType{InstrumentDeleted}},
			{"a second delete", func() error { return w.Delete(t.Context(), acme, ins.ID, ScopeProvider) }, []EventType{}},
		} {
			require.NoError(t, op.do(), op.name)
			require.Equal(t, op.want, w.takes(t, ins.ID), op.name)
		}
	})
}

func TestDeactivationsAndActivationsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful)
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		w.takes(t, ins.ID)
		held, err := w.hold(t.Context(), "test", w.record(t, ins.ID), true)
		require.NoError(t, err)
		require.Equal(t, []EventType{InstrumentDeactivated}, w.takes(t, ins.ID))
		_, err = w.hold(t.Context(), "test", held, true)
		require.NoError(t, err)
		require.Empty(t, w.takes(t, ins.ID))
		_, err = w.Activate(t.Context(), acme, ins.ID)
		require.NoError(t, err)
		require.Equal(t, []EventType{InstrumentUpdated}, w.takes(t, ins.ID))
		_, err = w.Deactivate(t.Context(), acme, ins.ID)
		require.NoError(t, err)
		require.Equal(t, []EventType{InstrumentDeactivated, ProviderTokenChanged}, w.takes(t, ins.ID), "at the provider")
	})
}

func TestWhatDidNotHappenIsNotTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful, alone)
		w.a.will("create", step{err: failure(normalize.CardDeclined, normalize.Rejected)})
		w.refuses(t, acme, input("cus", visaToken("1")), "refused", normalize.CardDeclined, normalize.Rejected)
		w.a.will("create", step{err: failure(normalize.RateLimited, normalize.NotSent)})
		_, err := w.Create(t.Context(), acme, input("cus", visaToken("2")), "not sent")
		require.Error(t, err)
		require.Empty(t, w.store.in(indexOutbox(acme)))

		other := w.stores(t, shy, input("cus", visaToken("3")), "other").Instrument
		require.Empty(t, w.pendingTypes(t, other.ID), "its tenant has no endpoint")
		require.Empty(t, w.store.in(indexOutbox(shy)))
	})
}

// What lived for a moment and turned out to be another instrument is told of as created
// and as deleted, whatever was relayed meanwhile: whoever has heard of it hears of its end.
func TestAnInstrumentThatTurnsOutToBeAnother(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0).UTC()
	live := Record{ID: "ins_1", State: StateCompleted, View: &View{}, Tokens: []Token{{Provider: "alpha"}}, UpdatedAt: now}
	born := live.withEvents(Record{}, now)
	require.Len(t, born.Events, 1)
	alias := born
	alias.AliasOf = "ins_2"
	events := alias.withEvents(born, now).Events
	require.Len(t, events, 2)
	require.Equal(t, born.Events[0], events[0])
	require.Equal(t, InstrumentDeleted, events[1].Type)

	heard := born.relayed(born.Events)
	alias = heard
	alias.AliasOf = "ins_2"
	events = alias.withEvents(heard, now).Events
	require.Len(t, events, 1)
	require.Equal(t, InstrumentDeleted, events[0].Type)
}

func TestAMirrorsTokenIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(mirroring, eventful)
		ins := w.stores(t, acme, mirrorInput(), "key").Instrument
		rec := w.record(t, ins.ID)
		require.Equal(t, InstrumentCreated, rec.Events[0].Type)
		require.Equal(t, ProviderTokenChanged, rec.Events[1].Type)
		require.Equal(t, "beta", rec.Events[1].Provider)
		require.Len(t, rec.Events, 2)
		require.Empty(t, w.record(t, w.record(t, ins.ID).Tokens[1].Record).Events, "a mirror's record is no instrument")
	})
}

func TestPendingEventsAreBoundedAndTheLastStays(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0).UTC()
	r := Record{ID: "ins_1", State: StateCompleted, View: &View{}, Tokens: []Token{{Provider: "alpha"}}, UpdatedAt: now}
	r = r.withEvents(Record{}, now)
	first := r.Events[0]
	for i := range 3 * maxPendingEvents {
		next := r
		next.View = &View{Metadata: map[string]string{"n": string(rune('a' + i))}}
		next.UpdatedAt = now.Add(time.Duration(i+1) * time.Second)
		r = next.withEvents(r, now)
	}
	require.Len(t, r.Events, maxPendingEvents)
	require.Equal(t, first, r.Events[0], "nothing says what it says")
	require.Equal(t, r.UpdatedAt, r.Events[maxPendingEvents-1].At)
	ids := map[string]bool{}
	for _, e := range r.Events {
		require.True(t, ValidEventID(e.ID), e.ID)
		ids[e.ID] = true
	}
	require.Len(t, ids, maxPendingEvents)
}

// A relay takes events from a record at any moment: nobody else may notice.
func TestARelayDisturbsNoOtherWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful)
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		cur := w.record(t, ins.ID)
		etag := ETag(cur.instrument(time.Now()))
		require.Len(t, w.takes(t, ins.ID), 1)
		relayed := w.record(t, ins.ID)
		require.Equal(t, etag, ETag(relayed.instrument(time.Now())))
		next, err := cur.hold(true, time.Now().Add(time.Second).UTC())
		require.NoError(t, err)
		after, _, err := w.put(t.Context(), "test", cur, next)
		require.NoError(t, err, "the version was another, and nothing else")
		require.Equal(t, relayed.version+1, after.version)
		require.Equal(t, []EventType{InstrumentDeactivated}, w.pendingTypes(t, ins.ID), "and what was relayed is not told twice")

		_, _, err = w.put(t.Context(), "test", relayed, next)
		require.ErrorIs(t, err, errChanged, "a true change still counts")
	})
}

func BenchmarkPutWithoutEndpoints(b *testing.B) {
	s := &Service{}
	rec := Record{Tenant: acme}
	b.ReportAllocs()
	for b.Loop() {
		s.relaySoon(stored{s.withEvents(stored{rec, 1}, rec), 2})
	}
}
