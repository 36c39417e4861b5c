package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// call is one request of the tour, and what its answer must be.
type call struct {
	method, path string
	key          string // Idempotency-Key
	ifNoneMatch  string
	body         string
	want         int               // status; 0 for 200 or 201
	header       map[string]string // of the answer
	member       map[string]any    // of the answer's top level
	show         string            // the top-level members to print, separated by spaces
}

// answer is a response with its body decoded.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// id returns the id of the resource in the body; "" if it has none.
func (a answer) id() string { return text(a.body, "id") }

// list returns a member that is a list of objects.
func (a answer) list(name string) []map[string]any {
	items, _ := a.body[name].([]any)
	var out []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// text returns a member that is a string; "" if it is none.
func text(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

// caller makes calls and prints them. After the first error it does nothing more.
type caller struct {
	ctx    context.Context //nolint:containedctx // a caller lives exactly as long as the tour that owns it
	base   string
	apiKey string
	client *http.Client
	out    *printer
	err    error
}

func newCaller(ctx context.Context, base, apiKey string, out *printer) *caller {
	return &caller{
		ctx: ctx, base: base, apiKey: apiKey, out: out,
		client: &http.Client{Transport: &http.Transport{}, Timeout: 15 * time.Second},
	}
}

// do makes the call, prints it and its answer, and checks the answer.
func (t *caller) do(c call) answer {
	if t.err != nil {
		return answer{}
	}
	t.out.printf("  > %s %s%s\n", c.method, c.path, c.headers())
	if c.body != "" {
		t.out.printf("    %s\n", c.body)
	}
	a, err := t.send(c)
	if err != nil {
		t.err = err
		return answer{}
	}
	t.out.printf("  < %s\n", statusLine(a.status, a.header))
	if c.show != "" {
		t.out.printf("    %s\n", oneLine(a.body, strings.Fields(c.show)...))
	}
	t.err = c.check(a)
	return a
}

func (c call) headers() string {
	var out string
	if c.key != "" {
		out += "  Idempotency-Key: " + c.key
	}
	if c.ifNoneMatch != "" {
		out += "  If-None-Match: " + c.ifNoneMatch
	}
	return out
}

func (t *caller) send(c call) (answer, error) {
	req, err := http.NewRequestWithContext(t.ctx, c.method, t.base+c.path, strings.NewReader(c.body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+t.apiKey)
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Idempotency-Key", c.key)
	}
	if c.ifNoneMatch != "" {
		req.Header.Set("If-None-Match", c.ifNoneMatch)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	b, err := io.ReadAll(resp.Body)
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &a.body)
	}
	return a, err
}

// check compares the answer with what it must be.
func (c call) check(a answer) error {
	where := c.method + " " + c.path
	if c.want == 0 && (a.status == http.StatusOK || a.status == http.StatusCreated) {
		c.want = a.status
	}
	if a.status != c.want {
		return fmt.Errorf("%s: status %d, not %d: %s", where, a.status, c.want, oneLine(a.body, "code", "detail", "errors", "attempts"))
	}
	for name, want := range c.header {
		if got := a.header.Get(name); got != want {
			return fmt.Errorf("%s: %s is %q, not %q", where, name, got, want)
		}
	}
	for name, want := range c.member {
		if a.body[name] != want {
			return fmt.Errorf("%s: %s is %v, not %v", where, name, a.body[name], want)
		}
	}
	return nil
}

// oneLine is JSON of some members of m, in the order of names.
func oneLine(m map[string]any, names ...string) string {
	var b bytes.Buffer
	for _, name := range names {
		v, ok := m[name]
		if !ok {
			continue
		}
		value, err := json.Marshal(brief(v))
		if err != nil {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q: %s", name, value)
	}
	return "{" + b.String() + "}"
}

// brief leaves out what is empty, so that a line shows what there is.
func brief(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			if member != nil && member != "" {
				out[name] = brief(member)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = brief(item)
		}
		return out
	default:
		return v
	}
}
