package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

const exampleEventID = "evt_0h7kq2m4n6p8r0s2t4v6w8x0z2"

func exampleEvent() gateway.Event {
	return gateway.Event{
		Object: "event", ID: exampleEventID, Type: gateway.InstrumentCreated, InstrumentID: exampleID,
		OccurredAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), State: gateway.DeliveryFailed,
		Deliveries: []gateway.EventDelivery{{Host: "shop.example", State: gateway.DeliveryFailed, Tries: 10, LastStatus: 500, LastError: "status"}},
		Payload:    json.RawMessage(`{"type":"instrument.created"}`),
	}
}

func TestEventsAreSelectedByTheQuery(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rec := r.call(t, http.MethodGet, "/v1/events?since=2026-01-02T03:04:05Z&until=2026-02-02T03:04:05%2B01:00&event_type=provider.down&delivery_state=failed&limit=7&cursor=c", "")
	require.Equal(t, http.StatusOK, rec.Code, rec.Body)
	require.Equal(t, gateway.EventsInput{
		Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Until: time.Date(2026, 2, 2, 2, 4, 5, 0, time.UTC),
		Type: gateway.ProviderDown, State: gateway.DeliveryFailed, Limit: 7, Cursor: "c",
	}, r.events)
	rec = r.call(t, http.MethodGet, "/v1/events?delivery_state=all", "")
	require.Equal(t, http.StatusOK, rec.Code, rec.Body)
	require.Equal(t, gateway.EventsInput{}, r.events)

	rec = r.call(t, http.MethodPost, "/v1/events/replay?since=2026-01-02T03:04:05Z", "")
	require.Equal(t, http.StatusAccepted, rec.Code, rec.Body)
	require.Equal(t, gateway.DeliveryFailed, r.events.State, "unless all are asked for")
	rec = r.call(t, http.MethodPost, "/v1/events/replay?since=2026-01-02T03:04:05Z&delivery_state=all", "{}")
	require.Equal(t, http.StatusAccepted, rec.Code, rec.Body)
	require.Empty(t, r.events.State)
	require.JSONEq(t, `{"replayed":1,"has_more":false}`, rec.Body.String())

	rec = r.call(t, http.MethodPost, "/v1/events/"+exampleEventID+"/replay", "")
	require.Equal(t, http.StatusAccepted, rec.Code, rec.Body)
	require.Equal(t, "/v1/events/"+exampleEventID, rec.Header().Get("Location"))
	require.Equal(t, exampleEventID, r.id)
}

func TestBadQueriesOfEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, query := range []string{
		"since=yesterday", "until=2026-01-02", "event_type=instrument.exploded", "delivery_state=pending", "limit=0", "state=failed", "type=card", "event_type=",
	} {
		rec := r.call(t, http.MethodGet, "/v1/events?"+query, "")
		require.Equal(t, http.StatusUnprocessableEntity, rec.Code, "%s: %s", query, rec.Body)
		rec = r.call(t, http.MethodPost, "/v1/events/replay?since=2026-01-02T03:04:05Z&"+query, "")
		require.Equal(t, http.StatusUnprocessableEntity, rec.Code, "%s: %s", query, rec.Body)
	}
	rec := r.call(t, http.MethodPost, "/v1/events/"+exampleEventID+"/replay", `{"x":1}`)
	requireProblem(t, rec, http.StatusBadRequest, normalize.UnknownMember)
	rec = r.call(t, http.MethodPost, "/v1/events/replay", "")
	require.GreaterOrEqual(t, rec.Code, 400, "since is required: %s", rec.Body)
	require.Less(t, rec.Code, 500)
}

// FuzzEventsQuery: whatever the query of a list or a replay is, it is refused, or
// understood as what it says, within its bounds.
func FuzzEventsQuery(f *testing.F) {
	for _, q := range []string{
		"", "limit=1", "since=2026-01-02T03:04:05Z&until=2026-02-02T03:04:05%2B01:00", "event_type=provider.down&delivery_state=failed", "cursor=AAAA",
		"since=0000-01-01T00:00:00Z", "since=9999-12-31T23:59:59.999999999-23:59", "since=2026-01-02t03:04:05z", "limit=1&limit=2", "delivery_state=all&x", ";", "%00", "since=",
	} {
		f.Add(q, "")
		f.Add(q, "{}")
	}
	f.Add("since=2026-01-02T03:04:05Z", `{"force":true}`)
	r := newRig(f)
	f.Fuzz(func(t *testing.T, q, body string) {
		for _, to := range []struct{ method, path string }{{http.MethodGet, "/v1/events"}, {http.MethodPost, "/v1/events/replay"}} {
			r.events = gateway.EventsInput{Limit: -1}
			req := httptest.NewRequestWithContext(t.Context(), to.method, to.path, strings.NewReader(body))
			req.URL.RawQuery = q
			req.Header.Set("Authorization", "Bearer "+fullKey)
			req.Header.Set("Content-Type", mediaJSON)
			rec := httptest.NewRecorder()
			r.api.Handler().ServeHTTP(rec, req)
			if rec.Code >= 400 {
				require.Less(t, rec.Code, 500, "%s", rec.Body)
				require.Equal(t, -1, r.events.Limit, "nothing was asked")
				continue
			}
			values, err := url.ParseQuery(q)
			require.NoError(t, err)
			for name := range values {
				require.Contains(t, operations()["listEvents"].query, name)
			}
			require.Equal(t, values.Get("cursor"), r.events.Cursor)
			require.Equal(t, values.Get("event_type"), string(r.events.Type))
			require.True(t, r.events.Limit >= 0 && r.events.Limit <= 100)
			if text := values.Get("since"); text != "" {
				at, err := time.Parse(time.RFC3339, text)
				require.NoError(t, err)
				require.True(t, at.Equal(r.events.Since), "%s is not %s", text, r.events.Since)
			}
		}
	})
}
