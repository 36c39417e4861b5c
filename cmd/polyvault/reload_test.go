package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/config"
)

// edited is a configuration with two providers that tests edit.
type edited struct {
	url, line, folder string // url: of both providers
	key               string // the API key
	route             string // the provider of the only route
	more              string
}

func newEdited(t *testing.T) edited {
	t.Helper()
	provider := httptest.NewServer(rebillytest.New(rebillytest.Options{}))
	t.Cleanup(provider.Close)
	key, line := newKey(t, "instruments:read,instruments:write,providers:read")
	e := edited{url: provider.URL, line: line, folder: t.TempDir(), key: key, route: "first"}
	put(t, filepath.Join(e.folder, "key"), "sk_sandbox_polyvault")
	put(t, filepath.Join(e.folder, "reference"), "Y2FuYXJ5LXJlZmVyZW5jZS1rZXktb2YtMzItYnl0ZXM=")
	return e
}

// put replaces a file at once, so that none is seen half-written.
func put(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(file+".new", file))
}

func (e edited) file() string { return filepath.Join(e.folder, "polyvault.yaml") }

func (e edited) text() string {
	return fmt.Sprintf(`listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
store: {bolt: {path: %s/p.db}}
keys: {reference: file:reference}
tenants:
  - name: acme
    accept_raw_card: true
    api_keys:
      %s
providers:
  - name: first
    type: rebilly
    config: {base_url: %q, organization_id: org_sandbox, api_key: file:key}
  - name: second
    type: rebilly
    config: {base_url: %q, organization_id: org_sandbox, api_key: sk_sandbox_polyvault}
routes: [{name: default, providers: [%s]}]
insecure_providers: true
%s`, e.folder, e.line, e.url, e.url, e.route, e.more)
}

func (e edited) write(t *testing.T) { t.Helper(); put(t, e.file(), e.text()) }

type ready struct {
	Status     string
	Generation int
	LoadedAt   time.Time `json:"config_loaded_at"`
	Error      *struct {
		At   time.Time
		Text string
	} `json:"config_error"`
}

// until asks whether the gateway is ready until the answer is as wanted.
func until(t *testing.T, api, what string, ok func(ready) bool) ready {
	t.Helper()
	var last ready
	require.Eventually(t, func() bool {
		status, body := request(t, "GET", api+"/readyz", "", "")
		last = ready{}
		return status == 200 && json.Unmarshal([]byte(body), &last) == nil && ok(last)
	}, 20*time.Second, 5*time.Millisecond, what)
	return last
}

func (e edited) stores(t *testing.T, api, customer string) string {
	t.Helper()
	status, body := request(t, "POST", api+"/v1/instruments", e.key, strings.Replace(cardBody, "cus-1", customer, 1), "Idempotency-Key", customer)
	require.Equal(t, 201, status, body)
	var ins struct {
		Tokens []struct{ Provider string } `json:"provider_tokens"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &ins))
	return ins.Tokens[0].Provider
}

func TestServeTakesChangesIntoUse(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	e.write(t)
	r := start(t, "serve", "--config", e.file())
	api := address(t, r, "listening")
	first := until(t, api, "it is ready", func(r ready) bool { return r.Generation == 1 && r.Error == nil })
	require.Equal(t, "first", e.stores(t, api, "cus-1"))

	e.route = "second"
	e.write(t)
	second := until(t, api, "the route is switched", func(r ready) bool { return r.Generation == 2 })
	require.True(t, second.LoadedAt.After(first.LoadedAt))
	require.Equal(t, "second", e.stores(t, api, "cus-2"))
	line := find(t, r, &r.stderr, `"msg":"the configuration was reloaded"`)
	require.Contains(t, line, `"generation":2,"changed":["routes"],"routes":["default"]`)

	put(t, e.file(), strings.Replace(e.text(), "[second]", "[third]", 1))
	refused := until(t, api, "a broken file is refused", func(r ready) bool { return r.Error != nil })
	require.Equal(t, 2, refused.Generation)
	require.Equal(t, e.file()+":17: routes[0].providers[0]: names no provider of this file; there are first, second", refused.Error.Text)
	require.Equal(t, "second", e.stores(t, api, "cus-3"))
	require.NoError(t, os.Remove(e.file()))
	until(t, api, "a file that is gone is refused", func(r ready) bool { return r.Error != nil && strings.Contains(r.Error.Text, "no such file") })
	require.Equal(t, "second", e.stores(t, api, "cus-4"))
	e.write(t)
	until(t, api, "the file is as it was", func(r ready) bool { return r.Generation == 2 && r.Error == nil })

	e.more = "log: {format: console}\n"
	put(t, e.file(), strings.Replace(e.text(), "127.0.0.1:0", "127.0.0.1:1", 1))
	refused = until(t, api, "what needs another start is refused", func(r ready) bool { return r.Error != nil })
	require.Equal(t, "listen, log.format cannot change while the gateway runs: restart it with the new configuration, or change back what differs", refused.Error.Text)

	e.more = "shutdown: {timeout: 5s}\nlog: {level: error}\n"
	e.route = "first"
	e.write(t)
	until(t, api, "the last good one is in force", func(r ready) bool { return r.Generation == 3 && r.Error == nil })
	require.Equal(t, "first", e.stores(t, api, "cus-5"))
	require.Equal(t, exitOK, r.stop(t))
	require.NotContains(t, r.stderr.String(), `"msg":"stopped"`, "the level is the new one's")
	require.NotContains(t, r.stderr.String(), "sk_sandbox_polyvault")
}

// A secret in a mounted folder changes when a link is exchanged.
func TestServeTakesANewSecretIntoUse(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	version := func(name, secret string) {
		require.NoError(t, os.Mkdir(filepath.Join(e.folder, name), 0o700))
		put(t, filepath.Join(e.folder, name, "key"), secret)
		require.NoError(t, os.Symlink(name, filepath.Join(e.folder, "..tmp")))
		require.NoError(t, os.Rename(filepath.Join(e.folder, "..tmp"), filepath.Join(e.folder, "..data")))
	}
	require.NoError(t, os.Remove(filepath.Join(e.folder, "key")))
	version("..1", "sk_sandbox_wrong")
	require.NoError(t, os.Symlink("..data/key", filepath.Join(e.folder, "key")))
	e.write(t)
	r := start(t, "serve", "--config", e.file())
	api := address(t, r, "listening")
	status, body := request(t, "POST", api+"/v1/instruments", e.key, cardBody, "Idempotency-Key", "1")
	require.Equal(t, 502, status, body)
	version("..2", "sk_sandbox_polyvault")
	until(t, api, "the secret is taken into use", func(r ready) bool { return r.Generation == 2 })
	require.Equal(t, "first", e.stores(t, api, "cus-2"))
	line := find(t, r, &r.stderr, `"msg":"the configuration was reloaded"`)
	require.Contains(t, line, `"changed":["providers"],"providers_changed":["first"]`)
	require.NotContains(t, r.stderr.String(), "sk_sandbox")

	version("..3", "")
	refused := until(t, api, "an empty secret is refused", func(r ready) bool { return r.Error != nil })
	require.Contains(t, refused.Error.Text, "/key is empty")
	require.Equal(t, "first", e.stores(t, api, "cus-3"))
}

// startLive is a gateway without its listeners, and what it logs.
func (e edited) startLive(t *testing.T) (*live, *observer.ObservedLogs) {
	t.Helper()
	e.write(t)
	core, logs := observer.New(zap.DebugLevel)
	read := fileSource(e.file(), config.Options{Scopes: scopeNames()})
	c, files, err := read()
	require.NoError(t, err)
	store, err := openStore(t.Context(), c, newTelemetry(), zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	l, err := newLive(read, c, files, store, nil, newTelemetry(), zap.New(core), zap.NewAtomicLevel())
	require.NoError(t, err)
	t.Cleanup(l.close)
	return l, logs
}

func TestWhatHasNotChangedKeepsItsConnections(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	l, _ := e.startLive(t)
	for name, tc := range map[string]struct {
		old, new string
		keeps    bool
	}{
		"the route":   {"[first]", "[second]", true},
		"a timeout":   {"type: rebilly", "type: rebilly\n    timeout: 5s", true},
		"disabled":    {"type: rebilly", "type: rebilly\n    disabled: true", true},
		"a secret":    {"file:key", "sk_sandbox_other", false},
		"more places": {"type: rebilly", "type: rebilly\n    max_in_flight: 8", false},
	} {
		require.NoError(t, l.reload(true)) // back to what it was
		was := l.opened
		put(t, e.file(), strings.Replace(e.text(), tc.old, tc.new, 1))
		require.NoError(t, l.reload(false), name)
		require.Equal(t, tc.keeps, l.opened["first"].transport == was["first"].transport, name)
		require.Equal(t, tc.keeps, l.opened["first"].adapter == was["first"].adapter, name)
		require.Same(t, was["second"].transport, l.opened["second"].transport, name)
		e.write(t)
	}
}

func TestARefusalIsToldOnce(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	l, logs := e.startLive(t)
	put(t, e.file(), e.text()+"unknown_key: 1\n")
	for range 3 {
		require.Error(t, l.reload(false))
	}
	require.Equal(t, 1, logs.FilterMessageSnippet("refused").Len())
	require.EqualValues(t, 1, l.failed.Load())
	require.Error(t, l.reload(true), "who asks for a reload is told again")
	require.EqualValues(t, 2, l.failed.Load())
	put(t, e.file(), e.text()+strings.Repeat("unknown", 50)+": 1\n")
	require.Error(t, l.reload(false))
	require.EqualValues(t, 3, l.failed.Load(), "another problem")

	many := config.Problems{}
	for i := range shownProblems + 5 {
		many = append(many, config.Problem{File: "f", Line: i + 1, Text: "is wrong"})
	}
	require.Equal(t, shownProblems, strings.Count(refusal(many), "is wrong"))
	require.Contains(t, refusal(many), "\nand 5 more")
}

func TestAForcedReloadIsANewGeneration(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	l, _ := e.startLive(t)
	require.NoError(t, l.reload(false))
	require.EqualValues(t, 1, l.api.ConfigStatus().Generation)
	was := l.opened
	require.NoError(t, l.reload(true))
	require.EqualValues(t, 2, l.api.ConfigStatus().Generation)
	require.Equal(t, was, l.opened)
}

// A request that began under the configuration before, and one that begins under it
// when it is retired already, leave no connection behind.
func TestARetiredClientKeepsNoConnection(t *testing.T) {
	t.Parallel()
	hold, open := make(chan struct{}), atomic.Int64{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			<-hold
		}
		_, _ = io.WriteString(w, "answer")
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		default:
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	r := &retirable{}
	client := adapters.NewHTTPClient(adapters.ClientOptions{Wrap: r.wrap})
	get := func(path string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	}
	held := make(chan error)
	go func() { held <- get("/held") }()
	require.Eventually(t, func() bool { return open.Load() == 1 }, 20*time.Second, time.Millisecond)
	require.NoError(t, get("/"))
	require.EqualValues(t, 2, open.Load())
	r.retire()
	require.NoError(t, get("/late"))
	require.NoError(t, get("/later"))
	close(hold)
	require.NoError(t, <-held)
	require.Eventually(t, func() bool { return open.Load() == 0 }, 20*time.Second, time.Millisecond)
}
