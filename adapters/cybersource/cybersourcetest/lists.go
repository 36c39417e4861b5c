package cybersourcetest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

func (v *vault) listInstruments(c call) answer {
	owner, a := v.findCustomer(c.r)
	if owner == nil {
		return a
	}
	return v.list(c, customerHref(owner.id)+"/payment-instruments", v.instrumentsOf(owner.id), v.renderInstrument)
}

// listIdentifierInstruments is of version 1, which writes card types as words.
func (v *vault) listIdentifierInstruments(c call) answer {
	i, a := v.findIdentifier(c.r)
	if i == nil {
		return a
	}
	upon := v.selectInstruments(func(p *instrument) bool { return p.identifier == i.id })
	out := v.list(c, i.href()+"/paymentinstruments", upon, func(p *instrument) object {
		o := v.renderInstrument(p)
		if word := cardWord(stringAt(o, "card", "type")); word != "" {
			o["card"] = merge(o["card"].(object), object{"type": word}) //nolint:errcheck // it has a type, so it is an object
		}
		return o
	})
	if body, ok := out.body.(object); ok && out.status == http.StatusOK {
		body["object"] = "collection"
	}
	return out
}

func (v *vault) list(c call, path string, all []*instrument, render func(*instrument) object) answer {
	offset, okOffset := queryNumber(c.r, "offset", 0, 0, 1<<62)
	limit, okLimit := queryNumber(c.r, "limit", 20, 1, 100)
	switch {
	case !okOffset:
		return fail(http.StatusBadRequest, "invalidParameters", "Invalid parameter values", field("offset", ""))
	case !okLimit:
		return fail(http.StatusBadRequest, "invalidParameters", "Invalid parameter values", field("limit", ""))
	}
	total := int64(len(all))
	from := min(offset, total)
	to := min(from+limit, total)
	page := []object{}
	for _, p := range all[from:to] {
		page = append(page, render(p))
	}
	body := object{
		"_links": pageLinks(path, offset, limit, total),
		"offset": offset, "limit": limit, "count": len(page), "total": total,
	}
	if len(page) > 0 { // past the end the member is left out
		body["_embedded"] = object{"paymentInstruments": page}
	}
	return answer{status: http.StatusOK, body: body, header: map[string]string{"X-Total-Count": strconv.FormatInt(total, 10)}}
}

func queryNumber(r *http.Request, name string, def, low, high int64) (int64, bool) {
	if !r.URL.Query().Has(name) {
		return def, true
	}
	n, err := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
	return n, err == nil && n >= low && n <= high
}

// pageLinks computes the links as the Developer Guide's examples do: the last page
// lies on the grid offset + k·limit, and the page before keeps the limit, so that
// it can overlap.
func pageLinks(path string, offset, limit, total int64) object {
	link := func(o int64) object { return href(fmt.Sprintf("%s?offset=%d&limit=%d", path, o, limit)) }
	grid := offset % limit
	last := int64(0)
	if total > grid {
		last = grid + (total-1-grid)/limit*limit
	}
	links := object{"self": link(offset), "first": link(0), "last": link(last)}
	if offset > 0 {
		links["prev"] = link(max(0, offset-limit))
	}
	if offset < total && total-offset > limit {
		links["next"] = link(offset + limit)
	}
	return links
}

// cardWord is version 1's word for a card type's code; "" if it has none here.
func cardWord(code string) string {
	words := "001 visa,002 mastercard,003 american express,004 discover,005 diners club,007 jcb," +
		"024 maestro uk domestic,034 dankort,036 cartes bancaires,042 maestro international,050 hipercard," +
		"054 elo,060 mada,061 rupay,062 china unionpay"
	for entry := range strings.SplitSeq(words, ",") {
		if c, word, _ := strings.Cut(entry, " "); c == code && code != "" {
			return word
		}
	}
	return ""
}
