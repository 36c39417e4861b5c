package rebilly

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

const (
	maxLimit  = 1000 // rows on a page [S26]
	maxOffset = 1000 // since 2023-08 [S26]; not there in 2021
)

// SearchInput is a list with what only Rebilly has.
type SearchInput struct {
	adapters.ListInput // Limit may be up to 1000 here
	// ExpandCustomer has Rebilly send each instrument's customer along, which
	// tells the defaults of many customers in one call. Rebilly discourages it on
	// collections; without it each customer on the page costs one more call.
	ExpandCustomer bool
}

// List implements [adapters.Lister]. Without Sort the order is that of creation,
// oldest first: Rebilly's own order is not documented, and a stable one is needed
// to page by. Past Rebilly's largest offset the list goes on by creation time,
// which other orders cannot; they end there with UnsupportedOperation.
//
// One customer's list costs one more call, to know the default.
func (a *Adapter) List(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
	return a.Search(ctx, SearchInput{ListInput: in, ExpandCustomer: in.Customer == ""})
}

// Search is [Adapter.List] with all that Rebilly offers.
func (a *Adapter) Search(ctx context.Context, in SearchInput) (adapters.Page, error) {
	const op = "list"
	cur, query, err := listQuery(in)
	if err != nil {
		err.Op = op
		return adapters.Page{}, err
	}
	return a.page(ctx, op, in, cur, query)
}

func (a *Adapter) page(ctx context.Context, op string, in SearchInput, cur cursor, query url.Values) (adapters.Page, error) {
	resp, err := a.send(ctx, rest.Request{Op: op, Method: http.MethodGet, Path: instrumentsPath, Query: query.Encode()})
	if err != nil {
		return adapters.Page{}, err
	}
	var answer []loose[wireInstrument]
	if err := rest.Decode(op, resp, &answer); err != nil {
		return adapters.Page{}, err
	}
	if len(answer) > 0 && !slices.ContainsFunc(answer, func(row loose[wireInstrument]) bool { return validID(string(row.Value.ID)) }) {
		// An empty list says that an instrument is absent. Rows that cannot be read say nothing.
		return adapters.Page{}, rest.BadResponse(op, resp, "the provider's answer is not a list of payment instruments", nil)
	}
	rows := make([]wireInstrument, 0, len(answer))
	fresh := make([]wireInstrument, 0, len(answer))
	for _, row := range answer {
		if in.Limit > 0 && len(fresh) == in.Limit {
			break // more were asked for, to make up for those seen before
		}
		rows = append(rows, row.Value)
		if id := string(row.Value.ID); validID(id) && !cur.saw(id) && in.covers(row.Value) {
			fresh = append(fresh, row.Value)
		}
	}
	items, err := a.withDefaults(ctx, op, fresh)
	if err != nil {
		return adapters.Page{}, err
	}
	total := headerInt(resp.Header, "Pagination-Total")
	out := adapters.Page{Items: items, Total: total}
	if cur.After != "" {
		out.Total = cur.Total
	}
	limit, _ := strconv.Atoi(query.Get("limit"))
	if limit == 0 {
		limit = headerInt(resp.Header, "Pagination-Limit")
	}
	if more(cur.Offset+len(rows), total, len(answer), limit) {
		out.Next = cur.next(rows, total, order(in.Sort)).encode()
	}
	return out, nil
}

// covers reports whether the instrument is of the customer that was asked for.
// Rebilly's filters ignore case [DOC], its ids do not.
func (in SearchInput) covers(w wireInstrument) bool {
	return in.Customer == "" || w.CustomerID == "" || string(w.CustomerID) == in.Customer
}

// more reports whether rows are left after reached of total; without a total, a
// full page, or one of unknown size, lets us hope for another.
func more(reached, total, rows, limit int) bool {
	switch {
	case rows == 0:
		return false
	case total >= 0:
		return reached < total
	case limit > 0:
		return rows >= limit
	}
	return true
}

// headerInt reads a count; -1 if there is none.
func headerInt(h http.Header, name string) int {
	n, err := strconv.Atoi(h.Get(name))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// order returns the first sort key, by which a list can go on past the largest
// offset if it is the creation time.
func order(sort []string) string {
	if len(sort) == 0 {
		return "created_at"
	}
	return sort[0]
}

// listQuery makes the query string. What a cursor brings is used here as well.
func listQuery(in SearchInput) (cursor, url.Values, *normalize.Error) {
	cur, ok := decodeCursor(in.Cursor)
	if !ok {
		return cursor{}, nil, &normalize.Error{Code: normalize.InvalidCursor, Outcome: normalize.NotSent, Msg: "the cursor is not one of this list"}
	}
	if in.Limit < 0 || in.Limit > maxLimit {
		return cursor{}, nil, normalize.Invalid(normalize.FieldError{Pointer: "/limit", Code: normalize.OutOfRange, Message: "must be 1 to 1000"})
	}
	sort, err := sortKeys(in.Sort)
	if err != nil {
		return cursor{}, nil, err
	}
	f, err := newFilter(in.Customer, in.Filter)
	if err != nil {
		return cursor{}, nil, err
	}
	if cur.Offset > maxOffset || cur.After != "" && !f.goOn(cur.After, order(in.Sort)) {
		return cursor{}, nil, unsupported("the provider lists no further in this order: sort by created_at, or narrow the filter")
	}
	query := url.Values{"sort": {sort}}
	if text := f.String(); text != "" {
		query.Set("filter", text)
	}
	if in.Limit > 0 {
		query.Set("limit", strconv.Itoa(min(in.Limit+len(cur.Seen), maxLimit)))
	}
	if cur.Offset > 0 {
		query.Set("offset", strconv.Itoa(cur.Offset))
	}
	if in.Query != "" {
		query.Set("q", in.Query)
	}
	if in.ExpandCustomer {
		query.Set("expand", "customer")
	}
	return cur, query, nil
}

// sortKeys maps the order. Only the times are documented as sortable [S26].
func sortKeys(sort []string) (string, *normalize.Error) {
	if len(sort) == 0 {
		return "createdTime", nil
	}
	keys := make([]string, 0, len(sort))
	for _, s := range sort {
		name, descending := strings.CutPrefix(s, "-")
		key := map[string]string{"created_at": "createdTime", "updated_at": "updatedTime", "last_payment_at": "lastPaymentTime"}[name]
		if key == "" {
			return "", unsupported("the provider sorts by created_at, updated_at and last_payment_at only")
		}
		if descending {
			key = "-" + key
		}
		keys = append(keys, key)
	}
	return strings.Join(keys, ","), nil
}
