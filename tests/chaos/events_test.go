package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

const eventSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3" // of the receivers of these tests

// listener is a merchant's endpoint.
type listener struct {
	url string

	mu    sync.Mutex
	seen  map[string]map[string]bool // type -> instrument
	ids   map[string]int             // event -> how often it came
	wrong []string                   // signatures that do not fit, and what cannot be read
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{seen: map[string]map[string]bool{}, ids: map[string]int{}}
	wh, err := standardwebhooks.NewWebhook(eventSecret)
	require.NoError(t, err)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var e struct {
			ID, Type string
			Data     struct{ ID string }
		}
		if err == nil {
			err = wh.Verify(raw, r.Header)
		}
		if err == nil {
			err = json.Unmarshal(raw, &e)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil || e.ID != r.Header.Get(standardwebhooks.HeaderWebhookID) {
			l.wrong = append(l.wrong, fmt.Sprint(err, " ", e.ID))
			return
		}
		if l.seen[e.Type] == nil {
			l.seen[e.Type] = map[string]bool{}
		}
		l.seen[e.Type][e.Data.ID] = true
		l.ids[e.ID]++
	}))
	t.Cleanup(s.Close)
	l.url = s.URL
	return l
}

// of is the set of the instruments that an event of a type has told of.
func (l *listener) of(typ string) map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]bool{}
	for id := range l.seen[typ] {
		out[id] = true
	}
	return out
}

// A gateway is killed again and again between a change and the delivery of its event.
// In the end every change that happened was told of, and no other.
func TestEventsSurviveKills(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(*testing.T) string{
		"redis": func(t *testing.T) string {
			return fmt.Sprintf(`redis: {url: "redis://%s/0", durability: dev}`, redistest.Start(t))
		},
		"bolt": func(t *testing.T) string {
			return fmt.Sprintf("bolt: {path: %q}", filepath.Join(t.TempDir(), "polyvault.db"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			w := newWorldIn(t, 0, store(t))
			g := w.newGatewayAs(t, settings{events: fmt.Sprintf("events: {endpoints: [{url: %q, secrets: [env:CHAOS_EVENT_SECRET]}]}", l.url)})
			w.gateways = append(w.gateways, g)
			w.tellsOfAll(t, g, l, size(5, 100))
		})
	}
}

func (w *world) tellsOfAll(t *testing.T, g *gateway, l *listener, kills int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	created, patched, deleted := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := range kills {
		// A create, a change and a delete; the gateway dies at some moment of one of them,
		// or just after it.
		dies, after := random.IntN(3), time.Duration(random.IntN(60))*time.Millisecond
		kill := func(step int) func() {
			if step != dies {
				return func() {}
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(after)
				g.Kill()
			}()
			return func() {
				<-done
				w.run(t, g)
			}
		}
		revive := kill(0)
		a := g.create(t.Context(), fmt.Sprintf("event-%d", i), create(i+1, rebilly))
		revive()
		if !a.final() {
			a = w.until(t.Context(), 20*time.Second, fmt.Sprintf("event-%d", i), create(i+1, rebilly))
		}
		require.Contains(t, []int{http.StatusOK, http.StatusCreated}, a.status, "%s", a.raw)
		id := a.str("id")
		created[id] = true

		path := "/v1/instruments/" + id
		w.through(t, g, kill(1), http.MethodPatch, path, fmt.Sprintf("patch-%d", i), object{"metadata": object{"round": fmt.Sprint(i)}})
		patched[id] = true
		if i%2 == 0 {
			w.through(t, g, kill(2), http.MethodDelete, path, fmt.Sprintf("delete-%d", i), nil)
			deleted[id] = true
		} else if dies == 2 {
			kill(2)()
		}
	}
	// What a gateway had begun to deliver when it died is another's after half a minute.
	eventually(t, time.Minute, "all is told", func() bool {
		return len(l.of("instrument.created")) >= len(created) && len(l.of("instrument.updated")) >= len(patched) &&
			len(l.of("instrument.deleted")) >= len(deleted)
	})
	require.Equal(t, created, l.of("instrument.created"))
	require.Equal(t, patched, l.of("instrument.updated"))
	require.Equal(t, deleted, l.of("instrument.deleted"))
	require.Empty(t, l.of("instrument.deactivated"))
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Empty(t, l.wrong)
	twice := 0
	for _, n := range l.ids {
		twice += min(1, n-1)
	}
	t.Logf("%d kills: %d events of %d instruments, %d of them came more than once", kills, len(l.ids), len(created), twice)
}

// through makes a change, again after the gateway's death, until it is answered.
func (w *world) through(t *testing.T, g *gateway, revive func(), method, path, key string, body any) {
	t.Helper()
	var raw any
	if body != nil {
		raw = body
	}
	a := g.send(t.Context(), "acme0000", method, path, key, raw)
	revive()
	eventually(t, 20*time.Second, method+" is answered", func() bool {
		if a.final() && a.status < 300 {
			return true
		}
		a = g.send(t.Context(), "acme0000", method, path, key, raw)
		return a.final() && a.status < 300
	})
}
