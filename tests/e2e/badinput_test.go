package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// badCase is one line of testdata/badinput.json: a request, and how it is refused.
// The body is one of: raw text, raw bytes, a document, or the valid create request
// with members set or removed by their pointers, or padded to a size.
type badCase struct {
	Name      string          `json:"name"`
	Method    string          `json:"method"`  // default POST
	Path      string          `json:"path"`    // default /v1/instruments
	Headers   map[string]any  `json:"headers"` // null removes, a list repeats; $KEY and its sisters are replaced
	Raw       *string         `json:"raw"`
	RawBase64 string          `json:"raw_base64"`
	Body      json.RawMessage `json:"body"`
	Set       map[string]any  `json:"set"`
	Remove    []string        `json:"remove"`
	Fill      int             `json:"fill"` // bytes
	Status    int             `json:"status"`
	Code      string          `json:"code"`
	Pointer   *string         `json:"pointer"` // of the first entry of "errors"; absent if not asserted
}

// Every malformed, oversized, forbidden or senseless request is refused with the
// status, the code and the pointer that the table says; nothing is stored, no
// provider hears of it, and no card number comes back.
//
//nolint:tparallel // its cases run one after the other: what is checked after them must come last
func TestBadInput(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/badinput.json")
	require.NoError(t, err)
	var cases []badCase
	require.NoError(t, json.Unmarshal(raw, &cases))
	require.GreaterOrEqual(t, len(cases), 150)

	addr := redistest.Start(t)
	db := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = db.Close() })
	s := startSandbox(t)
	g := startGateway(t, s, "  redis: {url: \"redis://"+addr+"/0\", durability: dev}", newReferenceKey(t))

	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			status, contentType, body := g.send(t, c)
			require.Equal(t, c.Status, status, "%s", body)
			if c.Method == http.MethodHead {
				return
			}
			require.Equal(t, "application/problem+json", contentType, "%s", body)
			var problem struct {
				Code    string `json:"code"`
				Status  int    `json:"status"`
				Type    string `json:"type"`
				Outcome string `json:"outcome"`
				Retry   string `json:"retry"`
				Request string `json:"request_id"`
				Errors  []struct {
					Pointer string `json:"pointer"`
				} `json:"errors"`
			}
			require.NoError(t, json.Unmarshal(body, &problem), "%s", body)
			require.Equal(t, c.Code, problem.Code, "%s", body)
			require.Equal(t, c.Status, problem.Status)
			require.True(t, strings.HasSuffix(problem.Type, "/problems/"+c.Code))
			require.NotEmpty(t, problem.Outcome)
			require.NotEmpty(t, problem.Retry)
			require.NotEmpty(t, problem.Request)
			if c.Pointer != nil {
				require.NotEmpty(t, problem.Errors, "%s", body)
				require.Equal(t, *c.Pointer, problem.Errors[0].Pointer, "%s", body)
			}
			for _, number := range []string{"4111111111111111", "5555555555554444", "378282246310005", "4111 1111 1111 1111", "4111-1111-1111-1111", g.key} {
				require.NotContains(t, string(body), number)
			}
		})
	}

	keys, err := db.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.Equal(t, []string{"pv:replids"}, keys, "nothing is stored but which Redis this is")
	for _, provider := range []string{s.cybersource, s.rebilly, s.bigcommerce} {
		require.Empty(t, stateOf(t, provider).Requests, "no provider was called")
	}
	require.NotContains(t, g.Log.String(), "4111111111111111")
	t.Logf("%d cases refused as they should be; store empty, providers not called", len(cases))
}

// send makes the case's request byte for byte.
func (g gateway) send(t *testing.T, c badCase) (status int, contentType string, body []byte) {
	t.Helper()
	method, path := c.Method, g.fill(c.Path)
	if method == "" {
		method = http.MethodPost
	}
	if path == "" {
		path = "/v1/instruments"
	}
	var reader io.Reader
	if body := c.body(t); body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, g.url, reader)
	require.NoError(t, err)
	req.URL.Opaque = "//" + req.URL.Host + path // exactly as written, not cleaned
	req.Header.Set("Authorization", "Bearer "+g.key)
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Idempotency-Key", "bad-input")
	for name, v := range c.Headers {
		req.Header.Del(name)
		switch v := v.(type) {
		case string:
			req.Header.Set(name, g.fill(v))
		case []any:
			for _, one := range v {
				text, ok := one.(string)
				require.True(t, ok)
				req.Header.Add(name, g.fill(text))
			}
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header.Get("Content-Type"), body
}

func (g gateway) fill(s string) string {
	return strings.NewReplacer("$KEY", g.key, "$READ_KEY", g.readKey, "$TOKENS_ONLY_KEY", g.tokensKey).Replace(s)
}

func (c badCase) body(t *testing.T) []byte {
	t.Helper()
	switch {
	case c.Raw != nil:
		return []byte(*c.Raw)
	case c.RawBase64 != "":
		b, err := base64.StdEncoding.DecodeString(c.RawBase64)
		require.NoError(t, err)
		return b
	case c.Body != nil:
		return c.Body
	case c.Method != "" && c.Method != http.MethodPost, strings.HasPrefix(c.Path, "/v1/") && c.Set == nil && c.Remove == nil && c.Fill == 0 && !strings.Contains(c.Path, "api_key"):
		return nil
	}
	create := object{
		"customer_id": "cus-1", "sources": []any{card("4111111111111111")}, "billing_address": address(),
		"metadata": object{"k": "v"}, "provider": "cybersource-us",
	}
	if c.Fill > 0 {
		create["padding"] = strings.Repeat("x", c.Fill)
	}
	var doc any
	plain, err := json.Marshal(create)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(plain, &doc))
	for pointer, v := range c.Set {
		doc = edit(t, doc, strings.Split(pointer, "/")[1:], v, false)
	}
	for _, pointer := range c.Remove {
		doc = edit(t, doc, strings.Split(pointer, "/")[1:], nil, true)
	}
	b, err := json.Marshal(doc)
	require.NoError(t, err)
	return b
}

// edit sets or removes the member that path leads to.
func edit(t *testing.T, doc any, path []string, v any, remove bool) any {
	t.Helper()
	if len(path) == 0 {
		return v
	}
	switch d := doc.(type) {
	case map[string]any:
		if remove && len(path) == 1 {
			delete(d, path[0])
			return d
		}
		d[path[0]] = edit(t, d[path[0]], path[1:], v, remove)
		return d
	case []any:
		i, err := strconv.Atoi(path[0])
		require.NoError(t, err)
		d[i] = edit(t, d[i], path[1:], v, remove)
		return d
	}
	require.Failf(t, "no such place", "%v in %v", path, doc)
	return nil
}
