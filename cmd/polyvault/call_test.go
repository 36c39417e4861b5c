package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// callerAt is a caller at a server that answers the n-th request, from 1 on, with a number.
func callerAt(t *testing.T, ctx context.Context) (c *caller, out *strings.Builder) { //nolint:revive // t comes first, as everywhere
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n++
		_ = json.NewEncoder(w).Encode(map[string]any{"n": n, "auth": r.Header.Get("Authorization"), "key": r.Header.Get("Their-Key"), "body": string(body)})
	}))
	t.Cleanup(s.Close)
	out = &strings.Builder{}
	return newCaller(ctx, s.URL, "secret", &printer{w: out}), out
}

func third(a answer) string {
	if a.body["n"] != 3.0 {
		return "it is not the third"
	}
	return ""
}

func TestUntilPrintsTheCallOnceAndTheLastAnswer(t *testing.T) {
	t.Parallel()
	c, out := callerAt(t, t.Context())
	c.until(call{method: "GET", path: "/x", want: 200, show: "n"}, third)
	require.NoError(t, c.err)
	require.Equal(t, "  > GET /x\n  < 200 OK\n    {\"n\": 3}\n", out.String())
}

func TestUntilFailsWithWhatIsMissing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c, out := callerAt(t, ctx)
	n := 0
	c.until(call{method: "GET", path: "/x", want: 200, show: "n"}, func(answer) string {
		if n++; n == 2 {
			cancel()
		}
		return "it is not in step"
	})
	require.EqualError(t, c.err, "GET /x: it is not in step")
	require.Equal(t, "  > GET /x\n", out.String(), "an answer that is not the right one is not told as if it were")

	out.Reset()
	c.until(call{method: "GET", path: "/y", want: 200}, nil)
	c.do(call{method: "GET", path: "/y", want: 200})
	require.Empty(t, out.String(), "nothing is done after an error")
	require.EqualError(t, c.err, "GET /x: it is not in step")
}

func TestACallsAnswerIsChecked(t *testing.T) {
	t.Parallel()
	for message, wrong := range map[string]call{
		"status 200, not 201":                {want: 201},
		`Gateway-Provider is "", not "here"`: {want: 200, header: map[string]string{"Gateway-Provider": "here"}},
		"n is 1, not 2":                      {want: 200, member: map[string]any{"n": 2.0}},
	} {
		c, _ := callerAt(t, t.Context())
		wrong.method, wrong.path = "GET", "/x"
		c.do(wrong)
		require.ErrorContains(t, c.err, "GET /x: "+message)
	}
}

func TestAnotherServersKeyTakesThePlaceOfTheGateways(t *testing.T) {
	t.Parallel()
	c, out := callerAt(t, t.Context())
	a := c.do(call{method: "GET", path: "/x", want: 200})
	require.Equal(t, "Bearer secret", a.body["auth"])
	elsewhere := c.base
	c.base = "http://192.0.2.1" // answers nobody
	a = c.do(call{method: "GET", base: elsewhere, path: "/x", auth: "Their-Key: other", want: 200})
	require.NoError(t, c.err)
	require.Equal(t, []any{"", "other"}, []any{a.body["auth"], a.body["key"]}, "the gateway's key stays here")
	require.NotContains(t, out.String(), "other")
}

func TestABodysLongPartIsPrintedOnceAndAlwaysSent(t *testing.T) {
	t.Parallel()
	c, out := callerAt(t, t.Context())
	c.said = []saying{{long: `"line1":"1 Main St"`, short: `"line1":…`}}
	for range 2 {
		a := c.do(call{method: "POST", path: "/x", body: `{"line1":"1 Main St"}`, want: 200})
		require.JSONEq(t, `{"line1":"1 Main St"}`, text(a.body, "body"))
	}
	require.Equal(t, 1, strings.Count(out.String(), "1 Main St"))
	require.Contains(t, out.String(), "    {\"line1\":…}\n")
}

func TestShow(t *testing.T) {
	t.Parallel()
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(`{"id":"ins_0h7kq2m4n6p8r0s2t4v6w8x0z2","ref":"2F2EE98DDFA9DF0E4F556A625BE511D7","none":null,
		"detail":"a sentence of more than 28 characters","card":{"last4":"1111","brand":""},"tried":[{"p":"one","code":null,"more":1},{"p":"two"}]}`), &body))
	out := &strings.Builder{}
	(&printer{w: out}).show(body, "id tried[p,code] ref none absent detail card")
	require.Equal(t, []string{
		`    {"id": "ins_0h7kq2m4n6p8r0s2t4v6w8x0z2", "ref": "2F2EE98D…", "detail": "a sentence of more than 28 characters", "card": {"last4":"1111"}}`,
		`    tried: {"p": "one"}`,
		`    tried: {"p": "two"}`,
		"",
	}, strings.Split(out.String(), "\n"))
	out.Reset()
	(&printer{w: out}).show(body, "")
	require.Empty(t, out.String())
}

func TestTheStatusLineTellsTheStory(t *testing.T) {
	t.Parallel()
	h := http.Header{"Age": {"7"}, "Gateway-Stale": {"true"}, "Gateway-Provider": {"p"}, "Date": {time.Now().String()}}
	require.Equal(t, "200 OK  Gateway-Provider: p  Gateway-Stale: true  Age: 7", statusLine(200, h))
}

func TestOnceTakesTheFirstAnswer(t *testing.T) {
	t.Parallel()
	c, out := callerAt(t, t.Context())
	c.once(call{method: "GET", path: "/x", want: 200, show: "n"}, third)
	require.EqualError(t, c.err, "GET /x: it is not the third")
	require.Contains(t, out.String(), `{"n": 1}`)
}
