package rebillytest

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

const (
	maxBody = 1 << 20
	window  = 10 * time.Minute // of the rate limit [documented for the sandbox]
	quota   = 3000             // what the headers tell when there is no limit
)

// object is a JSON object.
type object = map[string]any

// call is one request being served, under the provider's lock.
type call struct {
	p      *provider
	w      http.ResponseWriter
	r      *http.Request
	org    string
	prefix string // "/organizations/…" or ""
	raw    []byte
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

// body reads a JSON object; it answers 400 and reports false if there is none.
// The content type does not matter: the official client is careless with it.
func (c *call) body() (object, bool) {
	var v object
	if json.Unmarshal(c.raw, &v) != nil || v == nil {
		c.problem(http.StatusBadRequest, "Bad Request", "The body is not a JSON object.")
		return nil, false
	}
	return v, true
}

func (c *call) json(status int, v any) {
	c.rateHeaders(status)
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_ = json.NewEncoder(c.w).Encode(v)
}

func (c *call) noContent() {
	c.rateHeaders(http.StatusNoContent)
	c.w.WriteHeader(http.StatusNoContent)
}

// location names a resource absolutely, so that a client which follows a 303
// stays in the organization.
func (c *call) location(path string) {
	c.w.Header().Set("Location", c.href(path))
}

func (c *call) href(path string) string {
	scheme := "http://"
	if c.r.TLS != nil {
		scheme = "https://"
	}
	return scheme + c.r.Host + c.prefix + path
}

// committed records that the state was changed.
func (c *call) committed() { standin.Committed(c.r) }

func (c *call) now() time.Time { return c.p.opts.Now().UTC().Truncate(time.Second) }

// problem answers with RFC 9457, as application/json like Rebilly.
func (c *call) problem(status int, title, detail string) {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_ = json.NewEncoder(c.w).Encode(object{"type": "about:blank", "title": title, "status": status, "detail": detail})
}

func (c *call) notFound(what string) {
	c.problem(http.StatusNotFound, "Not Found", what+" was not found.")
}

func (c *call) conflict(detail string) { c.problem(http.StatusConflict, "Conflict", detail) }

// violation is one entry of invalidFields.
type violation struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func field(name, message string) violation { return violation{name, message} }

// invalid answers 422.
func (c *call) invalid(v ...violation) {
	var fields any = v
	if c.p.opts.InvalidFieldsMap {
		m := map[string][]string{}
		for _, f := range v {
			m[f.Field] = append(m[f.Field], f.Message)
		}
		fields = m
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(c.w).Encode(object{
		"type": "about:blank", "title": "Unprocessable Entity", "status": http.StatusUnprocessableEntity,
		"detail": "Invalid data was sent.", "invalidFields": fields,
	})
}

// overLimit counts a change and reports whether it is one too many.
func (p *provider) overLimit() bool {
	now := p.opts.Now()
	if !now.Before(p.windowEnd) {
		p.changes, p.windowEnd = 0, now.Add(window)
	}
	p.changes++
	return p.opts.RateLimit > 0 && p.changes > p.opts.RateLimit
}

func (p *provider) quota() (limit, remaining int) {
	limit = quota
	if p.opts.RateLimit > 0 {
		limit = p.opts.RateLimit
	}
	return limit, max(0, limit-p.changes)
}

// rateHeaders sets what a success carries. In 2021 the answer to a PATCH had none.
func (c *call) rateHeaders(status int) {
	limit, remaining := c.p.quota()
	h, generation := c.w.Header(), c.p.opts.RateHeaders
	if (generation == CurrentHeaders || generation == BothHeaders) && c.r.Method != http.MethodGet && status < 400 {
		h.Set("X-RateLimit-Limit", strconv.Itoa(limit))
		h.Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
	}
	if (generation == LegacyHeaders || generation == BothHeaders) && c.r.Method != http.MethodPatch {
		c.p.legacyHeaders(h, limit, remaining)
	}
}

func (p *provider) legacyHeaders(h http.Header, limit, remaining int) {
	h.Set("Rate-Limit-Limit", strconv.Itoa(limit))
	h.Set("Rate-Limit-Remaining", strconv.Itoa(remaining))
	h.Set("Rate-Limit-Reset", p.reset().UTC().Format(http.TimeFormat))
}

// reset is when the current window ends.
func (p *provider) reset() time.Time {
	if now := p.opts.Now(); !now.Before(p.windowEnd) {
		return now.Add(window)
	}
	return p.windowEnd
}

func (c *call) tooMany() {
	h, generation := c.w.Header(), c.p.opts.RateHeaders
	if generation == CurrentHeaders || generation == BothHeaders {
		h.Set("X-RateLimit-Retry-After", strconv.FormatInt(c.p.reset().Unix(), 10))
	}
	if generation == LegacyHeaders || generation == BothHeaders {
		limit, _ := c.p.quota()
		c.p.legacyHeaders(h, limit, 0)
	}
	c.problem(http.StatusTooManyRequests, "Rate Limit Exceeded",
		"A request cannot be executed because the user has sent too many requests within a certain period of time")
}

// RateLimited implements [standin.Provider].
func (p *provider) RateLimited(w http.ResponseWriter, r *http.Request) {
	_, _ = readBody(w, r) // the connection can be used again only once the body is read
	p.mu.Lock()
	defer p.mu.Unlock()
	(&call{p: p, w: w, r: r}).tooMany()
}

var idPattern = regexp.MustCompile(`^[@~\-.\w]{1,50}$`)

func validID(id string) bool { return idPattern.MatchString(id) }

// text returns a member that is a string, and whether it is one.
func text(o object, name string) (string, bool) {
	s, ok := o[name].(string)
	return s, ok
}

// whole returns a member that is a whole number. Strings such as "02" were
// tolerated at times, and are here.
func whole(o object, name string) (int, bool) {
	switch v := o[name].(type) {
	case float64:
		return int(v), v == float64(int(v))
	case string:
		n, err := strconv.Atoi(v)
		return n, err == nil
	}
	return 0, false
}

// has reports whether any of the members is there.
func has(o object, names ...string) bool {
	for _, n := range names {
		if _, ok := o[n]; ok {
			return true
		}
	}
	return false
}

// timestamp is how Rebilly writes a time; null for none.
func timestamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}
