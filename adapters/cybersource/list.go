package cybersource

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// List implements [adapters.Lister]. The provider pages by offset, so a cursor is
// an offset, and pages can shift while instruments are deleted.
func (a *Adapter) List(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
	const op = "list"
	offset, query, err := listQuery(op, in)
	if err != nil {
		return adapters.Page{}, err
	}
	path, err := customerPath(op, in.Customer)
	if err != nil {
		return adapters.Page{}, err
	}
	r, err := a.call(ctx, rest.Request{Op: op, Method: http.MethodGet, Path: path + "/payment-instruments", Query: query})
	if err != nil {
		return adapters.Page{}, err
	}
	var b listBody
	if err := rest.Decode(op, r, &b); err != nil {
		return adapters.Page{}, err
	}
	p := a.page(b, in.Customer, offset)
	if !b.list() || len(p.Items) == 0 && len(b.Embedded.or().PaymentInstruments) > 0 {
		// An empty list says that an instrument is absent. What is no list says nothing.
		return adapters.Page{}, rest.BadResponse(op, r, "the provider's answer is not a list of payment instruments", nil)
	}
	return p, nil
}

// list reports whether there is anything of a list in the answer: an empty one has its
// total and its links.
func (b listBody) list() bool { return b.Total.v != nil || b.Links.v != nil || b.Embedded.v != nil }

// listQuery checks what a list may ask for, and encodes it.
func listQuery(op string, in adapters.ListInput) (offset int64, query string, err error) {
	switch {
	case in.Customer == "":
		return 0, "", unsupported(op, "the provider lists instruments of one customer only")
	case len(in.Filter) > 0 || len(in.Sort) > 0 || in.Query != "":
		return 0, "", unsupported(op, "the provider cannot filter, sort or search")
	case in.Limit < 0 || in.Limit > 100:
		return 0, "", invalid(op, "/limit", normalize.OutOfRange, "must be 1 to 100")
	}
	q := url.Values{}
	if in.Cursor != "" {
		offset, err = strconv.ParseInt(in.Cursor, 10, 64)
		if err != nil || offset < 0 || strconv.FormatInt(offset, 10) != in.Cursor {
			return 0, "", invalid(op, "/cursor", normalize.InvalidCursor, "is not a cursor that this provider's list gave")
		}
		q.Set("offset", in.Cursor)
	}
	if in.Limit > 0 {
		q.Set("limit", strconv.Itoa(in.Limit))
	}
	return offset, q.Encode(), nil
}

// page reads a list. Past the end there is no _embedded member at all.
func (a *Adapter) page(b listBody, customer string, offset int64) adapters.Page {
	entries := b.Embedded.or().PaymentInstruments
	p := adapters.Page{Total: -1}
	for _, e := range entries {
		if e.or().ID == "" {
			continue // it could not be referred to
		}
		at := place{customer: customer, vault: a.vault, now: a.now()}
		p.Items = append(p.Items, toInstrument(e.or(), e.or().identifier(), at))
	}
	next := offset + int64(len(entries))
	more := b.Links.or().Next.or().Href != ""
	if b.Total.v != nil && *b.Total.v >= 0 {
		p.Total = int(*b.Total.v)
		more = next < *b.Total.v
	}
	if more && len(entries) > 0 {
		p.Next = strconv.FormatInt(next, 10)
	}
	return p
}
