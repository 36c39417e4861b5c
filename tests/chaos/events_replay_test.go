package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// shop is a merchant's endpoint that is told what to answer.
type shop struct {
	url string

	mu       sync.Mutex
	answer   int
	arrivals []arrival
}

type arrival struct {
	at     time.Time
	id     string
	header http.Header
	raw    []byte
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{answer: http.StatusInternalServerError}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.arrivals = append(s.arrivals, arrival{time.Now(), r.Header.Get(standardwebhooks.HeaderWebhookID), r.Header, raw})
		w.WriteHeader(s.answer)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *shop) answers(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = status
}

func (s *shop) got() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]arrival(nil), s.arrivals...)
}

func (s *shop) await(t *testing.T, n int) []arrival {
	t.Helper()
	eventually(t, 30*time.Second, fmt.Sprint(n, " deliveries"), func() bool { return len(s.got()) >= n })
	return s.got()
}

// signedWith reports whether one of a delivery's signatures was made with a secret.
func (a arrival) signedWith(t *testing.T, secret string) bool {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	return wh.Verify(a.raw, a.header) == nil
}

// An endpoint fails, is gone, and comes back with another secret: what it is sent and
// when, as an operator walks through it with the command line.
func TestAnEndpointFailsIsGoneAndComesBack(t *testing.T) {
	t.Parallel()
	w, s := newWorld(t, 0), openShop(t)
	g := w.newGatewayAs(t, settings{events: fmt.Sprintf("events: {endpoints: [{url: %q, secrets: [env:CHAOS_EVENT_SECRET]}]}", s.url)})
	w.gateways = append(w.gateways, g)
	store := func(n int) string {
		a := w.until(t.Context(), 20*time.Second, fmt.Sprint("shop-", n), create(n, rebilly))
		require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
		return a.str("id")
	}

	// It fails: tried again with the same id and bytes after 5 to 6 seconds, and then it is gone.
	first := store(1)
	s.await(t, 1)
	s.answers(http.StatusGone)
	tries := s.await(t, 2)
	require.Equal(t, []any{tries[0].id, string(tries[0].raw)}, []any{tries[1].id, string(tries[1].raw)})
	require.GreaterOrEqual(t, tries[1].at.Sub(tries[0].at), 5*time.Second)
	require.True(t, tries[0].signedWith(t, eventSecret))
	require.False(t, tries[0].signedWith(t, nextEventSecret))

	// Nothing is sent to who is gone.
	second := store(2)
	failed := w.cliEvents(t, g, "list", "--state", "failed")
	require.Len(t, failed, 1)
	require.Equal(t, []any{tries[0].id, first, "failed"}, []any{failed[0]["id"], failed[0]["instrument_id"], failed[0]["state"]})
	eventually(t, 20*time.Second, "the second event waits", func() bool { return len(w.cliEvents(t, g, "list")) == 2 })
	time.Sleep(3 * time.Second)
	require.Len(t, s.got(), 2)

	// It comes back and has a second secret: another configuration, and all is sent.
	s.answers(http.StatusNoContent)
	w.edit(t, g, "[env:CHAOS_EVENT_SECRET]", "[env:CHAOS_EVENT_SECRET_NEXT, env:CHAOS_EVENT_SECRET]")
	waited := s.await(t, 3)[2]
	require.Contains(t, string(waited.raw), second, "what waited comes by itself")
	out, errs, err := programs.Run(t, []string{"POLYVAULT_API_KEY=" + apiKey("acme0000")}, "events", "replay", "--url", g.url, "--since", "1h")
	require.NoError(t, err, "%s%s", out, errs)
	require.Equal(t, "1 to be delivered once more\n", out, "what failed, and not what was delivered")
	replayed := s.await(t, 4)[3]
	require.Equal(t, []any{tries[0].id, string(tries[0].raw)}, []any{replayed.id, string(replayed.raw)}, "under its own id, to the byte")
	for _, secret := range []string{eventSecret, nextEventSecret} {
		require.True(t, waited.signedWith(t, secret) && replayed.signedWith(t, secret), "with both secrets while they are exchanged")
	}

	// The first secret goes.
	w.edit(t, g, "[env:CHAOS_EVENT_SECRET_NEXT, env:CHAOS_EVENT_SECRET]", "[env:CHAOS_EVENT_SECRET_NEXT]")
	store(3)
	last := s.await(t, 5)[4]
	require.True(t, last.signedWith(t, nextEventSecret))
	require.False(t, last.signedWith(t, eventSecret))

	// One event, whatever its state; and all of a range.
	one := w.cliEvents(t, g, "replay", "--id", waited.id)
	require.Equal(t, waited.id, one[0]["id"])
	require.Equal(t, waited.id, s.await(t, 6)[5].id)
	out, errs, err = programs.Run(t, []string{"POLYVAULT_API_KEY=" + apiKey("acme0000")}, "events", "replay", "--url", g.url, "--since", "1h", "--state", "all")
	require.NoError(t, err, "%s%s", out, errs)
	require.Equal(t, "3 to be delivered once more\n", out)
	s.await(t, 9)
	eventually(t, 10*time.Second, "all is delivered", func() bool {
		for _, e := range w.cliEvents(t, g, "list") {
			if e["state"] != "delivered" {
				return false
			}
		}
		return true
	})
	require.Len(t, s.got(), 9)
	out, errs, err = programs.Run(t, []string{"POLYVAULT_API_KEY=" + apiKey("other000")}, "events", "list", "--url", g.url, "--json")
	require.NoError(t, err, "%s", errs)
	require.Empty(t, out, "another tenant's list")
}

// cliEvents runs `polyvault events` and reads what it prints.
func (w *world) cliEvents(t *testing.T, g *gateway, args ...string) []object {
	t.Helper()
	out, errs, err := programs.Run(t, []string{"POLYVAULT_API_KEY=" + apiKey("acme0000")}, append(append([]string{"events"}, args...), "--url", g.url, "--json")...)
	require.NoError(t, err, "%s", errs)
	var all []object
	for line := range strings.Lines(out) {
		var e object
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		all = append(all, e)
	}
	return all
}

// edit changes a gateway's configuration and has it read again.
func (w *world) edit(t *testing.T, g *gateway, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(g.config)
	require.NoError(t, err)
	require.Contains(t, string(raw), from)
	require.NoError(t, os.WriteFile(g.config+".new", []byte(strings.Replace(string(raw), from, to, 1)), 0o600))
	before := strings.Count(g.Log.String(), "configuration was reloaded")
	require.NoError(t, os.Rename(g.config+".new", g.config))
	g.Hangup(t)
	eventually(t, 20*time.Second, "the configuration is in force", func() bool {
		return strings.Count(g.Log.String(), "configuration was reloaded") > before
	})
}
