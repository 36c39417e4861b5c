package tenants

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest/memvault"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/httpapi"
	"github.com/polyvault/polyvault/normalize"
)

// telling is a memvault that sends webhooks: an instrument's id in JSON, under a header
// with a word that only it knows.
type telling struct{ *memvault.Adapter }

const (
	hookHeader = "Vault-Word"
	hookWord   = "the-vaults-own-word"
)

func (telling) Notices(header http.Header, body []byte, _ time.Time) ([]adapters.Notice, error) {
	if header == nil {
		return nil, nil
	}
	if header.Get(hookHeader) != hookWord {
		return nil, adapters.NotAuthentic()
	}
	var n adapters.Notice
	if err := json.Unmarshal(body, &n.NoticeNames); err != nil {
		return nil, adapters.UnreadableNotice()
	}
	return []adapters.Notice{n}, nil
}

func (telling) NoticeNames(ref normalize.References) adapters.NoticeNames {
	return adapters.NoticeNames{Instrument: ref["card"], Customer: ref["customer"]}
}

// receiver is a tenant's endpoint, that takes every event.
func (*world) receiver(t *testing.T) gateway.EventEndpoint {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	return gateway.EventEndpoint{URL: s.URL, Secrets: []normalize.Secret{normalize.NewSecret("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")}}
}

// neverEventID is a valid id that no event has.
const neverEventID = "evt_00000000000000000000000000"

// tell has the events of what a tenant has done so far delivered, and nothing after that.
func (w *world) tell(t *testing.T, tenant string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.service.RunEvents(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	const wanted = 3 // two creates and a change
	require.Eventually(t, func() bool {
		page, err := w.service.ListEvents(ctx, tenant, gateway.EventsInput{Limit: 100})
		delivered := 0
		for _, e := range page.Data {
			if e.Type == gateway.InstrumentCreated && e.InstrumentID == w.ids[tenant+"0"] {
				w.ids[tenant+"event"] = e.ID
			}
			if e.State == gateway.DeliveryDelivered {
				delivered++
			}
		}
		return err == nil && delivered == wanted && len(page.Data) == wanted
	}, 20*time.Second, 5*time.Millisecond)
	shown := w.does(t, request{method: http.MethodGet, path: "/v1/instruments/" + w.ids[tenant+"0"], key: w.keys[tenant]})
	raw, err := json.Marshal(shown["provider_tokens"])
	require.NoError(t, err)
	w.ids[tenant+"card"] = regexp.MustCompile(`card_\d+`).FindString(string(raw))
	require.NotEmpty(t, w.ids[tenant+"card"])
	require.NotEmpty(t, w.ids[tenant+"event"])
}

// TestReferencesNeedTheirScope asks for everything with a key that may all but see the
// providers' ids.
func TestReferencesNeedTheirScope(t *testing.T) {
	t.Parallel()
	ops, _ := document(t, newWorld(t, gateway.Limits{}))
	shown, cells := 0, 0
	for id, rows := range table() {
		if ops[id].scope == "" || ops[id].scope == httpapi.InstrumentsResolve {
			continue // to charge an instrument is to know its references: that has a scope of its own
		}
		for _, may := range []bool{false, true} {
			w := filled(t)
			for _, row := range rows {
				r := row.make(w, w.of(acme))
				if r.key = unreferencedKey; may {
					r.key = w.keys[acme]
				}
				status, all, _ := w.send(t, r)
				require.Equal(t, row.own, status, "%s, %s", id, row.name)
				is := regexp.MustCompile(`card_\d+`).MatchString(all)
				require.False(t, is && !may, "%s, %s: %s", id, row.name, all)
				if cells++; is {
					shown++
				}
			}
		}
	}
	require.GreaterOrEqual(t, shown, 10, "who may sees them")
	t.Logf("%d cells, %d of them show references", cells, shown)
}
