package gateway

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/polyvault/polyvault/normalize"
)

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testRecord() Record {
	key := testKeys("k1")[0]
	return newRecord(key.instrumentID(acme, "key"), acme, "cus", key, map[string]string{"/customer_id": "x"}, testTime)
}

func testToken(provider string) Token {
	return Token{
		Provider: provider, ProviderType: "fake", Role: normalize.RolePrimary, Status: normalize.StatusActive,
		References: normalize.References{"instrument": "i1"}, SyncedAt: testTime,
	}
}

func testView() View {
	return View{Type: normalize.TypeCard, Card: &normalize.Card{Brand: normalize.Visa, Last4: "1111", ExpMonth: 12, ExpYear: 2031}, Fingerprint: "fp_1"}
}

// inState returns a record that came to a state the way records do.
func inState(t require.TestingT, state string) Record {
	must := func(r Record, err error) Record {
		require.NoError(t, err)
		return r
	}
	r := testRecord()
	if state == "reserved" {
		return r
	}
	sending := must(r.begin("alpha", "me", testTime, time.Minute))
	sending.Claims = []string{"num/a", "ref/a"}
	switch state {
	case "sending":
		return sending
	case "unknown":
		return must(sending.ended(failure(normalize.ProviderTimeout, normalize.Unknown), testTime))
	case "rejected":
		return must(sending.ended(failure(normalize.CardDeclined, normalize.Rejected), testTime))
	case "not sent":
		return must(must(sending.ended(failure(normalize.ProviderUnavailable, normalize.NotSent), testTime)).failed())
	}
	completed := must(sending.complete(testToken("alpha"), testView(), testTime))
	switch state {
	case "completed":
		return completed
	case "deleted":
		return must(completed.deleted(ScopeProvider, testTime))
	case "alias":
		other := completed
		other.ID = "ins_" + "00000000000000000000000000"
		return must(completed.alias(other, testTime))
	}
	panic(state)
}

func TestEveryTransitionIsAllowedOnlyFromItsStates(t *testing.T) {
	t.Parallel()
	other := inState(t, "completed")
	other.ID = "ins_" + "11111111111111111111111111"
	transitions := map[string]func(Record) (Record, error){
		"begin":    func(r Record) (Record, error) { return r.begin("alpha", "me", testTime, time.Minute) },
		"end":      func(r Record) (Record, error) { return r.ended(failure("c", normalize.Unknown), testTime) },
		"fail":     Record.failed,
		"complete": func(r Record) (Record, error) { return r.complete(testToken("alpha"), testView(), testTime) },
		"alias":    func(r Record) (Record, error) { return r.alias(other, testTime) },
		"change":   func(r Record) (Record, error) { return r.changed(testToken("alpha"), testView(), testTime) },
		"hold":     func(r Record) (Record, error) { return r.hold(true, testTime) },
		"delete":   func(r Record) (Record, error) { return r.deleted(ScopeProvider, testTime) },
		"take":     func(r Record) (Record, error) { return r.taken("other", testTime.Add(time.Hour), time.Minute) },
		"absent":   func(r Record) (Record, error) { return r.absent(testTime, time.Second) },
		"later":    func(r Record) (Record, error) { return r.later(testTime) },
	}
	for state, allowed := range map[string][]string{
		"reserved":  {"begin", "fail", "alias"},
		"sending":   {"end", "complete", "alias", "take"},
		"unknown":   {"complete", "alias", "take", "absent", "later"},
		"rejected":  {},
		"not sent":  {"begin", "complete", "alias"}, // a result that came after two looks found nothing
		"completed": {"alias", "change", "hold", "delete"},
		"deleted":   {},
		"alias":     {},
	} {
		for name, apply := range transitions {
			t.Run(fmt.Sprintf("%s from %s", name, state), func(t *testing.T) {
				t.Parallel()
				before := inState(t, state)
				image := string(before.encode())
				after, err := apply(before)
				require.Equal(t, image, string(before.encode()), "a transition changes a copy")
				if slices.Contains(allowed, name) {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, errTransition)
				require.Equal(t, image, string(after.encode()), "a refused transition changes nothing")
			})
		}
	}
}

func TestTransitionsThatDependOnMoreThanTheState(t *testing.T) {
	t.Parallel()
	t.Run("another gateway's lease is respected until it is over", func(t *testing.T) {
		t.Parallel()
		r := inState(t, "sending")
		r, err := r.ended(failure("c", normalize.NotSent), testTime)
		require.NoError(t, err)
		_, err = r.begin("beta", "somebody else", testTime, time.Minute)
		require.ErrorIs(t, err, errTransition)
		_, err = r.begin("beta", "me", testTime, time.Minute)
		require.NoError(t, err)
		_, err = r.begin("beta", "somebody else", testTime.Add(time.Minute), time.Minute)
		require.NoError(t, err)
	})
	t.Run("whatever its state, one attempt without proof forbids another", func(t *testing.T) {
		t.Parallel()
		for _, o := range []normalize.Outcome{"", normalize.Unknown, normalize.Rejected, normalize.Applied} {
			for _, state := range []string{"reserved", "not sent"} {
				r := inState(t, state)
				r.Attempts = []Attempt{{Provider: "alpha", Outcome: o}, {Provider: "beta", Outcome: normalize.NotSent}}
				_, err := r.begin("beta", "me", testTime, time.Minute)
				require.ErrorIs(t, err, errTransition)
			}
		}
	})
	t.Run("nobody is its own alias, nor one of what is gone", func(t *testing.T) {
		t.Parallel()
		r := inState(t, "completed")
		_, err := r.alias(r, testTime)
		require.ErrorIs(t, err, errTransition)
		_, err = inState(t, "sending").alias(inState(t, "deleted"), testTime)
		require.ErrorIs(t, err, errTransition)
	})
	t.Run("an outcome that says nothing is unknown", func(t *testing.T) {
		t.Parallel()
		for _, o := range []normalize.Outcome{"", "maybe", normalize.Applied} {
			r, err := inState(t, "sending").ended(failure("c", o), testTime)
			require.NoError(t, err)
			require.Equal(t, StateUnknown, r.State)
			require.NotEmpty(t, r.Attempts[0].Outcome, "an empty outcome would read as running")
		}
	})
	t.Run("looking is no change, and what is seen is", func(t *testing.T) {
		t.Parallel()
		r, later := inState(t, "completed"), testTime.Add(time.Hour)
		token, view := testToken("alpha"), testView()
		token.SyncedAt = later
		seen, err := r.changed(token, view, later)
		require.NoError(t, err)
		require.Equal(t, testTime, seen.UpdatedAt)
		require.Equal(t, later, seen.Tokens[0].SyncedAt)
		view.Default = true
		changed, err := r.changed(token, view, later)
		require.NoError(t, err)
		require.Equal(t, later, changed.UpdatedAt)
	})
	t.Run("a delete frees the number and keeps the place", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{"ref/a"}, inState(t, "deleted").Claims)
	})
	t.Run("a create that ended without an instrument holds no claims", func(t *testing.T) {
		t.Parallel()
		require.Empty(t, inState(t, "rejected").Claims)
		require.Empty(t, inState(t, "not sent").Claims)
		require.NotEmpty(t, inState(t, "unknown").Claims, "it may exist")
	})
}

// walker applies random transitions and checks the invariants after each.
type walker struct {
	rec     Record
	now     time.Time
	indexed map[Member]bool
	ended   bool // it was deleted
}

func (w *walker) apply(t *rapid.T, name string, next Record, err error) {
	before := w.rec
	if err != nil {
		require.ErrorIs(t, err, errTransition)
		return
	}
	if before.State == StateSending && next.State != StateSending {
		last := next.Attempts[len(next.Attempts)-1]
		require.NotEmpty(t, last.Outcome, "I3: SENDING is left only with evidence")
	}
	require.GreaterOrEqual(t, next.Fence, before.Fence, "the fence never shrinks")
	if name == "begin" {
		require.Greater(t, next.Fence, before.Fence, "every owner has a fence of its own")
		for _, a := range next.Attempts[:len(next.Attempts)-1] {
			require.Equal(t, normalize.NotSent, a.Outcome, "I5: another attempt needs proof for all before")
		}
		require.Less(t, len(next.Attempts), 33, "attempts are bounded")
	}
	if next.State == StateCompleted {
		require.NotNil(t, next.Answer, "I4: the answer is complete with the completion")
		if next.AliasOf == "" {
			require.True(t, len(next.Tokens) > 0 && next.View != nil, "I4: so are mapping and view")
		}
	}
	if before.Answer != nil {
		require.True(t, next.Answer != nil && (name == "alias" || reflect.DeepEqual(answer(next), answer(before))), "an answer that was given stands")
	}
	w.ended = w.ended || name == "delete"
	require.False(t, w.ended && next.live(), "what was deleted is never live again")

	add, remove := indexChange(before.members(), next.members())
	for _, m := range remove {
		require.True(t, w.indexed[m], "only what is there is removed")
		delete(w.indexed, m)
	}
	for _, m := range add {
		w.indexed[m] = true
	}
	require.Len(t, w.indexed, len(next.members()))
	for _, m := range next.members() {
		require.True(t, w.indexed[m], "the differences add up to what the record says")
	}
	back, err := decodeRecord(next.encode())
	require.NoError(t, err)
	require.Equal(t, string(next.encode()), string(back.encode()), "a record survives being stored")
	require.Equal(t, next.members(), back.members())
	w.rec = back
}

func TestInvariantsHoldAfterAnySequenceOfTransitions(t *testing.T) {
	t.Parallel()
	providers, owners := []string{"alpha", "beta"}, []string{"me", "you"}
	outcomes := []normalize.Outcome{normalize.NotSent, normalize.NotSent, normalize.NotSent, normalize.Rejected, normalize.Unknown, normalize.Applied, ""}
	rapid.Check(t, func(t *rapid.T) {
		w := &walker{rec: testRecord(), now: testTime, indexed: map[Member]bool{}}
		for _, m := range w.rec.members() {
			w.indexed[m] = true
		}
		other := inState(t, "completed")
		other.ID = "ins_" + "11111111111111111111111111"
		steps := rapid.SampledFrom([]string{"begin", "begin", "end", "end", "fail", "complete", "alias", "change", "hold", "delete"})
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			name := steps.Draw(t, "step")
			view := testView()
			view.Card.ExpYear = rapid.IntRange(2030, 2032).Draw(t, "year")
			view.Fingerprint = rapid.SampledFrom([]string{"", "fp_1", "fp_2"}).Draw(t, "fingerprint")
			token := testToken(rapid.SampledFrom(providers).Draw(t, "provider"))
			var next Record
			var err error
			switch name {
			case "begin":
				next, err = w.rec.begin(token.Provider, rapid.SampledFrom(owners).Draw(t, "owner"), w.now, 30*time.Second)
			case "end":
				next, err = w.rec.ended(failure("c", rapid.SampledFrom(outcomes).Draw(t, "outcome")), w.now)
			case "fail":
				next, err = w.rec.failed()
			case "complete":
				next, err = w.rec.complete(token, view, w.now)
			case "alias":
				next, err = w.rec.alias(other, w.now)
			case "change":
				next, err = w.rec.changed(token, view, w.now)
			case "hold":
				next, err = w.rec.hold(rapid.Bool().Draw(t, "on"), w.now)
			case "delete":
				next, err = w.rec.deleted(ScopeProvider, w.now)
			}
			w.apply(t, name, next, err)
		}
	})
}

func TestAttemptsAreBoundedByForgettingTheOldest(t *testing.T) {
	t.Parallel()
	r := testRecord()
	for i := range 100 {
		var err error
		r, err = r.begin("alpha", "me", testTime, time.Minute)
		require.NoError(t, err)
		require.Equal(t, uint64(i+1), r.Fence)
		r, err = r.ended(failure("c", normalize.NotSent), testTime)
		require.NoError(t, err)
	}
	require.Len(t, r.Attempts, maxAttempts)
	require.Equal(t, uint64(100), r.Attempts[maxAttempts-1].Fence)
}

func TestARecordWithBytesThatAreNoTextIsStoredAllTheSame(t *testing.T) {
	t.Parallel()
	refused := failure(normalize.CardDeclined, normalize.Rejected)
	refused.RequestID = "r\xff1"
	r, err := inState(t, "sending").ended(refused, testTime)
	require.NoError(t, err)
	back, err := decodeRecord(r.encode())
	require.NoError(t, err)
	require.Equal(t, "r\ufffd1", back.Answer.Error.RequestID)
}

func TestDecodeRecordRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	newer := testRecord()
	newer.Schema++
	for rule, bytes := range map[string][]byte{"not JSON": []byte("{"), "another schema": newer.encode(), "nothing": nil} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			_, err := decodeRecord(bytes)
			require.ErrorIs(t, err, ErrStore)
		})
	}
	require.True(t, json.Valid(testRecord().encode()))
}

// answer is what a record replays, whichever way it is kept.
func answer(r Record) any {
	if r.Answer.Error != nil {
		return *r.Answer.Error
	}
	return r.answered()
}
