package gateway

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// limited gives the tenant acme limits.
func limited(l Limits) func(*Config) {
	return func(c *Config) {
		for i := range c.Tenants {
			if c.Tenants[i].Name == acme {
				c.Tenants[i].Limits = l
			}
		}
	}
}

func TestCreatesOfACustomerAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(limited(Limits{CreatesPerCustomer: Span{Limit: 3, Per: time.Hour}}))
		create := func(customer, key string) error {
			_, err := w.Create(t.Context(), acme, input(customer, visaToken("t-"+customer+key)), key)
			return err
		}
		for i := range 3 {
			require.NoError(t, create("cus-1", fmt.Sprint("k", i)))
		}
		writes, calls := len(w.store.records()), w.a.count("create")
		err := create("cus-1", "k3")
		require.Equal(t, normalize.RateLimited, normalize.CodeOf(err))
		require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
		require.InDelta(t, 3600, asError(err).RetryAfter.Seconds(), 1)
		require.Len(t, w.store.records(), writes, "nothing was stored")
		require.Equal(t, calls, w.a.count("create"), "nothing was sent")

		for i := range 3 {
			require.NoError(t, create("cus-1", fmt.Sprint("k", i)), "a replay is not refused")
		}
		require.NoError(t, create("cus-2", "other"), "another customer is not")
		_, err = w.Create(t.Context(), "globex", input("cus-1", visaToken("g")), "k3")
		require.NoError(t, err, "nor another tenant's")

		time.Sleep(time.Hour)
		for i := range 3 {
			require.NoError(t, create("cus-1", fmt.Sprint("k", i)), "a replay")
			require.NoError(t, create("cus-1", fmt.Sprint("later", i)), "replays count nothing")
		}
		require.Error(t, create("cus-1", "k4"))
	})
}

func TestImportsOfWhatIsStoredAlreadyAreNotLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(limited(Limits{CreatesPerCustomer: Span{Limit: 1, Per: time.Hour}, CreatesPerAddress: Span{Limit: 1, Per: time.Hour}}))
	items := make([]ImportItem, 5)
	for i := range items {
		items[i] = ImportItem{Key: fmt.Sprint("adopt", i), Input: input("cus-1", reference("alpha", w.a.put("cus-1")))}
	}
	ctx := WithAddress(t.Context(), "192.0.2.1")
	for _, res := range w.Import(ctx, acme, items) {
		require.NoError(t, res.Err)
	}
	for i := range items {
		items[i] = ImportItem{Key: fmt.Sprint("new", i), Input: input("cus-1", visaToken(fmt.Sprint("n", i)))}
	}
	refused := 0
	for _, res := range w.Import(ctx, acme, items) {
		if normalize.CodeOf(res.Err) == normalize.RateLimited {
			refused++
		}
	}
	require.Equal(t, 4, refused, "what is stored anew is limited, item by item")
}

func TestCreatesFromAnAddressAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(limited(Limits{
		CreatesPerCustomer: Span{Limit: 2, Per: time.Hour}, CreatesPerAddress: Span{Limit: 3, Per: time.Hour},
	}))
	create := func(address, customer, key string) normalize.Code {
		_, err := w.Create(WithAddress(t.Context(), address), acme, input(customer, visaToken("t-"+key)), key)
		return normalize.CodeOf(err)
	}
	for i := range 3 {
		require.Empty(t, create("192.0.2.1", fmt.Sprint("cus", i), fmt.Sprint("k", i)))
	}
	for i := range 3 {
		require.Equal(t, normalize.RateLimited, create("192.0.2.1", "cus9", fmt.Sprint("refused", i)))
	}
	require.Empty(t, create("192.0.2.2", "cus9", "a"), "what was refused by address did not count for the customer")
	require.Empty(t, create("192.0.2.2", "cus9", "b"))
	require.Equal(t, normalize.RateLimited, create("192.0.2.2", "cus9", "c"))
	require.Empty(t, create("", "cus8", "d"), "who has no address is not limited by it")
	counted := 0
	own, ok := w.limiter.own.(*memoryBuckets)
	require.True(t, ok)
	for _, key := range own.counts.Keys() {
		require.NotContains(t, key, "192.0.2", "an address is counted, and not kept")
		if strings.HasPrefix(key, addressSpan) {
			counted++
		}
	}
	require.Equal(t, 2, counted)
}

func TestDeclinedCardsOfACustomerAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(alone, limited(Limits{DeclinesPerCustomer: Span{Limit: 2, Per: time.Hour}}))
		declined := step{err: failure(normalize.CardDeclined, normalize.Rejected)}
		create := func(key string) normalize.Code {
			_, err := w.Create(t.Context(), acme, input("cus-1", visaToken("t-"+key)), key)
			return normalize.CodeOf(err)
		}
		for i := range 3 {
			require.Empty(t, create(fmt.Sprint("good", i)), "cards that are good count nothing")
		}
		w.a.will("create", declined)
		require.Equal(t, normalize.CardDeclined, create("bad1"))
		for range 3 {
			require.Equal(t, normalize.CardDeclined, create("bad1"), "a replay counts nothing")
		}
		require.Empty(t, create("good4"), "one declined card is below the limit")
		w.a.will("create", declined)
		require.Equal(t, normalize.CardDeclined, create("bad2"))
		require.Equal(t, normalize.RateLimited, create("good5"))
		require.Equal(t, normalize.CardDeclined, create("bad2"), "a replay is not refused")
		time.Sleep(time.Hour)
		require.Empty(t, create("good5"))
	})
}

func TestTheSameCreateAtTheSameTimeCountsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(limited(Limits{CreatesPerCustomer: Span{Limit: 2, Per: time.Hour}}))
	for i := range 5 {
		id := fmt.Sprint("ins", i%2)
		c := &creation{s: w.Service, tenant: w.tenant(acme), in: input("cus-1", visaToken("x"))}
		_, err := c.limit(t.Context(), id)
		require.NoError(t, err)
	}
}

func TestARateIsKeptAndAnotherConfigurationChangesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(limited(Limits{Tenant: Rate{PerSecond: 1, Burst: 4}, Key: Rate{PerSecond: 1, Burst: 3}}))
		admit := func(s *Service, tenant, key string) string {
			a := s.Admit(t.Context(), tenant, key)
			require.Equal(t, a.Wait > 0, a.Over != "")
			return a.Over
		}
		for range 3 {
			require.Empty(t, admit(w.Service, acme, "one"))
		}
		require.Equal(t, "key", admit(w.Service, acme, "one"))
		require.Equal(t, "key", admit(w.Service, acme, "one"), "what a key is refused uses up nothing of the tenant's")
		require.Empty(t, admit(w.Service, acme, "two"))
		require.Equal(t, "tenant", admit(w.Service, acme, "two"))
		require.Empty(t, admit(w.Service, "globex", "one"), "a tenant without limits")
		a := w.Admit(t.Context(), "globex", "one")
		require.Empty(t, a.Quotas())
		a = w.Admit(t.Context(), acme, "three")
		require.Equal(t, "tenant", a.Over)
		require.Len(t, a.Quotas(), 2)
		require.Zero(t, a.Quotas()[1].Left)
		require.Equal(t, 2, a.Quotas()[0].Left)

		same, err := w.Reload(w.config(limited(Limits{Tenant: Rate{PerSecond: 1, Burst: 4}})))
		require.NoError(t, err)
		require.Equal(t, "tenant", admit(same, acme, "one"), "a reload does not fill a bucket")
		free, err := w.Reload(w.config())
		require.NoError(t, err)
		require.Empty(t, admit(free, acme, "one"))
	})
}
