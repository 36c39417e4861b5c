package cybersourcetest

import (
	"net/http"
	"strings"
)

// customer is a customer, deleted ones included: they answer 410.
type customer struct {
	id        string
	doc       object // what clients wrote
	tag       string
	defaultID string // of a payment instrument; "" if it has none
	deleted   bool
}

// findCustomer returns the customer that the path names, or the error. Ids are
// not case-sensitive; all that the stand-in makes are in upper case.
func (v *vault) findCustomer(r *http.Request) (*customer, answer) {
	c := v.customers[strings.ToUpper(r.PathValue("customer"))]
	switch {
	case c == nil:
		return nil, notFound()
	case c.deleted:
		return nil, gone()
	}
	return c, answer{}
}

func customerHref(id string) string { return "/tms/v2/customers/" + id }

func (v *vault) renderCustomer(c *customer) object {
	self := customerHref(c.id)
	out := merge(c.doc, object{
		"_links": object{
			"self": href(self), "paymentInstruments": href(self + "/payment-instruments"),
			"shippingAddress": href(self + "/shipping-addresses"),
		},
		"id": c.id, "metadata": object{"creator": v.opts.MerchantID},
	})
	if p := v.instruments[c.defaultID]; p != nil {
		out["defaultPaymentInstrument"] = object{"id": p.id}
		out["_embedded"] = object{"defaultPaymentInstrument": v.renderInstrument(p)}
	}
	return out
}

func (v *vault) newCustomer(doc object) *customer {
	c := &customer{id: randomHex(16), doc: doc, tag: newTag()}
	v.customers[c.id] = c
	return c
}

func (v *vault) postCustomer(c call) answer {
	doc, ok := c.parse()
	if !ok {
		return badBody()
	}
	if a, ok := v.clean(customerSchema(), doc); !ok {
		return a
	}
	if has(doc, "defaultPaymentInstrument") { // a new customer has none
		return fail(http.StatusBadRequest, "invalidFields", "Invalid field values", field("id", "defaultPaymentInstrument"))
	}
	made := v.newCustomer(merge(nil, doc))
	return answer{
		status: http.StatusCreated, body: v.renderCustomer(made), committed: true,
		header: map[string]string{"ETag": made.tag, "Location": customerHref(made.id)},
	}
}

func (v *vault) getCustomer(c call) answer {
	found, a := v.findCustomer(c.r)
	if found == nil {
		return a
	}
	return answer{status: http.StatusOK, body: v.renderCustomer(found), header: map[string]string{"ETag": found.tag}}
}

func (v *vault) patchCustomer(c call) answer {
	found, a := v.findCustomer(c.r)
	if found == nil {
		return a
	}
	patch, ok := c.parse()
	if !ok {
		return badBody()
	}
	if a, ok := v.clean(customerSchema(), patch); !ok {
		return a
	}
	if !tagMatches(c.r.Header.Get("If-Match"), found.tag) {
		return mismatch()
	}
	if id := stringAt(patch, "defaultPaymentInstrument", "id"); id != "" {
		p := v.instruments[strings.ToUpper(id)]
		if p == nil || p.deleted || p.customer != found.id {
			return fail(http.StatusBadRequest, "invalidFields", "Invalid field values", field("id", "defaultPaymentInstrument"))
		}
		v.makeDefault(found, p)
	}
	delete(patch, "defaultPaymentInstrument")
	found.doc, found.tag = merge(found.doc, patch), newTag()
	return answer{
		status: http.StatusOK, body: v.renderCustomer(found), header: map[string]string{"ETag": found.tag}, committed: true,
	}
}

// deleteCustomer takes the customer's payment instruments with it.
func (v *vault) deleteCustomer(c call) answer {
	found, a := v.findCustomer(c.r)
	if found == nil {
		return a
	}
	for _, p := range v.instrumentsOf(found.id) {
		v.removeInstrument(p)
	}
	found.deleted, found.defaultID = true, ""
	return answer{status: http.StatusNoContent, committed: true}
}
