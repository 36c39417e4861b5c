package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/audit"
	"github.com/polyvault/polyvault/normalize"
)

// auditRec is an audit log that a test reads.
type auditRec struct {
	mu       sync.Mutex
	entries  []audit.Entry
	notReady error
	onAppend func()
}

func (a *auditRec) Append(entries ...audit.Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.onAppend != nil {
		a.onAppend()
	}
	a.entries = append(a.entries, entries...)
	return nil
}

func (a *auditRec) Ready() error { return a.notReady }

func (a *auditRec) take() []audit.Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.entries
	a.entries = nil
	return out
}

func auditedRig(t *testing.T, change ...func(*Config)) (*rig, *auditRec) {
	t.Helper()
	rec := &auditRec{}
	return newRig(t, append(change, func(c *Config) { c.Audit = rec })...), rec
}

func TestEveryOperationSaysWhatOfItIsAudited(t *testing.T) {
	t.Parallel()
	var keyed []string
	for id, op := range operations() {
		if op.scope != public {
			keyed = append(keyed, id)
		}
	}
	named := slices.DeleteFunc(slices.Collect(maps.Keys(auditTable())), func(id string) bool { return operations()[id].scope == public })
	require.ElementsMatch(t, keyed, named, "a new operation needs a line in auditTable")
	for id, what := range auditTable() {
		require.NotEmpty(t, what.action, id)
		require.Contains(t, []audited{auditRefused, auditReferences, auditAll, auditChanges}, what.which, id)
		if strings.HasSuffix(string(operations()[id].scope), ":write") {
			require.Equal(t, auditChanges, what.which, "%s changes something", id)
		}
	}
	unknown := auditor{table: auditTable()}
	require.Equal(t, auditAll, unknown.of("somethingNew").which, "what is not in the table is told")
}

// wantAudited is what each operation of requests tells, who and where from aside.
func wantAudited() map[string][]audit.Entry {
	ins := func(action, outcome string) []audit.Entry {
		return []audit.Entry{{Action: action, Instrument: exampleID, Customer: "cus-42", Provider: "cybersource-us", Status: 200, Outcome: outcome}}
	}
	created := ins("instrument.create", "applied")
	created[0].Status = 201
	return map[string][]audit.Entry{
		"createInstrument":        created,
		"listInstruments":         {{Action: "instrument.list", Instrument: exampleID, Customer: "cus-42", Status: 200}},
		"importInstruments":       {{Action: "instrument.import", Item: 1, Instrument: exampleID, Customer: "c", Provider: "cybersource-us", Status: 201, Outcome: "applied"}},
		"bulkDeleteInstruments":   {{Action: "instrument.delete", Item: 1, Instrument: exampleID, Status: 204, Outcome: "applied"}},
		"getInstrument":           ins("instrument.read", ""),
		"updateInstrument":        ins("instrument.update", "applied"),
		"deleteInstrument":        {{Action: "instrument.delete", Instrument: exampleID, Status: 204, Outcome: "applied"}},
		"deactivateInstrument":    ins("instrument.deactivate", "applied"),
		"activateInstrument":      ins("instrument.activate", "applied"),
		"resolveInstrument":       {{Action: "instrument.resolve", Instrument: exampleID, Status: 200}},
		"listProviderTokens":      {{Action: "provider_token.list", Instrument: exampleID, Status: 200}},
		"addProviderToken":        {{Action: "provider_token.add", Instrument: exampleID, Provider: "cybersource-us", Status: 201, Outcome: "applied"}},
		"removeProviderToken":     {{Action: "provider_token.remove", Instrument: exampleID, Provider: "beta", Status: 204, Outcome: "applied"}},
		"getCustomer":             {{Action: "customer.read", Customer: "cus-42", Status: 200}},
		"putCustomer":             {{Action: "customer.put", Customer: "cus-42", Status: 200, Outcome: "applied"}},
		"listCustomerInstruments": {{Action: "instrument.list", Instrument: exampleID, Customer: "cus-42", Status: 200}},
		"findOperations":          nil,
		"getOperation":            nil,
		"retryOperation":          {{Action: "operation.retry", Operation: exampleID, Status: 202, Outcome: "applied"}},
		"failOperation":           {{Action: "operation.fail", Operation: exampleID, Status: 200, Outcome: "applied"}},
		"drainProvider":           {{Action: "provider.drain", Provider: "cybersource-us", Status: 200, Outcome: "applied"}},
		"undrainProvider":         {{Action: "provider.undrain", Provider: "cybersource-us", Status: 200, Outcome: "applied"}},
		"syncInstruments":         {{Action: "instrument.sync", Customer: "cus-42", Status: 200, Outcome: "applied"}},
		"listProviders":           nil,
		"getProvider":             nil,
		"explainRoutes":           nil,
		"listEvents":              nil,
		"getEvent":                nil,
		"replayEvent":             {{Action: "event.replay", Event: exampleEventID, Instrument: exampleID, Status: 202, Outcome: "applied", Count: 1}},
		"replayEvents":            {{Action: "event.replay", Status: 202, Outcome: "applied", Count: 1}},
	}
}

func TestEachOperationGivesExactlyItsEntries(t *testing.T) {
	t.Parallel()
	for id, req := range requests() {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			onlyRefs := "pv_test_NoRefs01_0123456789abcdefghijklmnopqrstuvwxyz"
			r, log := auditedRig(t, func(c *Config) {
				c.Keys = append(c.Keys, APIKey{
					Tenant: "acme", Name: "norefs", SHA256: DigestAPIKey(onlyRefs),
					Scopes: slices.DeleteFunc(Scopes(), func(s Scope) bool { return s == ReferencesRead }),
				})
			})
			want, known := wantAudited()[id]
			require.True(t, known, "a new operation needs its entries here")
			from := func(e audit.Entry, tenant, key string) audit.Entry {
				e.Tenant, e.APIKey, e.Address, e.RequestID = tenant, key, "192.0.2.1", "req-1"
				return e
			}
			call := func(key string) *httptest.ResponseRecorder {
				return r.call(t, req.method, req.path, req.body, "Idempotency-Key", "k", "X-Request-ID", "req-1", "Authorization", "Bearer "+key)
			}
			require.Less(t, call(fullKey).Code, 300)
			var full []audit.Entry
			for _, e := range want {
				full = append(full, from(e, "acme", "checkout"))
			}
			require.Equal(t, full, log.take())

			require.Less(t, call(onlyRefs).Code, 300)
			if what := auditTable()[id].which; what == auditReferences {
				require.Empty(t, log.take(), "the answer showed no references")
			} else {
				require.Len(t, log.take(), len(want))
			}

			refused := inPath(req.path)
			refused.Action, refused.Status, refused.Code, refused.Outcome = auditTable()[id].action, 403, "insufficient_scope", "not_sent"
			call(bareKey)
			require.Equal(t, []audit.Entry{from(refused, "globex", "bare")}, log.take())
			call("nonsense")
			refused.Status, refused.Code, refused.Outcome = 401, "invalid_api_key", ""
			require.Equal(t, []audit.Entry{from(refused, "", "")}, log.take())
		})
	}
}

// inPath is what a path of requests names.
func inPath(path string) (e audit.Entry) {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")
	if len(parts) < 2 {
		return e
	}
	switch parts[0] {
	case "instruments":
		if strings.HasPrefix(parts[1], "ins_") {
			e.Instrument = parts[1]
		}
		if len(parts) == 4 {
			e.Provider = parts[3]
		}
	case "customers":
		e.Customer = parts[1]
	case "operations":
		e.Operation = parts[1]
	case "providers":
		e.Provider = parts[1]
	case "events":
		if strings.HasPrefix(parts[1], "evt_") {
			e.Event = parts[1]
		}
	}
	return e
}

// An operation that needs no API key can refuse somebody all the same, if the table has it.
func TestRefusalsOfPublicOperations(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 401, 404, 429} {
		log := &auditRec{}
		a := newAuditor(log, exampleTime)
		a.table["getHealth"] = auditing{"health.read", auditRefused}
		c := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/", http.NoBody), httptest.NewRecorder())
		x := exchangeOf(c)
		x.operation = "getHealth"
		a.watch(c, x, operation{scope: public})
		require.NoError(t, c.NoContent(status))
		require.Equal(t, status == 401 || status == 429, len(log.entries) == 1, status)
	}
}

func TestWhatIsNoOperationIsNotAudited(t *testing.T) {
	t.Parallel()
	r, log := auditedRig(t)
	for _, path := range []string{"/healthz", "/readyz", "/openapi.yaml", "/docs", "/nothing", "/v1/instruments/a/b"} {
		r.call(t, http.MethodGet, path, "", "Authorization", "")
	}
	require.Empty(t, log.take())
}

func TestFailedChangesAreAudited(t *testing.T) {
	t.Parallel()
	r, log := auditedRig(t)
	r.err = &gateway.Failure{
		Err: &normalize.Error{Code: normalize.CardDeclined, Outcome: normalize.Rejected, Provider: "cybersource-us", Msg: "declined"}, OperationID: exampleID, Replayed: true,
	}
	r.call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", "k")
	got := log.take()
	require.Len(t, got, 1)
	require.Equal(t, "card_declined rejected 422 cybersource-us "+exampleID+" true",
		fmt.Sprint(got[0].Code, " ", got[0].Outcome, " ", got[0].Status, " ", got[0].Provider, " ", got[0].Operation, " ", got[0].Replayed))
	require.Equal(t, "cus-42", got[0].Customer)

	r.call(t, http.MethodPost, "/v1/instruments", `{"customer_id":"`+testNumber+`"}`, "Idempotency-Key", "k")
	r.call(t, http.MethodPost, "/v1/instruments", `{`, "Idempotency-Key", "k")
	r.panics = "boom"
	r.call(t, http.MethodDelete, "/v1/instruments/"+exampleID, "")
	got = log.take()
	require.Equal(t, []int{422, 400, 500}, []int{got[0].Status, got[1].Status, got[2].Status})
	r.panics, r.err = nil, &normalize.Error{Code: normalize.NotFound, Outcome: normalize.Rejected, Msg: "none"}
	r.call(t, http.MethodGet, "/v1/instruments/"+exampleID, "")
	require.Empty(t, log.take(), "a read that showed nothing")
	r.call(t, http.MethodPost, "/v1/instruments/"+exampleID+"/resolve", "")
	require.Len(t, log.take(), 1)
}

func TestNotModifiedShowsNothing(t *testing.T) {
	t.Parallel()
	r, log := auditedRig(t)
	etag := r.call(t, http.MethodGet, "/v1/instruments/"+exampleID, "").Header().Get("ETag")
	require.Len(t, log.take(), 1)
	require.Equal(t, 304, r.call(t, http.MethodGet, "/v1/instruments/"+exampleID, "", "If-None-Match", etag).Code)
	require.Empty(t, log.take())
}

func TestListsAndBulkRequestsNameEveryInstrument(t *testing.T) {
	t.Parallel()
	r, log := auditedRig(t)
	second := exampleInstrument()
	second.ID = "ins_1h7kq2m4n6p8r0s2t4v6w8x0z2"
	r.page.Data = append(r.page.Data, second)
	r.call(t, http.MethodGet, "/v1/instruments", "")
	got := log.take()
	require.Equal(t, []string{exampleID, second.ID}, got[0].Instruments)
	require.Empty(t, got[0].Customer, "they may be of several")

	r.results = []gateway.ItemResult{
		{Created: r.created},
		{Err: &gateway.Failure{Err: &normalize.Error{Code: normalize.OutcomeUnknown, Outcome: normalize.Unknown}, OperationID: second.ID}},
		{Err: &normalize.Error{Code: normalize.RateLimited, Outcome: normalize.NotSent}},
	}
	item := `{"idempotency_key":"%s","customer_id":"%s","sources":[{"type":"rebilly_token","token":"abc"}]}`
	body := `{"items":[` + fmt.Sprintf(item, "a", "c1") + "," + fmt.Sprintf(item, "b", "c2") + "," + fmt.Sprintf(item, "c", "c3") + `]}`
	require.Equal(t, 200, r.call(t, http.MethodPost, "/v1/instruments/import", body).Code)
	got = log.take()
	require.Len(t, got, 3, "one an item")
	require.Equal(t, []string{"c1", "c2", "c3"}, []string{got[0].Customer, got[1].Customer, got[2].Customer})
	require.Equal(t, []int{1, 2, 3}, []int{got[0].Item, got[1].Item, got[2].Item})
	require.Equal(t, []string{"applied", "unknown", "not_sent"}, []string{got[0].Outcome, got[1].Outcome, got[2].Outcome})
	require.Equal(t, second.ID, got[1].Operation)
	require.Equal(t, "rate_limited", got[2].Code)
}

func TestWhatACallerMadeUpIsNotInTheAuditLog(t *testing.T) {
	t.Parallel()
	r, log := auditedRig(t)
	for _, path := range []string{
		"/v1/instruments/" + testNumber, "/v1/instruments/" + strings.Repeat("x", 5000), "/v1/instruments/ins_4111-1111-1111-1111",
		"/v1/instruments/ada%40example.com", "/v1/instruments/ins_%0a0h7kq2m4n6p8r0s2t4v6w8x",
	} {
		r.call(t, http.MethodDelete, path, "")
		require.Equal(t, "[invalid]", log.take()[0].Instrument, path)
	}
	r.call(t, http.MethodGet, "/v1/customers/"+strings.Repeat("x", 500), "")
	require.Equal(t, "[invalid]", log.take()[0].Customer)
	r.call(t, http.MethodGet, "/v1/customers/a%40b", "")
	require.Equal(t, "a@b", log.take()[0].Customer, "the log itself hides it")
	r.call(t, http.MethodPost, "/v1/providers/Not%20A%20Name/drain", "")
	require.Equal(t, "[invalid]", log.take()[0].Provider)
}

func TestNothingIsChangedThatCannotBeTold(t *testing.T) {
	t.Parallel()
	for id, req := range requests() {
		r, log := auditedRig(t)
		log.notReady = errors.New("no space left on device")
		rec := r.call(t, req.method, req.path, req.body, "Idempotency-Key", "k")
		if auditTable()[id].which != auditChanges {
			require.Less(t, rec.Code, 300, id)
			continue
		}
		p := requireProblem(t, rec, http.StatusServiceUnavailable, normalize.AuditUnavailable)
		require.Equal(t, normalize.NotSent, p.Outcome)
		require.Equal(t, normalize.RetrySafe, p.Retry)
		require.Equal(t, "1", rec.Header().Get("Retry-After"))
		require.Empty(t, r.tenant, "%s: the service was not asked", id)
		require.NotContains(t, rec.Body.String(), "no space")
		require.Len(t, log.take(), 1, "the refusal is told, if there is room for it")
	}
}

// The answer waits for the audit log, so that whoever has it can rely on the entry.
func TestTheEntryComesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	r, log := auditedRig(t)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/v1/instruments/"+exampleID, http.NoBody)
	req.Header.Set("Authorization", "Bearer "+fullKey)
	rec := httptest.NewRecorder()
	sent := true
	rec.Code = 0
	log.onAppend = func() { sent = rec.Code != 0 || rec.Body.Len() > 0 }
	r.api.Handler().ServeHTTP(rec, req)
	require.False(t, sent)
	require.Equal(t, 204, rec.Code)
}

func TestStrangersDoNotFillTheAuditLog(t *testing.T) {
	t.Parallel()
	now := exampleTime()
	r, log := auditedRig(t, func(c *Config) { c.MaxAuthFailures = -1; c.Now = func() time.Time { return now } })
	knock := func(n int) {
		for range n {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/instruments", http.NoBody)
			r.api.Handler().ServeHTTP(httptest.NewRecorder(), req)
		}
	}
	knock(maxStrangers + 50)
	require.Len(t, log.take(), maxStrangers)
	r.call(t, http.MethodGet, "/v1/instruments", "")
	require.Len(t, log.take(), 1, "who has a key is told of as always")
	now = now.Add(time.Minute)
	knock(1)
	got := log.take()
	require.Len(t, got, 2)
	require.Equal(t, "callers.refused", got[0].Action)
	require.Equal(t, uint64(50), got[0].Count)
}
