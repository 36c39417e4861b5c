package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// stores creates an instrument that must be stored.
func (w *world) stores(t *testing.T, tenant string, in normalize.CreateInput, key string) Created {
	t.Helper()
	out, err := w.Create(t.Context(), tenant, in, key)
	require.NoError(t, err)
	require.Nil(t, out.Operation)
	require.NotEmpty(t, out.Instrument.ID)
	return out
}

// refuses creates an instrument that must fail with a code and an outcome.
func (w *world) refuses(t *testing.T, tenant string, in normalize.CreateInput, key string, code normalize.Code, o normalize.Outcome) *refusal {
	t.Helper()
	out, err := w.Create(t.Context(), tenant, in, key)
	require.Error(t, err)
	require.Equal(t, Created{}, out)
	require.Equal(t, code, normalize.CodeOf(err), "%v", err)
	require.Equal(t, o, normalize.OutcomeOf(err), "%v", err)
	var f *Failure
	if !errors.As(err, &f) {
		return nil // it reached no record
	}
	return (*refusal)(f)
}

// refusal is a Failure that a test may ignore.
type refusal Failure

// pends creates an instrument whose outcome must be unknown.
func (w *world) pends(t *testing.T, in normalize.CreateInput, key string) Operation {
	t.Helper()
	out, err := w.Create(t.Context(), acme, in, key)
	require.NoError(t, err)
	require.NotNil(t, out.Operation)
	require.Empty(t, out.Instrument.ID, "never an instrument before it is recorded")
	return *out.Operation
}

func fullInput() normalize.CreateInput {
	in := input("cus-1", card(visa))
	in.BillingAddress = &normalize.Address{FirstName: "Ada", Country: "US"}
	in.Metadata = map[string]string{"a": "1", "b": "2"}
	in.Default, in.Currency, in.Country, in.Provider = true, "USD", "US", "alpha"
	return in
}

func TestTheSameKeyIsAnsweredTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld()
	first := w.stores(t, acme, fullInput(), "key")
	require.False(t, first.Replayed)
	for range 3 {
		again := w.stores(t, acme, fullInput(), "key")
		require.True(t, again.Replayed)
		require.Equal(t, first.Provider, again.Provider)
		require.Equal(t, asJSON(t, first.Instrument), asJSON(t, again.Instrument), "byte for byte")
	}
	require.Equal(t, 1, w.a.count("create"))
	require.Equal(t, 1, w.a.count("create_customer"))
}

func TestAnotherBodyUnderTheSameKeyIsRefusedByTheMemberThatDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.stores(t, acme, fullInput(), "key")
	for pointer, edit := range map[string]func(*normalize.CreateInput){
		"/customer_id":     func(in *normalize.CreateInput) { in.CustomerID = "cus-2" },
		"/sources/0":       func(in *normalize.CreateInput) { in.Sources[0].Card.ExpYear++ },
		"/sources/1":       func(in *normalize.CreateInput) { in.Sources = append(in.Sources, visaToken("t")) },
		"/billing_address": func(in *normalize.CreateInput) { in.BillingAddress.FirstName = "Bob" },
		"/metadata":        func(in *normalize.CreateInput) { in.Metadata["a"] = "2" },
		"/default":         func(in *normalize.CreateInput) { in.Default = false },
		"/currency":        func(in *normalize.CreateInput) { in.Currency = "EUR" },
		"/country":         func(in *normalize.CreateInput) { in.Country = "DE" },
		"/provider":        func(in *normalize.CreateInput) { in.Provider = "" },
	} {
		t.Run(pointer, func(t *testing.T) {
			t.Parallel()
			in := fullInput()
			edit(&in)
			f := w.refuses(t, acme, in, "key", normalize.IdempotencyKeyReused, normalize.NotSent)
			require.Equal(t, pointer, f.Err.Fields[0].Pointer)
			require.NotContains(t, f.Err.Error(), visa)
		})
	}
	t.Run("the security code is no difference", func(t *testing.T) {
		t.Parallel()
		in := fullInput()
		in.Sources[0].Card.CVC = normalize.NewSecret("999")
		require.True(t, w.stores(t, acme, in, "key").Replayed)
	})
	t.Run("another tenant's key is another key", func(t *testing.T) {
		t.Parallel()
		out := w.stores(t, loose, input("cus-9", card(amex)), "key")
		require.False(t, out.Replayed)
		_, err := w.Get(t.Context(), acme, out.Instrument.ID, true)
		require.Equal(t, normalize.NotFound, normalize.CodeOf(err))
	})
}

func TestOneKeyAtTheSameTimeStoresOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	gateways := []*world{w, w.another()}
	var wg sync.WaitGroup
	results := make([]error, 100)
	for i := range results {
		wg.Go(func() {
			_, results[i] = gateways[i%2].Create(t.Context(), acme, input("cus", card(visa)), "key")
		})
	}
	wg.Wait()
	for _, err := range results {
		if err != nil {
			require.Equal(t, normalize.IdempotencyKeyInUse, normalize.CodeOf(err))
		}
	}
	require.Equal(t, 1, w.a.count("create"))
	require.Equal(t, 1, w.a.live())
	require.True(t, w.stores(t, acme, input("cus", card(visa)), "key").Replayed)
}

func TestARejectionIsSavedAndReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld()
	declined := failure(normalize.CardDeclined, normalize.Rejected)
	declined.Fields = []normalize.FieldError{{Pointer: "/source/number", Code: normalize.CardDeclined, Message: "declined"}}
	declined.ProviderCode, declined.HTTPStatus, declined.RequestID = "X1", 422, "req-1"
	w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
	w.b.will("create", step{err: declined})
	in := input("cus", visaToken("t"), card(visa))
	in.Sources[0].Type = normalize.SourceTransientToken // nobody here accepts it
	in.Sources[0].RebillyToken, in.Sources[0].TransientToken = nil, &normalize.TransientTokenSource{TransientToken: normalize.NewSecret("a.b.c")}

	first := w.refuses(t, acme, in, "key", normalize.CardDeclined, normalize.Rejected)
	require.Equal(t, "/sources/1/number", first.Err.Fields[0].Pointer, "the source that was used")
	require.Equal(t, "beta", first.Err.Provider)
	again := w.refuses(t, acme, in, "key", normalize.CardDeclined, normalize.Rejected)
	require.True(t, again.Replayed)
	require.Equal(t, first.Attempts, again.Attempts)
	require.Len(t, again.Attempts, 2)
	again.Replayed = false
	require.Equal(t, first, again)
	require.Equal(t, 1, w.b.count("create"))
	op, err := w.Operation(t.Context(), acme, first.OperationID)
	require.NoError(t, err)
	require.Equal(t, StateFailed, op.State)
	require.Equal(t, normalize.Rejected, op.Outcome)
}

func TestOnlyWhatWasProvablyNotSentGoesToTheNextProvider(t *testing.T) {
	t.Parallel()
	for outcome, next := range map[normalize.Outcome]int{
		normalize.NotSent: 1, normalize.Rejected: 0, normalize.Unknown: 0, normalize.Applied: 0, "": 0,
	} {
		for op, steps := range map[string][]step{
			"before its effect": {{err: failure(normalize.ProviderError, outcome)}},
			"after its effect":  {{err: failure(normalize.ProviderError, outcome), commits: true}},
		} {
			t.Run(fmt.Sprintf("%q %s", outcome, op), func(t *testing.T) {
				t.Parallel()
				w := newWorld()
				w.a.will("create", steps...)
				out, err := w.Create(t.Context(), acme, input("cus", card(visa)), "key")
				require.Equal(t, next, w.b.count("create"))
				switch outcome {
				case normalize.NotSent:
					require.NoError(t, err)
					require.Equal(t, "beta", out.Provider)
				case normalize.Rejected:
					require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
				default:
					require.NoError(t, err)
					if op == "after its effect" {
						require.Nil(t, out.Operation, "the look-up found it")
						require.Equal(t, "alpha", out.Provider)
						require.False(t, out.Replayed)
						break
					}
					require.Equal(t, StateUnknown, out.Operation.State)
					require.Equal(t, normalize.Unknown, out.Operation.Attempts[0].Outcome)
				}
			})
		}
	}
	t.Run("an error of another type proves nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.a.will("create", step{err: errForeign})
		require.Equal(t, StateUnknown, w.pends(t, input("cus", card(visa)), "key").State)
		require.Zero(t, w.b.count("create"))
	})
	t.Run("making the customer is no effect that matters", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.a.will("create_customer", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: true})
		require.Equal(t, "beta", w.stores(t, acme, input("cus", card(visa)), "key").Provider)
		require.Zero(t, w.a.count("create"))
	})
}

func TestAProviderThatCannotBeAskedIsPassedOver(t *testing.T) {
	t.Parallel()
	t.Run("its breaker is open", func(t *testing.T) {
		t.Parallel()
		w := newWorld(func(c *Config) { c.Providers[0].Breaker.ConsecutiveFailures = 1 })
		w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
		require.Equal(t, "beta", w.stores(t, acme, input("cus", card(visa)), "first").Provider)
		require.Equal(t, "beta", w.stores(t, acme, input("cus", card(mastercard)), "second").Provider)
		require.Equal(t, 1, w.a.count("create"))
	})
	t.Run("its bulkhead is full", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(func(c *Config) { c.Providers[0].MaxInFlight = 1 })
			release := make(chan struct{})
			w.a.will("create", step{blocks: release})
			done := make(chan error)
			go func() {
				_, err := w.Create(t.Context(), acme, input("cus", card(visa)), "slow")
				done <- err
			}()
			synctest.Wait()
			require.Equal(t, "beta", w.stores(t, acme, input("cus", card(mastercard)), "key").Provider)
			require.Equal(t, 1, w.a.count("create"))
			close(release)
			require.NoError(t, <-done)
		})
	})
	t.Run("none can be asked", func(t *testing.T) {
		t.Parallel()
		w := newWorld(func(c *Config) { c.Providers[0].Disabled, c.Providers[1].Disabled = true, true })
		f := w.refuses(t, acme, input("cus", card(visa)), "key", normalize.NoEligibleProvider, normalize.NotSent)
		require.Len(t, f.Attempts, 2)
		require.Empty(t, w.store.records(), "nothing was written")
	})
}

func TestWhatWasNotSentMayBeTriedAgainWithTheSameKey(t *testing.T) {
	t.Parallel()
	w := newWorld(alone)
	for range 40 {
		w.a.will("create", step{err: &normalize.Error{Code: normalize.ProviderRateLimited, Outcome: normalize.NotSent}})
		f := w.refuses(t, acme, input("cus", card(visa)), "key", normalize.ProviderRateLimited, normalize.NotSent)
		op, err := w.Operation(t.Context(), acme, f.OperationID)
		require.NoError(t, err)
		require.Equal(t, normalize.NotSent, op.Outcome)
		require.LessOrEqual(t, len(op.Attempts), maxAttempts)
	}
	out := w.stores(t, acme, input("cus", card(visa)), "key")
	require.False(t, out.Replayed)
	require.Equal(t, 1, w.a.live())
}

// cannotBeAsked is a provider that cannot say what it has.
func cannotBeAsked() step { return step{err: failure(normalize.ProviderError, normalize.Unknown)} }

func TestAnUnknownOutcomeIsAnOperationAndIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.a.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: true})
	w.a.will("list", cannotBeAsked(), cannotBeAsked())
	first := w.pends(t, input("cus", card(visa)), "key")
	again := w.pends(t, input("cus", card(visa)), "key")
	require.Equal(t, first, again)
	byKey, err := w.OperationByKey(t.Context(), acme, "key")
	require.NoError(t, err)
	require.Equal(t, first, byKey)
	require.Equal(t, 1, w.a.count("create"))
	_, err = w.Get(t.Context(), acme, first.ID, false)
	require.Equal(t, normalize.NotFound, normalize.CodeOf(err), "it is no instrument yet")
	_, err = w.Operation(t.Context(), loose, first.ID)
	require.Equal(t, normalize.NotFound, normalize.CodeOf(err), "another tenant's operation")
}

func TestAStoreThatFails(t *testing.T) {
	t.Parallel()
	from := func(n int, f fate) func(int, Write) fate {
		return func(i int, _ Write) fate {
			if i >= n {
				return f
			}
			return works
		}
	}
	t.Run("before the attempt: nothing is sent", func(t *testing.T) {
		t.Parallel()
		for _, f := range []fate{failsBefore, failsAfter, hangs} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.store.fail(from(1, f))
				w.refuses(t, acme, input("cus", card(visa)), "key", normalize.StoreUnavailable, normalize.NotSent)
				require.Zero(t, w.a.count("create")+w.a.count("create_customer")+w.b.count("create"))
				w.store.fail(nil)
				require.Zero(t, w.Providers()[0].Classes["write"].InFlight)
			})
		}
	})
	t.Run("when its clock is asked: nothing is sent", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.store.onLoad = func(int, []string) error { return errInjected }
		w.refuses(t, acme, input("cus", card(visa)), "key", normalize.StoreUnavailable, normalize.NotSent)
		require.Zero(t, w.a.count("create"))
	})
	t.Run("after the provider stored it: an operation, never an instrument", func(t *testing.T) {
		t.Parallel()
		for _, f := range []fate{failsBefore, failsAfter, hangs} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.stores(t, acme, input("cus", card(mastercard)), "makes the customer")
				w.store.fail(from(2, f))
				op := w.pends(t, input("cus", card(visa)), "key")
				require.Equal(t, normalize.Unknown, op.Outcome)
				w.store.fail(nil)
				if f == failsAfter {
					require.True(t, w.stores(t, acme, input("cus", card(visa)), "key").Replayed)
				} else {
					w.refuses(t, acme, input("cus", card(visa)), "key", normalize.IdempotencyKeyInUse, normalize.Unknown)
					time.Sleep(untilLeaseEnds)
					require.Equal(t, op.ID, w.stores(t, acme, input("cus", card(visa)), "key").Instrument.ID, "it is found at the provider")
				}
				require.Equal(t, 2, w.a.count("create"))
			})
		}
	})
	t.Run("for one answer only: the write is made again and applied once", func(t *testing.T) {
		t.Parallel()
		for n := 1; n <= 5; n++ {
			for _, f := range []fate{failsBefore, failsAfter} {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld()
					w.store.fail(func(i int, _ Write) fate {
						if i == n {
							return f
						}
						return works
					})
					w.stores(t, acme, input("cus", card(visa)), "key")
					require.Equal(t, 1, w.a.live())
					require.Len(t, w.a.customers, 1)
				})
			}
		}
	})
	t.Run("while a rejection is written: the rejection is answered all the same", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.stores(t, acme, input("cus", card(mastercard)), "makes the customer")
		w.store.fail(from(2, failsBefore))
		w.a.will("create", step{err: failure(normalize.CardDeclined, normalize.Rejected)})
		w.refuses(t, acme, input("cus", card(visa)), "key", normalize.CardDeclined, normalize.Rejected)
	})
	t.Run("so slowly that the lease would be over: nothing is sent", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(func(c *Config) { c.Lease = 11 * time.Second })
			w.store.fail(func(i int, _ Write) fate {
				if i == 1 {
					return hangs // 5 s, and then it works
				}
				return works
			})
			w.refuses(t, acme, input("cus", card(visa)), "key", normalize.StoreUnavailable, normalize.NotSent)
			require.Zero(t, w.a.count("create"))
			w.stores(t, acme, input("cus", card(visa)), "key")
			require.Equal(t, 1, w.a.live())
		})
	})
}

func TestAClientThatHangsUpLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		release := make(chan struct{})
		w.a.will("create", step{blocks: release})
		ctx, hangUp := context.WithCancel(t.Context())
		done := make(chan Created)
		go func() {
			out, _ := w.Create(ctx, acme, input("cus", card(visa)), "key")
			done <- out
		}()
		synctest.Wait()
		hangUp()
		synctest.Wait()
		close(release)
		require.NotEmpty(t, (<-done).Instrument.ID)
		require.True(t, w.stores(t, acme, input("cus", card(visa)), "key").Replayed)
	})
}

func TestAnAdapterThatPanicsProvesNothingAndHoldsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) { c.Providers[0].MaxInFlight, c.Providers[0].Breaker.ConsecutiveFailures = 1, 100 })
	w.a.will("create", step{panics: true})
	require.Equal(t, StateUnknown, w.pends(t, input("cus", card(visa)), "key").State)
	require.Zero(t, w.Providers()[0].Classes["write"].InFlight)
	require.Equal(t, "alpha", w.stores(t, acme, input("cus", card(mastercard)), "next").Provider)
	_, err := call(t.Context(), w.providers["alpha"], w.providers["alpha"].write, "create", func(context.Context) (int, error) { panic(visa) })
	require.Error(t, err)
	require.NotContains(t, err.Error(), visa, "a panic's text may hold anything")
}

func TestRawNumbersAreRefusedUnlessTheTenantAcceptsThem(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, tenant := range []string{shy, "unheard of", "unheard of as well"} {
		w.refuses(t, tenant, input("cus", card(visa)), "key", normalize.RawCardNotAccepted, normalize.NotSent)
		out := w.stores(t, tenant, input("cus", visaToken("t")), "key")
		require.Equal(t, "alpha", out.Provider)
	}
	require.Len(t, w.a.customers, 3, "two tenants never share a customer, configured or not")
}

func TestReplaysWorkWhileEveryProviderIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld()
	stored := w.stores(t, acme, input("cus", card(visa)), "stored")
	w.a.will("create", step{err: failure(normalize.CardDeclined, normalize.Rejected)})
	w.refuses(t, acme, input("cus", card(mastercard)), "declined", normalize.CardDeclined, normalize.Rejected)
	w.a.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
	w.pends(t, input("cus", card(amex)), "unknown")

	down := w.another(func(c *Config) { c.Providers[0].Disabled, c.Providers[1].Disabled = true, true })
	again := down.stores(t, acme, input("cus", card(visa)), "stored")
	require.Equal(t, asJSON(t, stored.Instrument), asJSON(t, again.Instrument))
	require.True(t, down.refuses(t, acme, input("cus", card(mastercard)), "declined", normalize.CardDeclined, normalize.Rejected).Replayed)
	down.pends(t, input("cus", card(amex)), "unknown")
	down.refuses(t, acme, input("cus", card(amex)), "stored", normalize.IdempotencyKeyReused, normalize.NotSent)
	down.refuses(t, acme, input("cus", card(amex)), "new", normalize.NoEligibleProvider, normalize.NotSent)
}

func TestAnIDIsFoundAfterTheReferenceKeyChanged(t *testing.T) {
	t.Parallel()
	w := newWorld()
	first := w.stores(t, acme, input("cus", card(visa)), "key")
	after := w.another(func(c *Config) { c.Keys = testKeys("k2", "k1") })
	again := after.stores(t, acme, input("cus", card(visa)), "key")
	require.True(t, again.Replayed)
	require.Equal(t, first.Instrument.ID, again.Instrument.ID)
	after.refuses(t, acme, input("cus", card(amex)), "key", normalize.IdempotencyKeyReused, normalize.NotSent)
	op, err := after.OperationByKey(t.Context(), acme, "key")
	require.NoError(t, err)
	require.Equal(t, first.Instrument.ID, op.ID)
	t.Run("and so is the number", func(t *testing.T) {
		t.Parallel()
		same := after.stores(t, acme, input("cus", card(visa)), "other key")
		require.True(t, same.Deduplicated)
		require.Equal(t, first.Instrument.ID, same.Instrument.ID)
		require.Equal(t, 1, w.a.live())
	})
}

func TestEachProviderGetsTheFirstSourceThatItAccepts(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w2 := w.another(func(c *Config) { c.Providers[1].Adapter = tokensOnly{w.b} })
	rejected := failure(normalize.TokenExpired, normalize.Rejected)
	rejected.Fields = []normalize.FieldError{{Pointer: "/source/token", Code: normalize.TokenExpired}, {Pointer: "/source", Code: normalize.TokenExpired}, {Pointer: "/billing_address/city", Code: normalize.InvalidField}}
	w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
	w.b.will("create", step{err: rejected})
	f := w2.refuses(t, acme, input("cus", card(visa), visaToken("t")), "key", normalize.TokenExpired, normalize.Rejected)
	require.Equal(t, "/sources/1/token", f.Err.Fields[0].Pointer)
	require.Equal(t, "/sources/1", f.Err.Fields[1].Pointer)
	require.Equal(t, "/billing_address/city", f.Err.Fields[2].Pointer)
	w2.stores(t, acme, input("cus", card(visa), visaToken("t")), "key 2")
	require.Equal(t, normalize.SourceCard, w.a.creates[0].Source.Type)
}

func TestACreateOfAKnownCustomerIsTwoRoundTrips(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.stores(t, acme, input("cus", card(visa)), "first")
	require.Equal(t, 2, w.store.counted(func() { w.stores(t, acme, input("cus", card(mastercard)), "second") }))
	require.Equal(t, 1, w.store.counted(func() { w.stores(t, acme, input("cus", card(mastercard)), "second") }), "a replay")
}

func TestNoNumberIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.stores(t, acme, fullInput(), "key")
	w.a.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
	w.pends(t, input("cus", card(amex)), "key 2")
	for key := range w.store.entries {
		require.NotContains(t, w.store.raw(key), visa)
		require.NotContains(t, w.store.raw(key), amex)
	}
	for claim := range w.store.claims {
		require.NotContains(t, claim, visa)
	}
}

func TestTheIndexesAreWhatTheRecordsSay(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.stores(t, acme, fullInput(), "a")
	w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
	w.stores(t, acme, input("cus", card(mastercard)), "b")
	w.a.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
	w.pends(t, input("cus", card(amex)), "c")
	w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
	w.b.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
	w.refuses(t, acme, input("cus", visaToken("t")), "d", normalize.NoEligibleProvider, normalize.NotSent)
	gone := w.stores(t, acme, input("cus", visaToken("u")), "e")
	require.NoError(t, w.Delete(t.Context(), acme, gone.Instrument.ID, ScopeProvider))
	w.stores(t, acme, fullInput(), "f") // an alias
	var want []Member
	for _, r := range w.store.records() {
		want = append(want, r.members()...)
	}
	require.ElementsMatch(t, want, w.store.indexed())
}

var _ adapters.Locator = (*fake)(nil)
