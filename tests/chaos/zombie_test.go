package chaos

import (
	"net/http"
	"path"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// C13: a gateway that is stopped in the middle of a create, past its lease, and
// wakes up after another gateway has finished it, changes nothing any more. What
// it had stored meanwhile is either what the record has, or deleted.
func TestC13ZombieGateway(t *testing.T) {
	t.Parallel()
	onlyFull(t)
	for name, rule := range map[string]fault.Rule{
		"the provider had stored it before": {Fault: fault.CommitThenHang, Times: 1},
		"the provider stores it afterwards": {Fault: fault.Delay, DelayMS: 7000, Times: 1}, // longer than lease and settle time
	} {
		for _, provider := range providers() {
			t.Run(name+" at "+provider, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 2)
				w.know(t, 1)
				w.fail(t, provider, rule)
				zombie, other := w.gateways[0], &world{gateways: w.gateways[1:]}
				asleep := make(chan answer, 1)
				go func() { asleep <- zombie.create(t.Context(), "k", create(1, provider)) }()
				eventually(t, 5*time.Second, "the provider has the request", func() bool {
					return len(w.rules(t, provider)) == 0 && len(w.live(t, provider)) == before(rule)
				})
				zombie.Freeze(t)
				a := other.until(t.Context(), 15*time.Second, "k", create(1, provider))
				require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
				if rule.Fault == fault.Delay {
					// Rebilly knows the number again, so that the late one is no second instrument.
					eventually(t, 10*time.Second, "the late one arrives", func() bool { return w.stored(t, provider) == 2 })
				}
				zombie.Thaw(t)
				late := <-asleep
				require.NotEqual(t, http.StatusUnprocessableEntity, late.status, "%s", late.raw)
				eventually(t, 15*time.Second, "one live instrument is left", func() bool { return len(w.live(t, provider)) == 1 })
				read := w.gateways[1].send(t.Context(), "acme0000", http.MethodGet, "/v1/instruments/"+a.str("id"), "", nil)
				require.Equal(t, http.StatusOK, read.status, "the one that is left is the client's: %s", read.raw)
				require.Equal(t, "active", read.str("status"))
				require.Len(t, w.live(t, provider), 1)
				t.Logf("C13 %s: %d stored, 1 live, the client's", provider, w.stored(t, provider))
			})
		}
	}
}

// before is how many instruments there are when the gateway is stopped.
func before(rule fault.Rule) int {
	if rule.Fault == fault.CommitThenHang {
		return 1
	}
	return 0
}

// stored counts the requests at a provider that stored an instrument.
func (w *world) stored(t *testing.T, provider string) int {
	t.Helper()
	n := 0
	for _, r := range w.state(t, provider).Requests {
		if ok, _ := path.Match(storePath(provider), r.Path); ok && r.Method == http.MethodPost && r.Committed {
			n++
		}
	}
	return n
}
