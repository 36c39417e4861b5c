package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

func TestTheRetrySchedule(t *testing.T) {
	t.Parallel()
	var total time.Duration
	for tries := 1; ; tries++ {
		least, more := retryDelay(tries, 0)
		if !more {
			require.Equal(t, 10, tries, "the tenth failure is the last")
			break
		}
		most, _ := retryDelay(tries, 0.999)
		require.Greater(t, most, least)
		require.LessOrEqual(t, most, least+least/5)
		total += least
	}
	require.InDelta(t, (75*time.Hour + 35*time.Minute + 5*time.Second).Seconds(), total.Seconds(), 1)
	_, more := retryDelay(0, 0)
	require.False(t, more)
}

func TestAnEventIsDeliveredOnceAndSigned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		both := func(c *Config) {
			eventful(c)
			c.Tenants[0].Events[0].Secrets = append(c.Tenants[0].Events[0].Secrets, normalize.NewSecret(newerKey))
		}
		w := newWorld(both)
		other := w.another(both)
		heard := w.hears()
		other.heardBy(heard)
		defer w.tells(t)()
		defer other.tells(t)()
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		synctest.Wait()
		require.Len(t, heard.all(), 1, "at once")
		time.Sleep(time.Hour)
		all := heard.all()
		require.Len(t, all, 1, "and not again, by neither gateway")
		got := all[0]
		require.Equal(t, []any{InstrumentCreated, ins.ID, got.id}, []any{got.body.Type, got.body.Data.ID, got.body.ID})
		require.Equal(t, "4111"+"11", got.body.Data.Instrument.Card.BIN)
		require.Nil(t, got.body.Data.Instrument.ProviderTokens[0].References)
		require.NotContains(t, string(got.raw), `"references"`)
		for _, key := range []string{hookKey, newerKey} {
			wh, err := standardwebhooks.NewWebhook(key)
			require.NoError(t, err)
			require.NoError(t, wh.VerifyIgnoringTimestamp(got.raw, got.header))
		}
		require.Len(t, strings.Fields(got.header.Get(standardwebhooks.HeaderWebhookSignature)), 2)

		require.Empty(t, w.record(t, ins.ID).Events)
		require.Empty(t, w.store.in(indexOutbox(acme)))
		require.Empty(t, w.store.in(indexDeliveries(acme, endpointID(hookURL))))
		e, err := w.Event(t.Context(), acme, got.id)
		require.NoError(t, err)
		require.Equal(t, []any{DeliveryDelivered, 200, hookHost, 0}, []any{e.State, e.Deliveries[0].LastStatus, e.Deliveries[0].Host, e.Deliveries[0].Tries})
		require.JSONEq(t, string(got.raw), string(e.Payload))
		_, err = w.Event(t.Context(), shy, got.id)
		require.Equal(t, normalize.NotFound, normalize.CodeOf(err), "another tenant's")
	})
}

func TestAFailedDeliveryIsTriedOnScheduleAndThenGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful, seldom(time.Minute))
		heard := w.hears()
		heard.answers = slices.Repeat([]int{500}, 10)
		defer w.tells(t)()
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		time.Sleep(100 * time.Hour)
		all := heard.all()
		require.Len(t, all, 10)
		for i, delay := range retryDelays() {
			waited := all[i+1].at.Sub(all[i].at)
			require.GreaterOrEqual(t, waited, delay)
			require.LessOrEqual(t, waited, delay+delay/5+2*time.Minute)
			require.Equal(t, all[0].id, all[i+1].id)
			require.Equal(t, all[0].raw, all[i+1].raw, "to the byte")
		}
		page, err := w.ListEvents(t.Context(), acme, EventsInput{State: DeliveryFailed})
		require.NoError(t, err)
		require.Len(t, page.Data, 1)
		require.Equal(t, []any{ins.ID, "status", 500, 10}, []any{
			page.Data[0].InstrumentID, page.Data[0].Deliveries[0].LastError, page.Data[0].Deliveries[0].LastStatus, page.Data[0].Deliveries[0].Tries,
		})
		require.Equal(t, []int64{0, 10, 1}, []int64{w.EventStats()[0].Delivered, w.EventStats()[0].FailedTries, w.EventStats()[0].GivenUp})

		step, err := w.ReplayEvents(t.Context(), acme, EventsInput{State: DeliveryFailed})
		require.NoError(t, err)
		require.Equal(t, EventReplay{Replayed: 1}, step)
		time.Sleep(2 * time.Minute)
		require.Len(t, heard.all(), 11)
		require.Equal(t, all[0].id, heard.all()[10].id)
		page, err = w.ListEvents(t.Context(), acme, EventsInput{State: DeliveryFailed})
		require.NoError(t, err)
		require.Empty(t, page.Data)
	})
}

func TestWhatIsReplayedDuringATryIsDeliveredOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful)
		heard := w.hears()
		heard.meanwhile = func(got received) {
			_, err := w.ReplayEvent(t.Context(), acme, got.id)
			require.NoError(t, err)
		}
		defer w.tells(t)()
		w.stores(t, acme, input("cus", card(visa)), "key")
		time.Sleep(2 * time.Minute)
		all := heard.all()
		require.Len(t, all, 2)
		require.Equal(t, all[0].id, all[1].id)
	})
}

func TestASlowEndpointHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) { c.Tenants[1].Events = []EventEndpoint{hookAt(hookURL), hookAt(otherURL)} })
		heard := w.hears()
		heard.hangs[otherHost] = true
		defer w.tells(t)()
		began := time.Now()
		for i := range 40 {
			w.stores(t, loose, input("cus", visaToken(fmt.Sprint("t", i))), fmt.Sprint("key-", i))
		}
		time.Sleep(5 * time.Second)
		require.Len(t, heard.types(hookHost), 40, "all within %v", time.Since(began))
		require.Len(t, heard.types(otherHost), endpointSlots)
		require.Equal(t, endpointSlots, heard.mostAtOnce(), "at one host at the same time")
		time.Sleep(time.Minute)
		require.Len(t, heard.types(hookHost), 40)
		for _, s := range w.EventStats() {
			if s.Host == otherHost {
				require.Positive(t, s.Pending)
				require.Greater(t, s.OldestAge, 30*time.Second)
			}
		}
	})
}

func TestAnEndpointThatIsGoneIsLeftAloneUntilItsConfigurationChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful, seldom(10*time.Second))
		heard := w.hears()
		heard.answers = []int{410}
		defer w.tells(t)()
		w.stores(t, acme, input("cus", card(visa)), "1")
		synctest.Wait()
		w.stores(t, acme, input("cus", card(mastercard)), "2")
		time.Sleep(10 * time.Hour)
		require.Len(t, heard.all(), 1)
		require.True(t, w.EventStats()[0].Gone)

		next := w.reloaded(t, eventful, seldom(10*time.Second))
		time.Sleep(time.Hour)
		require.Len(t, heard.all(), 1, "it is configured as before")
		require.True(t, next.EventStats()[0].Gone)
		next = w.reloaded(t, func(c *Config) {
			eventful(c)
			c.Tenants[0].Events[0].Secrets = []normalize.Secret{normalize.NewSecret(newerKey)}
		})
		time.Sleep(20 * time.Second)
		require.Len(t, heard.all(), 2, "what came meanwhile has waited")
		require.EqualValues(t, 1, next.EventStats()[0].GivenUp)
	})
}

// The gateway that made the change ends before it has told anybody: another one does.
func TestWhatAGatewayLeavesBehindAnotherTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventful)
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument // no relay runs
		require.Equal(t, []EventType{InstrumentCreated}, w.pendingTypes(t, ins.ID))

		dies := w.another(eventful, func(c *Config) { c.Owner = "gateway-3" })
		deaf := dies.hears()
		deaf.hangs[hookHost] = true
		stop := dies.tells(t)
		time.Sleep(5 * time.Second)
		require.Len(t, deaf.all(), 1)
		require.Empty(t, w.record(t, ins.ID).Events, "it is an entry of its own")
		w.store.onWrite = func(int, Write) fate { return failsBefore } // and it ends in the middle of it
		stop()
		w.store.onWrite = nil

		last := w.another(eventful)
		heard := last.hears()
		defer last.tells(t)()
		time.Sleep(claimedFor + 5*time.Second)
		require.Len(t, heard.all(), 1)
		require.Equal(t, deaf.all()[0].id, heard.all()[0].id)
	})
}

// A gateway dies at each of the writes of a relay and of a delivery, before or after it
// took effect: another one tells of the event all the same.
func TestARelayThatDiesLosesNoEvent(t *testing.T) {
	t.Parallel()
	for n := range 4 {
		for _, dying := range []fate{failsBefore, failsAfter} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(eventful)
				ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
				w.hears()
				written := 0
				w.store.fail(func(int, Write) fate {
					if written++; written == n+1 {
						return dying
					}
					if written > n+1 {
						return failsBefore
					}
					return works
				})
				stop := w.tells(t)
				synctest.Wait()
				stop()
				w.store.fail(nil)

				other := w.another(eventful)
				heard := other.hears()
				stop = other.tells(t)
				time.Sleep(claimedFor + 5*time.Second)
				stop()
				delivered := n == 3 || n == 2 && dying == failsAfter // by who died, and written down
				if all := heard.all(); !delivered || len(all) > 0 {
					require.Len(t, all, 1, "write %d, %d", n, dying)
					require.Equal(t, ins.ID, all[0].body.Data.ID)
				}
				require.Empty(t, w.record(t, ins.ID).Events)
			})
		}
	}
}

func TestEndpointsGetTheTypesThatTheyWant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) {
			only, off := hookAt(otherURL), hookAt("https://off.example/")
			only.Types, off.Disabled = []EventType{InstrumentDeleted}, true
			c.Tenants[0].Events = []EventEndpoint{hookAt(hookURL), only, off}
		})
		heard := w.hears()
		defer w.tells(t)()
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		synctest.Wait()
		require.NoError(t, w.Delete(t.Context(), acme, ins.ID, ScopeProvider))
		time.Sleep(10 * time.Second)
		require.Equal(t, []EventType{InstrumentCreated, InstrumentDeleted}, heard.types(hookHost))
		require.Equal(t, []EventType{InstrumentDeleted}, heard.types(otherHost))
		require.Empty(t, heard.types("off.example"))
		all := heard.all()
		require.Nil(t, all[len(all)-1].body.Data.Instrument)
	})
}

func TestListsOfEventsGoPageByPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) { c.Tenants[1].Events = []EventEndpoint{hookAt(hookURL)} })
		w.hears()
		defer w.tells(t)()
		began := time.Now()
		for i := range 5 {
			w.stores(t, loose, input("cus", visaToken(fmt.Sprint("t", i))), fmt.Sprint("key-", i))
			time.Sleep(time.Minute)
		}
		var seen []time.Time
		in := EventsInput{Limit: 2}
		for {
			page, err := w.ListEvents(t.Context(), loose, in)
			require.NoError(t, err)
			for _, e := range page.Data {
				seen = append(seen, e.OccurredAt)
			}
			if in.Cursor = page.NextCursor; !page.HasMore {
				break
			}
		}
		require.Len(t, seen, 5)
		require.True(t, slices.IsSortedFunc(seen, func(a, b time.Time) int { return b.Compare(a) }), "the newest first")
		page, err := w.ListEvents(t.Context(), loose, EventsInput{Since: began.Add(30 * time.Second), Until: began.Add(150 * time.Second)})
		require.NoError(t, err)
		require.Len(t, page.Data, 2)
		page, err = w.ListEvents(t.Context(), loose, EventsInput{Type: InstrumentDeleted})
		require.NoError(t, err)
		require.Empty(t, page.Data)
		_, err = w.ListEvents(t.Context(), loose, EventsInput{Type: "nonsense", State: "nonsense", Limit: 1000})
		require.Len(t, asError(err).Fields, 3)
	})
}
