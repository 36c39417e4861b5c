package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

const (
	hookURL   = "https://shop.example/hooks"
	hookKey   = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
	newerKey  = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4"
	otherURL  = "https://other.example/in"
	hookHost  = "shop.example"
	otherHost = "other.example"
)

func hookAt(url string) EventEndpoint {
	return EventEndpoint{URL: url, Secrets: []normalize.Secret{normalize.NewSecret(hookKey)}}
}

// eventful gives acme one endpoint.
func eventful(c *Config) { c.Tenants[0].Events = []EventEndpoint{hookAt(hookURL)} }

// seldom makes the rounds of a test that lasts for weeks few.
func seldom(every time.Duration) func(*Config) {
	return func(c *Config) { c.Events.Every = every }
}

// receiver is what listens behind endpoints, without sockets.
type receiver struct {
	mu       sync.Mutex
	got      []received
	answers  []int // statuses of the next answers; 200 when there are no more
	hangs    map[string]bool
	underway map[string]int
	most     int // under way at one host at the same time
	// meanwhile, if it is set, happens once, before the first answer.
	meanwhile func(received)
}

type received struct {
	id, host string
	at       time.Time
	header   http.Header
	raw      []byte
	body     struct {
		ID        string    `json:"id"`
		Type      EventType `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      struct {
			ID         string                `json:"id"`
			Provider   string                `json:"provider"`
			ExpiresAt  time.Time             `json:"expires_at"`
			UpdatedAt  time.Time             `json:"updated_at"`
			Instrument *normalize.Instrument `json:"instrument"`
		} `json:"data"`
	}
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	host := req.URL.Host
	r.underway[host]++
	r.most = max(r.most, r.underway[host])
	hangs := r.hangs[host]
	got := received{id: req.Header.Get(standardwebhooks.HeaderWebhookID), host: host, at: time.Now(), header: req.Header, raw: raw}
	if err := json.Unmarshal(raw, &got.body); err != nil {
		panic(err)
	}
	r.got = append(r.got, got)
	status := http.StatusOK
	if len(r.answers) > 0 {
		status, r.answers = r.answers[0], r.answers[1:]
	}
	meanwhile := r.meanwhile
	r.meanwhile = nil
	r.mu.Unlock()
	if meanwhile != nil {
		meanwhile(got)
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.underway[host]--
	}()
	if hangs {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: req}, nil
}

// all is what has come so far.
func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// mostAtOnce is how many were under way at one host at the same time, at most.
func (r *receiver) mostAtOnce() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

// types are the types of what has come to a host, in byte order.
func (r *receiver) types(host string) []EventType {
	var out []EventType
	for _, g := range r.all() {
		if g.host == host {
			out = append(out, g.body.Type)
		}
	}
	slices.Sort(out)
	return out
}

// hears puts a receiver behind all endpoints of a world.
func (w *world) hears() *receiver {
	r := &receiver{hangs: map[string]bool{}, underway: map[string]int{}}
	w.heardBy(r)
	return r
}

func (w *world) heardBy(r *receiver) {
	for _, endpoints := range w.endpoints {
		for _, e := range endpoints {
			e.client = &http.Client{Transport: r}
		}
	}
}

// tells runs a world's events until the returned function is called.
func (w *world) tells(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.RunEvents(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// pendingTypes are the events that a record carries, by type.
func (w *world) pendingTypes(t *testing.T, id string) []EventType {
	t.Helper()
	out := []EventType{}
	for _, e := range w.record(t, id).Events {
		out = append(out, e.Type)
	}
	return out
}

// takes empties what a record carries, as a relay does, and returns its types.
func (w *world) takes(t *testing.T, id string) []EventType {
	t.Helper()
	out := w.pendingTypes(t, id)
	rec := w.record(t, id)
	if len(rec.Events) > 0 {
		_, _, err := w.putAsItIs(t.Context(), "test", rec, rec.relayed(rec.Events))
		require.NoError(t, err)
	}
	return out
}
