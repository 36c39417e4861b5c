package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// What a provider tells of is told on: once, however often and wherever it was said.
func TestWhatANoticeFindsIsToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, ref := heardOne(t, eventful)
		other := w.another(tell, eventful)
		w.reconciling(t)
		other.reconciling(t)
		require.Equal(t, []EventType{InstrumentCreated}, w.takes(t, ins.ID))
		say := func(at *world, id string, revision int64) {
			t.Helper()
			n := about(ref, id)
			n.Revision = revision
			at.heard(t, n)
			time.Sleep(time.Second)
		}
		status := func(s normalize.Status) {
			w.a.change(ref, func(i *adapters.Instrument) { i.Status = s })
		}

		status(normalize.StatusDeactivated)
		for _, at := range []*world{w, other, w} {
			say(at, "deactivated", 2)
		}
		say(other, "the same, said as another event", 0)
		require.Equal(t, []EventType{InstrumentDeactivated, ProviderTokenChanged}, w.takes(t, ins.ID))

		status(normalize.StatusActive)
		say(w, "active", 3)
		say(other, "deactivated, late", 2)
		say(other, "deactivated", 2)
		require.Equal(t, []EventType{InstrumentUpdated, ProviderTokenChanged}, w.takes(t, ins.ID), "an older event undoes nothing, and nothing is told of it")

		w.a.lose(ref)
		time.Sleep(time.Minute)
		say(w, "gone", 0)
		require.Contains(t, w.pendingTypes(t, ins.ID), ProviderTokenChanged)
		before := w.takes(t, ins.ID)
		say(other, "gone", 0)
		say(other, "gone, again", 0)
		require.Empty(t, w.takes(t, ins.ID), "%v was told already", before)
		w.unmarked(t)
	})
}

// A provider tells of what this gateway itself is changing there just now, before it has
// the answer: that is one change, and one event.
func TestANoticeOfAChangeThatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, ref := heardOne(t, eventful)
		other := w.another(tell, eventful)
		w.reconciling(t)
		other.reconciling(t)
		w.takes(t, ins.ID)
		goes := make(chan struct{})
		w.a.will("update", step{blocks: goes})
		done := make(chan error)
		go func() {
			_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2040)})
			done <- err
		}()
		synctest.Wait()
		w.a.change(ref, func(i *adapters.Instrument) { i.Card.ExpYear = 2040 }) // it is made, and not answered
		w.heard(t, about(ref, "here"))
		other.heard(t, about(ref, "there"))
		time.Sleep(time.Second)
		close(goes)
		require.NoError(t, <-done)
		time.Sleep(time.Second)
		require.Equal(t, 2040, w.seesYear(t, ins.ID))
		require.Equal(t, []EventType{InstrumentUpdated}, w.takes(t, ins.ID))
		other.heard(t, about(ref, "late"))
		time.Sleep(time.Second)
		require.Empty(t, w.takes(t, ins.ID))
		w.unmarked(t)
	})
}
