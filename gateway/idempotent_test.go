package gateway

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// changesOf is one change of every kind, about an instrument of customer cus.
func changesOf(ins normalize.Instrument) map[string]Change {
	return map[string]Change{
		"update": UpdateInstrument{ins.ID, normalize.UpdateInput{
			ExpYear: new(2040), Default: new(true), Metadata: map[string]*string{"n": new("1")}, IfMatch: ETag(ins),
		}},
		"update of metadata": UpdateInstrument{ins.ID, normalize.UpdateInput{Metadata: map[string]*string{"k": nil}, IfMatch: ETag(ins)}},
		"update of default":  UpdateInstrument{ins.ID, normalize.UpdateInput{Default: new(true), IfMatch: ETag(ins)}},
		"deactivate":         DeactivateInstrument{ins.ID},
		"activate":           ActivateInstrument{ins.ID},
		"delete":             DeleteInstrument{ins.ID, ScopeProvider},
		"put customer":       PutCustomer{normalize.CustomerInput{ID: "cus", ProviderReferences: map[string]string{"beta": "42"}}},
	}
}

func isKeyUse(w Write) bool { return strings.HasPrefix(w.Key, "idem/") }

func codeIs(t *testing.T, err error, code normalize.Code, o normalize.Outcome) {
	t.Helper()
	require.Equal(t, code, normalize.CodeOf(err), "%v", err)
	require.Equal(t, o, normalize.OutcomeOf(err), "%v", err)
}

func TestAChangeWithTheSameKeyIsAnsweredTheSame(t *testing.T) {
	t.Parallel()
	for name := range changesOf(normalize.Instrument{}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, ins, _ := one(t)
			c := changesOf(ins)[name]
			first, err := w.Change(t.Context(), acme, "change", c)
			require.NoError(t, err)
			require.False(t, first.Replayed)
			sent := func() string {
				return fmt.Sprint(w.a.count("update"), w.a.count("set_default"), w.a.count("deactivate"), w.a.count("delete"))
			}
			// What happens afterwards makes no difference to what was answered.
			_, _ = w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2041), Metadata: map[string]*string{"later": new("x")}})
			after := sent()
			for _, g := range []*world{w, w.another()} {
				again, err := g.Change(t.Context(), acme, "change", changesOf(ins)[name])
				require.NoError(t, err)
				require.True(t, again.Replayed)
				again.Replayed = false
				require.Equal(t, asJSON(t, first), asJSON(t, again), "byte for byte")
			}
			require.Equal(t, after, sent(), "nothing is sent again")
		})
	}
}

func TestAChangeWithoutAKeyIsMadeEachTime(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	for range 2 {
		out, err := w.Change(t.Context(), acme, "", DeactivateInstrument{ins.ID})
		require.NoError(t, err)
		require.False(t, out.Replayed)
	}
	require.Equal(t, 2, w.a.count("deactivate"))
}

func TestARefusalOfAChangeIsReplayed(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	stale := UpdateInstrument{ins.ID, normalize.UpdateInput{ExpYear: new(2040), IfMatch: `"stale"`}}
	gone := DeleteInstrument{"ins_00000000000000000000000000", ScopeProvider}
	for code, c := range map[normalize.Code]Change{normalize.VersionMismatch: stale, normalize.NotFound: gone} {
		_, err := w.Change(t.Context(), acme, string(code), c)
		codeIs(t, err, code, normalize.Rejected)
		_, err = w.Change(t.Context(), acme, string(code), c)
		codeIs(t, err, code, normalize.Rejected)
		f, ok := errors.AsType[*Failure](err)
		require.True(t, ok)
		require.True(t, f.Replayed)
	}
	rejected := failure(normalize.ExpiredCard, normalize.Rejected)
	rejected.ProviderCode = "E1"
	w.a.will("update", step{err: rejected})
	c := UpdateInstrument{ins.ID, normalize.UpdateInput{ExpYear: new(2040)}}
	for range 2 {
		_, err := w.Change(t.Context(), acme, "refused", c)
		codeIs(t, err, normalize.ExpiredCard, normalize.Rejected)
		require.Equal(t, "E1", asError(err).ProviderCode)
	}
	require.Equal(t, 1, w.a.count("update"))
}

func TestWhatIsNotFinalIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, outcome := range []normalize.Outcome{normalize.NotSent, normalize.Unknown} {
		w, ins, _ := one(t)
		w.a.will("deactivate", step{err: failure(normalize.ProviderUnavailable, outcome)})
		_, err := w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
		codeIs(t, err, normalize.ProviderUnavailable, outcome)
		w.a.will("deactivate", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
		_, err = w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
		codeIs(t, err, normalize.ProviderUnavailable, outcome) // a doubt stays
		out, err := w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
		require.NoError(t, err)
		require.False(t, out.Replayed)
		require.Equal(t, normalize.StatusDeactivated, out.Instrument.Status)
	}
}

func TestAChangesKeyBelongsToOneRequest(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	full := func() normalize.UpdateInput {
		return normalize.UpdateInput{
			BillingAddress: normalize.AddressPatch{"city": new("Wien"), "line1": nil}, ExpMonth: new(1), ExpYear: new(2040),
			Default: new(true), Metadata: map[string]*string{"a": new("1")}, IfMatch: ETag(ins),
		}
	}
	_, err := w.Change(t.Context(), acme, "change", UpdateInstrument{ins.ID, full()})
	require.NoError(t, err)
	reused := func(t *testing.T, err error, place, words string) {
		t.Helper()
		codeIs(t, err, normalize.IdempotencyKeyReused, normalize.NotSent)
		require.Equal(t, place, asError(err).Fields[0].Pointer)
		require.Contains(t, asError(err).Fields[0].Message, words)
	}
	for place, edit := range map[string]func(*normalize.UpdateInput){
		"/billing_address": func(in *normalize.UpdateInput) { in.BillingAddress["line1"] = new("x") },
		"/card/exp_month":  func(in *normalize.UpdateInput) { in.ExpMonth = nil },
		"/card/exp_year":   func(in *normalize.UpdateInput) { in.ExpYear = new(2041) },
		"/default":         func(in *normalize.UpdateInput) { in.Default = nil },
		"/metadata":        func(in *normalize.UpdateInput) { in.Metadata["b"] = nil },
		"/source":          func(in *normalize.UpdateInput) { in.Source = new(visaToken("t")) },
	} {
		in := full()
		edit(&in)
		_, err := w.Change(t.Context(), acme, "change", UpdateInstrument{ins.ID, in})
		reused(t, err, place, "differs")
	}
	in := full()
	in.IfMatch = "*"
	_, err = w.Change(t.Context(), acme, "change", UpdateInstrument{ins.ID, in})
	reused(t, err, "", `header "If-Match"`)
	_, err = w.Change(t.Context(), acme, "change", DeleteInstrument{ins.ID, ScopeProvider})
	reused(t, err, "", "another operation")
	second := w.stores(t, acme, input("cus", card(amex)), "second").Instrument
	_, err = w.Change(t.Context(), acme, "change", UpdateInstrument{second.ID, full()})
	reused(t, err, "", "another resource")
	_, err = w.Change(t.Context(), acme, "delete", DeleteInstrument{second.ID, ScopeGateway})
	require.NoError(t, err)
	_, err = w.Change(t.Context(), acme, "delete", DeleteInstrument{second.ID, ScopeProvider})
	reused(t, err, "", `query parameter "scope"`)
	_, err = w.Change(t.Context(), acme, "put", PutCustomer{normalize.CustomerInput{ID: "c", ProviderReferences: map[string]string{"beta": "1"}}})
	require.NoError(t, err)
	_, err = w.Change(t.Context(), acme, "put", PutCustomer{normalize.CustomerInput{ID: "c", ProviderReferences: map[string]string{"beta": "2"}}})
	reused(t, err, "/provider_references/beta", "differs")

	_, err = w.Change(t.Context(), loose, "change", PutCustomer{normalize.CustomerInput{ID: "c"}})
	require.NoError(t, err, "another tenant's key is another key")
}

// A key is either a create's or a change's, whichever came first.
func TestACreateAndAChangeDoNotShareAKey(t *testing.T) {
	t.Parallel()
	t.Run("the create was first", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		for range 2 {
			_, err := w.Change(t.Context(), acme, "key", DeactivateInstrument{ins.ID})
			codeIs(t, err, normalize.IdempotencyKeyReused, normalize.NotSent)
		}
		require.Zero(t, w.a.count("deactivate"))
		in := input("cus", card(visa))
		in.BillingAddress, in.Metadata = &normalize.Address{City: "Graz", Line1: "Ring 1"}, map[string]string{"k": "v"}
		require.True(t, w.stores(t, acme, in, "key").Replayed, "the create keeps its key")
	})
	t.Run("the create was first, and was not sent", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t, alone)
		w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
		w.refuses(t, acme, input("cus", card(amex)), "mine", normalize.ProviderUnavailable, normalize.NotSent)
		_, err := w.Change(t.Context(), acme, "mine", DeactivateInstrument{ins.ID})
		codeIs(t, err, normalize.IdempotencyKeyReused, normalize.NotSent)
		require.False(t, w.stores(t, acme, input("cus", card(amex)), "mine").Replayed)
	})
	t.Run("the change was first", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t)
		_, err := w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
		require.NoError(t, err)
		creates := w.a.count("create")
		for _, number := range []string{amex, mastercard} {
			for range 2 {
				f := w.refuses(t, acme, input("cus-"+number[:4], card(number)), "change", normalize.IdempotencyKeyReused, normalize.NotSent)
				require.Empty(t, f.Err.Fields[0].Pointer)
			}
		}
		require.Equal(t, creates, w.a.count("create"))
		out, err := w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
		require.NoError(t, err)
		require.True(t, out.Replayed, "the change keeps its key")
		// A day later the key is free again, for any create.
		w.store.expire("idem/")
		require.Equal(t, "cus-2", w.stores(t, acme, input("cus-2", card(amex)), "change").Instrument.CustomerID)
		require.Equal(t, creates+1, w.a.count("create"))
		requireIndexed(t, w)
		_, err = w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
		codeIs(t, err, normalize.IdempotencyKeyReused, normalize.NotSent) // and is a create's from then on
	})
	t.Run("both at the same time", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w, ins, _ := one(t)
			release := make(chan struct{})
			w.a.will("create", step{blocks: release})
			done := make(chan error)
			go func() {
				_, err := w.Create(t.Context(), acme, input("cus", card(amex)), "both")
				done <- err
			}()
			synctest.Wait()
			_, err := w.Change(t.Context(), acme, "both", DeactivateInstrument{ins.ID})
			codeIs(t, err, normalize.IdempotencyKeyReused, normalize.NotSent)
			close(release)
			require.NoError(t, <-done)
			require.Zero(t, w.a.count("deactivate"))
		})
	})
}

// requireIndexed checks that the indexes are those that the records ask for.
func requireIndexed(t *testing.T, w *world) {
	t.Helper()
	var want []Member
	for _, r := range w.store.records() {
		want = append(want, r.members()...)
	}
	require.ElementsMatch(t, want, w.store.indexed())
}

func TestOneKeyAtTheSameTimeChangesOnce(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	gateways := []*world{w, w.another()}
	var wg sync.WaitGroup
	answers, errs := make([]Changed, 100), make([]error, 100)
	for i := range answers {
		wg.Go(func() {
			answers[i], errs[i] = gateways[i%2].Change(t.Context(), acme, "change", changesOf(ins)["update"])
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for i, err := range errs {
		if err != nil {
			codeIs(t, err, normalize.IdempotencyKeyInUse, normalize.Unknown)
			continue
		}
		answers[i].Replayed = false
		seen[asJSON(t, answers[i])] = true
	}
	require.Len(t, seen, 1, "every answer is the same")
	require.Equal(t, 1, w.a.count("update"))
	require.Equal(t, 1, w.a.count("set_default"))
}

func TestAChangeThatIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, _ := one(t)
		release := make(chan struct{})
		w.a.will("deactivate", step{blocks: release})
		done := make(chan error)
		go func() {
			_, err := w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
			done <- err
		}()
		synctest.Wait()
		_, err := w.another().Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
		codeIs(t, err, normalize.IdempotencyKeyInUse, normalize.Unknown)
		require.Positive(t, asError(err).RetryAfter)
		_, err = w.another().Change(t.Context(), acme, "change", ActivateInstrument{ins.ID})
		codeIs(t, err, normalize.IdempotencyKeyReused, normalize.NotSent)
		close(release)
		require.NoError(t, <-done)
		require.Equal(t, 1, w.a.count("deactivate"))
	})
}

// The gateway dies between the attempt and its answer: before it did anything, when
// the provider has done its part, and when all is done but the answer is not saved.
func TestAChangeWhoseGatewayDiedGoesOn(t *testing.T) {
	t.Parallel()
	for name := range changesOf(normalize.Instrument{}) {
		for point, dead := range map[string]func(Write) bool{
			"the provider has done its part": func(w Write) bool { return !isKeyUse(w) || w.Expect > 0 },
			"all is done but the answer":     func(w Write) bool { return isKeyUse(w) && w.Expect > 0 },
		} {
			t.Run(name+": "+point, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w, ins, _ := one(t)
					c := changesOf(ins)[name]
					w.store.fail(func(_ int, w Write) fate {
						if dead(w) {
							return failsBefore
						}
						return works
					})
					_, err := w.Change(t.Context(), acme, "change", c)
					require.Error(t, err, "never a success that is not recorded")
					require.Equal(t, normalize.StoreUnavailable, normalize.CodeOf(err))
					w.store.fail(nil)
					updates := w.a.count("update")

					other := w.another()
					_, err = other.Change(t.Context(), acme, "change", c)
					codeIs(t, err, normalize.IdempotencyKeyInUse, normalize.Unknown)
					time.Sleep(untilLeaseEnds)
					out, err := other.Change(t.Context(), acme, "change", c)
					require.NoError(t, err)
					require.False(t, out.Replayed)
					again, err := other.Change(t.Context(), acme, "change", c)
					require.NoError(t, err)
					require.True(t, again.Replayed)
					again.Replayed = false
					require.Equal(t, asJSON(t, out), asJSON(t, again))
					require.Equal(t, updates, w.a.count("update"), "what the provider shows is not sent again")
					require.True(t, holdsWhat(t, w, ins, name))
				})
			})
		}
		t.Run(name+": nothing is done", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, ins, _ := one(t)
				c := changesOf(ins)[name]
				k := keyedChange{s: w.Service, tenant: acme, key: "change", change: c}
				now := w.clock.at(w.now())
				begun, err := newKeyUse(w.current(), changeDigest(w.current(), acme, c), now).begin("dead", now, w.lease)
				require.NoError(t, err)
				_, _, err = w.putKeyUse(t.Context(), storedKeyUse{entry: keyUseKey(w.current(), acme, k.key)}, begun)
				require.NoError(t, err)
				time.Sleep(untilLeaseEnds)
				_, err = w.Change(t.Context(), acme, "change", c)
				require.NoError(t, err)
				require.True(t, holdsWhat(t, w, ins, name))
			})
		})
	}
}

// holdsWhat reports whether the change of that name has been made.
func holdsWhat(t *testing.T, w *world, ins normalize.Instrument, name string) bool {
	t.Helper()
	read, err := w.Get(t.Context(), acme, ins.ID, false)
	switch name {
	case "update":
		require.NoError(t, err)
		return read.Instrument.Card.ExpYear == 2040 && read.Instrument.Default && read.Instrument.Metadata["n"] == "1"
	case "update of metadata":
		require.NoError(t, err)
		return len(read.Instrument.Metadata) == 0
	case "update of default":
		require.NoError(t, err)
		return read.Instrument.Default
	case "deactivate":
		require.NoError(t, err)
		return read.Instrument.Status == normalize.StatusDeactivated
	case "activate":
		require.NoError(t, err)
		return read.Instrument.Status == normalize.StatusActive
	case "delete":
		return normalize.CodeOf(err) == normalize.InstrumentDeleted && w.a.live() == 0
	default:
		c, err := w.GetCustomer(t.Context(), acme, "cus")
		require.NoError(t, err)
		return c.ProviderReferences["beta"] == "42"
	}
}

// A change of two calls whose second one failed is finished by the retry, although
// its own first half has moved the entity tag.
func TestTheSecondHalfOfAPatchIsMadeUp(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	c := changesOf(ins)["update"]
	w.a.will("set_default", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
	_, err := w.Change(t.Context(), acme, "change", c)
	codeIs(t, err, normalize.ProviderTimeout, normalize.Unknown)
	_, err = w.Change(t.Context(), acme, "change", c)
	require.NoError(t, err)
	require.Equal(t, 1, w.a.count("update"))
	require.Equal(t, 2, w.a.count("set_default"))
	require.True(t, holdsWhat(t, w, ins, "update"))
}

// What somebody else has changed meanwhile is not overwritten by a late retry.
func TestARetryInDoubtStillHoldsToItsIfMatch(t *testing.T) {
	t.Parallel()
	w, ins, ref := one(t)
	c := changesOf(ins)["update"]
	w.a.will("update", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
	_, err := w.Change(t.Context(), acme, "change", c)
	codeIs(t, err, normalize.ProviderTimeout, normalize.Unknown)
	_, err = w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2050)})
	require.NoError(t, err)
	_, err = w.Change(t.Context(), acme, "change", c)
	codeIs(t, err, normalize.VersionMismatch, normalize.Rejected)
	require.NotNil(t, ref)
}

func TestATokenThatAnEarlierAttemptMayHaveUsed(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	c := UpdateInstrument{ins.ID, normalize.UpdateInput{Source: new(visaToken("t"))}}
	w.a.will("update", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: true},
		step{err: failure(normalize.TokenAlreadyUsed, normalize.Rejected)})
	_, err := w.Change(t.Context(), acme, "change", c)
	codeIs(t, err, normalize.ProviderTimeout, normalize.Unknown)
	_, err = w.Change(t.Context(), acme, "change", c)
	codeIs(t, err, normalize.OutcomeUnknown, normalize.Unknown)
	w.a.will("update", step{err: failure(normalize.TokenAlreadyUsed, normalize.Rejected)})
	_, err = w.Change(t.Context(), acme, "first attempt", c)
	codeIs(t, err, normalize.TokenAlreadyUsed, normalize.Rejected)
}

// A gateway that comes back after its lease does not answer over the one that took over.
func TestAnOldOwnerGetsTheNewOnesAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, _ := one(t)
		c := DeactivateInstrument{ins.ID}
		slept := false
		w.store.fail(func(_ int, wr Write) fate {
			if isKeyUse(wr) && wr.Expect == 1 && !slept {
				slept = true
				return hangs
			}
			return works
		})
		var late Changed
		done := make(chan error)
		go func() {
			var err error
			late, err = w.Change(t.Context(), acme, "change", c)
			done <- err
		}()
		synctest.Wait()
		w.store.mu.Lock()
		w.store.clock = func() time.Time { return time.Now().Add(untilLeaseEnds) } // as if it had hung that long
		w.store.mu.Unlock()
		taken, err := w.another().Change(t.Context(), acme, "change", c)
		require.NoError(t, err)
		require.NoError(t, <-done)
		require.True(t, late.Replayed)
		late.Replayed = false
		require.Equal(t, asJSON(t, taken), asJSON(t, late))
	})
}

func TestAGatewayThatSleptAfterItsAttemptSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, _ := one(t)
		w.store.fail(func(n int, _ Write) fate {
			if n == 1 {
				time.Sleep(20 * time.Second) // stopped, or the store's answer was: its lease may soon be over
			}
			return works
		})
		_, err := w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
		codeIs(t, err, normalize.StoreUnavailable, normalize.NotSent)
		require.Zero(t, w.a.count("deactivate"))
		_, err = w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
		require.NoError(t, err, "the key is free at once")
	})
}

func TestAStoreThatFailsBeforeAChange(t *testing.T) {
	t.Parallel()
	for _, f := range []fate{failsBefore, failsAfter, hangs} {
		synctest.Test(t, func(t *testing.T) {
			w, ins, _ := one(t)
			w.store.fail(func(int, Write) fate { return f })
			_, err := w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
			codeIs(t, err, normalize.StoreUnavailable, normalize.NotSent)
			require.Zero(t, w.a.count("deactivate"), "nothing is sent before the attempt is durable")
		})
	}
}

func TestAKeyIsFoundAfterARotation(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	first, err := w.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
	require.NoError(t, err)
	rotated := w.another(func(c *Config) { c.Keys = testKeys("k2", "k1") })
	again, err := rotated.Change(t.Context(), acme, "change", DeactivateInstrument{ins.ID})
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, first.Instrument.ID, again.Instrument.ID)
	_, err = rotated.Change(t.Context(), acme, "change", ActivateInstrument{ins.ID})
	codeIs(t, err, normalize.IdempotencyKeyReused, normalize.NotSent)
	_, err = rotated.Create(t.Context(), acme, input("cus", card(amex)), "change")
	codeIs(t, err, normalize.IdempotencyKeyReused, normalize.NotSent)
}

func TestWhatAKeyCosts(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	none := w.store.counted(func() {
		_, err := w.Change(t.Context(), acme, "", UpdateInstrument{ins.ID, normalize.UpdateInput{ExpYear: new(2040)}})
		require.NoError(t, err)
	})
	require.Equal(t, 2, none)
	keyed := w.store.counted(func() {
		_, err := w.Change(t.Context(), acme, "change", UpdateInstrument{ins.ID, normalize.UpdateInput{ExpYear: new(2041)}})
		require.NoError(t, err)
	})
	require.Equal(t, none+2, keyed)
	create := w.store.counted(func() { w.stores(t, acme, input("cus", card(amex)), "create") })
	require.Equal(t, 2, create, "the key of a change is looked for in the round trip of the attempt")
}

func TestAKeyIsKeptForADayAndNeverInTheClear(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	const key = "a-key-that-must-not-be-stored"
	uses := 0
	w.store.fail(func(_ int, w Write) fate {
		require.NotContains(t, w.Key+string(w.Value), key)
		require.NotContains(t, string(w.Value), "2040", "only digests of a request")
		if isKeyUse(w) {
			uses++
			require.Equal(t, 24*time.Hour, w.TTL)
		} else {
			require.Zero(t, w.TTL)
		}
		return works
	})
	_, err := w.Change(t.Context(), acme, key, UpdateInstrument{ins.ID, normalize.UpdateInput{Metadata: map[string]*string{"2040": nil}}})
	require.NoError(t, err)
	require.Equal(t, 2, uses)
}

func TestAnInvalidChangeUsesNoKey(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	for _, c := range []Change{
		UpdateInstrument{ins.ID, normalize.UpdateInput{ExpMonth: new(13)}},
		UpdateInstrument{"x", normalize.UpdateInput{}},
		DeleteInstrument{"x", ScopeProvider},
		DeactivateInstrument{"x"},
		ActivateInstrument{"x"},
		PutCustomer{normalize.CustomerInput{ID: "c", ProviderReferences: map[string]string{"nowhere": "1"}}},
	} {
		require.Zero(t, w.store.counted(func() {
			_, err := w.Change(t.Context(), acme, "change", c)
			require.Error(t, err)
		}))
	}
}

func TestTransitionsOfAKey(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fresh := newKeyUse(testKeys("k1")[0], map[string]string{"route": "x"}, now)
	running, err := fresh.begin("a", now, time.Minute)
	require.NoError(t, err)
	require.Equal(t, keyRunning, running.State)
	require.False(t, running.Doubt)
	_, err = running.begin("b", now.Add(time.Minute-1), time.Minute)
	require.ErrorIs(t, err, errTransition)
	taken, err := running.begin("b", now.Add(time.Minute), time.Minute)
	require.NoError(t, err)
	require.True(t, taken.Doubt, "nobody knows what the lost owner did")
	require.Equal(t, running.Fence+1, taken.Fence)
	for outcome, want := range map[normalize.Outcome]struct {
		state keyState
		doubt bool
	}{
		normalize.Rejected: {keyDone, false}, normalize.NotSent: {keyOpen, false}, normalize.Unknown: {keyOpen, true}, normalize.Applied: {keyOpen, true},
	} {
		next, err := running.ended(Changed{}, failure(normalize.ProviderError, outcome))
		require.NoError(t, err)
		require.Equal(t, want.state, next.State, outcome)
		require.Equal(t, want.doubt, next.Doubt, outcome)
		require.Equal(t, want.state == keyDone, next.Answer != nil)
		require.True(t, next.LeaseEnd.IsZero())
		_, err = next.begin("c", now, time.Minute)
		require.Equal(t, want.state == keyDone, err != nil)
	}
	done, err := running.ended(Changed{Provider: "alpha"}, nil)
	require.NoError(t, err)
	require.Equal(t, keyDone, done.State)
	for _, k := range []keyUse{fresh, done} {
		_, err = k.ended(Changed{}, nil)
		require.ErrorIs(t, err, errTransition)
		_, err = k.refused()
		require.ErrorIs(t, err, errTransition)
	}
	refused, err := running.refused()
	require.NoError(t, err)
	require.False(t, keyOfChange([]Entry{{}, {Value: testSealer().encodeKeyUse("e", refused), Version: 2}}))
	for _, k := range []keyUse{running, done} {
		require.True(t, keyOfChange([]Entry{{}, {Value: testSealer().encodeKeyUse("e", k), Version: 2}}))
	}
}
