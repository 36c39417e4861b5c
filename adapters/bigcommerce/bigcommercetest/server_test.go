package bigcommercetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/standin"
)

const (
	v3         = "/stores/sandbox/v3"
	collection = v3 + "/payments/stored-instruments"
)

// store is a stand-in and a clock that tests move.
type store struct {
	tb  testing.TB
	srv *standin.Server

	mu  sync.Mutex
	now time.Time
}

func newStore(tb testing.TB, o bigcommercetest.Options) *store {
	tb.Helper()
	s := &store{tb: tb, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	o.Now = func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.now
	}
	s.srv = bigcommercetest.New(o)
	return s
}

func (s *store) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// answer is a response with its body read as JSON; nil if there is none.
type answer struct {
	status int
	header http.Header
	body   any
}

// object returns the body as an object.
func (a answer) object(tb testing.TB) map[string]any {
	tb.Helper()
	m, ok := a.body.(map[string]any)
	require.True(tb, ok, "%v", a.body)
	return m
}

// rows returns the rows of a list, bare or in data.
func (a answer) rows(tb testing.TB) []map[string]any {
	tb.Helper()
	list, ok := a.body.([]any)
	if !ok {
		list, ok = a.object(tb)["data"].([]any)
	}
	require.True(tb, ok, "%v", a.body)
	out := make([]map[string]any, len(list))
	for i, e := range list {
		out[i], ok = e.(map[string]any)
		require.True(tb, ok)
	}
	return out
}

// do sends a request with the default headers, changed by "Name: value" lines; an empty value removes one.
func (s *store) do(method, target, body string, headers ...string) answer {
	s.tb.Helper()
	r := httptest.NewRequestWithContext(s.tb.Context(), method, target, strings.NewReader(body))
	r.Header.Set("X-Auth-Token", bigcommercetest.DefaultAccessToken)
	r.Header.Set("Accept", "application/json")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	w := httptest.NewRecorder()
	s.srv.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header()}
	if w.Body.Len() > 0 {
		require.NoError(s.tb, json.Unmarshal(w.Body.Bytes(), &a.body), w.Body.String())
	}
	return a
}

// item is an import item of a card; change replaces parts of its text.
func item(n int, change ...string) string {
	text := fmt.Sprintf(`{"payment_method_id":"braintree.credit_card","currency_code":"USD","customer_id":42,
		"instrument":{"vault_token":"vault-%d","provider_customer_id":"321123","type":"credit_card","brand":"visa",
		"expiry_year":2031,"expiry_month":12,"last_4":"1111","iin":"411111"},
		"billing_address":{"first_name":"Ada","street_1":"12 Analytical Way","country_code":"US"},
		"trusted_shipping_addresses":[],"default_instrument":false}`, n)
	return strings.NewReplacer(change...).Replace(text)
}

// add imports one card and returns its token.
func (s *store) add(n int, change ...string) string {
	s.tb.Helper()
	a := s.do("POST", collection, "["+item(n, change...)+"]")
	require.Equal(s.tb, 200, a.status, "%v", a.body)
	token, ok := a.rows(s.tb)[0]["token"].(string)
	require.True(s.tb, ok)
	return token
}

func TestEdge(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
	}{
		"the right credentials":      {"GET", collection, "", nil, 200},
		"no token":                   {"GET", collection, "", []string{"X-Auth-Token: "}, 401},
		"a wrong token":              {"GET", collection, "", []string{"X-Auth-Token: sandbox-toke"}, 401},
		"another store":              {"GET", "/stores/other/v3/payments/stored-instruments", "", nil, 403},
		"no store":                   {"GET", "/v3/payments/stored-instruments", "", nil, 403},
		"no Accept":                  {"GET", collection, "", []string{"Accept: "}, 406},
		"another Accept":             {"GET", collection, "", []string{"Accept: application/xml"}, 406},
		"any Accept":                 {"GET", collection, "", []string{"Accept: */*"}, 200},
		"a body without its type":    {"POST", collection, "[]", []string{"Content-Type: "}, 415},
		"a method of no endpoint":    {"PATCH", collection, "{}", nil, 405},
		"an instrument by its token": {"GET", collection + "/abc", "", nil, 405},
		"PUT on an instrument":       {"PUT", collection + "/abc", "{}", nil, 404},
		"a path of no endpoint":      {"GET", v3 + "/customers/stored-instruments", "", nil, 404},
		"not JSON":                   {"POST", collection, "{", nil, 400},
		"a body of 2 MiB":            {"POST", collection, strings.Repeat(" ", 2<<20), nil, 413},
	} {
		s := newStore(t, bigcommercetest.Options{})
		a := s.do(tt.method, tt.path, tt.body, tt.headers...)
		require.Equal(t, tt.status, a.status, name)
		require.Regexp(t, `^[0-9a-f]{32}$`, a.header.Get("X-Request-Id"), name)
		if tt.status >= 400 && tt.status != 403 {
			require.InDelta(t, tt.status, a.object(t)["status"], 0, name)
		}
	}
	s := newStore(t, bigcommercetest.Options{EdgeErrors: true, ItemPutStatus: 405})
	require.Equal(t, map[string]any{"code": 401.0, "message": "Unauthorized"}, s.do("GET", collection, "", "X-Auth-Token: ").body)
	require.Equal(t, 405, s.do("PUT", collection+"/abc", "{}").status)
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{Quota: 2})
	left := func(a answer) []string {
		return []string{a.header.Get("X-Rate-Limit-Requests-Left"), a.header.Get("X-Rate-Limit-Time-Reset-Ms")}
	}
	require.Equal(t, []string{"1", "30000"}, left(s.do("GET", collection, "")))
	s.advance(12 * time.Second)
	require.Equal(t, []string{"0", "18000"}, left(s.do("GET", collection, "")))
	a := s.do("POST", collection, "["+item(1)+"]")
	require.Equal(t, 429, a.status)
	require.Equal(t, []string{"0", "18000"}, left(a))
	require.Equal(t, "2", a.header.Get("X-Rate-Limit-Requests-Quota"))
	require.Equal(t, "30000", a.header.Get("X-Rate-Limit-Time-Window-Ms"))
	require.Empty(t, s.srv.State().Instruments, "a limited request is not executed")
	s.advance(18 * time.Second)
	require.Equal(t, 200, s.do("GET", collection, "").status)
}

func TestImport(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{})
	a := s.do("POST", collection, "["+item(1)+","+item(2, `"expiry_month":12`, `"expiry_month":13`, `"customer_id":42`, `"customer_id":"42"`)+","+item(3)+"]")
	require.Equal(t, 422, a.status, "not all were imported")
	require.Len(t, a.rows(t), 2)
	require.Equal(t, map[string]any{"total": 3.0, "success": 2.0, "failed": 1.0}, a.object(t)["meta"])
	failed, ok := a.object(t)["errors"].([]any)
	require.True(t, ok)
	require.Len(t, failed, 1)
	first, ok := failed[0].(map[string]any)
	require.True(t, ok)
	require.Equal(t, map[string]any{
		"1.customer_id": "error.expected.jsnumber", "1.instrument.expiry_month": "error.invalid",
	}, first["errors"])

	token := a.rows(t)[0]["token"]
	require.Regexp(t, `^[0-9a-f]{64}$`, token)
	require.Equal(t, map[string]any{
		"customer_id": 42.0, "token": token, "type": "credit_card", "is_default": false, "brand": "visa",
		"expiry_month": 12.0, "expiry_year": 2031.0, "iin": "411111", "last_4": "1111",
		"billing_address": map[string]any{
			"first_name": "Ada", "last_name": "", "email": "", "company": "", "address1": "12 Analytical Way", "address2": "", "city": "",
			"state_or_province": "", "state_or_province_code": "", "country_code": "US", "phone": "", "postal_code": "",
		},
	}, a.rows(t)[0])
	state := s.srv.State()
	require.Len(t, state.Instruments, 2)
	require.True(t, state.Requests[0].Committed)
	require.NotEqual(t, state.Instruments[0].Identity, state.Instruments[1].Identity)
	text, err := json.Marshal(state)
	require.NoError(t, err)
	require.NotContains(t, string(text), "vault-1", "a vault token is not shown")
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	for change, field := range map[string]string{
		`"payment_method_id":"braintree.credit_card",|`: "payment_method_id",
		`"braintree.credit_card"|"braintree"`:           "payment_method_id",
		`"currency_code":"USD",|`:                       "currency_code",
		`"USD"|"XXX"`:                                   "currency_code",
		`"customer_id":42,|`:                            "customer_id",
		`"customer_id":42|"customer_id":4.5`:            "customer_id",
		`"customer_id":42|"customer_id":101`:            "customer_id",
		`"customer_id":42|"customer_id":0`:              "customer_id",
		`"vault_token":"vault-1",|`:                     "instrument.vault_token",
		`"vault-1"|""`:                                  "instrument.vault_token",
		`"type":"credit_card",|`:                        "instrument.type",
		`"type":"credit_card"|"type":"stored_card"`:     "instrument.type",
		`"expiry_year":2031|"expiry_year":31`:           "instrument.expiry_year",
		`"expiry_year":2031,|`:                          "instrument.expiry_year",
		`"expiry_month":12|"expiry_month":0`:            "instrument.expiry_month",
		`"expiry_month":12|"expiry_month":"12"`:         "instrument.expiry_month",
		`"last_4":"1111"|"last_4":"111"`:                "instrument.last_4",
		`"iin":"411111"|"iin":"41111111"`:               "instrument.iin",
		`"brand":"visa"|"brand":null`:                   "instrument.brand",
		`"country_code":"US"|"country_code":"usa"`:      "billing_address.country_code",
		`"first_name":"Ada"|"first_name":7`:             "billing_address.first_name",
		`"trusted_shipping_addresses":[]|"trusted_shipping_addresses":[{"city":1}]`:                                        "trusted_shipping_addresses[0].city",
		`"trusted_shipping_addresses":[]|"trusted_shipping_addresses":{}`:                                                  "trusted_shipping_addresses",
		`"default_instrument":false|"default_instrument":1`:                                                                "default_instrument",
		`"billing_address":{"first_name":"Ada","street_1":"12 Analytical Way","country_code":"US"}|"billing_address":{}`:   "billing_address",
		`"billing_address":{"first_name":"Ada","street_1":"12 Analytical Way","country_code":"US"}|"billing_address":null`: "billing_address",
	} {
		s := newStore(t, bigcommercetest.Options{ErrorIndex: bigcommercetest.IndexNone, SingleError: true})
		from, to, _ := strings.Cut(change, "|")
		require.Contains(t, item(1), from)
		a := s.do("POST", collection, "["+item(1, from, to)+"]")
		require.Equal(t, 422, a.status, change)
		failed, ok := a.object(t)["errors"].(map[string]any)
		require.True(t, ok, "a single error as an object")
		require.Contains(t, failed["errors"], field, change)
		require.Empty(t, s.srv.State().Instruments, change)
	}
	s := newStore(t, bigcommercetest.Options{})
	require.Equal(t, 422, s.do("POST", collection, item(1)).status, "one item without its array")
	require.Equal(t, 422, s.do("POST", collection, "[]").status)
	require.Equal(t, 422, s.do("POST", collection, "[7]").status)
	require.Equal(t, 413, s.do("POST", collection, "["+strings.Repeat(item(1)+",", 10)+item(1)+"]").status)
	require.Empty(t, s.srv.State().Instruments)
	for _, body := range []string{
		`{"vault_token":"a","type":"paypal_account"}`, `{"vault_token":"a","type":"paypal_account","email":"x"}`, `{"vault_token":"a","type":"bank_account"}`,
	} {
		text := `[{"payment_method_id":"a.b","currency_code":"USD","customer_id":1,"instrument":` + body + `,"billing_address":{"city":"x"}}]`
		require.Equal(t, 422, s.do("POST", collection, text).status, body)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{})
	first, second := s.add(1), s.add(1)
	require.NotEqual(t, first, second)
	state := s.srv.State()
	require.Equal(t, state.Instruments[0].Identity, state.Instruments[1].Identity)

	s = newStore(t, bigcommercetest.Options{RejectDuplicates: true})
	token := s.add(1)
	s.add(1, `"customer_id":42`, `"customer_id":7`)
	require.Equal(t, 422, s.do("POST", collection, "["+item(1)+"]").status)
	require.Equal(t, 204, s.do("DELETE", collection+"/"+token, "").status)
	s.add(1)
}

func TestCustomerList(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{})
	token := s.add(1, `"visa"`, `"american_express"`)
	s.add(2, `"customer_id":42`, `"customer_id":7`)
	rows := s.do("GET", v3+"/customers/42/stored-instruments", "").rows(t)
	require.Len(t, rows, 1)
	require.Equal(t, token, rows[0]["token"])
	require.Equal(t, "stored_card", rows[0]["type"])
	require.Equal(t, "AMEX", rows[0]["brand"])
	require.Equal(t, "411111", rows[0]["issuer_identification_number"])
	require.NotContains(t, rows[0], "customer_id")
	require.NotContains(t, rows[0], "iin")

	require.Empty(t, s.do("GET", v3+"/customers/4711/stored-instruments", "").rows(t), "an unknown customer has an empty list")
	require.Equal(t, 422, s.do("GET", v3+"/customers/x/stored-instruments", "").status)
	s = newStore(t, bigcommercetest.Options{UnknownCustomer404: true, EnvelopedCustomers: true})
	require.Equal(t, 404, s.do("GET", v3+"/customers/4711/stored-instruments", "").status)
	require.Contains(t, s.do("GET", v3+"/customers/42/stored-instruments", "").object(t), "data")
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{})
	var tokens []string
	for n := range 7 {
		tokens = append(tokens, s.add(n))
	}
	list := func(query string) (got []string, meta map[string]any) {
		a := s.do("GET", collection+query, "")
		require.Equal(t, 200, a.status, query)
		for _, r := range a.rows(t) {
			got = append(got, fmt.Sprint(r["token"]))
		}
		meta, ok := a.object(t)["meta"].(map[string]any)
		require.True(t, ok)
		return got, meta
	}
	cursors := func(meta map[string]any) map[string]any {
		m, ok := meta["cursor_pagination"].(map[string]any)
		require.True(t, ok, "%v", meta)
		return m
	}

	got, meta := list("?limit=3")
	require.Equal(t, tokens[:3], got)
	require.Equal(t, map[string]any{
		"total": 7.0, "count": 3.0, "per_page": 3.0, "current_page": 1.0, "total_pages": 3.0,
		"links": map[string]any{"current": "?page=1&limit=3", "next": "?page=2&limit=3"},
	}, meta["pagination"])
	require.Equal(t, map[string]any{
		"count": 3.0, "per_page": 3.0, "start_cursor": "MQ==", "end_cursor": "Mw==",
		"links": map[string]any{"current": "?limit=3", "next": "?limit=3&after=Mw%3D%3D"},
	}, cursors(meta))

	got, meta = list("?limit=3&after=Mw%3D%3D")
	require.Equal(t, tokens[3:6], got)
	require.NotContains(t, meta, "pagination", "by cursor: cursors only")
	got, meta = list("?limit=3&after=Ng%3D%3D")
	require.Equal(t, tokens[6:], got)
	require.NotContains(t, cursors(meta)["links"], "next", "the last page")
	got, _ = list("?limit=2&before=NA%3D%3D")
	require.Equal(t, tokens[1:3], got)

	got, meta = list("?limit=3&page=3")
	require.Equal(t, tokens[6:], got)
	require.NotContains(t, meta, "cursor_pagination", "a later page: pages only")
	got, _ = list("?page=9")
	require.Empty(t, got)

	for _, query := range []string{"?limit=0", "?limit=251", "?limit=abc", "?page=0", "?after=x", "?before=x", "?after=MQ%3D%3D&before=Mw%3D%3D"} {
		require.Equal(t, 422, s.do("GET", collection+query, "").status, query)
	}
	s = newStore(t, bigcommercetest.Options{PagesOnly: true, DefaultLimit: 1})
	s.add(1)
	s.add(2)
	got, meta = list("")
	require.Len(t, got, 1)
	require.NotContains(t, meta, "cursor_pagination")
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{})
	one, two := s.add(1, `"default_instrument":false`, `"default_instrument":true`), s.add(2)
	put := func(body string) answer { return s.do("PUT", collection, body) }
	defaults := func() string { return s.srv.State().Customers[41].Default }
	require.Equal(t, one, defaults())

	a := put(`{"token":"` + two + `","make_default":true}`)
	require.Equal(t, 200, a.status)
	data, ok := a.object(t)["data"].(map[string]any)
	require.True(t, ok, "one object, not an array")
	require.Equal(t, true, data["is_default"])
	require.Equal(t, two, defaults())
	put(`{"token":"` + two + `","make_default":false}`)
	require.Equal(t, two, defaults(), "false does nothing")
	put(`{"token":"` + one + `","is_default":true}`)
	require.Equal(t, one, defaults())

	a = put(`{"token":"` + one + `","billing_address":{"street_1":"1 New Rd"}}`)
	data, ok = a.object(t)["data"].(map[string]any)
	require.True(t, ok)
	address, ok := data["billing_address"].(map[string]any)
	require.True(t, ok)
	require.Equal(t, "1 New Rd", address["address1"])
	require.Empty(t, address["first_name"], "the address is replaced as a whole")

	require.Equal(t, 422, put(`{"billing_address":{}}`).status)
	require.Equal(t, 422, put(`[]`).status)
	require.Equal(t, 400, put(`{`).status)
	require.Equal(t, 422, put(`{"token":"`+one+`","billing_address":[]}`).status)
	require.Equal(t, 404, put(`{"token":"unknown"}`).status)
	require.Equal(t, 204, s.do("DELETE", collection+"/"+one, "").status)
	require.Equal(t, 404, put(`{"token":"`+one+`"}`).status)
	require.Empty(t, defaults(), "no other becomes the default")

	s = newStore(t, bigcommercetest.Options{RequireShipping: true, DefaultByIsDefault: true})
	one = s.add(1)
	require.Equal(t, 422, put(`{"token":"`+one+`"}`).status)
	require.Equal(t, 200, put(`{"token":"`+one+`","make_default":true,"trusted_shipping_addresses":[]}`).status)
	require.Empty(t, defaults())
	require.Equal(t, 200, put(`{"token":"`+one+`","is_default":true,"trusted_shipping_addresses":[]}`).status)
	require.Equal(t, one, defaults())
}

func TestBulkDelete(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{MaxDelete: 3})
	one, two, three := s.add(1), s.add(2), s.add(3)
	require.Equal(t, 204, s.do("DELETE", collection+"?token:in="+one, "").status)
	a := s.do("DELETE", collection+"?token%3Ain="+one+"%2C"+two, "")
	require.Equal(t, 404, a.status, "a part was deleted")
	require.Equal(t, map[string]any{"total": 2.0, "success": 1.0, "failed": 1.0}, a.object(t)["meta"])
	require.Equal(t, 404, s.do("DELETE", collection+"?token:in="+two, "").status)
	require.Equal(t, 422, s.do("DELETE", collection, "").status)
	require.Equal(t, 422, s.do("DELETE", collection+"?token:in=a,b,c,d", "").status)
	live := 0
	for _, i := range s.srv.State().Instruments {
		if i.Live {
			live++
			require.Equal(t, three, i.ID)
		}
	}
	require.Equal(t, 1, live)

	s = newStore(t, bigcommercetest.Options{StopDeleteAtError: true})
	one = s.add(1)
	a = s.do("DELETE", collection+"?token:in=x,"+one, "")
	require.Equal(t, map[string]any{"total": 2.0, "success": 0.0, "failed": 2.0}, a.object(t)["meta"])
	require.True(t, s.srv.State().Instruments[0].Live)
	s = newStore(t, bigcommercetest.Options{BareDelete404: true})
	require.NotContains(t, s.do("DELETE", collection+"?token:in=x", "").object(t), "meta")
}

func TestItemDelete(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{})
	one := s.add(1)
	require.Equal(t, 204, s.do("DELETE", collection+"/"+one, "").status)
	require.Equal(t, 404, s.do("DELETE", collection+"/"+one, "").status)
	s = newStore(t, bigcommercetest.Options{RefuseVaultDelete: true})
	require.Equal(t, 422, s.do("DELETE", collection+"/"+s.add(1), "").status)
	require.True(t, s.srv.State().Instruments[0].Live)
}

func TestLag(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{Lag: time.Second})
	token := s.add(1)
	list := func() int { return len(s.do("GET", v3+"/customers/42/stored-instruments", "").rows(t)) }
	require.Zero(t, list(), "created, not listed yet")
	s.advance(time.Second)
	require.Equal(t, 1, list())
	require.Equal(t, 204, s.do("DELETE", collection+"/"+token, "").status)
	require.Equal(t, 1, list(), "deleted, listed still")
	require.Equal(t, 404, s.do("DELETE", collection+"/"+token, "").status)
	s.advance(time.Second)
	require.Zero(t, list())
}

func TestPayments(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{})
	token := s.add(1)
	require.Len(t, s.do("GET", collection+"/methods?currency_code=USD", "").rows(t), 3)
	require.Equal(t, 422, s.do("GET", collection+"/methods", "").status)
	a := s.do("POST", collection+"/access-tokens", "")
	require.Equal(t, 201, a.status)
	require.Contains(t, fmt.Sprint(a.object(t)["data"]), "IAT ")
	require.Contains(t, fmt.Sprint(s.do("GET", v3+"/payments/methods?order_id=42", "").rows(t)[0]["stored_instruments"]), token)
	require.Equal(t, 404, s.do("GET", v3+"/payments/methods?order_id=101", "").status)
	require.Equal(t, 400, s.do("GET", v3+"/payments/methods", "").status)

	access := func(order int) string {
		a := s.do("POST", v3+"/payments/access_tokens", `{"order":{"id":`+strconv.Itoa(order)+`,"is_recurring":true}}`)
		require.Equal(t, 201, a.status)
		data, ok := a.object(t)["data"].(map[string]any)
		require.True(t, ok)
		return fmt.Sprint(data["id"])
	}
	require.Equal(t, 404, s.do("POST", v3+"/payments/access_tokens", `{"order":{"id":101}}`).status)
	require.Equal(t, 422, s.do("POST", v3+"/payments/access_tokens", `{"order":{"id":"42"}}`).status)
	pay := func(pat, token, method string) (int, any) {
		a := s.do("POST", "/stores/sandbox/payments",
			`{"payment":{"instrument":{"type":"stored_card","token":"`+token+`"},"payment_method_id":"`+method+`"}}`,
			"X-Auth-Token: ", "Authorization: PAT "+pat, "Accept: application/vnd.bc.v1+json")
		return a.status, a.object(t)["code"]
	}
	requirePay := func(status int, code any, pat, token, method string) {
		gotStatus, gotCode := pay(pat, token, method)
		require.Equal(t, status, gotStatus)
		require.Equal(t, code, gotCode)
	}
	requirePay(401, 30102.0, "none", token, "braintree.credit_card")
	requirePay(422, 30051.0, access(7), token, "braintree.credit_card")
	requirePay(422, 30051.0, access(42), token, "braintree.paypal")
	requirePay(422, nil, access(42), "short", "braintree.credit_card")
	pat := access(42)
	requirePay(201, nil, pat, token, "braintree.credit_card")
	requirePay(422, 30105.0, pat, token, "braintree.credit_card")
	pat = access(42)
	s.advance(time.Hour + time.Second)
	requirePay(422, 30103.0, pat, token, "braintree.credit_card")
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	s := newStore(t, bigcommercetest.Options{})
	var wg sync.WaitGroup
	for n := range 32 {
		wg.Go(func() {
			token := s.add(n, `"default_instrument":false`, `"default_instrument":true`)
			s.do("GET", v3+"/customers/42/stored-instruments", "")
			if n%2 == 0 {
				s.do("DELETE", collection+"?token:in="+token, "")
			}
		})
	}
	wg.Wait()
	live, defaults := 0, 0
	for _, r := range s.do("GET", v3+"/customers/42/stored-instruments", "").rows(t) {
		live++
		if r["is_default"] == true {
			defaults++
		}
	}
	require.Equal(t, 16, live)
	require.LessOrEqual(t, defaults, 1, "a customer has one default")
	s.srv.Reset()
	require.Empty(t, s.srv.State().Instruments)
}
