package e2e

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// problemDocument is what every refusal is made of (RFC 9457).
type problemDocument struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Outcome   string `json:"outcome"`
	Retry     string `json:"retry"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
	Errors    []struct {
		Pointer string `json:"pointer"`
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
}

// corpusWorld is a gateway with a little in its store: two instruments of one tenant
// and one of another.
type corpusWorld struct {
	gateway
	bases   map[string]baseRequest
	db      *redis.Client
	sandbox sandbox
	words   *strings.Replacer // $KEY, $INS, …
	secrets map[string]string // what no case may leak, by the case that sent it
	sent    int
}

// Every malformed, oversized, forbidden or senseless request of the corpus is answered
// with the status, the code and the pointer that its line says, as a valid problem;
// nothing is stored, no provider hears of it, and neither the answer nor the log holds
// a card number, an API key or what the case calls a secret. What must be accepted is.
// The cases run one after the other, since the store is compared before and after.
func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newCorpusWorld(t)
	files, err := filepath.Glob(filepath.Join(corpus, "requests", "*.json"))
	require.NoError(t, err)
	// What is accepted comes last: the store is small until then, and quickly compared.
	slices.SortStableFunc(files, func(a, b string) int { return cmp.Compare(accepted(a), accepted(b)) })
	begin, total, names := time.Now(), 0, map[string]bool{}
	for _, file := range files {
		cases := readCases[badCase](t, file)
		for _, c := range cases {
			require.False(t, names[c.Name], "two cases are called %q", c.Name)
			names[c.Name] = true
		}
		for some := range slices.Chunk(cases, together) {
			before, refused := w.state(t), true
			for _, c := range some {
				refused = refused && (c.Code != "" || c.Item != nil)
				t.Run(c.Name, func(t *testing.T) { w.run(t, c) })
			}
			if refused {
				require.Empty(t, changed(before, w.state(t)), "one of the %d cases up to %q stored something, or a provider was called", len(some), some[len(some)-1].Name)
			}
		}
		t.Logf("%5d %s, after %s", len(cases), filepath.Base(file), time.Since(begin).Round(10*time.Millisecond))
		total += len(cases)
	}
	// The log names instruments, among them the one that never was, whose id is all zeros.
	log := strings.ReplaceAll(w.Log.String(), "ins_"+strings.Repeat("0", 26), "")
	for secret, name := range w.secrets {
		leaked := strings.Contains(log, secret) // said in a way that does not print either
		require.False(t, leaked, "what %q sent is in the log", name)
	}
	t.Logf("%d requests answered as they should be, in %s", total, time.Since(begin).Round(10*time.Millisecond))
}

// together is how many cases are sent between two looks at the store and the providers.
const together = 8

func accepted(file string) int { return strings.Count(filepath.Base(file), "accepted") }

func newCorpusWorld(t *testing.T) *corpusWorld {
	t.Helper()
	addr := redistest.Start(t)
	w := &corpusWorld{bases: readBases(t), db: redis.NewClient(&redis.Options{Addr: addr}), secrets: map[string]string{}}
	t.Cleanup(func() { _ = w.db.Close() })
	w.sandbox = startSandbox(t)
	w.gateway = startGateway(t, w.sandbox, "  redis: {url: \"redis://"+addr+"/0\", durability: dev}", newReferenceKey(t), corpusEdits(t)...)
	create := func(key, name, customer string, source object) string {
		other := w.gateway
		other.key = key
		other.call(t, http.StatusCreated, "PUT", "/v1/customers/"+customer, nil, object{"provider_references": object{"bigcommerce-main": name}})
		return other.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": "seed-" + name},
			object{"customer_id": customer, "sources": []object{source}, "provider": "bigcommerce-main", "billing_address": address()}).str(t, "id")
	}
	ins := create(w.key, "42", "seeded", vaulted("seed-1", "1111"))
	create(w.key, "43", "seeded-2", vaulted("seed-2", "4444"))
	foreign := create(w.tokensKey, "44", "foreign", vaulted("seed-3", "0005"))
	page := w.call(t, http.StatusOK, "GET", "/v1/instruments?limit=1", nil, nil)
	cursor := page.str(t, "next_cursor")
	event, foreignEvent, events := w.seededEvents(t)
	ended, _ := apiKey("ended000")
	endless, _ := apiKey("endless0")
	w.words = strings.NewReplacer("$KEY", w.key, "$READ_KEY", w.readKey, "$TOKENS_ONLY_KEY", w.tokensKey, "$ENDED_KEY", ended, "$ENDLESS_KEY", endless,
		"$INS", ins, "$FOREIGN_EVENT", foreignEvent, "$FOREIGN", foreign, "$EVENTS_CURSOR", events, "$EVENTS_TAMPERED", tamper(events), "$EVENT", event,
		"$CURSOR", cursor, "$TAMPERED", tamper(cursor),
		"$BASIC", "Basic "+base64.StdEncoding.EncodeToString([]byte("hooks:"+hookPassword)))
	for _, secret := range []string{w.key, w.readKey, w.tokensKey, ended, endless, hookKey, hookPassword, hookSecret, eventSecret} {
		w.secrets[secret] = "any case"
	}
	return w
}

// tamper changes the last byte of a cursor's place.
func tamper(cursor string) string {
	last := "A"
	if strings.HasSuffix(cursor, last) {
		last = "Q"
	}
	return cursor[:len(cursor)-1] + last
}

func (w *corpusWorld) run(t *testing.T, c badCase) {
	method, path, body := c.request(t, w.bases)
	path, body = w.words.Replace(expand(t, path)), []byte(w.words.Replace(string(body)))
	c = c.signed(t, body)
	resp, raw := w.send(t, c, method, path, body) //nolint:bodyclose // send has read and closed it
	if c.Again {
		before := w.settled(t)
		resp, raw = w.send(t, c, method, path, body) //nolint:bodyclose // as above
		require.Empty(t, changed(before, w.state(t)), "the second time something was stored, or a provider called")
	}
	require.Equal(t, c.Status, resp.StatusCode, "%s", raw)
	w.requireNoLeak(t, c, path, body, resp, raw)
	require.Contains(t, string(raw), c.Mentions)
	switch {
	case c.Code == "" && c.Item == nil:
		requireEcho(t, c, body, raw)
	case c.Item != nil:
		requireItem(t, *c.Item, raw)
	case method != http.MethodHead:
		requireProblem(t, c, resp, raw)
	}
}

// state is everything in the store, and how many requests each provider has seen. What
// the gateways write down of their own work in the background is left out.
func (w *corpusWorld) state(t *testing.T) map[string]string {
	t.Helper()
	keys, err := w.db.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	pipe := w.db.Pipeline()
	dumps := map[string]*redis.StringCmd{}
	for _, key := range keys {
		dumps[key] = pipe.Dump(t.Context(), key)
	}
	if _, err = pipe.Exec(t.Context()); !errors.Is(err, redis.Nil) { // one may have expired meanwhile
		require.NoError(t, err)
	}
	all := map[string]string{}
	for key, dump := range dumps {
		if dump.Err() == nil && !strings.HasSuffix(key, ":{ops/events}") && !strings.HasSuffix(key, ":{ops/encryption}") {
			all[key] = dump.Val()
		}
	}
	for _, provider := range []string{w.sandbox.cybersource, w.sandbox.rebilly, w.sandbox.bigcommerce} {
		all[provider] = fmt.Sprint(len(stateOf(t, provider).Requests))
	}
	return all
}

// settled is the state once what was begun before has ended, such as the delivery of events.
func (w *corpusWorld) settled(t *testing.T) map[string]string {
	t.Helper()
	before := w.state(t)
	require.Eventually(t, func() bool {
		after := w.state(t)
		quiet := len(changed(before, after)) == 0
		before = after
		return quiet
	}, 20*time.Second, 50*time.Millisecond)
	return before
}

// changed names what differs between two states.
func changed(before, after map[string]string) []string {
	var out []string
	for key := range after {
		if before[key] != after[key] {
			out = append(out, key)
		}
	}
	for key := range before {
		if _, there := after[key]; !there {
			out = append(out, key)
		}
	}
	return out
}

// send makes the case's request byte for byte, but for the headers' syntax.
func (w *corpusWorld) send(t *testing.T, c badCase, method, path string, body []byte) (*http.Response, []byte) {
	t.Helper()
	var reader io.Reader
	if len(body) > 0 || c.Raw != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, w.url, reader)
	require.NoError(t, err)
	req.URL.Opaque = "//" + req.URL.Host + path    // exactly as written, not cleaned
	if !strings.HasPrefix(path, "/v1/webhooks/") { // which providers send, who have no key
		req.Header.Set("Authorization", "Bearer "+w.key)
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if path == "/v1/instruments" && method == http.MethodPost {
		w.sent++
		req.Header.Set("Idempotency-Key", fmt.Sprintf("bad-input-%d", w.sent))
	}
	for name, v := range c.Headers {
		req.Header.Del(name)
		switch v := v.(type) {
		case string:
			req.Header.Set(name, w.words.Replace(expand(t, v)))
		case []any:
			for _, one := range v {
				req.Header.Add(name, w.words.Replace(expand(t, fmt.Sprint(one))))
			}
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, raw
}

// requireNoLeak searches the answer; the log is searched once all cases have run.
func (w *corpusWorld) requireNoLeak(t *testing.T, c badCase, path string, body []byte, resp *http.Response, raw []byte) {
	t.Helper()
	for _, secret := range c.secrets(path, body) {
		w.secrets[secret] = c.Name
	}
	answer := fmt.Sprint(resp.Header) + string(raw)
	for _, secret := range append(c.secrets(path, body), w.key, w.readKey, w.tokensKey) {
		require.NotContains(t, answer, secret)
	}
}

func requireProblem(t *testing.T, c badCase, resp *http.Response, raw []byte) {
	t.Helper()
	require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"), "%s", raw)
	var p problemDocument
	require.NoError(t, json.Unmarshal(raw, &p), "%s", raw)
	require.Equal(t, c.Code, p.Code, "%s", raw)
	require.Equal(t, c.Status, p.Status)
	require.True(t, strings.HasSuffix(p.Type, "/problems/"+c.Code))
	for _, member := range []string{p.Title, p.Outcome, p.Retry, p.Detail} {
		require.NotEmpty(t, member, "%s", raw)
	}
	require.NotEqual(t, "unknown", p.Outcome, "%s", raw)
	require.Equal(t, resp.Header.Get("X-Request-ID"), p.RequestID)
	for _, e := range p.Errors {
		require.NotEmpty(t, e.Code, "%s", raw)
		require.NotEmpty(t, e.Message, "%s", raw)
	}
	if c.Pointer != nil {
		require.NotEmpty(t, p.Errors, "%s", raw)
		require.Equal(t, *c.Pointer, p.Errors[0].Pointer, "%s", raw)
	}
}

// requireItem looks at the first item of a bulk answer.
func requireItem(t *testing.T, want badItem, raw []byte) {
	t.Helper()
	var result struct {
		Data []struct {
			Status  int             `json:"status"`
			Problem problemDocument `json:"problem"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(raw, &result), "%s", raw)
	require.NotEmpty(t, result.Data, "%s", raw)
	got := result.Data[0]
	require.Equal(t, want.Status, got.Status, "%s", raw)
	require.Equal(t, want.Code, got.Problem.Code, "%s", raw)
	if want.Pointer != "" {
		require.NotEmpty(t, got.Problem.Errors, "%s", raw)
		require.Equal(t, want.Pointer, got.Problem.Errors[0].Pointer, "%s", raw)
	}
}

// requireEcho compares what the instrument has with what was sent, at the case's pointer.
func requireEcho(t *testing.T, c badCase, sent, got []byte) {
	t.Helper()
	if c.Echo == "" {
		return
	}
	var both [2]any
	for i, raw := range [][]byte{sent, got} {
		require.NoError(t, json.Unmarshal(raw, &both[i]))
		for _, token := range pointerTokens(c.Echo) {
			m, ok := both[i].(map[string]any)
			require.True(t, ok, "%s", raw)
			both[i] = m[token]
		}
	}
	require.Equal(t, both[0], both[1])
}
