package httpapi

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

func TestTheDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc, err := contract()
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
}

func TestRoutesAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	doc, err := contract()
	require.NoError(t, err)
	var documented, served []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	param := regexp.MustCompile(`:([a-z_]+)`)
	for _, r := range newRig(t).api.echo.Routes() {
		served = append(served, r.Method+" "+param.ReplaceAllString(r.Path, "{$1}"))
	}
	require.ElementsMatch(t, documented, served)
	require.ElementsMatch(t, slices.Collect(maps.Keys(operations())), newRig(t).api.document.operationIDs)
}

func TestEveryOperationNamesItsScopeInTheDocument(t *testing.T) {
	t.Parallel()
	doc, err := contract()
	require.NoError(t, err)
	known := operations()
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			name := method + " " + path
			if scope := known[op.OperationID].scope; scope != public {
				require.Contains(t, op.Description, "Scope `"+string(scope)+"`", name)
			} else {
				require.NotNil(t, op.Security, name)
				require.Empty(t, *op.Security, name)
			}
			var query []string
			for _, p := range op.Parameters {
				if p.Value.In == "query" {
					query = append(query, p.Value.Name)
				}
			}
			require.ElementsMatch(t, known[op.OperationID].query, query, name)
		}
	}
}

func TestTheDocumentListsEveryCodeWithItsStatus(t *testing.T) {
	t.Parallel()
	doc, err := contract()
	require.NoError(t, err)
	var listed []normalize.Code
	for _, v := range doc.Components.Schemas["Code"].Value.Enum {
		code, ok := v.(string)
		require.True(t, ok)
		listed = append(listed, normalize.Code(code))
	}
	require.Equal(t, normalize.Codes(), listed)

	names := map[int]string{
		400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Gone",
		412: "PreconditionFailed", 413: "BodyTooLarge", 415: "UnsupportedMediaType", 422: "Unprocessable",
		429: "TooManyRequests", 500: "InternalError", 502: "BadGateway", 503: "Unavailable", 504: "GatewayTimeout",
	}
	for _, code := range normalize.Codes() {
		if code == normalize.MethodNotAllowed {
			continue // no operation answers it
		}
		name := names[kindOf(code).status]
		require.Contains(t, *doc.Components.Responses[name].Value.Description, "`"+string(code)+"`", name)
	}
}

func TestEveryCodeHasAStatusAndATitle(t *testing.T) {
	t.Parallel()
	titles := map[string]normalize.Code{}
	for _, code := range normalize.Codes() {
		_, client := clientKinds()[code]
		_, server := serverKinds()[code]
		require.NotEqual(t, client, server, "%s must be in exactly one table", code)
		kind := kindOf(code)
		require.Equal(t, server, kind.status >= 500, code)
		require.NotEmpty(t, kind.title)
		require.Empty(t, titles[kind.title], "%s has the title of another code", code)
		titles[kind.title] = code
	}
	require.Len(t, normalize.Codes(), len(clientKinds())+len(serverKinds()))
}

// requests is one request for every operation that needs a key.
func requests() map[string]struct{ method, path, body string } {
	ins := "/v1/instruments/" + exampleID
	return map[string]struct{ method, path, body string }{
		"createInstrument":        {http.MethodPost, "/v1/instruments", `{"customer_id":"cus-42","sources":[{"type":"rebilly_token","token":"abc"}]}`},
		"listInstruments":         {http.MethodGet, "/v1/instruments", ""},
		"importInstruments":       {http.MethodPost, "/v1/instruments/import", `{"items":[{"idempotency_key":"k","customer_id":"c","sources":[{"type":"rebilly_token","token":"abc"}]}]}`},
		"bulkDeleteInstruments":   {http.MethodPost, "/v1/instruments/bulk-delete", `{"ids":["` + exampleID + `"]}`},
		"getInstrument":           {http.MethodGet, ins, ""},
		"updateInstrument":        {http.MethodPatch, ins, `{}`},
		"deleteInstrument":        {http.MethodDelete, ins, ""},
		"deactivateInstrument":    {http.MethodPost, ins + "/deactivate", ""},
		"activateInstrument":      {http.MethodPost, ins + "/activate", ""},
		"resolveInstrument":       {http.MethodPost, ins + "/resolve", ""},
		"listProviderTokens":      {http.MethodGet, ins + "/provider-tokens", ""},
		"addProviderToken":        {http.MethodPost, ins + "/provider-tokens", `{"sources":[{"type":"rebilly_token","token":"abc"}]}`},
		"removeProviderToken":     {http.MethodDelete, ins + "/provider-tokens/beta", ""},
		"getCustomer":             {http.MethodGet, "/v1/customers/cus-42", ""},
		"putCustomer":             {http.MethodPut, "/v1/customers/cus-42", `{"provider_references":{"bigcommerce-main":"1"}}`},
		"listCustomerInstruments": {http.MethodGet, "/v1/customers/cus-42/instruments", ""},
		"findOperations":          {http.MethodGet, "/v1/operations?idempotency_key=k", ""},
		"getOperation":            {http.MethodGet, "/v1/operations/" + exampleID, ""},
		"retryOperation":          {http.MethodPost, "/v1/operations/" + exampleID + "/retry", ""},
		"failOperation":           {http.MethodPost, "/v1/operations/" + exampleID + "/fail", ""},
		"syncInstruments":         {http.MethodPost, "/v1/sync", `{"customer_id":"cus-42"}`},
		"listEvents":              {http.MethodGet, "/v1/events", ""},
		"getEvent":                {http.MethodGet, "/v1/events/" + exampleEventID, ""},
		"replayEvent":             {http.MethodPost, "/v1/events/" + exampleEventID + "/replay", ""},
		"replayEvents":            {http.MethodPost, "/v1/events/replay?since=2026-01-02T03:04:05Z", ""},
		"listProviders":           {http.MethodGet, "/v1/providers", ""},
		"explainRoutes":           {http.MethodPost, "/v1/routes/explain", `{"source_types":["card"]}`},
		"getProvider":             {http.MethodGet, "/v1/providers/cybersource-us", ""},
		"drainProvider":           {http.MethodPost, "/v1/providers/cybersource-us/drain", `{"reason":"maintenance"}`},
		"undrainProvider":         {http.MethodPost, "/v1/providers/cybersource-us/undrain", ""},
	}
}

func TestScopeMatrix(t *testing.T) {
	t.Parallel()
	keyOf := func(s Scope) string {
		return "pv_test_Scope001_0123456789abcdefghij" + strings.NewReplacer(":", "0").Replace(string(s))
	}
	r := newRig(t, func(c *Config) {
		for _, s := range Scopes() {
			c.Keys = append(c.Keys, APIKey{Tenant: "acme", Name: string(s), SHA256: DigestAPIKey(keyOf(s)), Scopes: []Scope{s}})
		}
	})
	sent := requests()
	for id, op := range operations() {
		if op.scope == public {
			continue
		}
		req, ok := sent[id]
		require.True(t, ok, "%s has no request in this test", id)
		for _, s := range Scopes() {
			rec := r.call(t, req.method, req.path, req.body, "Idempotency-Key", "k", "Authorization", "Bearer "+keyOf(s))
			if s == op.scope {
				require.Less(t, rec.Code, 300, "%s with %s: %s", id, s, rec.Body)
				continue
			}
			p := requireProblem(t, rec, http.StatusForbidden, normalize.InsufficientScope)
			require.Equal(t, "the API key needs the scope "+string(op.scope), p.Detail)
		}
		for name, header := range map[string]string{
			"no header": "", "an unknown key": "Bearer pv_test_Nobody01_0123456789abcdefghijklmnopqrstuvwxyz",
			"a malformed key": "Bearer nonsense", "another scheme": "Basic " + fullKey, "no scheme": fullKey,
		} {
			rec := r.call(t, req.method, req.path, req.body, "Authorization", header, "X-Request-ID", "same")
			requireProblem(t, rec, http.StatusUnauthorized, normalize.InvalidAPIKey)
			require.Equal(t, `Bearer realm="polyvault"`, rec.Header().Get("WWW-Authenticate"), name)
		}
	}
}
