package main

import (
	"cmp"
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
	base         string // the server, if it is not the gateway
	auth         string // "Header: value", in place of the gateway's API key
	key          string // Idempotency-Key
	ifNoneMatch  string
	body         string
	want         int               // status; 0 for 200 or 201
	header       map[string]string // of the answer
	member       map[string]any    // of the answer's top level
	show         string            // what to print of the answer: see [printer.show]
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
func (a answer) list(name string) []map[string]any { return objects(a.body, name) }

// caller makes calls and prints them. After the first error it does nothing more.
type caller struct {
	ctx    context.Context //nolint:containedctx // a caller lives exactly as long as the tour that owns it
	base   string
	apiKey string
	client *http.Client
	out    *printer
	err    error
	said   []saying
}

// saying is a part of a body that is printed once; after that its short form is.
type saying struct {
	long, short string
	told        bool
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
	t.announce(c)
	a, err := t.send(c)
	if err != nil {
		t.err = err
		return answer{}
	}
	t.tell(c, a)
	t.err = c.check(a)
	return a
}

// once makes a call, and fails unless missing, which says what its answer lacks, returns "".
func (t *caller) once(c call, missing func(answer) string) {
	a := t.do(c)
	if t.err == nil {
		t.err = lacks(c, missing(a))
	}
}

// patience is how long [caller.until] waits. Nothing of the tour takes half of it.
const patience = 10 * time.Second

// until makes a call again and again until its answer is as it must be and missing,
// unless it is nil, returns "". It prints the call, and the last answer.
func (t *caller) until(c call, missing func(answer) string) {
	if t.err != nil {
		return
	}
	t.announce(c)
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	for {
		a, err := t.send(c)
		if err == nil {
			err = c.check(a)
		}
		if err == nil && missing != nil {
			err = lacks(c, missing(a))
		}
		if err == nil {
			t.tell(c, a)
			return
		}
		select {
		case <-ctx.Done():
			t.err = err
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lacks is the error of an answer that lacks something; nil if that is "".
func lacks(c call, what string) error {
	if what == "" {
		return nil
	}
	return fmt.Errorf("%s %s: %s", c.method, c.path, what)
}

// announce prints a call.
func (t *caller) announce(c call) {
	t.out.printf("  > %s %s%s%s\n", c.method, c.base, c.path, c.headers())
	if c.body != "" {
		t.out.printf("    %s\n", t.shortened(c.body))
	}
}

// tell prints an answer.
func (t *caller) tell(c call, a answer) {
	t.out.printf("  < %s\n", statusLine(a.status, a.header))
	t.out.show(a.body, c.show)
}

// shortened is a body without what was printed in full before.
func (t *caller) shortened(body string) string {
	for i, s := range t.said {
		if s.told {
			body = strings.ReplaceAll(body, s.long, s.short)
		}
		t.said[i].told = s.told || strings.Contains(body, s.long)
	}
	return body
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
	req, err := http.NewRequestWithContext(t.ctx, c.method, cmp.Or(c.base, t.base)+c.path, strings.NewReader(c.body))
	if err != nil {
		return answer{}, err
	}
	name, value, _ := strings.Cut(cmp.Or(c.auth, "Authorization: Bearer "+t.apiKey), ": ")
	req.Header.Set(name, value)
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
