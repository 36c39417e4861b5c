package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oapi-codegen/nullable"
	"github.com/stretchr/testify/require"
)

const testKey = "pv_test_Client01_0123456789abcdefghijklmnopqrstuvwxyz"

// scripted answers requests in turn, without a network, so that time can be
// simulated; the last answer stays.
type scripted struct {
	mu      sync.Mutex
	answers []reply
	seen    []seen
}

type reply struct {
	status int
	header map[string]string
	body   string
	err    error
}

type seen struct {
	method, uri, key, contentType, ifMatch, body string
	at                                           time.Time
}

func (s *scripted) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	h := req.Header
	if h.Get("Authorization") != "Bearer "+testKey {
		return nil, errors.New("the API key is not sent")
	}
	s.seen = append(s.seen, seen{
		req.Method, req.URL.RequestURI(), h.Get("Idempotency-Key"), h.Get("Content-Type"), h.Get("If-Match"), string(body), time.Now(),
	})
	a := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	if a.err != nil {
		return nil, a.err
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	if a.status >= 400 {
		rec.Header().Set("Content-Type", "application/problem+json")
	}
	for k, v := range a.header {
		rec.Header().Set(k, v)
	}
	rec.WriteHeader(a.status)
	_, _ = rec.WriteString(a.body)
	return rec.Result(), nil
}

func problemJSON(status int, code Code, outcome Outcome, retry Retry) reply {
	b, _ := json.Marshal(Problem{
		Type: "x", Title: "x", Status: status, Code: code, Outcome: outcome, Retry: retry, Detail: "why", RequestID: "r", OperationID: "op",
		Errors: []FieldError{{Pointer: "/x", Code: code, Message: "wrong"}},
	})
	return reply{status: status, body: string(b)}
}

func newClient(t *testing.T, o Options, answers ...reply) (*Client, *scripted) {
	t.Helper()
	s := &scripted{answers: answers}
	o.HTTP = &http.Client{Transport: s}
	c, err := New("https://gateway.example", testKey, o)
	require.NoError(t, err)
	return c, s
}

func TestCreateRetriesWithTheSameKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy := problemJSON(409, CodeIdempotencyKeyInUse, OutcomeNotSent, RetrySafeWithSameKey)
		busy.header = map[string]string{"Retry-After": "3"}
		c, s := newClient(t, Options{},
			reply{err: errors.New("connection reset")}, busy, reply{status: 502, header: map[string]string{"Content-Type": "text/html"}, body: "<html>"},
			reply{status: 201, header: map[string]string{"ETag": `"t"`, "Gateway-Provider": "p"}, body: `{"id":"ins_1"}`})
		out, err := c.Create(t.Context(), CreateInstrument{CustomerID: "c", Sources: []Source{FromRebillyToken("tok")}}, "")
		require.NoError(t, err)
		require.Equal(t, "ins_1", out.Instrument.ID)
		require.Equal(t, `"t"`, out.ETag)
		require.Len(t, s.seen, 4)
		for _, r := range s.seen {
			require.Equal(t, out.IdempotencyKey, r.key)
			require.JSONEq(t, `{"customer_id":"c","sources":[{"type":"rebilly_token","token":"tok"}]}`, r.body)
		}
		require.GreaterOrEqual(t, len(out.IdempotencyKey), 26)
		require.Equal(t, 3*time.Second, s.seen[2].at.Sub(s.seen[1].at), "Retry-After is waited in full")
	})
}

func TestAChangeWithAKeyIsRetriedWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newClient(t, Options{}, reply{err: errors.New("connection reset")},
			problemJSON(504, CodeProviderTimeout, OutcomeUnknown, RetrySafeWithSameKey),
			reply{status: 200, header: map[string]string{"Idempotent-Replayed": "true"}, body: `{"id":"ins_1"}`})
		read, err := c.Deactivate(t.Context(), "ins_1", WithIdempotencyKey("mine"))
		require.NoError(t, err)
		require.True(t, read.Replayed)
		require.Len(t, s.seen, 3)
		for _, r := range s.seen {
			require.Equal(t, "mine", r.key)
		}
		c, _ = newClient(t, Options{Retries: -1}, reply{err: errors.New("connection reset")})
		err = c.Delete(t.Context(), "ins_1", "", WithIdempotencyKey("mine"))
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		require.Equal(t, RetrySafeWithSameKey, e.Retry)
		require.Equal(t, "mine", e.IdempotencyKey)
	})
}

func TestWhatIsRetriedAndHowOften(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer  reply
		retries int
		sent    int
	}{
		"never is never retried":                {problemJSON(422, CodeCardDeclined, OutcomeRejected, RetryNever), 0, 1},
		"after_reconcile is left to the caller": {problemJSON(409, CodeConflict, OutcomeUnknown, RetryAfterReconcile), 0, 1},
		"safe is retried four times":            {problemJSON(503, CodeStoreUnavailable, OutcomeNotSent, RetrySafe), 0, 5},
		"as often as asked for":                 {problemJSON(503, CodeStoreUnavailable, OutcomeNotSent, RetrySafe), 1, 2},
		"not at all":                            {problemJSON(503, CodeStoreUnavailable, OutcomeNotSent, RetrySafe), -1, 1},
		"a proxy's refusal is not retried":      {reply{status: 403, header: map[string]string{"Content-Type": "text/html"}, body: "no"}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, s := newClient(t, Options{Retries: tt.retries}, tt.answer)
				_, err := c.Create(t.Context(), CreateInstrument{}, "key")
				require.Len(t, s.seen, tt.sent)
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok)
				require.Equal(t, tt.answer.status, e.Status)
				require.Equal(t, "key", e.IdempotencyKey)
				require.NotContains(t, err.Error(), testKey)
			})
		})
	}
}

func TestErrorsAreTyped(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, Options{}, problemJSON(422, CodeOutOfRange, OutcomeNotSent, RetryNever))
	_, err := c.Get(t.Context(), "ins_1", GetOptions{})
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Equal(t, &Error{
		Status: 422, Code: CodeOutOfRange, Outcome: OutcomeNotSent, Retry: RetryNever, Detail: "why", RequestID: "r", OperationID: "op",
		Fields: []FieldError{{Pointer: "/x", Code: CodeOutOfRange, Message: "wrong"}},
	}, e)
	require.Equal(t, "polyvault: 422 out_of_range (not_sent, retry: never): why; /x: wrong", e.Error())
}

func TestRetriesEndWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newClient(t, Options{Retries: 100}, problemJSON(503, CodeStoreUnavailable, OutcomeNotSent, RetrySafe))
		ctx, cancel := contextWithTimeout(t, time.Second)
		defer cancel()
		_, err := c.Providers(ctx)
		require.Error(t, err)
		require.Less(t, len(s.seen), 50)
	})
}

func TestCreateWaitsForAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	unknown := reply{status: 202, body: `{"id":"ins_1","state":"unknown"}`}
	synctest.Test(t, func(t *testing.T) {
		c, s := newClient(t, Options{WaitForOperation: time.Minute}, unknown, reply{status: 200, body: `{"id":"ins_1","state":"unknown"}`},
			reply{status: 200, body: `{"id":"ins_1","state":"completed"}`},
			reply{status: 201, header: map[string]string{"Idempotent-Replayed": "true"}, body: `{"id":"ins_1"}`})
		out, err := c.Create(t.Context(), CreateInstrument{}, "key")
		require.NoError(t, err)
		require.Equal(t, "ins_1", out.Instrument.ID)
		require.True(t, out.Replayed)
		require.Equal(t, []string{"/v1/instruments", "/v1/operations/ins_1", "/v1/operations/ins_1", "/v1/instruments"}, uris(s))
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := newClient(t, Options{WaitForOperation: 3 * time.Second}, unknown, reply{status: 200, body: `{"id":"ins_1","state":"unknown"}`})
		out, err := c.Create(t.Context(), CreateInstrument{}, "key")
		require.NoError(t, err)
		require.Nil(t, out.Instrument)
		require.Equal(t, OperationStateUnknown, out.Operation.State)
	})
	c, s := newClient(t, Options{}, unknown)
	out, err := c.Create(t.Context(), CreateInstrument{}, "key")
	require.NoError(t, err)
	require.NotNil(t, out.Operation)
	require.Len(t, s.seen, 1)
}

func uris(s *scripted) []string {
	var out []string
	for _, r := range s.seen {
		out = append(out, r.uri)
	}
	return out
}

func TestUpdateWritesAMergePatch(t *testing.T) {
	t.Parallel()
	tier := "gold"
	for want, u := range map[string]Update{
		`{}`: {},
		`{"billing_address":null,"metadata":{"a":null,"tier":"gold"}}`: {
			BillingAddress: nullable.NewNullNullable[map[string]*string](),
			Metadata:       nullable.NewNullableWithValue(map[string]*string{"tier": &tier, "a": nil}),
		},
		`{"card":{"exp_month":1},"default":true}`: {Card: &Expiry{Month: 1}, Default: true},
	} {
		c, s := newClient(t, Options{}, reply{status: 200, header: map[string]string{"Gateway-Stale": "true", "Age": "7"}, body: `{"id":"ins_1"}`})
		r, err := c.Update(t.Context(), "ins_1", u, `"tag"`)
		require.NoError(t, err)
		require.Equal(t, 7*time.Second, r.Age)
		require.JSONEq(t, want, s.seen[0].body)
		require.Equal(t, "application/merge-patch+json", s.seen[0].contentType)
		require.Equal(t, `"tag"`, s.seen[0].ifMatch)
	}
}

func TestListsGoThroughAllPages(t *testing.T) {
	t.Parallel()
	pagesOf := func() []reply {
		return []reply{{status: 200, body: `{"data":[{"id":"a"},{"id":"b"}],"has_more":true,"next_cursor":"n/1"}`}, {status: 200, body: `{"data":[{"id":"c"}],"has_more":false}`}}
	}
	c, s := newClient(t, Options{}, pagesOf()...)
	var ids []string
	params := ListInstrumentsParams{Status: &[]InstrumentStatus{InstrumentStatusActive, InstrumentStatusExpired}, Metadata: &map[string]string{"tier": "gold"}}
	for ins, err := range c.List(t.Context(), params) {
		require.NoError(t, err)
		ids = append(ids, ins.ID)
	}
	require.Equal(t, []string{"a", "b", "c"}, ids)
	require.Equal(t, []string{
		"/v1/instruments?status=active,expired&metadata[tier]=gold", "/v1/instruments?status=active,expired&metadata[tier]=gold&cursor=n%2F1",
	}, uris(s))

	c, s = newClient(t, Options{}, pagesOf()...)
	for _, err := range c.CustomerInstruments(t.Context(), "cus 42") {
		require.NoError(t, err)
		break
	}
	require.Equal(t, []string{"/v1/customers/cus%2042/instruments"}, uris(s))

	c, _ = newClient(t, Options{}, problemJSON(400, CodeInvalidCursor, OutcomeNotSent, RetryNever))
	for _, err := range c.List(t.Context(), ListInstrumentsParams{}) {
		require.Error(t, err)
	}
}

func TestImportsGetKeysThatTheRetriesKeep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newClient(t, Options{}, reply{err: errors.New("reset")}, reply{status: 200, body: `{"data":[],"counts":{"total":2}}`})
		items := []ImportItem{{CustomerID: "a"}, {CustomerID: "b", IdempotencyKey: "mine"}}
		_, err := c.Import(t.Context(), items)
		require.NoError(t, err)
		require.Len(t, s.seen, 2)
		require.Equal(t, s.seen[0].body, s.seen[1].body)
		require.Contains(t, s.seen[0].body, `"idempotency_key":"mine"`)
		require.NotContains(t, s.seen[0].body, `"idempotency_key":""`)
		require.Empty(t, items[0].IdempotencyKey, "the caller's items are not changed")
	})
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "gateway.example", "ftp://gateway.example", "https://", "://"} {
		_, err := New(base, testKey, Options{})
		require.Error(t, err, base)
	}
	_, err := New("https://gateway.example", "", Options{})
	require.Error(t, err)
}

func TestErrorsDoNotHoldTheKey(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, Options{Retries: -1}, reply{err: errors.New("reset")})
	_, err := c.Providers(t.Context())
	require.NotContains(t, fmt.Sprintf("%+v %s", err, err), testKey)
	require.True(t, strings.HasPrefix(err.Error(), "polyvault: no answer: "))
}

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}
