package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pv "github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
	"github.com/polyvault/polyvault/gateway/redisstore"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// eventStore is a store as a configuration names it, and as a test reads it.
type eventStore struct {
	config string
	shared bool // it can be read while a gateway has it open
	open   func(t *testing.T) pv.Store
}

func eventStores(full bool) map[string]func(*testing.T) eventStore {
	onRedis := func(config string, c redisstore.Config) eventStore {
		c.Durability = redisstore.Dev
		return eventStore{config, true, func(t *testing.T) pv.Store {
			t.Helper()
			s, err := redisstore.Open(t.Context(), c)
			require.NoError(t, err)
			return s
		}}
	}
	stores := map[string]func(*testing.T) eventStore{
		"redis": func(t *testing.T) eventStore {
			t.Helper()
			url := fmt.Sprintf("redis://%s/0", redistest.Start(t))
			return onRedis(fmt.Sprintf(`redis: {url: %q, durability: dev}`, url), redisstore.Config{URL: url})
		},
		"bolt": func(t *testing.T) eventStore {
			t.Helper()
			path := filepath.Join(t.TempDir(), "polyvault.db")
			return eventStore{fmt.Sprintf("bolt: {path: %q}", path), false, func(t *testing.T) pv.Store {
				t.Helper()
				s, err := boltstore.Open(boltstore.Config{Path: path})
				require.NoError(t, err)
				return s
			}}
		},
	}
	if full { // an index and its record are on different nodes, so that a write may be half done
		stores["cluster"] = func(t *testing.T) eventStore {
			t.Helper()
			addrs := redistest.StartCluster(t, 3)
			return onRedis(fmt.Sprintf(`redis: {addrs: [%s], cluster: true, durability: dev}`, quoted(addrs)), redisstore.Config{Addrs: addrs, Cluster: true, Replicas: -1})
		}
	}
	return stores
}

// window is where a gateway was between a change and the delivery of its event when it
// was killed.
type window string

const (
	unrelayed window = "the change is made, its event is in the record only"
	relaying  window = "the event has its entry, and is still in the record"
	waiting   window = "the event has its entry, and nobody has acknowledged it"
	elsewhere window = "before the change, or after the delivery"
)

// windowOf reads in a dead gateway's store how far the events of a customer had come.
func windowOf(t *testing.T, s pv.Store, customer string) window {
	t.Helper()
	pending, entries, mine := []string(nil), map[string]bool{}, map[string]bool{}
	require.NoError(t, s.Dump(t.Context(), func(key string, e pv.Entry) error {
		var v struct {
			ID         string                `json:"id"`
			Customer   string                `json:"customer"`
			Events     []struct{ ID string } `json:"events"`
			Instrument string                `json:"instrument"`
			Deliveries []struct{ State string }
		}
		if json.Unmarshal(e.Value, &v) != nil {
			return nil //nolint:nilerr // a claim is no JSON
		}
		switch {
		case strings.HasPrefix(v.ID, "ins_") && v.Customer == customer:
			mine[v.ID] = true
			for _, p := range v.Events {
				pending = append(pending, p.ID)
			}
		case strings.HasPrefix(key, "evt/"):
			entries[v.ID] = true
			for _, d := range v.Deliveries {
				if d.State == "pending" {
					entries[v.Instrument] = true
				}
			}
		}
		return nil
	}))
	switch {
	case len(pending) > 0 && entries[pending[0]]:
		return relaying
	case len(pending) > 0:
		return unrelayed
	}
	for id := range mine {
		if entries[id] {
			return waiting
		}
	}
	return elsewhere
}

// aims are the moments at which a gateway is killed. Each makes a request and returns
// what it answered; the gateway is dead then.
func (w *world) aims(g *gateway, s eventStore, l *listener) []func(*testing.T, string, string, func() answer) answer {
	random := rand.New(rand.NewPCG(1, 2))
	anyMoment := func(t *testing.T, _, _ string, do func() answer) answer {
		t.Helper()
		after, dead := time.Duration(random.IntN(60))*time.Millisecond, make(chan struct{})
		go func() {
			defer close(dead)
			time.Sleep(after)
			g.Kill()
		}()
		defer func() { <-dead }()
		return do()
	}
	atTheAnswer := func(t *testing.T, _, _ string, do func() answer) answer {
		t.Helper()
		defer g.Kill()
		return do()
	}
	// As soon as the record is in the outbox: the change is committed.
	inTheOutbox := func(t *testing.T, _, _ string, do func() answer) answer {
		t.Helper()
		store := s.open(t)
		defer func() { require.NoError(t, store.Close()) }()
		ctx, cancel := context.WithCancel(t.Context())
		dead := make(chan struct{})
		go func() {
			defer close(dead)
			defer g.Kill()
			for ctx.Err() == nil {
				if in, err := store.Scan(ctx, "ev/acme/outbox", "", 1, false); err == nil && len(in) > 0 {
					return
				}
			}
		}()
		defer func() { cancel(); <-dead }()
		return do()
	}
	// While the endpoint has the event and has not answered.
	atTheEndpoint := func(t *testing.T, typ, customer string, do func() answer) answer {
		t.Helper()
		arrived := l.hold(typ, customer)
		defer g.Kill()
		a := do()
		select {
		case <-arrived:
		case <-time.After(20 * time.Second):
			require.Fail(t, "the event did not come", "%s of %s: %d %s", typ, customer, a.status, a.raw)
		}
		return a
	}
	if !s.shared {
		inTheOutbox = atTheAnswer
	}
	return []func(*testing.T, string, string, func() answer) answer{anyMoment, atTheAnswer, inTheOutbox, atTheEndpoint}
}

// A gateway is killed again and again between a change and the delivery of its event: at
// any moment, when the change is answered, when its event is seen in the store, and when
// the endpoint has the event and has not acknowledged it. In the end every change that
// happened was told of, under one id each, and no other.
func TestEventsSurviveKills(t *testing.T) {
	t.Parallel()
	for name, store := range eventStores(*full) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, l := store(t), listen(t)
			w := newWorldIn(t, 0, s.config)
			g := w.newGatewayAs(t, settings{events: fmt.Sprintf("events: {endpoints: [{url: %q, secrets: [env:CHAOS_EVENT_SECRET]}]}", l.url)})
			w.gateways = append(w.gateways, g)
			w.tellsOfAll(t, g, s, l, size(8, 100))
		})
	}
}

func (w *world) tellsOfAll(t *testing.T, g *gateway, s eventStore, l *listener, kills int) {
	t.Helper()
	created, patched, deleted := map[string]bool{}, map[string]bool{}, map[string]bool{}
	hits, aims := map[window]int{}, w.aims(g, s, l)
	for i := range kills {
		// A create, a change and, of every second one, a delete; the gateway dies in one of them.
		customer, steps := fmt.Sprintf("cus-%d", i+1), 3-i%2
		step := func(n int, typ, method, path, key string, body any) answer {
			do := func() answer { return g.send(t.Context(), "acme0000", method, path, key, body) }
			var a answer
			if n == i/len(aims)%steps {
				a = aims[i%len(aims)](t, typ, customer, do)
				store := s.open(t)
				hits[windowOf(t, store, customer)]++
				require.NoError(t, store.Close())
				w.run(t, g)
			} else {
				a = do()
			}
			eventually(t, 20*time.Second, method+" is answered", func() bool {
				if a.final() && a.status < 300 {
					return true
				}
				a = do()
				return a.final() && a.status < 300
			})
			return a
		}
		id := step(0, "instrument.created", http.MethodPost, "/v1/instruments", fmt.Sprintf("event-%d", i), create(i+1, rebilly)).str("id")
		created[id] = true
		path := "/v1/instruments/" + id
		step(1, "instrument.updated", http.MethodPatch, path, fmt.Sprintf("patch-%d", i), object{"metadata": object{"round": fmt.Sprint(i)}})
		patched[id] = true
		if steps == 3 {
			step(2, "instrument.deleted", http.MethodDelete, path, fmt.Sprintf("delete-%d", i), nil)
			deleted[id] = true
		}
	}
	// What a gateway had begun to deliver when it died is another's after half a minute.
	eventually(t, 90*time.Second, "all is told", func() bool {
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
	require.Len(t, l.ids, len(created)+len(patched)+len(deleted), "each change has one event")
	twice := 0
	for _, n := range l.ids {
		twice += min(1, n-1)
	}
	t.Logf("%d kills: %d events of %d instruments, %d of them came more than once; killed when: %v", kills, len(l.ids), len(created), twice, hits)
	require.GreaterOrEqual(t, hits[unrelayed]+hits[relaying]+hits[waiting], kills/4, "too few kills fell between a change and its delivery")
}
