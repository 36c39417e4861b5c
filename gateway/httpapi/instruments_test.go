package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

const goodCreate = `{"customer_id":"cus-42","sources":[{"type":"rebilly_token","token":"abc"}]}`

func TestCreateAnswers(t *testing.T) {
	t.Parallel()
	op := exampleOperation()
	for name, tt := range map[string]struct {
		created gateway.Created
		status  int
		headers map[string]string
	}{
		"stored": {gateway.Created{Instrument: exampleInstrument(), Provider: "p"}, 201, map[string]string{
			"Location": "/v1/instruments/" + exampleID, "ETag": gateway.ETag(exampleInstrument()), "Gateway-Provider": "p",
			"Gateway-Outcome": "applied", "Idempotent-Replayed": "", "Gateway-Deduplicated": "", "Retry-After": "",
		}},
		"there already": {gateway.Created{Instrument: exampleInstrument(), Deduplicated: true}, 200, map[string]string{
			"Location": "/v1/instruments/" + exampleID, "Gateway-Deduplicated": "true",
		}},
		"a replay has the first status":            {gateway.Created{Instrument: exampleInstrument(), Replayed: true}, 201, map[string]string{"Idempotent-Replayed": "true"}},
		"a replay of what was there already, too":  {gateway.Created{Instrument: exampleInstrument(), Replayed: true, Deduplicated: true}, 200, map[string]string{"Idempotent-Replayed": "true"}},
		"unknown is answered with the operation":   {gateway.Created{Operation: &op}, 202, map[string]string{"Location": "/v1/operations/" + exampleID, "Retry-After": "2", "Gateway-Outcome": "unknown", "ETag": ""}},
		"unknown again for a repeated idempotency": {gateway.Created{Operation: &op, Replayed: true}, 202, map[string]string{"Idempotent-Replayed": "true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.created = tt.created
			rec := r.call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", "k")
			require.Equal(t, tt.status, rec.Code, rec.Body.String())
			require.Equal(t, "acme", r.tenant)
			for h, want := range tt.headers {
				require.Equal(t, want, rec.Header().Get(h), h)
			}
		})
	}
}

func TestIdempotencyKeyForms(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		`abc`: `abc`, `"abc"`: `abc`, `"a\"b\\c"`: `a"b\c`, `a"b`: `a"b`, `~!`: `~!`, strings.Repeat("k", 255): strings.Repeat("k", 255),
		`"` + strings.Repeat("k", 255) + `"`: strings.Repeat("k", 255),
	} {
		r := newRig(t)
		require.Equal(t, 201, r.call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", header).Code, header)
		require.Equal(t, want, r.key)
	}
	for _, header := range []string{`""`, `"abc`, `"a"b"`, `"a\b"`, `"a\`, "a b", "a\tb", "é", strings.Repeat("k", 256), `"a b"`, " "} {
		r := newRig(t)
		requireProblem(t, r.call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", header), 400, normalize.IdempotencyKeyInvalid)
		require.Empty(t, r.key, header)
	}
	r := newRig(t)
	requireProblem(t, r.call(t, http.MethodPost, "/v1/instruments", goodCreate), 400, normalize.IdempotencyKeyMissing)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/instruments", strings.NewReader(goodCreate))
	require.NoError(t, err)
	req.Header = http.Header{"Authorization": {"Bearer " + fullKey}, "Idempotency-Key": {"a", "a"}, "Content-Type": {mediaJSON}}
	requireProblem(t, r.send(t, req), 400, normalize.IdempotencyKeyInvalid)
}

func TestAMissingKeyIsToldTogetherWithTheRest(t *testing.T) {
	t.Parallel()
	for body, pointers := range map[string][]string{
		`{"customer_id":"cus-42","sources":[{"type":"card","number":"4111111111111111","exp_month":13,"exp_year":2031}]}`: {"", "/sources/0/exp_month"},
		`{"customer_id":1,"sources":[]}`: {"", "/customer_id", "/sources"},
	} {
		p := requireProblem(t, newRig(t).call(t, http.MethodPost, "/v1/instruments", body), 400, normalize.IdempotencyKeyMissing)
		var got []string
		for _, f := range p.Errors {
			got = append(got, f.Pointer)
		}
		require.Equal(t, pointers, got)
	}
	require.Empty(t, requireProblem(t, newRig(t).call(t, http.MethodPost, "/v1/instruments", `{`), 400, normalize.IdempotencyKeyMissing).Errors)
}

// changes is one request for every operation that may have an idempotency key.
func changes() map[string]struct {
	status             int
	method, path, body string
} {
	ins := "/v1/instruments/" + exampleID
	return map[string]struct {
		status             int
		method, path, body string
	}{
		"update":     {200, http.MethodPatch, ins, `{"default":true}`},
		"delete":     {204, http.MethodDelete, ins, ""},
		"deactivate": {200, http.MethodPost, ins + "/deactivate", ""},
		"activate":   {200, http.MethodPost, ins + "/activate", ""},
		"customer":   {200, http.MethodPut, "/v1/customers/c", `{"provider_references":{}}`},
		"a new one":  {201, http.MethodPut, "/v1/customers/new", `{"provider_references":{}}`},
	}
}

func TestAChangeMayHaveAnIdempotencyKey(t *testing.T) {
	t.Parallel()
	for name, c := range changes() {
		for header, want := range map[string]string{"": "", "k": "k", `"a\"b"`: `a"b`} {
			r := newRig(t)
			rec := r.call(t, c.method, c.path, c.body, "Idempotency-Key", header)
			require.Equal(t, c.status, rec.Code, name)
			require.Equal(t, want, r.key)
			require.Empty(t, rec.Header().Get("Idempotent-Replayed"))
		}
		r := newRig(t)
		r.replayed = true
		again := r.call(t, c.method, c.path, c.body, "Idempotency-Key", "k")
		require.Equal(t, c.status, again.Code, name)
		require.Equal(t, "true", again.Header().Get("Idempotent-Replayed"))

		requireProblem(t, newRig(t).call(t, c.method, c.path, c.body, "Idempotency-Key", "a b"), 400, normalize.IdempotencyKeyInvalid)

		r.err = &normalize.Error{Code: normalize.IdempotencyKeyInUse, Outcome: normalize.Unknown, Msg: "in progress", RetryAfter: time.Second}
		rec := r.call(t, c.method, c.path, c.body, "Idempotency-Key", "k")
		require.Equal(t, normalize.RetrySameKey, requireProblem(t, rec, 409, normalize.IdempotencyKeyInUse).Retry)
		require.Equal(t, "1", rec.Header().Get("Retry-After"))
		r.err = &normalize.Error{Code: normalize.ProviderTimeout, Outcome: normalize.Unknown, Msg: "timeout"}
		require.Equal(t, normalize.RetrySameKey, problemOf(t, r.call(t, c.method, c.path, c.body, "Idempotency-Key", "k")).Retry)
		require.Equal(t, normalize.RetrySafe, problemOf(t, r.call(t, c.method, c.path, c.body)).Retry)

		for _, code := range normalize.Codes() {
			if status := kindOf(code).status; !slices.Contains([]int{404, 409, 410, 412, 422, 429, 502}, status) {
				continue // never a definitive rejection
			}
			r.err = &gateway.Failure{Err: &normalize.Error{Code: code, Outcome: normalize.Rejected, Msg: "no"}, Replayed: true}
			rec := r.call(t, c.method, c.path, c.body, "Idempotency-Key", "k")
			require.Equal(t, "true", rec.Header().Get("Idempotent-Replayed"), "%s %s", name, code)
		}
	}
}

func TestOperationsAreFoundOrListed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.Contains(t, r.call(t, http.MethodGet, "/v1/operations?idempotency_key=k", "").Body.String(), `"object":"operation"`)
	require.Equal(t, "k", r.key)
	rec := r.call(t, http.MethodGet, "/v1/operations?state=manual&limit=5&cursor=bmV4dA", "")
	require.Equal(t, 200, rec.Code)
	require.Contains(t, rec.Body.String(), `"next_cursor":"bmV4dA"`)
	require.Contains(t, rec.Body.String(), `"advice":`)
	require.Equal(t, gateway.ListOperationsInput{State: gateway.StateManual, Limit: 5, Cursor: "bmV4dA"}, r.operations)
	for query, code := range map[string]normalize.Code{
		"": normalize.MissingField, "?limit=1": normalize.MissingField, "?state=sending": normalize.InvalidField,
		"?state=manual&idempotency_key=k": normalize.InvalidField, "?idempotency_key=k&limit=1": normalize.InvalidField,
	} {
		p := requireProblem(t, r.call(t, http.MethodGet, "/v1/operations"+query, ""), 422, code)
		require.Len(t, p.Errors, 1, query)
	}
	path := "/v1/operations/" + exampleID
	rec = r.call(t, http.MethodPost, path+"/retry", "")
	require.Equal(t, 202, rec.Code)
	require.Equal(t, path, rec.Header().Get("Location"))
	require.Equal(t, 200, r.call(t, http.MethodPost, path+"/fail", "{}").Code)
	r.err = &normalize.Error{Code: normalize.InvalidState, Outcome: normalize.NotSent, Msg: "no"}
	for _, verb := range []string{"/retry", "/fail"} {
		requireProblem(t, r.call(t, http.MethodPost, path+verb, ""), 409, normalize.InvalidState)
		requireProblem(t, newRig(t).call(t, http.MethodPost, path+verb, `{"x":1}`), 400, normalize.UnknownMember)
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	path := "/v1/instruments/" + exampleID
	etag := gateway.ETag(exampleInstrument())
	t.Run("a live read", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		rec := r.call(t, http.MethodGet, path, "")
		require.Equal(t, 200, rec.Code)
		require.Equal(t, etag, rec.Header().Get("ETag"))
		require.Equal(t, "cybersource-us", rec.Header().Get("Gateway-Provider"))
		require.Empty(t, rec.Header().Get("Gateway-Stale"))
		require.False(t, r.stored)
		require.Equal(t, exampleID, r.id)
	})
	t.Run("a stored read", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		require.Equal(t, 200, r.call(t, http.MethodGet, path+"?read=stored", "").Code)
		require.True(t, r.stored)
	})
	t.Run("a stale answer says so and how old it is", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.read.Stale, r.read.Age = true, 90*time.Second+time.Millisecond
		rec := r.call(t, http.MethodGet, path, "")
		require.Equal(t, "true", rec.Header().Get("Gateway-Stale"))
		require.Equal(t, "90", rec.Header().Get("Age"))
	})
	t.Run("references need their scope", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Keys[0].Scopes = []Scope{InstrumentsRead} })
		rec := r.call(t, http.MethodGet, path, "")
		require.NotContains(t, rec.Body.String(), "references")
		require.NotContains(t, r.call(t, http.MethodGet, "/v1/instruments", "").Body.String(), "references")
		require.Contains(t, newRig(t).call(t, http.MethodGet, path, "").Body.String(), `"payment_instrument":"PI1"`)
		require.Equal(t, etag, rec.Header().Get("ETag"), "one tag serves both")
	})
	for header, modified := range map[string]bool{
		etag: false, "W/" + etag: false, "*": false, `"x", ` + etag: false, `"x"`: true, strings.Trim(etag, `"`): true, `,`: true,
	} {
		rec := newRig(t).call(t, http.MethodGet, path, "", "If-None-Match", header)
		require.Equal(t, modified, rec.Code == 200, header)
		if !modified {
			require.Equal(t, 304, rec.Code)
			require.Equal(t, etag, rec.Header().Get("ETag"))
		}
	}
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	path := "/v1/instruments/" + exampleID
	for header, want := range map[string]string{`"a"`: `"a"`, `*`: `*`, `"a","b"`: `"a", "b"`, `W/"a"`: `W/"a"`, "": ""} {
		r := newRig(t)
		require.Equal(t, 200, r.call(t, http.MethodPatch, path, `{}`, "If-Match", header).Code, header)
		require.Equal(t, want, r.update.IfMatch)
	}
	for _, header := range []string{`a`, `"a`, `"a" "b"`, `*,"a"`, ","} {
		requireProblem(t, newRig(t).call(t, http.MethodPatch, path, `{}`, "If-Match", header), 422, normalize.InvalidField)
	}
	r := newRig(t)
	r.err = &normalize.Error{Code: normalize.VersionMismatch, Outcome: normalize.Rejected, Msg: "the instrument has changed"}
	p := requireProblem(t, r.call(t, http.MethodPatch, path, `{}`, "If-Match", `"a"`), 412, normalize.VersionMismatch)
	require.Equal(t, normalize.RetryNever, p.Retry)
}

func TestDeleteAndStates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := "/v1/instruments/" + exampleID
	for query, want := range map[string]gateway.DeleteScope{"": "provider", "?scope=vault": "vault", "?scope=gateway": "gateway"} {
		require.Equal(t, 204, r.call(t, http.MethodDelete, path+query, "").Code)
		require.Equal(t, want, r.scope)
	}
	for _, verb := range []string{"/activate", "/deactivate"} {
		require.Equal(t, 200, r.call(t, http.MethodPost, path+verb, "").Code)
		require.Equal(t, 200, r.call(t, http.MethodPost, path+verb, "{}").Code)
		requireProblem(t, r.call(t, http.MethodPost, path+verb, `{"force":true}`), 400, normalize.UnknownMember)
	}
}

func TestListParameters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	target := "/v1/instruments?customer_id=cus-42&status=active,expired&type=card&brand=visa&last4=1111&provider=a,b&default=true" +
		"&expires_before=2027-01-01&created_after=2026-01-01T00:00:00%2B01:00&fingerprint=fp_1h7kq2m4n6p8r0s2t4v6w8x0z2" +
		"&metadata[tier]=gold,silver&metadata[a.b]=1&filter=exp_year:2026..2028%3Bstatus:!failed&sort=-exp&q=ada&limit=100&cursor=bmV4dA"
	rec := r.call(t, http.MethodGet, target, "")
	require.Equal(t, 200, rec.Code, rec.Body.String())
	require.Equal(t, gateway.ListInput{
		Filter: []normalize.Clause{
			{Field: "customer_id", Values: []string{"cus-42"}},
			{Field: "status", Values: []string{"active", "expired"}},
			{Field: "type", Values: []string{"card"}},
			{Field: "brand", Values: []string{"visa"}},
			{Field: "last4", Values: []string{"1111"}},
			{Field: "provider", Values: []string{"a", "b"}},
			{Field: "default", Values: []string{"true"}},
			{Field: "expires_before", Values: []string{"2027-01-01"}},
			{Field: "fingerprint", Values: []string{"fp_1h7kq2m4n6p8r0s2t4v6w8x0z2"}},
			{Field: "created_at", From: "2025-12-31T23:00:00Z"},
			{Field: "metadata.a.b", Values: []string{"1"}},
			{Field: "metadata.tier", Values: []string{"gold,silver"}},
			{Field: "exp_year", From: "2026", To: "2028"},
			{Field: "status", Values: []string{"failed"}, Negate: true},
		},
		Query: "ada", Sort: "-exp", Limit: 100, Cursor: "bmV4dA",
	}, r.list)

	require.Equal(t, 200, r.call(t, http.MethodGet, "/v1/instruments", "").Code)
	require.Equal(t, gateway.ListInput{}, r.list)
	require.Equal(t, 200, r.call(t, http.MethodGet, "/v1/customers/cus:42@x+y/instruments?limit=5", "").Code)
	require.Equal(t, "cus:42@x+y", r.id)
	require.Equal(t, 5, r.list.Limit)
}

func TestQueriesAreReadStrictly(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]struct {
		status int
		code   normalize.Code
		name   string
	}{
		"limit=0": {422, normalize.OutOfRange, "limit"}, "limit=101": {422, normalize.OutOfRange, "limit"},
		"limit=x": {422, normalize.InvalidField, "limit"}, "limit=1.5": {422, normalize.InvalidField, "limit"},
		"limit=": {422, normalize.InvalidField, "limit"}, "limit=1&limit=2": {422, normalize.InvalidField, "limit"},
		"page=2": {422, normalize.InvalidField, "page"}, "api_key=x": {422, normalize.InvalidField, "api_key"},
		"Limit=1": {422, normalize.InvalidField, "Limit"}, "status=gone": {422, normalize.InvalidField, "status"},
		"status=active,": {422, normalize.InvalidField, "status"}, "type=iban": {422, normalize.InvalidField, "type"},
		"brand=VISA": {422, normalize.InvalidField, "brand"}, "last4=11": {422, normalize.InvalidField, "last4"},
		"default=yes": {422, normalize.InvalidField, "default"}, "expires_before=2027-02-30": {422, normalize.InvalidField, "expires_before"},
		"created_after=2026": {422, normalize.InvalidField, "created_after"}, "fingerprint=x": {422, normalize.InvalidField, "fingerprint"},
		"metadata=x": {422, normalize.InvalidField, "metadata"}, "metadata[]=x": {422, normalize.InvalidField, "metadata[]"},
		"metadata[a][b]=x": {422, normalize.InvalidField, "metadata[a][b]"}, "filter=status": {422, normalize.InvalidField, "filter"},
		"sort=name": {422, normalize.InvalidField, "sort"}, "sort=--exp": {422, normalize.InvalidField, "sort"},
		"q=%00": {422, normalize.InvalidField, "q"}, "q=%ff": {422, normalize.InvalidField, "q"},
		"q=4111111111111111": {422, normalize.PANInUnexpectedField, "q"}, "q=4111-1111-1111-1111": {422, normalize.PANInUnexpectedField, "q"},
		"q=" + strings.Repeat("x", 101): {422, normalize.OutOfRange, "q"}, "customer_id=a%20b": {422, normalize.InvalidField, "customer_id"},
		"provider=A": {422, normalize.InvalidField, "provider"}, "cursor=" + strings.Repeat("x", 1025): {400, normalize.InvalidCursor, "cursor"},
		"4111111111111111=x": {422, normalize.InvalidField, "[redacted]"},
	} {
		rec := newRig(t).call(t, http.MethodGet, "/v1/instruments?"+query, "")
		p := requireProblem(t, rec, want.status, want.code)
		require.Len(t, p.Errors, 1, query)
		require.Empty(t, p.Errors[0].Pointer)
		require.Contains(t, p.Errors[0].Message, `query parameter "`+want.name+`"`)
		require.NotContains(t, rec.Body.String(), testNumber)
	}
	for _, target := range []string{
		"/v1/instruments?a=%zz", "/v1/instruments?a;b", "/v1/instruments/" + exampleID + "?read=both", "/v1/operations?idempotency_key=",
		"/v1/providers?x=1", "/v1/customers/c?x=1",
	} {
		requireProblem(t, newRig(t).call(t, http.MethodGet, target, ""), 422, normalize.InvalidField)
	}
	requireProblem(t, newRig(t).call(t, http.MethodGet, "/v1/operations", ""), 422, normalize.MissingField)
	requireProblem(t, newRig(t).call(t, http.MethodGet, "/v1/operations?idempotency_key=a%20b", ""), 400, normalize.IdempotencyKeyInvalid)
}

func TestBulk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good := `"customer_id":"c","sources":[{"type":"rebilly_token","token":"t"}]`
	body := `{"items":[{"idempotency_key":"a",` + good + `},{"idempotency_key":"\"a\"",` + good + `},{` + good + `},7,
		{"idempotency_key":"b","customer_id":1,"sources":[{"type":"rebilly_token","token":"t"}]}]}`
	rec := r.call(t, http.MethodPost, "/v1/instruments/import", body)
	require.Equal(t, 200, rec.Code, rec.Body.String())
	var got bulkResult
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &got))
	require.Equal(t, bulkCounts{Total: 5, Succeeded: 1, Failed: 4}, got.Counts)
	for i, want := range []struct {
		status  int
		code    normalize.Code
		pointer string
	}{
		{status: 201},
		{422, normalize.IdempotencyKeyReused, "/idempotency_key"},
		{400, normalize.IdempotencyKeyMissing, "/idempotency_key"},
		{422, normalize.InvalidField, ""},
		{422, normalize.InvalidField, "/customer_id"},
	} {
		require.Equal(t, i, got.Data[i].Index)
		require.Equal(t, want.status, got.Data[i].Status)
		if want.code != "" {
			require.Equal(t, want.code, got.Data[i].Problem.Code)
			require.Equal(t, want.pointer, got.Data[i].Problem.Errors[0].Pointer)
			require.Len(t, got.Data[i].Problem.Errors, 1)
		}
	}
	require.Equal(t, "a", r.items[0].Key)

	r.err = &normalize.Error{Code: normalize.NotFound, Outcome: normalize.Rejected, Msg: "there is no such resource"}
	rec = r.call(t, http.MethodPost, "/v1/instruments/bulk-delete", `{"ids":["x","y"],"scope":"gateway"}`)
	require.Equal(t, 200, rec.Code)
	require.Equal(t, []string{"x", "y"}, r.ids)
	require.Equal(t, gateway.ScopeGateway, r.scope)
	require.Contains(t, rec.Body.String(), `"counts":{"total":2,"succeeded":0,"failed":2}`)

	many := `["x"` + strings.Repeat(`,"x"`, 100) + `]`
	for body, code := range map[string]normalize.Code{
		`{"ids":[]}`: normalize.OutOfRange, `{"ids":` + many + `}`: normalize.OutOfRange, `{}`: normalize.MissingField,
		`{"ids":"x"}`: normalize.InvalidField, `{"ids":[1]}`: normalize.InvalidField, `{"ids":["x"],"scope":"all"}`: normalize.InvalidField,
		`{"ids":["x"],"scope":""}`: normalize.InvalidField,
	} {
		requireProblem(t, newRig(t).call(t, http.MethodPost, "/v1/instruments/bulk-delete", body), 422, code)
	}
	requireProblem(t, newRig(t).call(t, http.MethodPost, "/v1/instruments/import", `{"items":[]}`), 422, normalize.OutOfRange)
}

func TestCustomers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rec := r.call(t, http.MethodPut, "/v1/customers/new", `{"provider_references":{"bigcommerce-main":"1"}}`)
	require.Equal(t, 201, rec.Code)
	require.Equal(t, "/v1/customers/new", rec.Header().Get("Location"))
	require.Equal(t, normalize.CustomerInput{ID: "new", ProviderReferences: map[string]string{"bigcommerce-main": "1"}}, r.put)
	for body, code := range map[string]normalize.Code{
		`{}`: normalize.MissingField, `{"provider_references":{"a":1}}`: normalize.InvalidField, `{"provider_references":{},"id":"x"}`: normalize.InvalidField,
	} {
		requireProblem(t, r.call(t, http.MethodPut, "/v1/customers/c", body), 422, code)
	}
	requireProblem(t, r.call(t, http.MethodPut, "/v1/customers/", `{}`), 404, normalize.NotFound)
	require.Equal(t, 200, r.call(t, http.MethodGet, "/v1/customers/a%2541", "").Code)
	require.Equal(t, "a%41", r.id, "a path is unescaped once")
}
