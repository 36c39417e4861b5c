package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// givesUp brings a create to the state manual: the provider may have stored it, and
// could not be asked.
func (w *world) givesUp(t *testing.T, key, number string, commits bool) Operation {
	t.Helper()
	w.a.will("create", ambiguous(commits))
	w.a.will("list", cannotBeAsked())
	op := w.pends(t, input("cus", card(number)), key)
	recs, err := w.load(t.Context(), "test", op.ID)
	require.NoError(t, err)
	cur := *recs[0]
	cur.Tries = maxTries
	next, err := cur.later(w.clock.at(w.now()))
	require.NoError(t, err)
	require.Equal(t, StateManual, next.State)
	_, _, err = w.put(t.Context(), "test", *recs[0], next)
	require.NoError(t, err)
	op, err = w.Operation(t.Context(), acme, op.ID)
	require.NoError(t, err)
	return op
}

func (w *world) lists(t *testing.T, tenant string, state State) []Operation {
	t.Helper()
	page, err := w.ListOperations(t.Context(), tenant, ListOperationsInput{State: state})
	require.NoError(t, err)
	require.False(t, page.HasMore)
	return page.Data
}

func TestOperationsAreListedByState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(alone)
		w.stores(t, acme, input("cus", card(visa)), "goes well")
		require.Empty(t, w.lists(t, acme, StateUnknown))
		manual := w.givesUp(t, "manual", mastercard, true)
		time.Sleep(time.Second)
		w.a.will("create", ambiguous(true))
		w.a.will("list", cannotBeAsked())
		unknown := w.pends(t, input("cus", card(amex)), "unknown")

		require.Equal(t, []Operation{manual}, w.lists(t, acme, StateManual))
		require.Equal(t, []Operation{unknown}, w.lists(t, acme, StateUnknown))
		require.NotEmpty(t, manual.Advice)
		require.NotEmpty(t, unknown.Advice)
		require.NotEqual(t, manual.Advice, unknown.Advice)
		require.Empty(t, w.lists(t, loose, StateManual), "another tenant's")
		for _, in := range []ListOperationsInput{{State: StateCompleted}, {}, {State: StateManual, Limit: 101}} {
			_, err := w.ListOperations(t.Context(), acme, in)
			require.NotEmpty(t, asError(err).Fields)
		}
		requireIndexed(t, w)
		w.stores(t, acme, input("cus", card(amex)), "unknown") // it is found now
		require.Empty(t, w.lists(t, acme, StateUnknown))
		requireIndexed(t, w)
	})
}

// What a crash between two round trips left in an index is passed over.
func TestStaleMembersAreNotListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(alone)
		done := w.stores(t, acme, input("cus", card(visa)), "goes well").Instrument
		manual := w.givesUp(t, "manual", mastercard, false)
		index := w.store.indexes[indexByState(acme, StateManual)]
		for _, place := range []string{"00000", "00001", "00002", "00003"} {
			index[member(place, done.ID)] = true
		}
		index[member("00004", "ins_00000000000000000000000000")] = true
		page, err := w.ListOperations(t.Context(), acme, ListOperationsInput{State: StateManual, Limit: 1})
		require.NoError(t, err)
		require.Equal(t, OperationPage{Data: []Operation{manual}}, page)
	})
}

func TestOperationsArePaged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(alone)
		var want []string
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			want = append(want, w.givesUp(t, key, visa, false).ID)
			recs, err := w.load(t.Context(), "test", want[len(want)-1])
			require.NoError(t, err)
			next := recs[0].Record
			next.Claims = nil // the number is free for the next one
			_, _, err = w.put(t.Context(), "test", *recs[0], next)
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		var got []string
		in := ListOperationsInput{State: StateManual, Limit: 2}
		for {
			page, err := w.ListOperations(t.Context(), acme, in)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page.Data), 2)
			for _, op := range page.Data {
				got = append(got, op.ID)
			}
			if !page.HasMore {
				break
			}
			in.Cursor = page.NextCursor
			_, err = w.ListOperations(t.Context(), loose, in)
			require.Equal(t, normalize.InvalidCursor, normalize.CodeOf(err))
		}
		require.Equal(t, want, got, "the oldest first")
	})
}

func TestAManualOperationIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(alone)
		op := w.givesUp(t, "key", visa, true)
		time.Sleep(time.Hour)
		require.NoError(t, w.swept(t.Context()))
		require.Len(t, w.lists(t, acme, StateManual), 1, "nobody looks by itself")
		again, err := w.RetryOperation(t.Context(), acme, op.ID)
		require.NoError(t, err)
		require.Equal(t, StateUnknown, again.State)
		require.NoError(t, w.swept(t.Context()))
		after, err := w.Operation(t.Context(), acme, op.ID)
		require.NoError(t, err)
		require.Equal(t, StateCompleted, after.State)
		require.Empty(t, after.Advice)
		_, err = w.RetryOperation(t.Context(), acme, op.ID)
		codeIs(t, err, normalize.InvalidState, normalize.NotSent)
		requireIndexed(t, w)
	})
}

func TestAnOperatorMayAssertThatNothingWasStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		op := w.givesUp(t, "key", visa, false)
		_, err := w.FailOperation(t.Context(), loose, op.ID)
		codeIs(t, err, normalize.NotFound, normalize.Rejected)
		failed, err := w.FailOperation(t.Context(), acme, op.ID)
		require.NoError(t, err)
		require.Equal(t, StateFailed, failed.State)
		require.Equal(t, normalize.NotSent, failed.Outcome)
		_, err = w.FailOperation(t.Context(), acme, op.ID)
		codeIs(t, err, normalize.InvalidState, normalize.NotSent)
		w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
		w.refuses(t, acme, input("cus", card(visa)), "key", normalize.NoEligibleProvider, normalize.NotSent)
		require.Zero(t, w.b.count("create"), "only where it was looked for")
		require.Equal(t, op.ID, w.stores(t, acme, input("cus", card(visa)), "key").Instrument.ID)
		require.Equal(t, 1, w.a.live())
		requireIndexed(t, w)
	})
}

func TestOnlyWhatAnOperatorMayDo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	base := newRecord("ins_00000000000000000000000000", acme, "cus", testKeys("k1")[0], nil, now)
	sending, err := base.begin("alpha", "g", now, time.Minute)
	require.NoError(t, err)
	unknown, err := sending.ended(failure(normalize.ProviderTimeout, normalize.Unknown), now)
	require.NoError(t, err)
	taken, err := unknown.taken("g", now, time.Minute)
	require.NoError(t, err)
	manual := unknown
	manual.State, manual.Tries = StateManual, maxTries+1
	completed, err := sending.complete(Token{Provider: "alpha"}, View{}, now)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		r            Record
		retry, fails bool
	}{
		"reserved": {base, false, false}, "sending": {sending, false, false}, "completed": {completed, false, false},
		"unknown": {unknown, true, false}, "manual": {manual, true, true}, "being looked at": {taken, false, false},
	} {
		again, err := c.r.retried(now)
		require.Equal(t, c.retry, err == nil, name)
		if err == nil {
			require.Equal(t, StateUnknown, again.State)
			require.Zero(t, again.Tries)
			require.Equal(t, now, again.due())
		}
		failed, err := c.r.asserted(now)
		require.Equal(t, c.fails, err == nil, name)
		if err == nil {
			require.Equal(t, "alpha", failed.Pinned)
			_, err = failed.begin("alpha", "g", now, time.Minute)
			require.NoError(t, err)
			_, err = failed.begin("beta", "g", now, time.Minute)
			require.ErrorIs(t, err, errTransition)
		}
	}
}

func TestARetryWhileSomebodyLooksChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(alone)
		w.a.will("create", ambiguous(true))
		w.a.will("list", cannotBeAsked())
		op := w.pends(t, input("cus", card(visa)), "key")
		release := make(chan struct{})
		w.a.will("list", step{blocks: release})
		time.Sleep(2 * time.Second)
		done := make(chan error)
		go func() { done <- w.another().swept(t.Context()) }()
		synctest.Wait()
		again, err := w.RetryOperation(t.Context(), acme, op.ID)
		require.NoError(t, err)
		require.Equal(t, StateUnknown, again.State)
		close(release)
		require.NoError(t, <-done)
		after, err := w.Operation(t.Context(), acme, op.ID)
		require.NoError(t, err)
		require.Equal(t, StateCompleted, after.State, "the one who looked could write down what it found")
	})
}
