package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// watch collects what an API tells of its requests.
type watch struct {
	mu  sync.Mutex
	all []Observation
}

func (w *watch) see(_ context.Context, o Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, o)
}

func TestRequestsAreObserved(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		method, path, body string
		err                error
		header             []string
		want               Observation
	}{
		"a create": {
			method: "POST", path: "/v1/instruments", body: goodCreate, header: []string{"Idempotency-Key", "k"},
			want: Observation{Operation: "createInstrument", Method: "POST", Tenant: "acme", Status: 201, Provider: "cybersource-us"},
		},
		"a failure": {
			method: "GET", path: "/v1/instruments/" + exampleID, err: &normalize.Error{Code: normalize.ProviderTimeout, Outcome: normalize.Unknown, Provider: "p"},
			want: Observation{Operation: "getInstrument", Method: "GET", Tenant: "acme", Status: 504, Code: normalize.ProviderTimeout, Provider: "p"},
		},
		"nobody known": {
			method: "GET", path: "/v1/providers", header: []string{"Authorization", "Bearer x"},
			want: Observation{Operation: "listProviders", Method: "GET", Status: 401, Code: normalize.InvalidAPIKey},
		},
		"a path that does not exist": {
			method: "GET", path: "/v1/" + testNumber,
			want: Observation{Method: "GET", Status: 404, Code: normalize.NotFound},
		},
		"a method that somebody made up": {
			method: "PAN" + testNumber, path: "/v1/instruments",
			want: Observation{Method: "other", Status: 405, Code: normalize.MethodNotAllowed},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &watch{}
			r := newRig(t, func(c *Config) { c.Observe = w.see })
			r.err = tt.err
			r.call(t, tt.method, tt.path, tt.body, tt.header...)
			require.Equal(t, []Observation{tt.want}, w.all)
			require.Zero(t, r.api.InFlight())
		})
	}
}

func TestInFlightCountsWhatIsServed(t *testing.T) {
	t.Parallel()
	var during int64
	var r *rig
	r = newRig(t, func(c *Config) { c.Observe = func(context.Context, Observation) { during = r.api.InFlight() } })
	r.call(t, http.MethodGet, "/v1/providers", "")
	require.Equal(t, int64(1), during)
	r.panics = http.ErrAbortHandler
	require.Panics(t, func() { r.call(t, http.MethodGet, "/v1/instruments/"+exampleID, "") })
	require.Zero(t, r.api.InFlight(), "what ends by a panic has ended, too")
}

// The log line of each request names the instrument, the provider and what is known of
// the effect, and what was tried.
func TestTheLogLineOfAnEffect(t *testing.T) {
	t.Parallel()
	op := exampleOperation()
	attempts := []gateway.AttemptView{
		{Provider: "first", Outcome: normalize.NotSent, Code: "breaker_open"}, {Provider: "second", Outcome: normalize.Applied, MS: 12},
	}
	for name, tt := range map[string]struct {
		created gateway.Created
		err     error
		want    map[string]any
	}{
		"stored at the second": {
			created: gateway.Created{Instrument: exampleInstrument(), Provider: "second", Attempts: attempts},
			want: map[string]any{
				"instrument": exampleID, "provider": "second", "outcome": "applied", "status": int64(201),
				"attempts": []any{"first not_sent breaker_open", "second applied"},
			},
		},
		"there already": {
			created: gateway.Created{Instrument: exampleInstrument(), Provider: "second", Replayed: true, Deduplicated: true},
			want:    map[string]any{"instrument": exampleID, "replayed": true, "deduplicated": true, "outcome": "applied", "attempts": nil},
		},
		"not known": {
			created: gateway.Created{Operation: &op},
			want:    map[string]any{"instrument": exampleID, "outcome": "unknown", "attempts": []any{"cybersource-us unknown provider_timeout"}, "status": int64(202)},
		},
		"refused": {
			err: &gateway.Failure{
				OperationID: exampleID, Attempts: attempts[:1], Replayed: true,
				Err: &normalize.Error{Code: normalize.CardDeclined, Outcome: normalize.Rejected, Provider: "first"},
			},
			want: map[string]any{
				"instrument": exampleID, "provider": "first", "outcome": "rejected", "code": "card_declined", "replayed": true,
				"attempts": []any{"first not_sent breaker_open"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *Config) {
				c.TraceID = func(context.Context) string { return "0af7651916cd43dd8448eb211c80319c" }
			})
			r.created, r.err = tt.created, tt.err
			r.call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", "k")
			got := r.logs.FilterMessage("request").All()[0].ContextMap()
			require.Equal(t, "0af7651916cd43dd8448eb211c80319c", got["trace_id"])
			for field, want := range tt.want {
				require.Equal(t, want, got[field], field)
			}
		})
	}
	t.Run("a change", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.call(t, http.MethodPost, "/v1/instruments/"+exampleID+"/deactivate", "")
		got := r.logs.All()[0].ContextMap()
		require.Equal(t, exampleID, got["instrument"])
		require.Equal(t, "applied", got["outcome"])
	})
	t.Run("what a caller made up is no id", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.call(t, http.MethodGet, "/v1/instruments/ins_"+testNumber, "")
		r.call(t, http.MethodGet, "/v1/instruments/ins_"+testNumber+"aaaaaaaaaa", "")
		r.call(t, http.MethodGet, "/v1/instruments/ada@example.com", "")
		requireNoLeak(t, r)
		require.NotContains(t, r.logs.All()[0].ContextMap(), "instrument")
		require.NotContains(t, r.logs.All()[2].ContextMap(), "instrument")
	})
}

// With the level debug, too, nothing of a request or an answer is logged but what the
// line's fields say: no value of a body, no query and no header. (A problem names the members that are
// wrong, of which none that looks like a card number.)
func TestNoLevelLogsBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t) // its log takes everything from debug up
	const mark = "canary"
	ins := exampleInstrument()
	ins.CustomerID, ins.Metadata = mark, map[string]string{mark: mark}
	r.created, r.read.Instrument, r.page.Data = gateway.Created{Instrument: ins, Provider: "p"}, ins, []normalize.Instrument{ins}
	for id, req := range requests() {
		body := strings.NewReplacer("cus-42", mark, "abc", mark, "maintenance", mark).Replace(req.body)
		path := strings.ReplaceAll(req.path, "cus-42", mark)
		if slices.Contains([]string{"listInstruments"}, id) {
			path += "?q=" + mark
		}
		r.call(t, req.method, path, body, "Idempotency-Key", mark, "User-Agent", mark, "X-Forwarded-For", mark)
		r.call(t, req.method, path, `{"a":"`+mark+`",`, "Idempotency-Key", mark)
	}
	require.GreaterOrEqual(t, r.logs.Len(), 2*len(requests()))
	for _, e := range r.logs.All() {
		require.NotContains(t, fmt.Sprint(e.Message, e.ContextMap()), mark)
	}
}

func TestTheObservationHasTheTime(t *testing.T) {
	t.Parallel()
	w, now := &watch{}, exampleTime()
	r := newRig(t, func(c *Config) {
		c.Observe = w.see
		c.Now = func() time.Time { now = now.Add(time.Second); return now }
	})
	r.call(t, http.MethodGet, "/v1/providers", "")
	require.Equal(t, time.Second, w.all[0].Took)
}
