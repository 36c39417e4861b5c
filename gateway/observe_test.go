package gateway

import (
	"context"
	"fmt"
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

func (n *observed) StoreCall(c StoreCall)                  { n.note("%s %s", c.Operation, c.Result) }
func (n *observed) PassedOver(provider string, why Reason) { n.note("passed %s %s", provider, why) }
func (n *observed) FailedOver(provider string)             { n.note("failed over to %s", provider) }

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
