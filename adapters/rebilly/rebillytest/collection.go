package rebillytest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	maxLimit     = 1000
	defaultLimit = 100
)

// schema says what a collection can be filtered and sorted by.
type schema struct {
	filter, sort []string
	paths        []string // members whose own members can be filtered by as well
}

// query returns a query parameter. It reads RawQuery itself: net/url drops every
// parameter with a raw ";", which Rebilly's filters are full of.
func (c *call) query(name string) string {
	for part := range strings.SplitSeq(c.r.URL.RawQuery, "&") {
		k, v, _ := strings.Cut(part, "=")
		if key, err := url.QueryUnescape(k); err != nil || key != name {
			continue
		}
		if value, err := url.QueryUnescape(v); err == nil {
			return value
		}
	}
	return ""
}

// list returns a query parameter that is a comma-separated list.
func (c *call) list(name string) []string {
	if v := c.query(name); v != "" {
		return strings.Split(v, ",")
	}
	return nil
}

// collection filters, searches, sorts and cuts rows as the query says, and sets
// the pagination headers. It answers 422 and reports false on a query that is wrong.
func (c *call) collection(rows []object, s schema) ([]object, bool) {
	limit, limitOK := c.count("limit", defaultLimit, maxLimit)
	offset, offsetOK := c.count("offset", 0, c.p.opts.OffsetLimit)
	var violations []violation
	if !limitOK {
		violations = append(violations, field("limit", "Must be between 0 and 1000."))
	}
	if !offsetOK {
		violations = append(violations, field("offset", "Is out of range."))
	}
	clauses, message := parseFilter(c.query("filter"), s)
	if message != "" {
		violations = append(violations, field("filter", message))
	}
	keys := c.list("sort")
	for _, k := range keys {
		if !slices.Contains(s.sort, strings.TrimPrefix(k, "-")) {
			violations = append(violations, field("sort", "Cannot be sorted by this field."))
		}
	}
	if len(violations) > 0 {
		c.invalid(violations...)
		return nil, false
	}
	q := strings.ToLower(c.query("q"))
	rows = slices.DeleteFunc(rows, func(o object) bool { return !matches(o, clauses) || !mentions(o, q) })
	slices.SortStableFunc(rows, func(a, b object) int { return compareRows(a, b, keys) })
	h := c.w.Header()
	h.Set("Pagination-Total", strconv.Itoa(len(rows)))
	h.Set("Pagination-Limit", strconv.Itoa(limit))
	h.Set("Pagination-Offset", strconv.Itoa(offset))
	from := min(offset, len(rows))
	return rows[from:min(from+limit, len(rows))], true
}

// count reads a number from 0 to highest; a negative highest is no bound.
func (c *call) count(name string, def, highest int) (int, bool) {
	s := c.query(name)
	if s == "" {
		return def, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && (highest < 0 || n <= highest)
}

// mentions reports whether any text in o holds q, in lower case.
func mentions(v any, q string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(strings.ToLower(v), q)
	case object:
		for k, member := range v {
			if !strings.HasPrefix(k, "_") && mentions(member, q) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return mentions(e, q) })
	}
	return q == ""
}

func compareRows(a, b object, keys []string) int {
	for _, k := range keys {
		name, descending := strings.CutPrefix(k, "-")
		n := compare(scalar(a[name]), scalar(b[name]))
		if descending {
			n = -n
		}
		if n != 0 {
			return n
		}
	}
	return 0
}

var _ http.Handler = (*provider)(nil)
