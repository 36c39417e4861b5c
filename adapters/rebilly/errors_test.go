package rebilly

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func problemBody(status, more string) string {
	return `{"type":"about:blank","title":"Refused","status":` + status + `,"detail":"Card 4111111111111111 of sk_sandbox_x is bad."` + more + `}`
}

// TestEveryDocumentedError: status and body to code and outcome.
func TestEveryDocumentedError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule    string
		status  int
		body    string
		code    normalize.Code
		outcome normalize.Outcome
		fields  []string
	}{
		{"a wrong key", 401, problemBody("401", ""), normalize.ProviderMisconfigured, normalize.Rejected, nil},
		{"a key without the permission", 403, problemBody("403", ""), normalize.ProviderMisconfigured, normalize.Rejected, nil},
		{"no such instrument", 404, problemBody("404", ""), normalize.NotFound, normalize.Rejected, nil},
		{"somebody else's 404", 404, `<h1>Not Found</h1>`, normalize.ProviderBadResponse, normalize.Unknown, nil},
		{"a method that there is not", 405, problemBody("405", ""), normalize.ProviderError, normalize.Rejected, nil},
		{"a conflict", 409, problemBody("409", ""), normalize.Conflict, normalize.Rejected, nil},
		{"gone", 410, problemBody("410", ""), normalize.InstrumentDeleted, normalize.Rejected, nil},
		{"a body that is not JSON to it", 400, problemBody("400", ""), normalize.InvalidField, normalize.Rejected, nil},
		{
			"fields", 422, problemBody("422", `,"invalidFields":[{"field":"billingAddress.country","message":"m"},{"field":"expMonth","message":"m"},{"field":"expMonth","message":"n"}]`),
			normalize.InvalidField, normalize.Rejected,
			[]string{"/billing_address/country", "/source/exp_month"},
		},
		{
			"fields as a map, as for a while", 422, problemBody("422", `,"invalidFields":{"pan":["m","n"],"cvv":"m"}`),
			normalize.InvalidField, normalize.Rejected,
			[]string{"/source/cvc", "/source/number"},
		},
		{"fields of a form that nobody knows", 422, problemBody("422", `,"invalidFields":7`), normalize.InvalidField, normalize.Rejected, nil},
		{
			"a used token", 422, problemBody("422", `,"invalidFields":[{"field":"token","message":"The token was already used."}]`),
			normalize.TokenAlreadyUsed, normalize.Rejected,
			[]string{"/source/token"},
		},
		{
			"an expired token", 422, problemBody("422", `,"invalidFields":[{"field":"customFields.a","message":"m"},{"field":"token","message":"Token is expired and cannot be used"}]`),
			normalize.TokenExpired, normalize.Rejected,
			[]string{"/metadata/a", "/source/token"},
		},
		{
			"a token that never was", 422, problemBody("422", `,"invalidFields":[{"field":"token","message":"Not found."}]`),
			normalize.InvalidField, normalize.Rejected,
			[]string{"/source/token"},
		},
		{"the deprecated error member", 422, `{"error":"Bad","details":["a"]}`, normalize.InvalidField, normalize.Rejected, nil},
		{"too many requests", 429, problemBody("429", ""), normalize.ProviderRateLimited, normalize.NotSent, nil},
		{"somebody else's 429", 429, `slow down`, normalize.ProviderRateLimited, normalize.Unknown, nil},
		{"a failure", 500, problemBody("500", ""), normalize.ProviderError, normalize.Unknown, nil},
		{"a failure in front of it", 503, ``, normalize.ProviderError, normalize.Unknown, nil},
		{"an answer too late", 504, ``, normalize.ProviderTimeout, normalize.Unknown, nil},
		{"a redirect", 302, ``, normalize.ProviderBadResponse, normalize.Unknown, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			r := rest.Response{Status: c.status, Header: http.Header{}, Body: []byte(c.body)}
			e := rest.StatusError("create", r, refusal(r, noon))
			require.Equal(t, c.code, e.Code)
			require.Equal(t, c.outcome, e.Outcome)
			var pointers []string
			for _, f := range e.Fields {
				pointers = append(pointers, f.Pointer)
				require.Contains(t, []string{
					"the provider refused the value", "the provider refused the token", "the token was used already", "the token is expired",
				}, f.Message, "own words")
			}
			require.Equal(t, c.fields, pointers)
			text, err := json.Marshal(e)
			require.NoError(t, err)
			require.NotContains(t, string(text)+e.Error(), "4111111111111111")
			require.NotContains(t, string(text)+e.Error(), "sk_sandbox_x")
		})
	}
}

func TestPointers(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"customerId": "/customer_id", "token": "/source/token", "pan": "/source/number", "cvv": "/source/cvc", "expYear": "/source/exp_year",
		"accountNumber": "/source/account_number", "routingNumber": "/source/routing_number", "accountType": "/source/account_type",
		"billingAddress": "/billing_address", "billingAddress.address2": "/billing_address/line2", "billingAddress.organization": "/billing_address/company",
		"billingAddress.postalCode": "/billing_address/postal_code", "billingAddress.emails.0.value": "/billing_address/email",
		"billingAddress.phoneNumbers.1.label": "/billing_address/phone", "billingAddress.planet": "/billing_address",
		"primaryAddress.city": "/billing_address/city", "customFields.a/b~c": "/metadata/a~1b~0c", "customFields": "/metadata",
		"filter": "/filter", "sort": "/sort", "limit": "/limit", "offset": "/cursor",
		"4111111111111111": "", "riskMetadata.ipAddress": "", "": "",
	} {
		require.Equal(t, want, pointerOf(field), field)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	in90 := noon.Add(90 * time.Second)
	for _, c := range []struct {
		rule   string
		header map[string]string
		want   time.Duration
	}{
		{"Unix seconds are a point in time", map[string]string{"X-RateLimit-Retry-After": "1780315290"}, 90 * time.Second},
		{"a small number is a delay", map[string]string{"X-RateLimit-Retry-After": "30"}, 30 * time.Second},
		{"a point in the past is no wait", map[string]string{"X-RateLimit-Retry-After": "1713187500"}, 0},
		{"a far future is bounded", map[string]string{"X-RateLimit-Retry-After": "9999999999999999"}, time.Hour},
		{"the newest header wins", map[string]string{"X-RateLimit-Retry-After": "5", "Retry-After": "9", "Rate-Limit-Reset": in90.Format(http.TimeFormat)}, 5 * time.Second},
		{"what cannot be read is passed over", map[string]string{"X-RateLimit-Retry-After": "soon", "Retry-After": "9"}, 9 * time.Second},
		{"Retry-After as a date", map[string]string{"Retry-After": in90.Format(http.TimeFormat)}, 90 * time.Second},
		{"the header of 2021, an HTTP date", map[string]string{"Rate-Limit-Reset": in90.Format(http.TimeFormat)}, 90 * time.Second},
		{"the header of 2021, with a zone", map[string]string{"Rate-Limit-Reset": in90.Format(time.RFC1123Z)}, 90 * time.Second},
		{"nothing", nil, 0},
	} {
		h := http.Header{}
		for k, v := range c.header {
			h.Set(k, v)
		}
		require.Equal(t, c.want, retryAfter(h, noon), c.rule)
	}
	require.Zero(t, refusal(rest.Response{Status: 422, Header: http.Header{"Retry-After": {"9"}}}, noon).RetryAfter, "only a refusal for now has a later")
}

func TestProviderCodeNeverHoldsANumber(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"title":"Unprocessable Entity"}`:                            "Unprocessable Entity",
		`{"type":"about:blank","title":"Conflict"}`:                   "Conflict",
		`{"type":"https://rebilly.com/problems/limit","title":"x"}`:   "https://rebilly.com/problems/limit",
		`{"title":"Card 4111111111111111 refused"}`:                   "",
		`{"type":"https://x/4111111111111111","title":"Bad"}`:         "Bad",
		`{"title":"x","invalidFields":[{"field":"a","message":"b"}]}`: "invalidFields",
		`{"detail":"d","status":400}`:                                 "",
	} {
		r := rest.Response{Status: 422, Header: http.Header{}, Body: []byte(body)}
		require.Equal(t, want, refusal(r, noon).ProviderCode, body)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"abc-1.2_3": "abc-1.2_3", "": "", "a b": "", "<script>": ""} {
		r := rest.Response{Status: 500, Header: http.Header{"X-Request-Id": {value}}}
		require.Equal(t, want, refusal(r, noon).RequestID)
	}
}

// FuzzRefusal: no answer makes the error mapper panic, or a number or a
// provider's sentence leave it.
func FuzzRefusal(f *testing.F) {
	for _, s := range []string{
		problemBody("422", `,"invalidFields":[{"field":"a.b","message":null},7,null]`), problemBody("429", ""), `{"invalidFields":{"a":[1,"b",null],"c":{}}}`,
		`{"title":[],"status":"x"}`, `[]`, `null`, ``, `{"error":{}}`,
	} {
		f.Add(422, []byte(s), "1713187500")
		f.Add(429, []byte(s), "-1")
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, retry string) {
		r := rest.Response{Status: status, Header: http.Header{"X-Ratelimit-Retry-After": {retry}, "Rate-Limit-Reset": {retry}}, Body: body}
		ref := refusal(r, noon)
		require.GreaterOrEqual(t, ref.RetryAfter, time.Duration(0))
		require.LessOrEqual(t, ref.RetryAfter, time.Hour)
		require.NotRegexp(t, `[0-9]`, ref.ProviderCode)
		for _, field := range ref.Fields {
			require.Contains(t, []normalize.Code{normalize.InvalidField, normalize.TokenAlreadyUsed, normalize.TokenExpired}, field.Code)
		}
		require.NotEqual(t, normalize.Applied, rest.StatusError("op", r, ref).Outcome)
	})
}
