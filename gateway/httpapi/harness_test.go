package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/polyvault/polyvault/normalize"
)

const (
	fullKey = "pv_test_Full0001_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	bareKey = "pv_test_Bare0001_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
)

// rig is an API over a fake service, with its log.
type rig struct {
	*fake
	api  *API
	logs *observer.ObservedLogs
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	r := &rig{fake: newFake(), logs: logs}
	c := Config{
		Service: r.fake, Log: zap.New(core), Now: exampleTime,
		Keys: []APIKey{
			{Tenant: "acme", Name: "checkout", SHA256: DigestAPIKey(fullKey), Scopes: Scopes()},
			{Tenant: "globex", Name: "bare", SHA256: DigestAPIKey(bareKey)},
		},
	}
	for _, f := range change {
		f(&c)
	}
	var err error
	r.api, err = New(c)
	require.NoError(t, err)
	return r
}

// call sends a request with a valid key unless the headers have another, and
// checks the answer against the document. Headers are names and values in turn.
func (r *rig) call(t testing.TB, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+fullKey)
	if body != "" {
		req.Header.Set("Content-Type", mediaJSON)
	}
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Del(headers[i]); headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	return r.send(t, req)
}

func (r *rig) send(t testing.TB, req *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(rec, req)
	checkContract(t, req, rec)
	return rec
}

func problemOf(t testing.TB, rec *httptest.ResponseRecorder) problem {
	t.Helper()
	require.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"), rec.Body.String())
	var p problem
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &p))
	require.Equal(t, rec.Code, p.Status)
	return p
}

func requireProblem(t testing.TB, rec *httptest.ResponseRecorder, status int, code normalize.Code) problem {
	t.Helper()
	p := problemOf(t, rec)
	require.Equal(t, code, p.Code, rec.Body.String())
	require.Equal(t, status, rec.Code)
	return p
}

// contract is the document as an independent library reads it.
var contract = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromData(documentYAML)
})

// checkContract holds an answer against the document: its status, media type,
// body and required headers must be described there.
func checkContract(t testing.TB, req *http.Request, rec *httptest.ResponseRecorder) {
	t.Helper()
	doc, err := contract()
	require.NoError(t, err)
	for template, item := range doc.Paths.Map() {
		pattern := regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(template, `[^/]+`)
		op := item.GetOperation(req.Method)
		if op == nil || !regexp.MustCompile("^"+pattern+"$").MatchString(req.URL.EscapedPath()) {
			continue
		}
		if strings.Contains(template, "{") && doc.Paths.Value(req.URL.Path) != nil {
			continue // a path without parameters comes first
		}
		response := op.Responses.Status(rec.Code)
		if response == nil {
			response = op.Responses.Default()
		}
		require.NotNil(t, response, "%s %s answers %d, which the document does not have", req.Method, template, rec.Code)
		checkResponse(t, response.Value, rec)
		return
	}
	require.Contains(t, []int{404, 405}, rec.Code, "%s %s is not in the document", req.Method, req.URL.Path)
	checkSchema(t, doc.Components.Schemas["Problem"].Value, rec)
}

func checkResponse(t testing.TB, response *openapi3.Response, rec *httptest.ResponseRecorder) {
	t.Helper()
	for name, header := range response.Headers {
		if header.Value.Required {
			require.NotEmpty(t, rec.Header().Get(name), "the answer %d lacks the header %s", rec.Code, name)
		}
	}
	for name := range rec.Header() {
		if strings.HasPrefix(name, "Gateway-") || name == "Idempotent-Replayed" || name == "Retry-After" {
			require.Contains(t, response.Headers, name, "status %d", rec.Code)
		}
	}
	if len(response.Content) == 0 {
		require.Empty(t, rec.Body.String())
		return
	}
	mediaType, _, _ := strings.Cut(rec.Header().Get("Content-Type"), ";")
	content := response.Content[mediaType]
	require.NotNil(t, content, "the answer %d has media type %q", rec.Code, mediaType)
	if strings.HasSuffix(mediaType, "json") {
		checkSchema(t, content.Schema.Value, rec)
	}
}

// checked remembers the answers that have passed, since the library compiles the
// schema for each of them again.
var checked sync.Map

func checkSchema(t testing.TB, schema *openapi3.Schema, rec *httptest.ResponseRecorder) {
	t.Helper()
	type answer struct {
		schema *openapi3.Schema
		body   string
	}
	id := rec.Header().Get("X-Request-ID")
	this := answer{schema, strings.ReplaceAll(rec.Body.String(), id, "id")}
	if _, ok := checked.Load(this); ok && id != "" {
		return
	}
	defer func() {
		if !t.Failed() {
			checked.Store(this, true)
		}
	}()
	var v any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &v))
	require.NoError(t, schema.VisitJSON(v, openapi3.EnableJSONSchema2020()), rec.Body.String())
}
