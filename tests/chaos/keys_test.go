package chaos

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// C9: one key, 1000 requests at the same time over three gateways: one instrument,
// and everybody's final answer has the same bytes.
func TestC9OneKeyAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.know(t, 1)
	answers := make([]answer, size(100, 1000))
	var wg sync.WaitGroup
	for i := range answers {
		one := &world{gateways: []*gateway{w.gateways[i%3]}}
		wg.Go(func() { answers[i] = one.until(t.Context(), 60*time.Second, "k", create(1, cybersource)) })
	}
	wg.Wait()
	for _, a := range answers {
		require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
		require.Equal(t, string(answers[0].raw), string(a.raw))
	}
	require.Len(t, w.live(t, cybersource), 1)
	t.Logf("C9: %d requests of one key: 1 live instrument, all answers equal", len(answers))
}

// C10: a key names one request: another body is refused, however often; the same
// one in another writing, or with another security code, is the same.
func TestC10OneKeyOneBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	n := size(50, 1000)
	inParallel(n, func(i int) {
		key, customer := fmt.Sprintf("k-%d", i), fmt.Sprintf("cus-%d", i)
		first := w.until(t.Context(), time.Minute, key, oneCard(customer, "2031", "123"))
		if !assertStatus(t, http.StatusCreated, first) {
			return
		}
		other := w.until(t.Context(), time.Minute, key, oneCard(customer, "2032", "123"))
		if assertStatus(t, http.StatusUnprocessableEntity, other) && other.str("code") != "idempotency_key_reused" {
			t.Errorf("another body: %s", other.raw)
		}
		for name, body := range map[string][]byte{
			"another security code": oneCard(customer, "2031", "999"),
			"reordered and re-spaced": fmt.Appendf(nil, `{ "provider":"cybersource-us",
				"sources" : [ {"cvc":"123","exp_year":2031, "exp_month":12,"number":"4111111111111111","type":"card"} ], "customer_id":%q }`, customer),
		} {
			if a := w.until(t.Context(), time.Minute, key, body); a.status != http.StatusCreated || string(a.raw) != string(first.raw) {
				t.Errorf("%s: %d %s, not %s", name, a.status, a.raw, first.raw)
			}
		}
	})
	require.Len(t, w.live(t, cybersource), n)
	t.Logf("C10: %d keys, each with another body: all refused; each written anew twice: the same answer", n)
}

// assertStatus reports what is not as expected, from any goroutine.
func assertStatus(t *testing.T, want int, a answer) bool {
	t.Helper()
	if a.status != want {
		t.Errorf("%d, not %d: %s", a.status, want, a.raw)
	}
	return a.status == want
}

func oneCard(customer, year, cvc string) []byte {
	return fmt.Appendf(nil, `{"customer_id":%q,"provider":"cybersource-us","sources":[{"type":"card","number":"4111111111111111","exp_month":12,"exp_year":%s,"cvc":%q}]}`, customer, year, cvc)
}

// C11: a key belongs to its tenant: another tenant's is another request, and its
// answer is another instrument. It belongs to its route, too.
func TestC11KeysOfTwoTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	g := w.gateways[0]
	ours := g.create(t.Context(), "k", oneCard("cus-1", "2031", "123"))
	theirs := g.send(t.Context(), "other000", http.MethodPost, "/v1/instruments", "k", oneCard("cus-1", "2032", "123"))
	require.Equal(t, []int{http.StatusCreated, http.StatusCreated}, []int{ours.status, theirs.status}, "%s %s", ours.raw, theirs.raw)
	require.NotEqual(t, ours.str("id"), theirs.str("id"))
	require.Len(t, w.live(t, cybersource), 2)
	hidden := g.send(t.Context(), "other000", http.MethodGet, "/v1/instruments/"+ours.str("id"), "", nil)
	require.Equal(t, http.StatusNotFound, hidden.status)
	patch := g.send(t.Context(), "acme0000", http.MethodPatch, "/v1/instruments/"+ours.str("id"), "k", object{"metadata": object{"a": "b"}})
	require.Equal(t, http.StatusUnprocessableEntity, patch.status, "%s", patch.raw)
	require.Equal(t, "idempotency_key_reused", patch.str("code"))
	t.Logf("C11: one key of two tenants: 2 instruments; with a PATCH: 422")
}

// C21: a client that hangs up in the middle has not stopped anything: the create
// completes, and the same key replays it.
func TestC21TheClientHangsUp(t *testing.T) {
	t.Parallel()
	onlyFull(t)
	for _, provider := range providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.know(t, 1)
			w.fail(t, provider, fault.Rule{Fault: fault.Delay, DelayMS: 600, Times: 1})
			ctx, cancel := context.WithCancel(t.Context())
			gone := make(chan answer, 1)
			go func() { gone <- w.gateways[0].create(ctx, "k", create(1, provider)) }()
			eventually(t, 5*time.Second, "the attempt begins", func() bool { return w.gateways[0].operation(t, "k").str("state") == "sending" })
			cancel()
			require.Zero(t, (<-gone).status)
			eventually(t, 5*time.Second, "it completes", func() bool { return w.gateways[0].operation(t, "k").str("state") == "completed" })
			a := w.gateways[0].create(t.Context(), "k", create(1, provider))
			require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
			require.Equal(t, "true", a.header.Get("Idempotent-Replayed"))
			require.Len(t, w.live(t, provider), 1)
			t.Logf("C21 %s: completed without its client, replayed, 1 live instrument", provider)
		})
	}
}
