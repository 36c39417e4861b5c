package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// telling is a provider whose webhooks are JSON with one notice, under a header "Sig".
type telling struct{ *fake }

func (f telling) Notices(h http.Header, body []byte, _ time.Time) ([]adapters.Notice, error) {
	if h == nil {
		return nil, nil
	}
	if h.Get("Sig") != "good" {
		return nil, adapters.NotAuthentic()
	}
	n := adapters.Notice{}
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, adapters.UnreadableNotice()
	}
	return []adapters.Notice{n}, nil
}

func (f telling) NoticeNames(ref normalize.References) adapters.NoticeNames {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := adapters.NoticeNames{Instrument: ref["instrument"], Customer: ref["customer"]}
	if ins := f.held[ref["instrument"]]; ins != nil && ins.Card != nil {
		out.Card = "card of " + ins.Card.Last4
	}
	return out
}

// listening is a world whose providers send webhooks.
func listening(edit ...func(*Config)) *world {
	return newWorld(append([]func(*Config){tell}, edit...)...)
}

func tell(c *Config) {
	for i, p := range c.Providers {
		if f, ok := p.Adapter.(*fake); ok {
			c.Providers[i].Adapter = telling{f}
		}
	}
}

// also is another gateway over the same store and providers.
func (w *world) also() *world { return w.another(tell) }

// heard sends a webhook of alpha's that must be taken.
func (w *world) heard(t *testing.T, n adapters.Notice) {
	t.Helper()
	require.NoError(t, w.notices(t.Context(), "alpha", n))
}

func (w *world) notices(ctx context.Context, provider string, n adapters.Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return w.Notice(ctx, provider, http.Header{"Sig": {"good"}}, body)
}

func about(ref normalize.References, id string) adapters.Notice {
	return adapters.Notice{ID: id, References: normalize.References{"instrument": ref["instrument"]}, NoticeNames: adapters.NoticeNames{Instrument: ref["instrument"]}}
}

// reconciling runs the reconciler in the background for the rest of a bubble.
func (w *world) reconciling(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.Reconcile(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

// seesYear is the year that the record shows, without a provider.
func (w *world) seesYear(t *testing.T, id string) int {
	t.Helper()
	read, err := w.Get(t.Context(), acme, id, true)
	require.NoError(t, err)
	return read.Instrument.Card.ExpYear
}

// unmarked requires that nothing waits to be looked at.
func (w *world) unmarked(t *testing.T) {
	t.Helper()
	members, err := w.store.Scan(t.Context(), indexDue, "", 10, false)
	require.NoError(t, err)
	require.Empty(t, members)
}

func heardOne(t *testing.T, edit ...func(*Config)) (*world, normalize.Instrument, normalize.References) {
	t.Helper()
	w := listening(edit...)
	ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
	time.Sleep(time.Minute)
	return w, ins, ins.ProviderTokens[0].References
}

func TestANoticeHasItsInstrumentLookedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, ref := heardOne(t, func(c *Config) { c.ReconcileEvery = 10 * time.Second })
		w.reconciling(t)
		other := w.also()
		other.reconciling(t)
		w.a.change(ref, func(i *adapters.Instrument) { i.Card.ExpYear = 2039 })
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				if err := []*world{w, other}[i%2].notices(t.Context(), "alpha", about(ref, "event")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, 2039, w.seesYear(t, ins.ID))
		require.Equal(t, 1, w.a.count("get"))
		w.unmarked(t)
		writes := w.store.made("write")
		time.Sleep(71 * time.Hour)
		w.heard(t, about(ref, "event"))
		time.Sleep(time.Minute)
		require.Equal(t, 1, w.a.count("get"), "72 hours long")
		require.Equal(t, writes+1, w.store.made("write"), "and it is written only that it came")
		w.heard(t, about(ref, "another"))
		time.Sleep(time.Minute)
		require.Equal(t, 2, w.a.count("get"))
	})
}

func TestWhoIsNotBelievedHasNoEffect(t *testing.T) {
	t.Parallel()
	w, _, ref := one(t, tell)
	body, err := json.Marshal(about(ref, "x"))
	require.NoError(t, err)
	require.Zero(t, w.store.counted(func() {
		for _, h := range []http.Header{nil, {}, {"Sig": {"bad"}}} {
			require.Equal(t, normalize.InvalidWebhook, normalize.CodeOf(w.Notice(t.Context(), "alpha", h, body)))
		}
		require.Equal(t, normalize.InvalidJSON, normalize.CodeOf(w.Notice(t.Context(), "alpha", http.Header{"Sig": {"good"}}, []byte("{"))))
		require.Equal(t, adapters.NoWebhooks(), w.Notice(t.Context(), "nobody", nil, nil))
	}))
	require.NoError(t, w.TakesNotices("alpha"))
	deaf := newWorld()
	require.Equal(t, adapters.NoWebhooks(), deaf.TakesNotices("alpha"))
	require.Equal(t, adapters.NoWebhooks(), deaf.TakesNotices("nobody"))
	require.Equal(t, adapters.NoWebhooks(), deaf.Notice(t.Context(), "alpha", nil, nil))
}

func TestAnOlderRevisionIsNotLookedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, ref := heardOne(t)
		w.reconciling(t)
		for i, c := range []struct {
			revision int64
			looks    int
		}{{1, 0}, {3, 1}, {2, 1}, {3, 1}, {4, 2}} {
			n := about(ref, fmt.Sprint("event ", i))
			n.Revision = c.revision
			w.a.change(ref, func(ins *adapters.Instrument) { ins.Version = fmt.Sprint(max(3, c.revision)) })
			w.heard(t, n)
			time.Sleep(time.Second)
			require.Equal(t, c.looks, w.a.count("get"), "%d", c.revision)
		}
	})
}

// A card's notice is for every instrument of it, whoever has it.
func TestANoticeOfACard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, ref := heardOne(t)
		second := w.stores(t, acme, input("other", card(visa)), "key 2").Instrument
		third := w.stores(t, acme, input("third", card(mastercard)), "key 3").Instrument
		w.reconciling(t)
		for _, i := range []normalize.Instrument{ins, second, third} {
			w.a.change(i.ProviderTokens[0].References, func(i *adapters.Instrument) { i.Card.ExpYear = 2040 })
		}
		w.heard(t, adapters.Notice{ID: "x", NoticeNames: adapters.NoticeNames{Card: "card of 1111"}})
		time.Sleep(time.Second)
		require.Equal(t, 2040, w.seesYear(t, ins.ID))
		require.Equal(t, 2040, w.seesYear(t, second.ID))
		require.NotEqual(t, 2040, w.seesYear(t, third.ID))
		require.Equal(t, 2, w.a.count("get"))
		require.NoError(t, w.Delete(t.Context(), acme, ins.ID, ScopeProvider))
		w.heard(t, adapters.Notice{ID: "y", NoticeNames: adapters.NoticeNames{Card: "card of 1111"}})
		time.Sleep(time.Second)
		require.Equal(t, 3, w.a.count("get"), "one of them is left")
		_ = ref
	})
}

// BigCommerce names the customer only: all that it has is listed, once.
func TestANoticeOfACustomer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := listening(alone)
		var all []normalize.Instrument
		for i := range 5 {
			in := input("cus", visaToken(fmt.Sprint("t", i)))
			in.Default = i == 0
			all = append(all, w.stores(t, acme, in, fmt.Sprint("key ", i)).Instrument)
		}
		time.Sleep(time.Minute)
		w.reconciling(t)
		ref := all[3].ProviderTokens[0].References
		w.a.mu.Lock()
		w.a.onlyDefault(w.a.held[ref["instrument"]])
		w.a.mu.Unlock()
		w.a.lose(all[4].ProviderTokens[0].References)
		behind := w.a.put(ref["customer"])
		before := w.a.count("list")
		w.heard(t, adapters.Notice{ID: "x", NoticeNames: adapters.NoticeNames{Customer: ref["customer"]}})
		time.Sleep(time.Second)
		require.Equal(t, before+1, w.a.count("list"))
		require.Equal(t, 1, w.a.count("get"), "of what the list did not show")
		require.Len(t, walkAll(t, w, ListInput{}), 6, "and one was adopted")
		for i, ins := range all {
			read, err := w.Get(t.Context(), acme, ins.ID, true)
			require.NoError(t, err)
			require.Equal(t, i == 3, read.Instrument.Default, i)
			require.Equal(t, i == 4, read.Instrument.Status == normalize.StatusFailed, i)
		}
		require.Equal(t, behind, slices.MinFunc(walkAll(t, w, ListInput{}), func(a, b normalize.Instrument) int { return b.CreatedAt.Compare(a.CreatedAt) }).ProviderTokens[0].References)
		w.unmarked(t)
	})
}

// The mark is kept where the provider has something, so that it holds up no look at what
// another provider has of the customer.
func TestACustomersMarkIsKeptAtItsProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := listening()
		elsewhere := w.stores(t, acme, input("cus", card(visa)), "first").Instrument
		w.a.will("create", step{err: failure(normalize.RateLimited, normalize.NotSent)})
		there := w.stores(t, acme, input("cus", card(mastercard)), "second").Instrument
		require.Equal(t, "beta", there.ProviderTokens[0].Provider)
		customer := there.ProviderTokens[0].References["customer"]
		require.NoError(t, w.notices(t.Context(), "beta", adapters.Notice{ID: "x", NoticeNames: adapters.NoticeNames{Customer: customer}}))
		recs, err := w.load(t.Context(), "test", elsewhere.ID, there.ID)
		require.NoError(t, err)
		require.Empty(t, recs[0].Refresh)
		require.Len(t, recs[1].Refresh, 1)
	})
}

func TestANoticeOfACustomerWithoutInstruments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := listening()
		_, _, err := w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "new", ProviderReferences: map[string]string{"alpha": "c9"}})
		require.NoError(t, err)
		w.a.put("c9")
		n := adapters.Notice{ID: "x", NoticeNames: adapters.NoticeNames{Customer: "c9"}}
		w.a.will("list", cannotBeAsked())
		require.Equal(t, normalize.ProviderUnavailable, normalize.CodeOf(w.notices(t.Context(), "alpha", n)), "nothing could keep it: it must come again")
		w.heard(t, n)
		require.Len(t, walkAll(t, w, ListInput{}), 1)
		w.heard(t, n)
		require.Equal(t, 2, w.a.count("list"))
		w.heard(t, adapters.Notice{ID: "y", NoticeNames: adapters.NoticeNames{Customer: "nobody"}})
	})
}

// An instrument that no record has is adopted if its customer is known, but not while
// a create of the customer is open, whose own it may be.
func TestANoticeOfAnUnknownInstrument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, ref := heardOne(t)
		w.reconciling(t)
		behind := w.a.put(ref["customer"])
		w.a.will("get", cannotBeAsked())
		require.Equal(t, normalize.ProviderUnavailable, normalize.CodeOf(w.notices(t.Context(), "alpha", about(behind, "x"))))
		w.heard(t, about(behind, "x"))
		time.Sleep(time.Second)
		require.Len(t, walkAll(t, w, ListInput{}), 2)
		w.heard(t, about(normalize.References{"instrument": "nothing"}, "y"))
		stranger := w.a.put("somebody else")
		w.heard(t, about(stranger, "z"))

		goes := make(chan struct{})
		w.a.will("create", step{blocks: goes})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = w.Create(context.Background(), acme, input("cus", card(mastercard)), "open")
		}()
		synctest.Wait()
		lists := w.a.count("list")
		w.heard(t, about(w.a.put(ref["customer"]), "during"))
		time.Sleep(time.Second)
		require.Equal(t, lists, w.a.count("list"))
		close(goes)
		<-done
		require.Len(t, walkAll(t, w, ListInput{}), 3)
	})
}

// What was noted is done by another gateway if the one that noted it is gone, and when
// the provider can be asked again.
func TestANoticeOutlivesItsGateway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, ref := heardOne(t)
		w.a.change(ref, func(i *adapters.Instrument) { i.Card.ExpYear = 2039 })
		w.heard(t, about(ref, "x")) // nobody reconciles here
		other := w.also()
		other.a.will("get", cannotBeAsked(), cannotBeAsked(), cannotBeAsked())
		other.reconciling(t)
		time.Sleep(noticeGrace - 2*time.Second)
		require.Zero(t, w.a.count("get"), "it is left to who noted it")
		time.Sleep(20 * time.Second)
		require.Equal(t, 4, w.a.count("get"))
		require.Equal(t, 2039, other.seesYear(t, ins.ID))
		other.unmarked(t)
	})
}

func TestANoticeIsGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, ref := heardOne(t, func(c *Config) { c.Providers[0].Breaker = BreakerConfig{MinRequests: 1000, ConsecutiveFailures: 1000} })
		for range 400 {
			w.a.will("get", cannotBeAsked())
		}
		w.heard(t, about(ref, "x"))
		w.reconciling(t)
		time.Sleep(refreshFor + time.Hour)
		w.unmarked(t)
		require.Less(t, w.a.count("get"), 200)
		require.Greater(t, w.a.count("get"), 100)
	})
}

// A store that cannot keep a notice does not answer for it.
func TestANoticeThatCannotBeKeptComesAgain(t *testing.T) {
	t.Parallel()
	for failing := range 3 {
		t.Run(fmt.Sprint("write ", failing), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, ins, ref := heardOne(t)
				w.a.change(ref, func(i *adapters.Instrument) { i.Card.ExpYear = 2039 })
				w.store.fail(func(n int, _ Write) fate {
					if n > failing {
						return failsBefore
					}
					return works
				})
				err := w.notices(t.Context(), "alpha", about(ref, "x"))
				if failing < 2 {
					require.Equal(t, normalize.StoreUnavailable, normalize.CodeOf(err))
				}
				w.store.fail(nil)
				w.reconciling(t)
				time.Sleep(untilLeaseEnds)
				w.heard(t, about(ref, "x"))
				time.Sleep(untilLeaseEnds)
				require.Equal(t, 2039, w.seesYear(t, ins.ID))
				w.unmarked(t)
			})
		})
	}
}

// What is changed while a notice is followed up is not undone, and what is noticed
// during a look is looked at again.
func TestWhatHappensDuringALook(t *testing.T) {
	t.Parallel()
	for name, during := range map[string]func(*testing.T, *world, normalize.Instrument, normalize.References){
		"another notice": func(t *testing.T, w *world, _ normalize.Instrument, ref normalize.References) {
			t.Helper()
			w.a.change(ref, func(i *adapters.Instrument) { i.Card.ExpYear = 2040 })
			w.heard(t, about(ref, "second"))
		},
		"a change": func(t *testing.T, w *world, ins normalize.Instrument, _ normalize.References) {
			t.Helper()
			_, err := w.Update(t.Context(), acme, ins.ID, normalize.UpdateInput{ExpYear: new(2040)})
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, ins, ref := heardOne(t)
				w.reconciling(t)
				goes := make(chan struct{})
				w.a.will("get", step{blocks: goes, edit: func(i *adapters.Instrument) { i.Card.ExpYear = 2029 }}) // an old answer
				w.heard(t, about(ref, "first"))
				synctest.Wait()
				require.Equal(t, 1, w.a.count("get"))
				during(t, w, ins, ref)
				close(goes)
				time.Sleep(time.Second)
				require.Equal(t, 2040, w.seesYear(t, ins.ID))
				require.Equal(t, 2, w.a.count("get"))
				w.unmarked(t)
			})
		})
	}
}

// The mark of a customer counts notices, since what a list showed may be older than the
// last of them though nobody changed the record that has the mark meanwhile.
func TestANoticeOfACustomerDuringALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, ref := heardOne(t)
		w.reconciling(t)
		goes := make(chan struct{})
		w.a.will("list", step{blocks: goes})
		of := func(id string) adapters.Notice {
			return adapters.Notice{ID: id, NoticeNames: adapters.NoticeNames{Customer: ref["customer"]}}
		}
		before := w.a.count("list")
		w.heard(t, of("first"))
		synctest.Wait()
		w.heard(t, of("second"))
		close(goes)
		time.Sleep(time.Second)
		require.Equal(t, before+2, w.a.count("list"))
		w.unmarked(t)
	})
}

// A mirror's provider tells of the mirror: what differs there is made what the
// instrument is, as a comparison does it.
func TestANoticeOfAMirror(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := listening(func(c *Config) {
			c.Routes = []Route{{Name: "all", Providers: []string{"alpha"}, Mirrors: []string{"beta"}}}
		})
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		time.Sleep(time.Minute)
		w.reconciling(t)
		ref := ins.ProviderTokens[1].References
		w.b.change(ref, func(i *adapters.Instrument) { i.Card.ExpYear = 2039 })
		require.NoError(t, w.notices(t.Context(), "beta", about(ref, "x")))
		time.Sleep(10 * time.Second)
		require.Equal(t, 1, w.b.count("update"), "it is brought back in step")
		require.Equal(t, ins.Card.ExpYear, w.seesYear(t, ins.ID))
		w.a.change(ins.ProviderTokens[0].References, func(i *adapters.Instrument) { i.Card.ExpYear = 2041 })
		w.heard(t, about(ins.ProviderTokens[0].References, "x"))
		time.Sleep(10 * time.Second)
		require.Equal(t, 2041, w.seesYear(t, ins.ID))
		require.Equal(t, 2, w.b.count("update"), "the mirror follows")
		w.unmarked(t)
	})
}

func TestAnInstrumentThatANoticeFindsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, ref := heardOne(t)
		w.reconciling(t)
		w.a.lose(ref)
		w.heard(t, about(ref, "x"))
		time.Sleep(time.Second)
		read, err := w.Get(t.Context(), acme, ins.ID, true)
		require.NoError(t, err)
		require.Equal(t, normalize.StatusFailed, read.Instrument.Status)
		w.unmarked(t)
	})
}

// The sender is answered in time, whatever the provider and the store do; what was not
// done then may come again.
func TestASenderIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, ref := heardOne(t)
		behind := w.a.put(ref["customer"])
		w.a.will("get", step{blocks: make(chan struct{})})
		begin := time.Now()
		require.Equal(t, normalize.ProviderUnavailable, normalize.CodeOf(w.notices(t.Context(), "alpha", about(behind, "x"))))
		require.LessOrEqual(t, time.Since(begin), 2*time.Second)
		time.Sleep(maxTimeout)
		w.heard(t, about(behind, "x"))
		_, failures, _ := w.Counts("alpha", true)
		require.Equal(t, 1, failures, "the call has ended by its own deadline")
	})
}

// The store has no reference of a provider outside of the records, and what a notice
// says is nowhere.
func TestTheStoreKeepsNothingOfANotice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := listening()
		w.a.seq = 777_777
		ins := w.stores(t, acme, input("cus", card(visa)), "key").Instrument
		ref := ins.ProviderTokens[0].References
		w.heard(t, about(ref, "event-4111111111111111"))
		for key, e := range w.store.entries {
			require.NotContains(t, key+string(e.value), "event-")
			if !strings.HasPrefix(key, "ins_") {
				require.NotContains(t, key+string(e.value), ref["instrument"])
			}
		}
		named := 0
		for index, members := range w.store.indexes {
			require.NotContains(t, index, ref["instrument"])
			if strings.HasPrefix(index, "n/alpha/") {
				named += len(members)
			}
		}
		require.Equal(t, 3, named, "the instrument, its card and its customer")
		require.NoError(t, w.Delete(t.Context(), acme, ins.ID, ScopeProvider))
		for index, members := range w.store.indexes {
			for m := range members {
				require.False(t, strings.HasPrefix(index, "n/") && strings.HasPrefix(m, "ins_"), "%s %s", index, m)
			}
		}
	})
}

// Under another reference key what the one before named is found.
func TestNoticesAfterAnotherReferenceKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, ref := heardOne(t)
		w.heard(t, about(ref, "known"))
		w.a.change(ref, func(i *adapters.Instrument) { i.Card.ExpYear = 2039 })
		other := w.another(tell, func(c *Config) { c.Keys = testKeys("k2", "k1") })
		other.reconciling(t)
		time.Sleep(time.Minute)
		looks := w.a.count("get")
		other.heard(t, about(ref, "known"))
		time.Sleep(time.Second)
		require.Equal(t, looks, w.a.count("get"), "an event is remembered")
		other.heard(t, about(ref, "new"))
		time.Sleep(time.Second)
		require.Equal(t, looks+1, w.a.count("get"))
		require.Equal(t, 2039, other.seesYear(t, ins.ID))
	})
}

// A record of an earlier release is in no index of names; it comes into them with its
// next write.
func TestARecordOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ins, ref := one(t) // its provider tells nothing, as far as this gateway knows
		later := w.also()
		later.reconciling(t)
		time.Sleep(2 * time.Hour)
		_, err := later.Get(t.Context(), acme, ins.ID, false) // writes when it was seen
		require.NoError(t, err)
		w.a.change(ref, func(i *adapters.Instrument) { i.Card.ExpYear = 2039 })
		later.heard(t, about(ref, "x"))
		time.Sleep(time.Second)
		require.Equal(t, 2039, later.seesYear(t, ins.ID))
	})
}
