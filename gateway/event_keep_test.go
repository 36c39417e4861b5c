package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// In the bubble it is January 2000.
func TestACardThatIsAboutToExpireIsToldOfOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful, seldom(30*time.Minute))
		other := w.another(eventful, seldom(30*time.Minute))
		heard := w.hears()
		other.heardBy(heard)
		defer w.tells(t)()
		defer other.tells(t)()
		in := input("cus", card(visa))
		in.Sources[0].Card.ExpMonth, in.Sources[0].Card.ExpYear = 3, 2000
		ins := w.stores(t, acme, in, "key").Instrument
		w.stores(t, acme, input("cus", card(mastercard)), "later")
		end := time.Date(2000, 4, 1, 12, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(end.Add(-30*24*time.Hour - time.Minute)))
		require.NotContains(t, heard.types(hookHost), InstrumentExpiring)
		time.Sleep(3 * time.Hour)
		require.Equal(t, []EventType{InstrumentCreated, InstrumentCreated, InstrumentExpiring}, heard.types(hookHost))
		told := heard.all()[2].body
		require.Equal(t, []any{ins.ID, end}, []any{told.Data.ID, told.Data.ExpiresAt})
		etag := ETag(w.record(t, ins.ID).instrument(time.Now()))
		require.Equal(t, ETag(ins), etag)

		_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpMonth: new(4)})
		require.NoError(t, err)
		time.Sleep(29 * 24 * time.Hour)
		require.Len(t, heard.all(), 4, "an update, and it is told of the new date when that is near")
		time.Sleep(3 * 24 * time.Hour)
		require.Len(t, heard.all(), 5)
		time.Sleep(60 * 24 * time.Hour)
		require.Len(t, heard.all(), 5)
	})
}

func TestWhatIsOlderThanItsTimeIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) { c.Tenants[0].Events = []EventEndpoint{hookAt(hookURL), hookAt(otherURL)} }, seldom(time.Hour))
		w.hears().answers = []int{500, 500}
		stop := w.tells(t)
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		time.Sleep(time.Second)
		stop()
		next := w.reloaded(t, func(c *Config) { c.Tenants[0].Events = []EventEndpoint{hookAt(hookURL)} }, seldom(time.Hour)) // the other is taken away
		next.hears()
		defer next.tells(t)()
		time.Sleep(eventRetention + 3*keepEvery)
		page, err := next.ListEvents(t.Context(), acme, EventsInput{State: DeliveryFailed})
		require.NoError(t, err)
		require.Len(t, page.Data, 1)
		require.Equal(t, ins.ID, page.Data[0].InstrumentID)
		require.Equal(t, DeliveryDelivered, page.Data[0].Deliveries[0].State)
		require.Equal(t, "abandoned", page.Data[0].Deliveries[1].LastError)
		require.Empty(t, w.store.in(indexDeliveries(acme, endpointID(otherURL))))

		w.store.forget(eventKey(acme, page.Data[0].ID)) // its time is over
		time.Sleep(3 * keepEvery)
		require.Empty(t, w.store.in(indexEvents(acme)))
		require.Empty(t, w.store.in(indexFailedEvents(acme)))
	})
}

func TestAnOutageIsToldOnceForAllGateways(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		quick := func(c *Config) { c.Providers[0].Breaker.ConsecutiveFailures = 2 }
		w := newWorld(eventful, quick)
		other := w.another(eventful, quick)
		heard := w.hears()
		other.heardBy(heard)
		defer w.tells(t)()
		defer other.tells(t)()
		defer w.Close()
		defer other.Close()
		time.Sleep(10 * time.Second)
		require.Empty(t, heard.all(), "all is well")
		for _, g := range []*world{w, other} {
			g.providers["alpha"].write.breaker.tripped()
		}
		time.Sleep(2 * reportHolds)
		require.Equal(t, []EventType{ProviderDown}, heard.types(hookHost))
		require.Equal(t, "alpha", heard.all()[0].body.Data.Provider)
		w.providers["alpha"].write.breaker.enter(breakerClosed)
		time.Sleep(2 * reportHolds)
		require.Len(t, heard.all(), 1, "the other gateway still says so")
		other.providers["alpha"].write.breaker.enter(breakerClosed)
		time.Sleep(10 * time.Second)
		require.Equal(t, []EventType{ProviderDown, ProviderRecovered}, heard.types(hookHost))
		time.Sleep(time.Hour)
		require.Len(t, heard.all(), 2)
	})
}

func TestAGatewayThatEndedSaysNoMoreThatAProviderIsDown(t *testing.T) {
	t.Parallel()
	now := time.Unix(10000, 0).UTC()
	h, changed := health{}.reported("one", true, "alpha", now)
	require.True(t, changed)
	require.True(t, h.Down)
	require.Len(t, h.Events, 1)
	_, changed = h.reported("one", true, "alpha", now.Add(time.Second))
	require.False(t, changed, "it was said just now")
	still, changed := h.reported("two", false, "alpha", now.Add(reportHolds-time.Second))
	require.False(t, changed)
	require.True(t, still.Down)
	h, changed = h.reported("two", false, "alpha", now.Add(reportHolds))
	require.True(t, changed)
	require.False(t, h.Down)
	require.Equal(t, ProviderRecovered, h.Events[1].Type)
}
