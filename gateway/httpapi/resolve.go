package httpapi

import (
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// maxExcluded is how many providers a resolution may be asked to leave out.
const maxExcluded = 32

// ResolveInstrument says where an instrument can be charged now.
func (a *API) ResolveInstrument(c echo.Context, id InstrumentID) error {
	n, err := readOptionalBody(c, a.maxBody)
	if err != nil {
		return err
	}
	var in gateway.ResolveInput
	if n != nil {
		if in, err = decodeResolve(n); err != nil {
			return err
		}
	}
	out, err := a.service(c).Resolve(c.Request().Context(), tenant(c), id, in)
	if err != nil {
		return err
	}
	return ok(c, out)
}

func decodeResolve(n *node) (gateway.ResolveInput, error) {
	var d decoder
	o := d.object(n, "")
	in := gateway.ResolveInput{Currency: o.text("currency"), Country: o.text("country")}
	if v := o.take("currency"); v != nil && v.kind == '"' && !normalize.ValidCurrency(in.Currency) {
		d.add(v, "/currency", normalize.InvalidField, "must be an ISO 4217 currency code in upper case")
	}
	if v := o.take("country"); v != nil && v.kind == '"' && !normalize.ValidCountry(in.Country) {
		d.add(v, "/country", normalize.InvalidField, "must be an ISO 3166-1 alpha-2 country code in upper case")
	}
	excluded := o.list("exclude_providers")
	if len(excluded) > maxExcluded {
		d.add(o.take("exclude_providers"), "/exclude_providers", normalize.OutOfRange, "must have at most 32 elements")
		excluded = nil
	}
	for i, v := range excluded {
		in.ExcludeProviders = append(in.ExcludeProviders, d.providerName(v, "/exclude_providers/"+strconv.Itoa(i)))
	}
	o.end()
	return in, d.err(nil)
}

// providerName reads the name of a provider, which need not be configured (any more).
func (d *decoder) providerName(n *node, pointer string) string {
	name := d.text(n, pointer)
	switch {
	case n.kind != '"': // reported
	case normalize.ContainsCardNumber(name):
		d.add(n, pointer, normalize.PANInUnexpectedField, "holds what looks like a card number")
	case !namePattern.MatchString(name):
		d.add(n, pointer, normalize.InvalidField, "must be a provider's name")
	}
	return name
}

// SyncInstruments compares instruments with what their providers have.
func (a *API) SyncInstruments(c echo.Context) error {
	n, err := readBody(c, a.maxBody, mediaJSON)
	if err != nil {
		return err
	}
	in, err := decodeSync(n)
	if err != nil {
		return err
	}
	page, err := a.service(c).Sync(c.Request().Context(), tenant(c), in)
	if err != nil {
		return err
	}
	toldDrift(c, in.CustomerID, page)
	if !exchangeOf(c).caller.may(ReferencesRead) {
		page.Data = slices.Clone(page.Data)
		for i := range page.Data {
			page.Data[i].References = nil
		}
	}
	return ok(c, page)
}

func decodeSync(n *node) (gateway.SyncInput, error) {
	var d decoder
	o := d.object(n, "")
	in := gateway.SyncInput{CustomerID: o.text("customer_id"), Limit: o.number("limit"), Cursor: o.text("cursor")}
	if v := o.take("customer_id"); v != nil && v.kind == '"' && !normalize.ValidCustomerID(in.CustomerID) {
		d.add(v, "/customer_id", normalize.InvalidField, "must be a customer's id")
	}
	if v := o.take("provider"); v != nil {
		in.Provider = d.providerName(v, "/provider")
	}
	if v := o.boolean("repair"); v != nil {
		in.Repair = *v
	}
	if v := o.take("limit"); v != nil && (in.Limit < 0 || in.Limit > maxItems) {
		d.add(v, "/limit", normalize.OutOfRange, "must be 1 to 100")
	}
	if v := o.take("cursor"); v != nil && v.kind == '"' && (in.Cursor == "" || len(in.Cursor) > 1024) {
		d.add(v, "/cursor", normalize.InvalidCursor, "is not a cursor of this list")
	}
	if n.kind == '{' && o.take("customer_id") == nil && o.take("provider") == nil {
		d.add(n, "", normalize.MissingField, "customer_id or provider is required")
	}
	o.end()
	return in, d.err(nil)
}
