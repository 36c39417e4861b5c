package cybersourcetest

import (
	"net/http"
	"strings"
)

// instrument is a customer payment instrument, deleted ones included.
type instrument struct {
	id         string
	customer   string
	identifier string // the instrument identifier's id
	doc        object // what clients wrote, default and instrumentIdentifier aside
	tag        string
	deleted    bool
}

// instrumentsOf returns a customer's instruments that are not deleted, oldest first.
func (v *vault) instrumentsOf(customerID string) []*instrument {
	return v.selectInstruments(func(p *instrument) bool { return p.customer == customerID })
}

func (v *vault) selectInstruments(match func(*instrument) bool) []*instrument {
	var out []*instrument
	for _, id := range v.order {
		if p := v.instruments[id]; !p.deleted && match(p) {
			out = append(out, p)
		}
	}
	return out
}

// findInstrument returns the instrument that the path names and its customer, or the error.
func (v *vault) findInstrument(r *http.Request) (*customer, *instrument, answer) {
	c, a := v.findCustomer(r)
	if c == nil {
		return nil, nil, a
	}
	p := v.instruments[strings.ToUpper(r.PathValue("instrument"))]
	switch {
	case p == nil || p.customer != c.id:
		return nil, nil, notFound()
	case p.deleted:
		return nil, nil, gone()
	}
	return c, p, answer{}
}

func (p *instrument) href() string { return customerHref(p.customer) + "/payment-instruments/" + p.id }

func (v *vault) renderInstrument(p *instrument) object {
	out := merge(p.doc, object{
		"_links": object{"self": href(p.href()), "customer": href(customerHref(p.customer))},
		"id":     p.id, "object": "paymentInstrument", "state": "ACTIVE",
		"default":              v.customers[p.customer].defaultID == p.id,
		"instrumentIdentifier": object{"id": p.identifier},
		"metadata":             object{"creator": v.opts.MerchantID},
	})
	if !v.opts.OmitEmbedded {
		out["_embedded"] = object{"instrumentIdentifier": v.renderIdentifier(v.identifiers[p.identifier])}
	}
	return out
}

// makeDefault moves the mark, which changes both instruments.
func (v *vault) makeDefault(c *customer, p *instrument) {
	if c.defaultID == p.id {
		return
	}
	if before := v.instruments[c.defaultID]; before != nil {
		before.tag = newTag()
	}
	c.defaultID, c.tag, p.tag = p.id, newTag(), newTag()
}

// addInstrument stores an instrument. A customer's first becomes the default.
func (v *vault) addInstrument(c *customer, i *identifier, doc object, asDefault bool) *instrument {
	p := &instrument{id: randomHex(16), customer: c.id, identifier: i.id, doc: doc, tag: newTag()}
	v.instruments[p.id] = p
	v.order = append(v.order, p.id)
	if asDefault || c.defaultID == "" {
		v.makeDefault(c, p)
	}
	return p
}

// removeInstrument takes the identifier with it if nothing else stands upon it.
func (v *vault) removeInstrument(p *instrument) {
	p.deleted = true
	v.pruneIdentifier(p.identifier)
}

func (v *vault) postInstrument(c call) answer {
	owner, a := v.findCustomer(c.r)
	if owner == nil {
		return a
	}
	doc, ok := c.parse()
	if !ok {
		return badBody()
	}
	if a, ok := v.clean(instrumentSchema(), doc); !ok {
		return a
	}
	asDefault, _ := boolean(doc["default"])
	i, a := v.link(doc)
	if i == nil {
		return a
	}
	doc = withoutLinks(merge(nil, doc))
	if a, ok := fits(doc, i); !ok {
		return a
	}
	p := v.addInstrument(owner, i, doc, asDefault)
	return answer{
		status: http.StatusCreated, body: v.renderInstrument(p), committed: true,
		header: map[string]string{"ETag": p.tag, "Location": p.href()},
	}
}

// withoutLinks removes what is not kept in an instrument's document.
func withoutLinks(doc object) object {
	delete(doc, "default")
	delete(doc, "instrumentIdentifier")
	return doc
}

// link returns the identifier that doc names, or the error.
func (v *vault) link(doc object) (*identifier, answer) {
	id := strings.ToUpper(stringAt(doc, "instrumentIdentifier", "id"))
	if id == "" {
		return nil, fail(http.StatusBadRequest, "missingFields", "Missing fields", field("id", "instrumentIdentifier"))
	}
	i := v.identifiers[id]
	switch {
	case i == nil && v.opts.LinkErrorsByStatus:
		return nil, notFound()
	case i == nil:
		return nil, fail(http.StatusBadRequest, "instrumentIdentifierNotFound", "Instrument Identifier not found")
	case i.deleted && v.opts.LinkErrorsByStatus:
		return nil, gone()
	case i.deleted:
		return nil, fail(http.StatusBadRequest, "instrumentIdentifierGone", "Instrument Identifier has been deleted")
	}
	return i, answer{}
}

// fits checks that an instrument is of its identifier's kind.
func fits(doc object, i *identifier) (answer, bool) {
	card, bank := has(doc, "card"), has(doc, "bankAccount")
	if card && bank || card && i.bank || bank && !i.bank {
		return fail(http.StatusBadRequest, "invalidCombination", "Invalid combination of fields"), false
	}
	return answer{}, true
}

func (v *vault) getInstrument(c call) answer {
	_, p, a := v.findInstrument(c.r)
	if p == nil {
		return a
	}
	return answer{status: http.StatusOK, body: v.renderInstrument(p), header: map[string]string{"ETag": p.tag}}
}

func (v *vault) patchInstrument(c call) answer {
	owner, p, a := v.findInstrument(c.r)
	if p == nil {
		return a
	}
	patch, ok := c.parse()
	if !ok {
		return badBody()
	}
	if a, ok := v.clean(instrumentSchema(), patch); !ok {
		return a
	}
	if !tagMatches(c.r.Header.Get("If-Match"), p.tag) {
		return mismatch()
	}
	i := v.identifiers[p.identifier]
	if has(patch, "instrumentIdentifier") {
		if i, a = v.link(patch); i == nil {
			return a
		}
	}
	asDefault, set := boolean(patch["default"])
	if set && !asDefault && owner.defaultID == p.id && v.opts.RefuseDefaultFalse {
		return fail(http.StatusBadRequest, "invalidFields", "Invalid field values", field("default", ""))
	}
	doc := merge(p.doc, withoutLinks(patch))
	if i.bank != v.identifiers[p.identifier].bank || has(doc, "card") && i.bank || has(doc, "bankAccount") && !i.bank {
		return fail(http.StatusBadRequest, "unsupportedPaymentMethodModification", "Unsupported payment method modification")
	}
	before := p.identifier
	p.doc, p.identifier, p.tag = doc, i.id, newTag()
	if asDefault {
		v.makeDefault(owner, p)
	}
	if before != i.id && v.opts.PruneReplacedIdentifier {
		v.pruneIdentifier(before)
	}
	return answer{status: http.StatusOK, body: v.renderInstrument(p), header: map[string]string{"ETag": p.tag}, committed: true}
}

// deleteInstrument refuses the default while there is another to choose.
func (v *vault) deleteInstrument(c call) answer {
	owner, p, a := v.findInstrument(c.r)
	if p == nil {
		return a
	}
	if owner.defaultID == p.id {
		if len(v.instrumentsOf(owner.id)) > 1 {
			return fail(http.StatusConflict, "conflict", "Action cannot be performed as the PaymentInstrument is the customers default")
		}
		owner.defaultID, owner.tag = "", newTag()
	}
	v.removeInstrument(p)
	return answer{status: http.StatusNoContent, committed: true}
}
