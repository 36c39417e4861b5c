package gateway

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

func TestManyFirstCardsMakeOneCustomer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		gateways := []*world{w, w.another()}
		release := make(chan struct{})
		w.a.will("create_customer", step{blocks: release})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				out, err := gateways[i%2].Create(t.Context(), acme, input("cus", visaToken(fmt.Sprint("t", i))), fmt.Sprint("key ", i))
				if err != nil || out.Operation != nil {
					t.Errorf("card %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		time.Sleep(time.Second)
		close(release)
		wg.Wait()
		require.Equal(t, 1, w.a.count("create_customer"))
		require.Equal(t, 50, w.a.live())
		for _, ins := range w.a.held {
			require.Equal(t, "c1", ins.Customer)
		}
	})
}

func TestAMakerThatDiesIsWaitedForAndThenReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(alone)
		cur, err := w.loadCustomer(t.Context(), "test", acme, "cus")
		require.NoError(t, err)
		_, mine, err := w.reserveCustomer(t.Context(), w.providers["alpha"], &cur)
		require.NoError(t, err)
		require.NotEmpty(t, mine)
		// The maker is gone. Its marker lasts longer than a call may.
		f := w.refuses(t, acme, input("cus", card(visa)), "key", normalize.Conflict, normalize.NotSent)
		require.Positive(t, f.Err.RetryAfter)
		require.Zero(t, w.a.count("create_customer"))
		w.stores(t, acme, input("cus", card(visa)), "key")
		require.Equal(t, 1, w.a.count("create_customer"))
		require.Zero(t, w.Providers()[0].Classes["write"].ErrorRate, "waiting for another request is not the provider's failure")
	})
}

func TestAMakerThatFailsLetsTheNextOneTry(t *testing.T) {
	t.Parallel()
	w := newWorld(alone)
	w.a.will("create_customer", step{err: failure(normalize.ProviderError, normalize.Unknown)})
	w.refuses(t, acme, input("cus", card(visa)), "key", normalize.ProviderError, normalize.NotSent)
	w.stores(t, acme, input("cus", card(visa)), "key")
	c, err := w.GetCustomer(t.Context(), acme, "cus")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"alpha": "c1"}, c.ProviderReferences)
}

func TestAProviderThatMakesNoCustomersMustBeToldThem(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) {
		c.Providers[0].Adapter = creatorOnly{newFake()}
		c.Providers[0].Breaker.ConsecutiveFailures = 2
	}, alone)
	for range 5 {
		f := w.refuses(t, acme, input("cus", card(visa)), "key", normalize.CustomerReferenceRequired, normalize.NotSent)
		require.Equal(t, "/customer_id", f.Err.Fields[0].Pointer)
		require.Equal(t, normalize.Code(ReasonNoCustomerReference), f.Attempts[0].Code)
	}
	require.Equal(t, "closed", w.Providers()[0].Classes["write"].Breaker, "what was never sent says nothing about the provider")
	c, created, err := w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "cus", ProviderReferences: map[string]string{"alpha": "77"}})
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, "77", c.ProviderReferences["alpha"])
	w.stores(t, acme, input("cus", card(visa)), "key")
}

func TestPutAndGetCustomer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	_, err := w.GetCustomer(t.Context(), acme, "cus")
	require.Equal(t, normalize.NotFound, normalize.CodeOf(err))
	_, _, err = w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "cus", ProviderReferences: map[string]string{"gamma": "1"}})
	require.Equal(t, normalize.InvalidField, normalize.CodeOf(err))
	_, created, err := w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "cus", ProviderReferences: map[string]string{"alpha": "1"}})
	require.NoError(t, err)
	require.True(t, created)
	put, created, err := w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "cus", ProviderReferences: map[string]string{"beta": "2"}})
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, map[string]string{"alpha": "1", "beta": "2"}, put.ProviderReferences, "what is not named stays")
	got, err := w.GetCustomer(t.Context(), acme, "cus")
	require.NoError(t, err)
	require.Equal(t, put, got)
	_, err = w.GetCustomer(t.Context(), loose, "cus")
	require.Equal(t, normalize.NotFound, normalize.CodeOf(err), "another tenant's customer")
}
