package httpapi

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// ListInstruments lists stored instruments.
func (a *API) ListInstruments(c echo.Context, p ListInstrumentsParams) error {
	in := gateway.ListInput{
		Filter: filterOf(p), Query: value(p.Q), Sort: string(value(p.Sort)), Limit: value(p.Limit), Cursor: value(p.Cursor),
	}
	page, err := a.service(c).List(c.Request().Context(), tenant(c), in)
	if err != nil {
		return err
	}
	page.Data = shownAll(c, page.Data)
	return ok(c, page)
}

// ListCustomerInstruments lists a customer's instruments, asking the providers.
func (a *API) ListCustomerInstruments(c echo.Context, customer CustomerID, p ListCustomerInstrumentsParams) error {
	page, err := a.service(c).ListCustomer(c.Request().Context(), tenant(c), customer, value(p.Limit), value(p.Cursor))
	if err != nil {
		return err
	}
	page.Data = shownAll(c, page.Data)
	return ok(c, page)
}

// filterOf turns the parameters into clauses, in a fixed order: a cursor belongs
// to the list it was made for, clauses included.
func filterOf(p ListInstrumentsParams) []normalize.Clause {
	var out []normalize.Clause
	add := func(field string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			out = append(out, normalize.Clause{Field: field, Values: values})
		}
	}
	add("customer_id", value(p.CustomerID))
	add("status", texts(value(p.Status))...)
	add("type", texts(value(p.Type))...)
	add("brand", texts(value(p.Brand))...)
	add("last4", value(p.Last4))
	add("provider", value(p.Provider)...)
	if p.Default != nil {
		add("default", strconv.FormatBool(*p.Default))
	}
	add("expires_before", value(p.ExpiresBefore))
	add("fingerprint", value(p.Fingerprint))
	if p.CreatedAfter != nil {
		out = append(out, normalize.Clause{Field: "created_at", From: p.CreatedAfter.UTC().Format(time.RFC3339Nano)})
	}
	metadata := value(p.Metadata)
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		add("metadata."+k, metadata[k])
	}
	clauses, _ := normalize.ParseFilter(value(p.Filter)) // checkQuery has parsed it already
	return append(out, clauses...)
}

// value is what an optional parameter points to; the zero value if it was left out.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func texts[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = string(v)
	}
	return out
}
