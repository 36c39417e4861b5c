package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// The corpus of bad input lies in tests/corpus, one case a line: requests/ are sent to
// a gateway, config/ are configuration files, answers/ are what providers say. What is
// in the files is what must be answered; no test writes them.
const corpus = "../corpus"

// leastCases is how many cases the corpus has at least.
const leastCases = 1200

func TestTheCorpusIsLargeEnough(t *testing.T) {
	t.Parallel()
	total := 0
	for _, folder := range []string{"requests", "config", "answers"} {
		files, err := filepath.Glob(filepath.Join(corpus, folder, "*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, files, folder)
		for _, file := range files {
			n := len(readCases[json.RawMessage](t, file))
			t.Logf("%5d %s/%s", n, folder, filepath.Base(file))
			total += n
		}
	}
	t.Logf("%5d cases in all", total)
	require.GreaterOrEqual(t, total, leastCases)
}

// readCases reads one file. A member that a case cannot have is an error: it would
// assert nothing.
func readCases[T any](t *testing.T, file string) []T {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	var cases []T
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&cases), file)
	return cases
}

// badCase is one request and how it is answered. The body is one of: raw text, raw
// bytes, a document, or the base request's with members set or removed by their
// pointers. In texts and headers "{{repeat 3 ab}}", "{{arrays 40}}" and
// "{{objects 40}}" stand for what would be too long to read, and $KEY and its sisters
// for what is known only when the gateway runs.
type badCase struct {
	Name      string          `json:"name"`
	Base      string          `json:"base"`    // a request of bases.json; default none
	Method    string          `json:"method"`  // default the base's, or POST with a body, GET without
	Path      string          `json:"path"`    // default the base's
	Headers   map[string]any  `json:"headers"` // null removes, a list repeats
	Raw       *string         `json:"raw"`
	RawBase64 string          `json:"raw_base64"`
	Body      json.RawMessage `json:"body"`
	Set       map[string]any  `json:"set"` // "raw:…" is a number or another text that no parser has changed
	Remove    []string        `json:"remove"`
	Status    int             `json:"status"`
	Code      string          `json:"code"`     // of the problem; "" for an answer that is none
	Pointer   *string         `json:"pointer"`  // of the first entry of "errors"; absent if not asserted
	Item      *badItem        `json:"item"`     // of a bulk request's answer: what became of its first item
	Mentions  string          `json:"mentions"` // what the answer must hold
	Secrets   []string        `json:"secrets"`  // what neither the answer nor the log may hold, besides card numbers and API keys
	Echo      string          `json:"echo"`     // a pointer: the instrument has there what was sent
	Sign      *signing        `json:"sign"`     // of a webhook: gives the headers $TIME and $SIG
	Again     bool            `json:"again"`    // it is sent twice, and the second time does nothing
	Why       string          `json:"why"`      // for people
}

type badItem struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Pointer string `json:"pointer"`
}

// baseRequest is a request that is answered with success, or would be if what it names were there.
type baseRequest struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body"`
}

func readBases(t *testing.T) map[string]baseRequest {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(corpus, "bases.json"))
	require.NoError(t, err)
	var bases map[string]baseRequest
	require.NoError(t, json.Unmarshal(raw, &bases))
	return bases
}

// request is the case's method, path and body; a nil body is none.
func (c badCase) request(t *testing.T, bases map[string]baseRequest) (method, path string, body []byte) {
	t.Helper()
	base, known := bases[c.Base]
	require.True(t, known || c.Base == "", "%s: no base %q", c.Name, c.Base)
	method, path, body = base.Method, base.Path, c.body(t, base)
	if c.Path != "" {
		path = c.Path
	}
	switch {
	case c.Method != "":
		method = c.Method
	case method == "" && body != nil:
		method = "POST"
	case method == "":
		method = "GET"
	}
	return method, path, body
}

func (c badCase) body(t *testing.T, base baseRequest) []byte {
	t.Helper()
	switch {
	case c.Raw != nil:
		return []byte(expand(t, *c.Raw))
	case c.RawBase64 != "":
		b, err := base64.StdEncoding.DecodeString(c.RawBase64)
		require.NoError(t, err)
		return b
	case c.Body != nil:
		return []byte(expand(t, string(c.Body)))
	case base.Body == nil:
		return nil
	}
	var doc any
	d := json.NewDecoder(bytes.NewReader(base.Body))
	d.UseNumber()
	require.NoError(t, d.Decode(&doc))
	for pointer, v := range c.Set {
		doc = edit(t, doc, pointerTokens(pointer), literal(t, v), false)
	}
	for _, pointer := range c.Remove {
		doc = edit(t, doc, pointerTokens(pointer), nil, true)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	require.NoError(t, e.Encode(doc))
	return bytes.TrimSpace(b.Bytes())
}

// literal makes a case's value one that is written as it stands there.
func literal(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case string:
		if raw, ok := strings.CutPrefix(v, "raw:"); ok {
			return json.RawMessage(expand(t, raw))
		}
		return expand(t, v)
	case map[string]any:
		for k := range v {
			v[k] = literal(t, v[k])
		}
	case []any:
		for i := range v {
			v[i] = literal(t, v[i])
		}
	}
	return v
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
		if i == len(d) {
			return append(d, v)
		}
		d[i] = edit(t, d[i], path[1:], v, remove)
		return d
	}
	require.Failf(t, "no such place", "%v in %v", path, doc)
	return nil
}

func pointerTokens(pointer string) []string {
	tokens := strings.Split(pointer, "/")[1:]
	for i := range tokens {
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(tokens[i])
	}
	return tokens
}

var macro = regexp.MustCompile(`\{\{(repeat|arrays|objects) ([0-9]+) ?([^}]*)\}\}`)

// expand replaces the macros of a text.
func expand(t *testing.T, s string) string {
	t.Helper()
	return macro.ReplaceAllStringFunc(s, func(m string) string {
		parts := macro.FindStringSubmatch(m)
		n, err := strconv.Atoi(parts[2])
		require.NoError(t, err)
		switch parts[1] {
		case "repeat":
			return strings.Repeat(parts[3], n)
		case "arrays":
			return strings.Repeat("[", n) + strings.Repeat("]", n)
		default:
			return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)
		}
	})
}

var digitRuns = regexp.MustCompile(`[0-9]{12,19}`)

// secrets are what nobody may read again of a request: what the case says, and every
// card number in it.
func (c badCase) secrets(path string, body []byte) []string {
	out := append([]string{}, c.Secrets...)
	for _, text := range []string{path, string(body)} {
		for _, run := range digitRuns.FindAllString(text, -1) {
			if normalize.ContainsCardNumber(run) {
				out = append(out, run)
			}
		}
	}
	return out
}
