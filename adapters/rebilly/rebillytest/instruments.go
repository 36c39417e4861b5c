package rebillytest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

// instrument is a payment instrument. Its numbers are hashed and masked.
type instrument struct {
	id, customer, method string
	number               number
	expMonth, expYear    int
	bank                 object // accountNumberType, routingNumber, accountType, bankName, bic
	address              object // nil for none
	customFields         object
	reference            object // referenceData of alternative methods
	sticky               any
	useAsBackup          bool
	deactivated          bool
	created, updated     time.Time
	revision             int
}

// status is computed: a card that was never charged is inactive, and expires by itself.
func (i *instrument) status(now time.Time) string {
	switch {
	case i.deactivated:
		return "deactivated"
	case i.method == "payment-card" && pastExpiry(i.expMonth, i.expYear, now):
		return "expired"
	case i.method == "payment-card" || i.method == "paypal":
		return "inactive"
	}
	return "active" // the only other status of banks and alternatives
}

// document is the instrument as Rebilly shows it.
func (c *call) document(i *instrument) object {
	o := object{
		"id": i.id, "customerId": i.customer, "method": i.method, "status": i.status(c.now()),
		"useAsBackup": i.useAsBackup, "customFields": cmpObject(i.customFields),
		"createdTime": timestamp(i.created), "updatedTime": timestamp(i.updated), "lastPaymentTime": nil,
		"stickyGatewayAccountId": i.sticky, "riskMetadata": nil, "revision": i.revision,
		"_links": []object{
			{"rel": "self", "href": c.href("/payment-instruments/" + i.id)},
			{"rel": "customer", "href": c.href("/customers/" + i.customer)},
		},
	}
	if i.address != nil {
		o["billingAddress"] = i.address
	}
	switch i.method {
	case "payment-card":
		maps.Copy(o, object{
			"fingerprint": i.number.print, "bin": i.number.bin, "last4": i.number.last4, "fpanLast4": nil,
			"expMonth": i.expMonth, "expYear": i.expYear, "brand": i.number.brand, "bankCountry": "US", "bankName": "TEST BANK",
			"isPayoutable": true, "expirationReminderTime": nil, "expirationReminderNumber": 0, "digitalWallet": nil, "referenceData": object{},
		})
	case "ach":
		maps.Copy(o, i.bank)
		o["fingerprint"], o["last4"] = i.number.print, i.number.last4
	case "paypal":
		o["username"] = "buyer@example.com"
	default:
		o["referenceData"] = cmpObject(i.reference)
	}
	return o
}

func cmpObject(o object) object {
	if o == nil {
		return object{}
	}
	return o
}

// show answers with an instrument, its customer embedded if it is asked for.
func (c *call) show(status int, i *instrument) {
	o := c.document(i)
	if !c.p.opts.NoExpand {
		c.embed(o, i)
	}
	c.json(status, o)
}

func (c *call) embed(o object, i *instrument) {
	if !slices.Contains(c.list("expand"), "customer") {
		return
	}
	owner := c.p.customers[i.customer]
	if owner == nil {
		return
	}
	embedded := object{"customer": c.customerDocument(owner)}
	if c.p.opts.EmbeddedList {
		o["_embedded"] = []object{embedded}
		return
	}
	o["_embedded"] = embedded
}

func (c *call) getInstrument(id string) {
	i := c.p.byID[id]
	if i == nil {
		c.notFound("Payment instrument")
		return
	}
	c.show(http.StatusOK, i)
}

// createInstrument stores a new instrument (201), or updates the one that the
// customer has with the same number (303).
func (c *call) createInstrument(string) {
	o, ok := c.body()
	if !ok {
		return
	}
	i, used, violations := c.p.build(o, c.now())
	if owner, _ := text(o, "customerId"); len(violations) == 0 && c.p.customers[owner] == nil {
		violations = append(violations, field("customerId", "The customer does not exist."))
	}
	if len(violations) > 0 {
		c.invalid(violations...)
		return
	}
	i, existing := c.p.store(i, c.now())
	if used != nil {
		used.used = c.now()
	}
	c.committed()
	standin.Changed(c.r, standin.Change{Instrument: i.id})
	c.location("/payment-instruments/" + i.id)
	switch {
	case existing && c.p.opts.EmptySeeOther:
		c.rateHeaders(http.StatusSeeOther)
		c.w.WriteHeader(http.StatusSeeOther)
	case existing:
		c.show(http.StatusSeeOther, i)
	default:
		c.show(http.StatusCreated, i)
	}
}

// store adds the instrument, or updates the live one with the same customer,
// method and number. The public fingerprint plays no part: it collides.
func (p *provider) store(fresh *instrument, now time.Time) (stored *instrument, existing bool) {
	for _, i := range p.byCustomer[fresh.customer] {
		if i.deactivated || i.method != fresh.method || i.number.identity != fresh.number.identity {
			continue
		}
		i.expMonth, i.expYear = fresh.expMonth, fresh.expYear
		i.address, i.customFields, i.useAsBackup = fresh.address, fresh.customFields, fresh.useAsBackup
		if fresh.bank != nil {
			i.bank = fresh.bank
		}
		i.touch(now)
		return i, true
	}
	fresh.id, fresh.created, fresh.updated, fresh.revision = newID("inst_"), now, now, 1
	p.instruments = append(p.instruments, fresh)
	p.byID[fresh.id] = fresh
	p.byCustomer[fresh.customer] = append(p.byCustomer[fresh.customer], fresh)
	return fresh, false
}

func (i *instrument) touch(now time.Time) {
	i.updated = now
	i.revision++
}

func (c *call) deactivateInstrument(id string) {
	i := c.p.byID[id]
	if i == nil {
		c.notFound("Payment instrument")
		return
	}
	owner := c.p.customers[i.customer]
	isDefault := owner != nil && owner.defaultID == id
	switch {
	case i.deactivated && !c.p.opts.AllowRepeatedDeactivation:
		c.conflict("Payment instrument is already deactivated.")
		return
	case isDefault && c.p.opts.ProtectDefault:
		c.conflict("Payment instrument is the default of its customer.")
		return
	}
	if !i.deactivated {
		i.deactivated = true
		i.touch(c.now())
		if isDefault {
			owner.defaultID = ""
			owner.touch(c.now())
		}
		c.committed()
		standin.Changed(c.r, standin.Change{Instrument: i.id})
	}
	c.location("/payment-instruments/" + id)
	if c.p.opts.EmptyDeactivation {
		c.noContent()
		return
	}
	c.show(http.StatusCreated, i)
}

func (c *call) listInstruments(string) {
	instruments := slices.Clone(c.p.instruments)
	if owner, ok := onlyCustomer(c.query("filter")); ok { // saves making the documents of all the others
		instruments = nil
		for id := range c.p.byCustomer {
			if strings.EqualFold(id, owner) { // filters ignore case
				instruments = append(instruments, c.p.byCustomer[id]...)
			}
		}
	}
	slices.SortStableFunc(instruments, func(a, b *instrument) int { // the newest first, unless sort says otherwise
		return cmp.Compare(b.created.Unix(), a.created.Unix())
	})
	rows := make([]object, 0, len(instruments))
	byID := map[any]*instrument{}
	for _, i := range instruments {
		byID[i.id] = i
		rows = append(rows, c.document(i))
	}
	page, ok := c.collection(rows, instrumentFields())
	if !ok {
		return
	}
	for _, o := range page {
		c.embed(o, byID[o["id"]])
	}
	c.json(http.StatusOK, page)
}

// onlyCustomer returns the customer that a filter names, if it names one alone.
func onlyCustomer(filter string) (string, bool) {
	for part := range strings.SplitSeq(filter, ";") {
		if id, ok := strings.CutPrefix(part, "customerId:"); ok && validID(id) && !strings.Contains(id, "..") {
			return id, true
		}
	}
	return "", false
}

// instrumentFields are the fields that instruments can be filtered by, beside
// paths under billingAddress and customFields.
func instrumentFields() schema {
	return schema{
		filter: []string{
			"id", "customerId", "method", "status", "brand", "bin", "last4", "expYear", "expMonth", "fingerprint", "bankCountry",
			"createdTime", "updatedTime", "stickyGatewayAccountId", "useAsBackup",
		},
		paths: []string{"billingAddress", "customFields"},
		sort:  []string{"createdTime", "updatedTime", "lastPaymentTime", "id"},
	}
}
