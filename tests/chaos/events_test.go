package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

const eventSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3" // of the receivers of these tests

// nextEventSecret is the one that takes its place.
const nextEventSecret = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4"

// listener is a merchant's endpoint.
type listener struct {
	url string

	mu    sync.Mutex
	seen  map[string]map[string]bool // type -> instrument
	ids   map[string]int             // event -> how often it came
	wrong []string                   // signatures that do not fit, and what cannot be read
	held  map[string]chan struct{}   // type and customer of what is not to be answered
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{seen: map[string]map[string]bool{}, ids: map[string]int{}, held: map[string]chan struct{}{}}
	wh, err := standardwebhooks.NewWebhook(eventSecret)
	require.NoError(t, err)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var e struct {
			ID, Type string
			Data     struct {
				ID         string
				CustomerID string `json:"customer_id"`
			}
		}
		if err == nil {
			err = wh.Verify(raw, r.Header)
		}
		if err == nil {
			err = json.Unmarshal(raw, &e)
		}
		if err == nil && l.holds(e.Type, e.Data.CustomerID) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusServiceUnavailable)
			return
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

// hold has the next event of a type about a customer wait for its answer, which never
// comes; the channel is closed when it is there.
func (l *listener) hold(typ, customer string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	arrived := make(chan struct{})
	l.held[typ+customer] = arrived
	return arrived
}

// holds reports whether an event is to be held, for once.
func (l *listener) holds(typ, customer string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	arrived, ok := l.held[typ+customer]
	if ok {
		close(arrived)
		delete(l.held, typ+customer)
	}
	return ok
}
