package chaos

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// C3: a Redis that was killed: before an attempt nothing is sent, during one nothing
// is acknowledged, and once it is back all that was acknowledged resolves.
func TestC3RedisKilled(t *testing.T) {
	t.Parallel()
	onlyFull(t)
	redis := redistest.StartServer(t, kept()...)
	w := newWorldOver(t, 1, redis.Addr, "strict")
	g := w.gateways[0]
	kept := w.until(t.Context(), 10*time.Second, "kept", oneCard("cus-1", "2031", "123"))
	require.Equal(t, http.StatusCreated, kept.status, "%s", kept.raw)

	redis.Stop()
	before := len(w.state(t, cybersource).Requests)
	refused := g.create(t.Context(), "refused", oneCard("cus-2", "2031", "123"))
	require.Equal(t, http.StatusServiceUnavailable, refused.status, "%s", refused.raw)
	require.Equal(t, "store_unavailable", refused.str("code"))
	require.Len(t, w.state(t, cybersource).Requests, before, "the provider was not called")

	redis.Restart(t)
	eventually(t, 10*time.Second, "the store is back", func() bool {
		return g.send(t.Context(), "acme0000", http.MethodGet, "/v1/instruments/"+kept.str("id")+"?read=stored", "", nil).status == http.StatusOK
	})
	again := w.until(t.Context(), 15*time.Second, "refused", oneCard("cus-2", "2031", "123"))
	require.Equal(t, http.StatusCreated, again.status, "%s", again.raw)

	w.fail(t, cybersource, fault.Rule{Fault: fault.Delay, DelayMS: 600, Times: 1})
	during := make(chan answer, 1)
	go func() { during <- g.create(t.Context(), "during", oneCard("cus-3", "2031", "123")) }()
	eventually(t, 5*time.Second, "the provider has the request", func() bool { return len(w.rules(t, cybersource)) == 0 })
	redis.Stop()
	a := <-during
	require.NotContains(t, []int{http.StatusOK, http.StatusCreated}, a.status, "acknowledged what is not durable: %s", a.raw)
	redis.Restart(t)
	last := w.until(t.Context(), 15*time.Second, "during", oneCard("cus-3", "2031", "123"))
	require.Equal(t, http.StatusCreated, last.status, "%s", last.raw)
	for _, a := range []answer{kept, again, last} {
		w.resolves(t, g, a.str("id"))
	}
	require.Len(t, w.live(t, cybersource), 3)
	t.Logf("C3: no provider call while Redis was away, %d instead of an acknowledgment when it died during the call, 3 of 3 resolve", a.status)
}
