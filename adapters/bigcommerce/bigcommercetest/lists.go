package bigcommercetest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
)

// listCustomer is GET /customers/{id}/stored-instruments: a bare array, without pages.
func (s *server) listCustomer(c call, id string) {
	customer, err := strconv.Atoi(id)
	if err != nil {
		unprocessable(c.w, "customerId", notNumber)
		return
	}
	if s.opts.UnknownCustomer404 && (customer < 1 || customer > s.customers()) {
		writeError(c.w, http.StatusNotFound, "Customer not found", nil)
		return
	}
	rows := []any{}
	for _, i := range s.byCustomer[customer] {
		if s.visible(i) {
			rows = append(rows, s.customerRow(i))
		}
	}
	if s.opts.EnvelopedCustomers {
		writeJSON(c.w, http.StatusOK, map[string]any{"data": rows, "meta": map[string]any{}})
		return
	}
	writeJSON(c.w, http.StatusOK, rows)
}

// slice is the part of the management list that a request asks for.
type slice struct {
	limit  int
	page   int // 1-based
	after  int // sequence number; 0 for none
	before int // sequence number; 0 for none
}

// listAll is GET /payments/stored-instruments. The first page has both kinds of
// pagination, a later page its own only, and a page by cursor only the cursors.
func (s *server) listAll(c call) {
	q := c.r.URL.Query()
	sl, field := s.sliceOf(q)
	if field != "" {
		unprocessable(c.w, field, notAccepted)
		return
	}
	var shown []*instrument
	for _, i := range s.instruments {
		if s.visible(i) {
			shown = append(shown, i)
		}
	}
	from, to := sl.bounds(shown)
	data := []any{}
	for _, i := range shown[from:to] {
		data = append(data, s.managementRow(i))
	}
	meta := map[string]any{}
	byCursor := sl.after > 0 || sl.before > 0
	if !byCursor {
		meta["pagination"] = sl.pagination(len(data), len(shown))
	}
	if !s.opts.PagesOnly && (byCursor || sl.page == 1) {
		meta["cursor_pagination"] = sl.cursors(shown, from, to)
	}
	writeJSON(c.w, http.StatusOK, map[string]any{"data": data, "meta": meta})
}

// sliceOf reads the query; field names the parameter that is wrong.
func (s *server) sliceOf(q url.Values) (sl slice, field string) {
	sl = slice{limit: s.opts.DefaultLimit, page: 1}
	for _, p := range []struct {
		name string
		into *int
		top  int
	}{{"limit", &sl.limit, s.opts.MaxLimit}, {"page", &sl.page, 1 << 30}} {
		if !q.Has(p.name) {
			continue
		}
		n, err := strconv.Atoi(q.Get(p.name))
		if err != nil || n < 1 || n > p.top {
			return sl, p.name
		}
		*p.into = n
	}
	if s.opts.PagesOnly {
		return sl, ""
	}
	for _, p := range []struct {
		name string
		into *int
	}{{"after", &sl.after}, {"before", &sl.before}} {
		if !q.Has(p.name) {
			continue
		}
		n, ok := readCursor(q.Get(p.name))
		if !ok {
			return sl, p.name
		}
		*p.into = n
	}
	if sl.after > 0 && sl.before > 0 {
		return sl, "before"
	}
	return sl, ""
}

// bounds returns the half-open range of shown that the slice is.
func (sl slice) bounds(shown []*instrument) (from, to int) {
	switch {
	case sl.before > 0:
		for to < len(shown) && shown[to].seq < sl.before {
			to++
		}
		return max(0, to-sl.limit), to
	case sl.after > 0:
		for from < len(shown) && shown[from].seq <= sl.after {
			from++
		}
	default:
		from = min((sl.page-1)*sl.limit, len(shown))
	}
	return from, min(from+sl.limit, len(shown))
}

func (sl slice) pagination(count, total int) map[string]any {
	pages := max(1, (total+sl.limit-1)/sl.limit)
	link := func(page int) string { return "?page=" + strconv.Itoa(page) + "&limit=" + strconv.Itoa(sl.limit) }
	links := map[string]string{"current": link(sl.page)}
	if sl.page > 1 {
		links["previous"] = link(sl.page - 1)
	}
	if sl.page < pages {
		links["next"] = link(sl.page + 1)
	}
	return map[string]any{
		"total": total, "count": count, "per_page": sl.limit, "current_page": sl.page, "total_pages": pages, "links": links,
	}
}

func (sl slice) cursors(shown []*instrument, from, to int) map[string]any {
	out := map[string]any{"count": to - from, "per_page": sl.limit}
	base := "?limit=" + strconv.Itoa(sl.limit)
	links := map[string]string{"current": base}
	if to > from {
		first, last := writeCursor(shown[from].seq), writeCursor(shown[to-1].seq)
		out["start_cursor"], out["end_cursor"] = first, last
		if from > 0 {
			links["previous"] = base + "&before=" + url.QueryEscape(first)
		}
		if to < len(shown) {
			links["next"] = base + "&after=" + url.QueryEscape(last)
		}
	}
	out["links"] = links
	return out
}

// Cursors are base64 of a number, e.g. "ODc=".
func writeCursor(seq int) string {
	return base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(seq)))
}

func readCursor(s string) (int, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(string(b))
	return n, err == nil && n > 0
}
