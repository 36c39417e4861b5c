package bigcommerce

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

const (
	defaultLimit = 50  // the convention of V3; this resource's own is not published
	maxLimit     = 100 // of ListInput; the provider's convention allows 250
)

// Cursors of the list of everything: the provider's own after "after:", or a
// page number with the size that it counts in.
var pageCursor = regexp.MustCompile(`^page:([1-9][0-9]{0,8})/([1-9][0-9]{0,2})$`)

const (
	afterPrefix = "after:"
	maxCursor   = 512
)

// List implements [adapters.Lister]. A customer's instruments come in one answer,
// which is cut into pages here; the next page asks again. Everybody's come from
// the management API, by cursor, or by page where a store gives no cursors.
func (a *Adapter) List(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
	switch {
	case len(in.Filter) > 0:
		return adapters.Page{}, unsupported(opList, "the provider has no filters")
	case len(in.Sort) > 0:
		return adapters.Page{}, unsupported(opList, "the provider cannot sort")
	case in.Query != "":
		return adapters.Page{}, unsupported(opList, "the provider has no search")
	}
	if in.Limit <= 0 {
		in.Limit = defaultLimit
	}
	in.Limit = min(in.Limit, maxLimit)
	if in.Customer == "" {
		return a.listAll(ctx, in)
	}
	return a.listCustomer(ctx, in)
}

func (a *Adapter) listCustomer(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
	if !validID(in.Customer) {
		return adapters.Page{}, invalid(opList, normalize.FieldError{
			Pointer: "/customer_id", Code: normalize.InvalidField, Message: "the provider's customer reference must be a positive integer",
		})
	}
	offset := 0
	if in.Cursor != "" {
		var err error
		if offset, err = strconv.Atoi(in.Cursor); err != nil || offset < 0 {
			return adapters.Page{}, invalidCursor()
		}
	}
	rows, resp, err := a.customerRows(ctx, opList, in.Customer)
	if err != nil {
		return adapters.Page{}, err
	}
	items, err := a.instruments(resp, rows, normalize.References{refCustomer: in.Customer})
	if err != nil {
		return adapters.Page{}, err
	}
	page := adapters.Page{Total: len(items)}
	start := min(offset, len(items))
	end := min(start+in.Limit, len(items))
	page.Items = items[start:end]
	if end < len(items) {
		page.Next = strconv.Itoa(end)
	}
	return page, nil
}

func (a *Adapter) listAll(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
	query, err := listQuery(in)
	if err != nil {
		return adapters.Page{}, err
	}
	resp, err := a.client.Do(ctx, rest.Request{Op: opList, Method: http.MethodGet, Path: instrumentsPath, Query: query.Encode()})
	if err != nil {
		return adapters.Page{}, err
	}
	if !resp.OK() {
		e := statusError(opListAll, resp)
		e.Op = opList
		if in.Cursor != "" && e.Code == normalize.InvalidField {
			e.Code, e.Msg = normalize.InvalidCursor, "the provider does not know the cursor (any more)"
		}
		return adapters.Page{}, e
	}
	rows, envelope, err := listed(opList, resp)
	if err != nil {
		return adapters.Page{}, err
	}
	items, err := a.instruments(resp, rows, nil)
	if err != nil {
		return adapters.Page{}, err
	}
	page := adapters.Page{Items: items, Total: -1}
	var meta listMeta
	_ = json.Unmarshal(envelope.Meta, &meta) // what cannot be read is absent
	if meta.Pagination != nil && meta.Pagination.Total != nil {
		page.Total = int(*meta.Pagination.Total)
	}
	if next := nextCursor(meta, len(rows), in.Limit); next != in.Cursor {
		page.Next = next // a cursor that leads to itself would never end
	}
	return page, nil
}

// listed reads the answer to a list. Another 2xx than 200 is not one: 206 or 202
// would make what is missing from it look deleted.
func listed(op string, resp rest.Response) ([]row, envelope, error) {
	if resp.Status != http.StatusOK {
		return nil, envelope{}, badResponse(op, resp, errNoData)
	}
	rows, e, err := rowsOf(resp.Body)
	if err != nil {
		return nil, e, badResponse(op, resp, err)
	}
	return rows, e, nil
}

// instruments reads the rows of a list. One without a token cannot be named, so
// it is left out; one that is unreadable otherwise spoils the list.
func (a *Adapter) instruments(resp rest.Response, rows []row, ref normalize.References) ([]adapters.Instrument, error) {
	out := make([]adapters.Instrument, 0, len(rows))
	for _, r := range rows {
		if r.Token == "" {
			continue
		}
		i, err := instrumentFrom(r, ref, a.now())
		if err != nil {
			return nil, badResponse(opList, resp, err)
		}
		out = append(out, i)
	}
	return out, nil
}

// listQuery writes limit with after or page. The limit is always sent: the
// default is not published, and a page number means nothing without it.
func listQuery(in adapters.ListInput) (url.Values, error) {
	q := url.Values{"limit": {strconv.Itoa(in.Limit)}}
	if in.Cursor == "" {
		return q, nil
	}
	if after, ok := strings.CutPrefix(in.Cursor, afterPrefix); ok && after != "" && len(after) <= maxCursor {
		q.Set("after", after)
		return q, nil
	}
	m := pageCursor.FindStringSubmatch(in.Cursor)
	if m == nil || m[2] != strconv.Itoa(in.Limit) { // another size would skip or repeat some
		return nil, invalidCursor()
	}
	q.Set("page", m[1])
	return q, nil
}

// nextCursor returns where the next page begins; "" after the last.
//
// Source: reference "Stored Instruments" and customers.v3: the cursor block comes
// with the first page and with pages that were asked for by cursor; links are
// absent at the ends.
func nextCursor(m listMeta, count, limit int) string {
	if count == 0 {
		return ""
	}
	if c := m.CursorPagination; c != nil {
		after, more := string(c.EndCursor), false
		if c.Links != nil {
			more = c.Links.Next != ""
			if q, err := url.ParseQuery(strings.TrimPrefix(string(c.Links.Next), "?")); err == nil && after == "" {
				after = q.Get("after")
			}
		} else {
			more = count >= limit
		}
		if !more || after == "" || len(after) > maxCursor {
			return ""
		}
		return afterPrefix + after
	}
	if p := m.Pagination; p != nil && (p.CurrentPage < p.TotalPages || p.Links != nil && p.Links.Next != "") {
		return "page:" + strconv.Itoa(max(1, int(p.CurrentPage))+1) + "/" + strconv.Itoa(limit)
	}
	return ""
}

func invalidCursor() *normalize.Error {
	return &normalize.Error{Code: normalize.InvalidCursor, Outcome: normalize.NotSent, Op: opList, Msg: "the cursor is not one of this list"}
}
