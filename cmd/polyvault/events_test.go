package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// sentEvent is what an endpoint was sent.
type sentEvent struct {
	header http.Header
	body   []byte
}

// shop is a merchant's endpoint. It answers with the status, and tells what it was sent.
func shop(t *testing.T, status *atomic.Int64) (url string, sent <-chan sentEvent) {
	t.Helper()
	out := make(chan sentEvent, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.WriteHeader(int(status.Load()))
		out <- sentEvent{r.Header, b}
	}))
	t.Cleanup(s.Close)
	return s.URL, out
}

// requireAsDocumented holds what was sent against the document's webhooks.
func requireAsDocumented(t *testing.T, schema string, e sentEvent) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../gateway/httpapi/openapi.yaml")
	require.NoError(t, err)
	var v any
	require.NoError(t, json.Unmarshal(e.body, &v))
	require.NoError(t, doc.Components.Schemas[schema].Value.VisitJSON(v, openapi3.EnableJSONSchema2020()), string(e.body))
	for _, name := range []string{"WebhookID", "WebhookTimestamp", "WebhookSignature"} {
		require.NotEmpty(t, e.header.Get(doc.Components.Parameters[name].Value.Name), name)
	}
}

func TestEventsAreSentAsDocumentedAndReplayed(t *testing.T) {
	t.Parallel()
	status := &atomic.Int64{}
	status.Store(200)
	url, sent := shop(t, status)
	e := newEdited(t)
	put(t, e.folder+"/events", "whsec_Y2FuYXJ5LWV2ZW50cy1zZWNyZXQtMzItYnl0ZXM=")
	var line string
	e.key, line = newKey(t, "instruments:read,instruments:write,events:read,events:write")
	e.line = line
	put(t, e.file(), strings.Replace(e.text(), "    accept_raw_card: true\n", "    accept_raw_card: true\n"+
		fmt.Sprintf("    events: {endpoints: [{url: %q, secrets: [file:events]}]}\n", url), 1))
	r := start(t, "serve", "--config", e.file())
	api := address(t, r, "listening")
	e.stores(t, api, "cus-1")
	next := func() sentEvent {
		t.Helper()
		select {
		case e := <-sent:
			return e
		case <-time.After(20 * time.Second):
			require.FailNow(t, "nothing was sent")
			return sentEvent{}
		}
	}
	created := next()
	requireAsDocumented(t, "InstrumentEvent", created)
	id := created.header.Get("webhook-id")

	keyFile := e.folder + "/api-key"
	require.NoError(t, os.WriteFile(keyFile, []byte(e.key+"\n"), 0o600))
	run := func(args ...string) string {
		code, stdout, stderr := execute(t, append([]string{"events", args[0], "--url", api, "--api-key-file", keyFile}, args[1:]...)...)
		require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
		return stdout
	}
	// Whoever was told answers before the gateway writes that down.
	delivered := func() {
		t.Helper()
		require.Eventually(t, func() bool { return strings.Contains(run("list"), "  delivered  ") }, 20*time.Second, 20*time.Millisecond)
	}
	delivered()
	require.Regexp(t, `^ID +TYPE +ABOUT +OCCURRED +STATE +ENDPOINTS\n`+id+` +instrument.created +ins_\w+ +20\S+Z +delivered +127.0.0.1:\d+ delivered\n$`, run("list"))
	require.Equal(t, "ID  TYPE  ABOUT  OCCURRED  STATE  ENDPOINTS\n", run("list", "--state", "failed"))
	require.Contains(t, run("list", "--id", id, "--json"), `"payload":`)
	require.Regexp(t, id+` +instrument.created .* pending `, run("replay", "--id", id))
	again := next()
	delivered()
	require.Equal(t, id, again.header.Get("webhook-id"))
	require.JSONEq(t, string(created.body), string(again.body))
	require.Equal(t, "no event of that time was given up: --state all sends those again that were delivered\n", run("replay", "--since", "1h"))
	require.Equal(t, "{\"replayed\":1}\n", run("replay", "--since", "1h", "--state", "all", "--json"))
	next()
	delivered()

	status.Store(503)
	require.Equal(t, "1 to be delivered once more\n", run("replay", "--since", "1h", "--state", "all"))
	next()
	require.Eventually(t, func() bool { return strings.Contains(run("list"), " pending (status 503, tries 1)\n") }, 20*time.Second, 20*time.Millisecond)
}
