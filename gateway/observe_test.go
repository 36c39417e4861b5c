package gateway

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// observed is an observer that writes down what it is told.
type observed struct {
	mu    sync.Mutex
	calls []ProviderCall
	other map[string]int // the rest, as text
}

func (n *observed) ProviderCall(c ProviderCall) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, c)
}

func (n *observed) note(text string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.other == nil {
		n.other = map[string]int{}
	}
	n.other[fmt.Sprintf(text, args...)]++
}

func (n *observed) StoreCall(c StoreCall)                   { n.note("%s %s", c.Operation, c.Result) }
func (n *observed) PassedOver(provider string, why Reason)  { n.note("passed %s %s", provider, why) }
func (n *observed) FailedOver(provider string)              { n.note("failed over to %s", provider) }
func (n *observed) Noticed(provider string, r NoticeResult) { n.note("noticed %s %s", provider, r) }
func (n *observed) Limited(tenant string, by LimitName)     { n.note("limited %s %s", tenant, by) }

func TestTheObserverIsToldOfWebhooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n observed
		w := listening(func(c *Config) { c.Observer = &n })
		ins := w.stores(t, acme, input("cus-1", card(visa)), "1").Instrument
		notice := about(ins.ProviderTokens[0].References, "evt-1")
		w.heard(t, notice)
		w.heard(t, notice)
		require.Error(t, w.Notice(t.Context(), "alpha", nil, []byte("{}")))
		require.Error(t, w.Notice(t.Context(), "alpha", http.Header{"Sig": {"good"}}, []byte("{")))
		require.Error(t, w.Notice(t.Context(), "made up", nil, nil))
		w.store.onWrite = func(int, Write) fate { return failsBefore }
		notice.ID = "evt-2"
		require.Error(t, w.notices(t.Context(), "alpha", notice))
		w.store.onWrite = nil
		for _, want := range []NoticeResult{NoticeActedUpon, NoticeRepeated, NoticeRefused, NoticeUnreadable, NoticeDeferred} {
			require.Equal(t, 1, n.other["noticed alpha "+string(want)], want)
		}
		require.NotContains(t, fmt.Sprint(n.other), "made up")
		w.Close()
	})
}

func TestTheObserverIsToldOfLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n observed
		limits := Limits{
			Tenant: Rate{PerSecond: 1, Burst: 2}, Key: Rate{PerSecond: 1, Burst: 1},
			CreatesPerCustomer: Span{Limit: 1, Per: time.Hour}, CreatesPerAddress: Span{Limit: 2, Per: time.Hour},
			DeclinesPerCustomer: Span{Limit: 1, Per: time.Hour},
		}
		w := newWorld(func(c *Config) {
			c.Observer = &n
			for i := range c.Tenants {
				c.Tenants[i].Limits = limits
			}
		})
		require.Equal(t, []LimitName{LimitTenant, LimitKey, LimitCreatesPerCustomer, LimitCreatesPerAddress, LimitDeclinesPerCustomer}, limits.LimitNames())
		w.Admit(t.Context(), acme, "one")
		w.Admit(t.Context(), acme, "one")
		w.Admit(t.Context(), acme, "two")
		w.Admit(t.Context(), acme, "three")
		require.Equal(t, 1, n.other["limited acme key"])
		require.Equal(t, 1, n.other["limited acme tenant"])

		ctx := WithAddress(t.Context(), "192.0.2.1")
		create := func(customer, key string) {
			_, _ = w.Create(ctx, acme, input(customer, card(visa)), key)
		}
		w.a.will("create", step{err: failure(normalize.CardDeclined, normalize.Rejected)})
		create("cus-1", "1")
		create("cus-1", "2")
		require.Equal(t, 1, n.other["limited acme declines_per_customer"])
		create("cus-2", "3")
		create("cus-2", "4")
		require.Equal(t, 1, n.other["limited acme creates_per_customer"])
		create("cus-3", "5")
		require.Equal(t, 1, n.other["limited acme creates_per_address"])
		w.Close()
	})
}

func TestTheObserverIsToldOfFailovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n observed
		w := newWorld(func(c *Config) { c.Observer = &n })
		w.stores(t, acme, input("cus-1", card(visa)), "1")
		require.NotContains(t, fmt.Sprint(n.other), "over")

		w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
		w.stores(t, acme, input("cus-2", card(visa)), "2")
		require.Equal(t, 1, n.other["failed over to beta"], "it was tried, and was not sent")
		require.Zero(t, n.other["passed alpha breaker_open"])

		trip(w.providers["alpha"], w.providers["alpha"].write)
		for w.providers["alpha"].write.breaker.status().Breaker != breakerOpen {
			trip(w.providers["alpha"], w.providers["alpha"].write)
		}
		created := w.stores(t, acme, input("cus-3", card(visa)), "3")
		require.Equal(t, 2, n.other["failed over to beta"])
		require.Equal(t, 1, n.other["passed alpha breaker_open"])
		require.Equal(t, notSentAt("alpha", ReasonBreakerOpen), created.Attempts[0], "the answer tells what was tried, for the log")
		require.Equal(t, "beta", created.Attempts[1].Provider)

		again := w.stores(t, acme, input("cus-3", card(visa)), "3")
		require.True(t, again.Replayed)
		require.Nil(t, again.Attempts, "this request tried nothing")
		require.Equal(t, 2, n.other["failed over to beta"], "a replay is no failover")

		w.drains(t, "alpha", "")
		w.stores(t, acme, input("cus-4", card(visa)), "4")
		require.Equal(t, 1, n.other["passed alpha drained"])
		w.Close()
	})
}

func TestTheObserverIsToldOfCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n observed
		w := newWorld(alone, func(c *Config) { c.Observer = &n })
		w.a.will("get", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
		id := w.stores(t, acme, input("cus-1", card(visa)), "1").Instrument.ID
		_, err := w.Get(t.Context(), acme, id, false)
		require.NoError(t, err, "it is served as it was stored")
		_, err = w.Change(t.Context(), acme, "", DeleteInstrument{ID: id, Scope: ScopeProvider})
		require.NoError(t, err)
		require.Equal(t, []ProviderCall{
			{Provider: "alpha", Operation: "create", Outcome: normalize.Applied},
			{Provider: "alpha", Operation: "get", Outcome: normalize.Unknown, Code: normalize.ProviderTimeout},
			{Provider: "alpha", Operation: "delete", Outcome: normalize.Applied},
		}, n.calls)
		require.Positive(t, n.other["load ok"])
		require.Positive(t, n.other["write ok"])
	})
}

// A generation that is made by a reload is observed, too, and so are its new providers.
func TestTheObserverOutlivesAReload(t *testing.T) {
	t.Parallel()
	var n observed
	w := newWorld(func(c *Config) { c.Observer = &n })
	next, err := w.Reload(w.config(alone, func(c *Config) { c.Providers[0].Timeout = 9 * time.Second }))
	require.NoError(t, err)
	_, err = next.Create(t.Context(), acme, input("cus-1", card(visa)), "1")
	require.NoError(t, err)
	require.Len(t, n.calls, 1)
}

func TestTheObserverIsToldHowTheStoreIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n observed
		w := newWorld(func(c *Config) { c.Observer = &n })
		s := w.engine.store
		entry := Write{Key: "k", Value: []byte("v"), Nonce: "a"}
		_, err := s.Write(t.Context(), entry)
		require.NoError(t, err)
		entry.Nonce = "b"
		_, err = s.Write(t.Context(), entry)
		require.NoError(t, err)
		_, err = s.Scan(t.Context(), "index", "", 1, false)
		require.NoError(t, err)
		require.NoError(t, s.Ping(t.Context()))
		w.store.onLoad = func(int, []string) error { return errInjected }
		_, err = s.Load(t.Context(), "k")
		require.Error(t, err)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Load(gone, "k")
		require.Error(t, err)
		w.store.onWrite = func(int, Write) fate { return hangs }
		entry.Nonce = "c"
		_, err = s.Write(t.Context(), entry)
		require.Error(t, err)
		require.Equal(t, map[string]int{
			"write ok": 1, "write conflict": 1, "scan ok": 1, "ping ok": 1, "load error": 1, "load canceled": 1, "write error": 1,
		}, n.other)
	})
}
