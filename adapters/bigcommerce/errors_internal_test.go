package bigcommerce

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

const (
	v3Error   = `{"status":422,"title":"JSON data is missing or invalid","type":"https://developer.bigcommerce.com/api-docs/getting-started/api-status-codes","errors":{"customer_id":"error.expected.jsnumber"}}`
	edgeError = `{"code":403,"message":"Missing scope"}`
	payError  = `{"status":422,"title":"Invalid","type":"x","detail":"4111111111111111 is not accepted","code":30051}`
	batch     = `{"errors":[{"status":404,"title":"Instrument not found"}],"meta":{"total":2,"success":1,"failed":1}}`
	page      = `<!doctype html><title>Sign in</title>`
	foreign   = `{"hello":["world"]}`
)

// TestErrors walks every documented status with every form of body.
func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, op string
		status   int
		body     string
		code     normalize.Code
		outcome  normalize.Outcome
	}{
		{"400 of the payments family", opMethods, 400, payError, normalize.InvalidField, normalize.Rejected},
		{"400 in V3's form", opUpdate, 400, v3Error, normalize.InvalidField, normalize.Rejected},
		{"400 of a proxy", opCreate, 400, page, normalize.ProviderBadResponse, normalize.Unknown},
		{"400 of something else", opCreate, 400, foreign, normalize.ProviderBadResponse, normalize.Unknown},
		{"401 in V3's form", opGet, 401, `{"status":401,"title":"Unauthorized"}`, normalize.ProviderMisconfigured, normalize.Rejected},
		{"401 of the edge", opGet, 401, `{"code":401,"message":"Unauthorized"}`, normalize.ProviderMisconfigured, normalize.Rejected},
		{"401 without a body", opCreate, 401, ``, normalize.ProviderMisconfigured, normalize.Rejected},
		{"401 as HTML", opCreate, 401, page, normalize.ProviderMisconfigured, normalize.Rejected},
		{"403 for a missing scope", opCreate, 403, edgeError, normalize.ProviderMisconfigured, normalize.Rejected},
		{"404 of an instrument", opUpdate, 404, `{"status":404,"title":"Instrument not found","errors":{}}`, normalize.NotFound, normalize.Rejected},
		{"404 of a create names nothing of the caller's", opCreate, 404, `{"status":404,"title":"Not Found"}`, normalize.ProviderMisconfigured, normalize.Rejected},
		{"404 of the list of everything", opListAll, 404, `{"status":404,"title":"Not Found"}`, normalize.ProviderMisconfigured, normalize.Rejected},
		{"404 of a batch", opDelete, 404, batch, normalize.NotFound, normalize.Rejected},
		{"404 without a body", opDelete, 404, ``, normalize.ProviderBadResponse, normalize.Unknown},
		{"404 as HTML", opGet, 404, page, normalize.ProviderBadResponse, normalize.Unknown},
		{"405", opUpdate, 405, `{"status":405,"title":"Method Not Allowed"}`, normalize.ProviderError, normalize.Rejected},
		{"406", opGet, 406, `{"status":406,"title":"Not Acceptable"}`, normalize.ProviderError, normalize.Rejected},
		{"409", opMethods, 409, `{"status":409,"title":"Conflict","detail":"…","code":30101}`, normalize.Conflict, normalize.Rejected},
		{"410", opGet, 410, `{"status":410,"title":"Gone"}`, normalize.InstrumentDeleted, normalize.Rejected},
		{"413", opCreate, 413, `{"status":413,"title":"Too many"}`, normalize.ProviderError, normalize.Rejected},
		{"415", opCreate, 415, `{"status":415,"title":"Unsupported Media Type"}`, normalize.ProviderError, normalize.Rejected},
		{"422 with fields", opCreate, 422, v3Error, normalize.InvalidField, normalize.Rejected},
		{"422 of the vault on a delete", opDelete, 422, `{"status":422,"title":"no"}`, normalize.InvalidState, normalize.Rejected},
		{"422 as HTML", opCreate, 422, page, normalize.ProviderBadResponse, normalize.Unknown},
		{"429 in V3's form", opCreate, 429, `{"status":429,"title":"Too many requests"}`, normalize.ProviderRateLimited, normalize.NotSent},
		{"429 without a body", opCreate, 429, ``, normalize.ProviderRateLimited, normalize.NotSent},
		{"429 as HTML", opDelete, 429, page, normalize.ProviderRateLimited, normalize.NotSent},
		{"499", opCreate, 499, `{"status":499,"title":"Client Closed Request"}`, normalize.ProviderError, normalize.Rejected},
		{"500", opCreate, 500, `{"status":500,"title":"Internal Server Error"}`, normalize.ProviderError, normalize.Unknown},
		{"501", opCreate, 501, `{"status":501,"title":"Not Implemented"}`, normalize.ProviderError, normalize.Unknown},
		{"502 as HTML", opCreate, 502, page, normalize.ProviderError, normalize.Unknown},
		{"503 while the store is down", opCreate, 503, `{"status":503,"title":"Service Unavailable"}`, normalize.ProviderError, normalize.Unknown},
		{"504", opCreate, 504, ``, normalize.ProviderTimeout, normalize.Unknown},
		{"507 over the plan's limit", opCreate, 507, `{"status":507,"title":"Insufficient Storage"}`, normalize.ProviderError, normalize.Unknown},
		{"a redirect", opCreate, 307, ``, normalize.ProviderBadResponse, normalize.Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := statusError(tt.op, rest.Response{Status: tt.status, Header: http.Header{"X-Request-Id": {"c0ffee"}}, Body: []byte(tt.body)})
			require.Equal(t, tt.code, e.Code)
			require.Equal(t, tt.outcome, e.Outcome)
			require.Equal(t, tt.status, e.HTTPStatus)
			require.Equal(t, "c0ffee", e.RequestID)
			require.NotContains(t, e.Error(), "4111111111111111", "the provider's words stay out")
		})
	}
	e := statusError(opMethods, rest.Response{Status: 422, Body: []byte(payError)})
	require.Equal(t, "30051", e.ProviderCode)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		header map[string]string
		want   time.Duration
	}{
		"milliseconds until the reset":        {429, map[string]string{"X-Rate-Limit-Time-Reset-Ms": "1500", "X-Retry-After": "9"}, 1500 * time.Millisecond},
		"parts of a millisecond round up":     {429, map[string]string{"X-Rate-Limit-Time-Reset-Ms": "1500.2"}, 1501 * time.Millisecond},
		"else X-Retry-After in seconds":       {429, map[string]string{"X-Retry-After": "9"}, 9 * time.Second},
		"else Retry-After":                    {429, map[string]string{"Retry-After": "4"}, 4 * time.Second},
		"no headers: load is being shed":      {429, nil, 3 * time.Second},
		"headers that are none":               {429, map[string]string{"X-Rate-Limit-Time-Reset-Ms": "undefined", "X-Retry-After": "NaN"}, 3 * time.Second},
		"a reset of zero is no reset":         {429, map[string]string{"X-Rate-Limit-Time-Reset-Ms": "0"}, 3 * time.Second},
		"a negative reset":                    {429, map[string]string{"X-Rate-Limit-Time-Reset-Ms": "-5"}, 3 * time.Second},
		"not a number":                        {429, map[string]string{"X-Rate-Limit-Time-Reset-Ms": "NaN"}, 3 * time.Second},
		"more than an hour is an hour":        {429, map[string]string{"X-Retry-After": "99999"}, time.Hour},
		"503 that says when":                  {503, map[string]string{"Retry-After": "120"}, 2 * time.Minute},
		"503 does not mean the rate's window": {503, map[string]string{"X-Rate-Limit-Time-Reset-Ms": "1500"}, 0},
		"other statuses have no hint":         {422, map[string]string{"X-Rate-Limit-Time-Reset-Ms": "1500", "X-Retry-After": "9"}, 0},
	} {
		h := http.Header{}
		for k, v := range tt.header {
			h.Set(k, v)
		}
		require.Equal(t, tt.want, retryAfter(tt.status, h), name)
	}
}

func TestFieldErrors(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"customer_id":                                   "/customer_id",
		"0.customer_id":                                 "/customer_id",
		"17.customer_id":                                "/customer_id",
		"[0].customer_id":                               "/customer_id",
		"obj[0].customer_id":                            "/customer_id",
		"obj.customer_id":                               "/customer_id",
		"/0/instrument/expiry_month":                    "/source/exp_month",
		"0.instrument":                                  "/source",
		"0.instrument.vault_token":                      "/source/vault_token",
		"0.instrument.provider_customer_id":             "/source/provider_customer_id",
		"0.instrument.type":                             "/source/instrument_type",
		"0.instrument.brand":                            "/source/brand",
		"0.instrument.expiry_year":                      "/source/exp_year",
		"0.instrument.last_4":                           "/source/last4",
		"0.instrument.iin":                              "/source/bin",
		"0.instrument.email":                            "/source/email",
		"0.instrument.issuer":                           "/source/issuer",
		"0.instrument.masked_account_number":            "/source/masked_account_number",
		"expiry_year":                                   "/source/exp_year",
		"0.payment_method_id":                           "/source/payment_method_id",
		"0.currency_code":                               "/source/currency",
		"0.default_instrument":                          "/default",
		"make_default":                                  "/default",
		"0.billing_address":                             "/billing_address",
		"0.billing_address.street_1":                    "/billing_address/line1",
		"billing_address.address2":                      "/billing_address/line2",
		"billing_address.state_or_province_code":        "/billing_address/region",
		"billing_address.country_code":                  "/billing_address/country",
		"billing_address.postal_code":                   "/billing_address/postal_code",
		"billing_address.email":                         "/billing_address/email",
		"billing_address.something_new":                 "/billing_address",
		"trusted_shipping_addresses[0].email":           "",
		"trusted_shipping_addresses":                    "",
		"token":                                         "",
		"4111111111111111":                              "",
		"":                                              "",
		"...":                                           "",
		"something_new":                                 "",
		strings.Repeat("a.", 1000) + "instrument.brand": "/source/brand",
	} {
		require.Equal(t, want, pointerOf(path), path)
	}
	fields := fieldErrors(messagesOf([]byte(`{"errors":[{"status":422,"errors":{
		"0.customer_id":"error.path.missing","0.instrument.last_4":"4111111111111111 has a wrong length","1.customer_id":"x"}}]}`)))
	require.Equal(t, []normalize.FieldError{
		{Pointer: "/customer_id", Code: normalize.MissingField, Message: "the provider requires it"},
		{Pointer: "/source/last4", Code: normalize.InvalidField, Message: "the provider does not accept the value"},
	}, fields, "own words only, and each member once")
}

// FuzzRefusal: no body makes the error mapper panic, keep the provider's words or
// take a foreign 4xx for the provider's.
func FuzzRefusal(f *testing.F) {
	for _, seed := range []string{
		v3Error, edgeError, payError, batch, page, foreign, ``, `null`, `[]`, `{"errors":{"status":404}}`,
		`{"errors":{"errors":{"errors":{}}}}`, `{"status":"422","title":"x","errors":["a",1]}`,
	} {
		f.Add(422, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 300 || status > 599 {
			status = 422
		}
		resp := rest.Response{Status: status, Header: http.Header{}, Body: body}
		for _, op := range []string{opCreate, opGet, opDelete} {
			e := statusError(op, resp)
			require.Contains(t, normalize.Codes(), e.Code)
			require.NotEqual(t, normalize.Applied, e.Outcome)
			require.LessOrEqual(t, len(e.ProviderCode), 20)
			for _, field := range e.Fields {
				require.Regexp(t, `^/(source|billing_address|customer_id|default)(/[a-z0-9_]+)?$`, field.Pointer)
			}
		}
		_ = allGone(resp, 1)
		_ = allGone(resp, 2)
	})
}
