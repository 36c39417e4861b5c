package gateway

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// twice is a card at alpha that is mirrored at beta; the tests go on once both
// providers are sure to show it.
func twice(t *testing.T) (w *world, ins normalize.Instrument) {
	t.Helper()
	w = newWorld(func(c *Config) {
		c.Routes = []Route{{Name: "all", Providers: []string{"alpha"}, Mirrors: []string{"beta"}}}
	})
	in := input("cus", card(visa))
	in.BillingAddress = &normalize.Address{City: "Graz", Line1: "Ring 1"}
	ins = w.stores(t, acme, in, "key").Instrument
	require.Len(t, ins.ProviderTokens, 2)
	require.Equal(t, normalize.StatusActive, ins.ProviderTokens[1].Status)
	time.Sleep(time.Minute)
	return w, ins
}

// changes counts what was written, here and at the providers.
func (w *world) changes() int {
	n := w.store.trips["write"]
	for _, f := range []*fake{w.a, w.b} {
		for _, op := range []string{"create", "create_customer", "update", "set_default", "deactivate", "delete"} {
			n += f.count(op)
		}
	}
	return n
}

func (w *world) syncs(t *testing.T, in SyncInput) DriftPage {
	t.Helper()
	before := w.changes()
	page, err := w.Sync(t.Context(), acme, in)
	require.NoError(t, err)
	n := page.Counts
	require.Equal(t, n.Compared, n.InStep+n.Differing+n.Absent+n.Unreachable+n.UnknownHere)
	require.Len(t, page.Data, n.Compared-n.InStep)
	if !in.Repair {
		require.Equal(t, before, w.changes(), "a report changes nothing")
		require.Zero(t, n.Repaired)
	}
	return page
}

// found says what a page reports, in short.
func found(page DriftPage) []string {
	out := []string{}
	for _, d := range page.Data {
		s := fmt.Sprint(d.Provider, " ", d.State)
		for _, diff := range d.Differences {
			s += fmt.Sprint(" ", diff.Field, ":", diff.Here, ">", diff.There)
		}
		if d.Repaired {
			s += " repaired"
		}
		if d.ErrorCode != "" {
			s += " " + string(d.ErrorCode)
		}
		out = append(out, s)
	}
	return out
}

// settles lets the reconciler do what is due.
func (w *world) settles(t *testing.T) {
	t.Helper()
	for range 5 {
		time.Sleep(untilLeaseEnds)
		require.NoError(t, w.swept(t.Context()))
	}
}

// drifts goes through a report, its repair, and a report after that. ways are the
// selections that must all say the same.
func (w *world) drifts(t *testing.T, report, repair, after []string) {
	t.Helper()
	cus := SyncInput{CustomerID: "cus"}
	require.Equal(t, report, found(w.syncs(t, cus)))
	require.ElementsMatch(t, report, append(found(w.syncs(t, SyncInput{Provider: "alpha"})), found(w.syncs(t, SyncInput{Provider: "beta"}))...))
	cus.Repair = true
	require.Equal(t, repair, found(w.syncs(t, cus)))
	w.settles(t)
	cus.Repair = false
	require.Equal(t, after, found(w.syncs(t, cus)))
}

func none() []string { return []string{} }

func TestWhatIsInStepIsCountedOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _ := twice(t)
		page := w.syncs(t, SyncInput{CustomerID: "cus"})
		require.Equal(t, DriftPage{Data: []Drift{}, Counts: DriftCounts{Instruments: 1, Compared: 2, InStep: 2}}, page)
		require.Zero(t, w.a.count("get")+w.b.count("get"), "one list a customer is cheaper")
		require.Equal(t, DriftCounts{Instruments: 1, Compared: 1, InStep: 1}, w.syncs(t, SyncInput{Provider: "beta"}).Counts)
		before := w.changes()
		w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})
		require.Equal(t, before, w.changes(), "and there is nothing to repair")
		other, err := w.Sync(t.Context(), loose, SyncInput{Provider: "alpha"})
		require.NoError(t, err)
		require.Zero(t, other.Counts, "another tenant's are nobody's business")
	})
}

func TestTheRecordFollowsItsPrimary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		w.a.change(ins.ProviderTokens[0].References, func(i *adapters.Instrument) {
			i.Card.ExpMonth, i.Card.ExpYear, i.BillingAddress = 1, 2035, &normalize.Address{City: "Wien", Line1: "Ring 1"}
		})
		w.drifts(t,
			[]string{"alpha present card.exp_month:12>1 card.exp_year:2031>2035 billing_address.city:Graz>Wien"},
			[]string{
				"alpha present card.exp_month:12>1 card.exp_year:2031>2035 billing_address.city:Graz>Wien repaired",
				"beta present card.exp_month:1>12 card.exp_year:2035>2031 billing_address.city:Wien>Graz repaired",
			}, none())
		read, err := w.Get(t.Context(), acme, ins.ID, true)
		require.NoError(t, err)
		require.Equal(t, 2035, read.Instrument.Card.ExpYear)
		require.Equal(t, 2035, w.b.held["i1"].Card.ExpYear, "and the mirror was brought to it")
		require.Equal(t, "Wien", w.b.held["i1"].BillingAddress.City)
	})
}

func TestAMirrorIsBroughtBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		w.b.change(ins.ProviderTokens[1].References, func(i *adapters.Instrument) { i.Card.ExpYear = 2030 })
		w.drifts(t, []string{"beta present card.exp_year:2031>2030"}, []string{"beta present card.exp_year:2031>2030 repaired"}, none())
		require.Equal(t, 2031, w.b.held["i1"].Card.ExpYear)
		require.Equal(t, 2031, w.a.held["i1"].Card.ExpYear)
	})
}

func TestAMirrorThatCannotFollowIsReportedUntilItDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		w.b.change(ins.ProviderTokens[1].References, func(i *adapters.Instrument) { i.Card.ExpYear = 2030 })
		unsupported := step{err: failure(normalize.UnsupportedOperation, normalize.NotSent)}
		w.b.will("update", unsupported, unsupported) // as a whole, and in parts
		w.drifts(t, []string{"beta present card.exp_year:2031>2030"}, []string{"beta present card.exp_year:2031>2030 repaired"},
			[]string{"beta present card.exp_year:2031>2030 unsupported_operation"})
		updates := w.b.count("update")
		require.Equal(t, []string{"beta present card.exp_year:2031>2030 unsupported_operation"}, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})))
		w.settles(t)
		require.Equal(t, updates, w.b.count("update"), "what was refused for good is not tried again")

		w.b.change(ins.ProviderTokens[1].References, func(i *adapters.Instrument) { i.Card.ExpYear = 2031 })
		w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})
		recs, err := w.load(t.Context(), "test", ins.ID)
		require.NoError(t, err)
		require.Nil(t, recs[0].Tokens[1].Behind, "somebody has done it by hand")
	})
}

// A provider that keeps no expiry date is given the address all the same.
func TestAMirrorIsGivenWhatItCanKeep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		ref := ins.ProviderTokens[1].References
		unsupported := step{err: failure(normalize.UnsupportedOperation, normalize.NotSent)}
		w.b.change(ref, func(i *adapters.Instrument) {
			i.Card.ExpYear, i.BillingAddress = 2030, &normalize.Address{City: "Wien", Line1: "Ring 1"}
		})
		w.b.will("update", unsupported, step{}, unsupported) // all of it, the address, the date
		w.drifts(t, []string{"beta present card.exp_year:2031>2030 billing_address.city:Graz>Wien"},
			[]string{"beta present card.exp_year:2031>2030 billing_address.city:Graz>Wien repaired"},
			[]string{"beta present card.exp_year:2031>2030 unsupported_operation"})
		w.b.change(ref, func(i *adapters.Instrument) {
			i.Card.ExpYear, i.BillingAddress = 2031, &normalize.Address{City: "Linz", Line1: "Ring 1"}
		})
		w.b.will("update", unsupported, step{}, unsupported) // all of it, the address, the date
		require.Equal(t, []string{"beta present billing_address.city:Graz>Linz repaired"}, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})))
		w.settles(t)
		require.Empty(t, found(w.syncs(t, SyncInput{CustomerID: "cus"})))
	})
}

func TestAMirrorOfAnotherCardIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		w.b.change(ins.ProviderTokens[1].References, func(i *adapters.Instrument) { i.Card.Last4, i.Card.ExpYear = "4444", 2030 })
		same := "beta present card.last4:1111>4444 card.exp_year:2031>2030"
		w.drifts(t, []string{same}, []string{same + " conflict"}, []string{same})
		require.Equal(t, 2030, w.b.held["i1"].Card.ExpYear, "its date is not this card's")
	})
}

func TestAMirrorThatWasDeactivatedThereIsNotChargedAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		w.b.change(ins.ProviderTokens[1].References, func(i *adapters.Instrument) { i.Status = normalize.StatusDeactivated })
		w.drifts(t, []string{"beta present status:active>deactivated"}, []string{"beta present status:active>deactivated repaired"}, none())
		out, err := w.Resolve(t.Context(), acme, ins.ID, ResolveInput{})
		require.NoError(t, err)
		require.Equal(t, []NotChargeable{{Provider: "beta", Role: normalize.RoleMirror, Reason: ExcludedDeactivated}}, out.Excluded)
	})
}

func TestWhatIsAbsentIsMarkedAndComesBack(t *testing.T) {
	t.Parallel()
	for i, provider := range []string{"alpha", "beta"} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, ins := twice(t)
				f, ref := []*fake{w.a, w.b}[i], ins.ProviderTokens[i].References
				gone := f.held[ref["instrument"]]
				f.lose(ref)
				w.drifts(t, []string{provider + " absent"}, []string{provider + " absent repaired"}, none())
				require.Equal(t, 0, f.count("delete"))
				read, err := w.Get(t.Context(), acme, ins.ID, true)
				require.NoError(t, err, "the record is not deleted")
				require.Equal(t, normalize.StatusFailed, read.Instrument.ProviderTokens[i].Status)
				out, err := w.Resolve(t.Context(), acme, ins.ID, ResolveInput{})
				require.NoError(t, err)
				require.Equal(t, ExcludedTokenFailed, out.Excluded[0].Reason)
				require.Len(t, out.Candidates, 1)

				f.held[ref["instrument"]] = gone
				w.drifts(t, []string{provider + " present status:failed>active"}, []string{provider + " present status:failed>active repaired"}, none())
				out, err = w.Resolve(t.Context(), acme, ins.ID, ResolveInput{})
				require.NoError(t, err)
				require.Empty(t, out.Excluded)
			})
		})
	}
}

// What a list leaves out may be there all the same: at another customer, since two
// were merged, or past the end of what is read.
func TestWhatAListLeavesOutIsAskedForByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		w.a.change(ins.ProviderTokens[0].References, func(i *adapters.Instrument) { i.Customer = "merged" })
		before := w.changes()
		require.Empty(t, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})))
		require.Equal(t, before, w.changes())
		require.Equal(t, 1, w.a.count("get"))
	})
}

// A provider may need a moment to show what it has just stored.
func TestWhatWasJustSeenIsNotMarkedAsAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		w.a.lose(ins.ProviderTokens[0].References)
		before := w.changes()
		require.Equal(t, []string{"alpha absent"}, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})))
		require.Equal(t, before, w.changes())
		time.Sleep(3 * time.Second)
		require.Equal(t, []string{"alpha absent repaired"}, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})))
	})
}

// Nothing is changed because a provider could not be asked, whatever its answer looks like.
func TestNothingIsChangedBecauseAProviderIsUnreachable(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		list, get error
		code      normalize.Code
	}{
		"no answer":                      {list: failure(normalize.ProviderTimeout, normalize.Unknown), code: normalize.ProviderTimeout},
		"our credentials":                {list: failure(normalize.ProviderMisconfigured, normalize.Rejected), code: normalize.ProviderMisconfigured},
		"an error of another type":       {list: errForeign, code: normalize.ProviderError},
		"its rate limit":                 {list: failure(normalize.ProviderRateLimited, normalize.NotSent), code: normalize.ProviderRateLimited},
		"a list that says 404, and then": {list: failure(normalize.NotFound, normalize.Rejected), get: failure(normalize.ProviderError, normalize.Unknown), code: normalize.ProviderError},
		"a 404 that is not its own": {
			list: failure(normalize.NotFound, normalize.Rejected), get: failure(normalize.NotFound, normalize.Unknown), code: normalize.NotFound,
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, ins := twice(t)
				w.a.change(ins.ProviderTokens[0].References, func(i *adapters.Instrument) { i.Card.ExpYear = 2035 })
				w.b.change(ins.ProviderTokens[1].References, func(i *adapters.Instrument) { i.Card.ExpYear = 2035 })
				before := w.changes()
				for _, f := range []*fake{w.a, w.b} {
					f.will("list", step{err: c.list}, step{err: c.list})
					if c.get != nil {
						f.will("get", step{err: c.get}, step{err: c.get})
					}
				}
				for _, repair := range []bool{false, true} {
					page := w.syncs(t, SyncInput{CustomerID: "cus", Repair: repair})
					require.Equal(t, []string{"alpha unreachable " + string(c.code), "beta unreachable " + string(c.code)}, found(page))
				}
				require.Equal(t, before, w.changes())
			})
		})
	}
	t.Run("a provider that is not configured any more", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w, _ := twice(t)
			w = w.another(func(c *Config) { c.Providers, c.Routes = c.Providers[1:], nil })
			require.Equal(t, []string{"alpha unreachable provider_unavailable"}, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})))
		})
	})
}

func TestWhatNoRecordHasIsAdopted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		behind := w.a.put(ins.ProviderTokens[0].References["customer"])
		w.a.put("somebody else")
		w.drifts(t, []string{"alpha unknown_here"}, []string{"alpha unknown_here repaired"}, none())
		all := walkAll(t, w, ListInput{Filter: []normalize.Clause{{Field: "customer_id", Values: []string{"cus"}}}})
		require.Len(t, all, 2)
		require.Equal(t, behind, all[0].ProviderTokens[0].References)

		old := w.a.put(ins.ProviderTokens[0].References["customer"])
		w.a.change(old, func(i *adapters.Instrument) { i.Status = normalize.StatusDeactivated })
		require.Empty(t, found(w.syncs(t, SyncInput{CustomerID: "cus"})), "what was deactivated before it was known is history")
	})
}

func TestACustomerWithoutRecordsIsLookedAtToo(t *testing.T) {
	t.Parallel()
	w := newWorld()
	_, _, err := w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "new", ProviderReferences: map[string]string{"alpha": "c9", "beta": "c9"}})
	require.NoError(t, err)
	w.a.put("c9")
	w.b.will("list", cannotBeAsked())
	require.Equal(t, []string{"alpha unknown_here", "beta unreachable provider_error"}, found(w.syncs(t, SyncInput{CustomerID: "new"})))
	page := w.syncs(t, SyncInput{CustomerID: "new", Repair: true})
	require.Equal(t, []string{"alpha unknown_here repaired"}, found(page))
	require.NotNil(t, page.Data[0].InstrumentID)
	require.Empty(t, found(w.syncs(t, SyncInput{CustomerID: "new"})))
}

// While a create of the customer is open, what no record has may be that one's.
func TestNothingIsAdoptedWhileACreateIsOpen(t *testing.T) {
	t.Parallel()
	w, _, _ := one(t)
	w.a.will("create", step{err: failure(normalize.ProviderTimeout, normalize.Unknown), commits: true})
	w.a.will("list", cannotBeAsked())
	w.pends(t, input("cus", card(mastercard)), "open")
	require.Equal(t, []string{"alpha unknown_here conflict"}, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})))
}

// What was forgotten here on purpose, and is still at the provider, is not adopted.
func TestWhatWasForgottenIsNotAdopted(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	require.NoError(t, w.Delete(t.Context(), acme, ins.ID, ScopeGateway))
	require.Equal(t, []string{"alpha unknown_here conflict"}, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})))
	require.Empty(t, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})), "from then on it is known")
	require.Empty(t, walkAll(t, w, ListInput{}))
}

// A page that was seen before a change of somebody else must not undo it.
func TestARepairDoesNotUndoAChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, _ := one(t)
		time.Sleep(time.Minute)
		goes := make(chan struct{})
		w.a.will("list", step{err: failure(normalize.NotFound, normalize.Rejected)})
		w.a.will("get", step{blocks: goes, edit: func(i *adapters.Instrument) { i.Card.ExpYear = 2029 }}) // an old answer
		done := make(chan DriftPage)
		go func() {
			page, err := w.Sync(context.Background(), acme, SyncInput{CustomerID: "cus", Repair: true})
			if err != nil {
				panic(err)
			}
			done <- page
		}()
		synctest.Wait()
		_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2040)})
		require.NoError(t, err)
		close(goes)
		page := <-done
		require.Equal(t, []string{"alpha present card.exp_year:2031>2029 conflict"}, found(page))
		read, err := w.Get(t.Context(), acme, ins.ID, true)
		require.NoError(t, err)
		require.Equal(t, 2040, read.Instrument.Card.ExpYear)
	})
}

// The account updater of a provider may have put another number in the card's place.
func TestAnotherNumberAtThePrimaryIsAnotherFingerprint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins := twice(t)
		require.NotNil(t, ins.Fingerprint)
		w.a.change(ins.ProviderTokens[0].References, func(i *adapters.Instrument) { i.Card.Last4 = "9999" })
		require.Equal(t, []string{
			"alpha present card.last4:1111>9999 repaired", "beta present card.last4:9999>1111 conflict",
		}, found(w.syncs(t, SyncInput{CustomerID: "cus", Repair: true})))
		read, err := w.Get(t.Context(), acme, ins.ID, true)
		require.NoError(t, err)
		require.Nil(t, read.Instrument.Fingerprint)
		second := w.stores(t, acme, input("cus", card(visa)), "again")
		require.NotEqual(t, ins.ID, second.Instrument.ID, "the old number is nobody's any more")
	})
}

func TestAProviderIsWalkedPageByPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 45)
		in := input("d", card(amex))
		in.Provider = "beta"
		w.stores(t, acme, in, "elsewhere")
		time.Sleep(time.Minute)
		lost, customers := map[string]bool{}, map[string]string{}
		for i, ins := range walkAll(t, w, ListInput{Limit: 100}) {
			if token := ins.ProviderTokens[0]; token.Provider == "alpha" {
				if customers[ins.CustomerID] = token.References["customer"]; i%9 == 0 {
					w.a.lose(token.References)
					lost[ins.ID] = true
				}
			}
		}
		for _, reference := range customers {
			w.a.put(reference)
		}
		seen, unknown, compared, pages := map[string]bool{}, 0, 0, 0
		for sync := (SyncInput{Provider: "alpha", Limit: 10}); ; pages++ {
			page := w.syncs(t, sync)
			require.LessOrEqual(t, page.Counts.Instruments, 10)
			compared += page.Counts.Instruments
			for _, d := range page.Data {
				if d.State == DriftUnknownHere {
					unknown++
					continue
				}
				require.Equal(t, DriftAbsent, d.State)
				require.False(t, seen[*d.InstrumentID])
				seen[*d.InstrumentID] = true
			}
			if sync.Cursor = page.NextCursor; !page.HasMore {
				break
			}
		}
		require.Equal(t, 45, compared)
		require.Equal(t, lost, seen)
		require.Equal(t, len(customers), unknown, "each once")
		require.GreaterOrEqual(t, pages, 4)
		require.LessOrEqual(t, w.a.count("list"), len(customers)*(pages+1))
	})
}

// However many are compared, a provider has few calls of it at the same time, so that
// customers are not kept waiting.
func TestASyncLeavesAProviderToItsCustomers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		goes := make(chan struct{})
		for i := range 20 {
			w.stores(t, acme, input(fmt.Sprint("cus-", i), visaToken(fmt.Sprint("t", i))), fmt.Sprint("key ", i))
			w.a.will("list", step{blocks: goes})
		}
		done := make(chan error)
		for range 3 {
			go func() {
				_, err := w.Sync(context.Background(), acme, SyncInput{Provider: "alpha"})
				done <- err
			}()
		}
		time.Sleep(time.Second)
		require.Equal(t, int64(reconcileAtOnce), w.providers["alpha"].read.inFlight.Load())
		close(goes)
		for range 3 {
			require.NoError(t, <-done)
		}
	})
}

// A provider that hangs ends the page early, and the next one goes on from there.
func TestAPageOfASlowProviderEndsEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for i := range 40 {
			w.stores(t, acme, input(fmt.Sprint("cus-", i), visaToken(fmt.Sprint("t", i))), fmt.Sprint("key ", i))
			w.a.will("list", step{blocks: make(chan struct{})})
		}
		start := time.Now()
		page := w.syncs(t, SyncInput{Provider: "alpha"})
		require.Less(t, time.Since(start), 45*time.Second)
		require.True(t, page.HasMore)
		require.Less(t, page.Counts.Instruments, 40)
		require.Equal(t, page.Counts.Instruments, page.Counts.Unreachable)
	})
}

func TestASyncRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	w, _, _ := one(t)
	for pointer, in := range map[string]SyncInput{
		"":             {},
		"/limit":       {CustomerID: "cus", Limit: 101},
		"/provider":    {Provider: "gamma"},
		"/customer_id": {CustomerID: "no customer/"},
	} {
		_, err := w.Sync(t.Context(), acme, in)
		require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err), pointer)
		require.Equal(t, pointer, asError(err).Fields[0].Pointer)
	}
	_, err := w.Sync(t.Context(), acme, SyncInput{CustomerID: "cus", Cursor: w.cursor("x", "sync", acme, "", "alpha")})
	require.Equal(t, normalize.InvalidCursor, normalize.CodeOf(err))
}
