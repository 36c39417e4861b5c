package rebillytest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"time"
)

// customer is a customer. Its writable members are kept as they were sent.
type customer struct {
	id               string
	members          object // writable ones, but for the default
	defaultID        string // "" for none
	created, updated time.Time
	revision         int
	sequence         int
}

func (k *customer) touch(now time.Time) {
	k.updated = now
	k.revision++
}

// writableMembers are those that a PUT replaces.
func writableMembers() []string {
	return []string{
		"websiteId", "preferredPayoutInstrumentId", "customFields", "primaryAddress", "locale", "taxNumbers", "personId", "notificationEmails",
	}
}

func (c *call) customerDocument(k *customer) object {
	o := object{
		"id": k.id, "email": nil, "firstName": nil, "lastName": nil, "preferredPayoutInstrumentId": nil,
		"customFields": object{}, "primaryAddress": nil, "locale": nil, "taxNumbers": nil, "personId": nil, "notificationEmails": []any{},
		"defaultPaymentInstrument": nil, "createdTime": timestamp(k.created), "updatedTime": timestamp(k.updated),
		"revision": k.revision, "organizationId": c.p.opts.Organization, "tags": []any{}, "paymentCount": 0, "invoiceCount": 0,
		"_links": []object{{"rel": "self", "href": c.href("/customers/" + k.id)}},
	}
	maps.Copy(o, k.members)
	if address, ok := o["primaryAddress"].(object); ok {
		shown := maps.Clone(address)
		shown["hash"] = c.p.hash("address", k.id) // read-only
		o["primaryAddress"] = shown
		o["firstName"], o["lastName"] = address["firstName"], address["lastName"]
		if emails, _ := address["emails"].([]any); len(emails) > 0 {
			if first, ok := emails[0].(object); ok {
				o["email"] = first["value"]
			}
		}
	}
	if i := c.p.byID[k.defaultID]; i != nil {
		o["defaultPaymentInstrument"] = object{"method": i.method, "paymentInstrumentId": i.id}
	}
	return o
}

func (p *provider) sortedCustomers() []*customer {
	out := make([]*customer, 0, len(p.customers))
	for _, k := range p.customers {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b *customer) int { return cmp.Compare(a.sequence, b.sequence) })
	return out
}

func (c *call) listCustomers(string) {
	rows := []object{}
	for _, k := range c.p.sortedCustomers() {
		rows = append(rows, c.customerDocument(k))
	}
	page, ok := c.collection(rows, schema{
		filter: []string{"id", "email", "firstName", "lastName", "websiteId", "createdTime", "updatedTime"},
		paths:  []string{"primaryAddress", "customFields"},
		sort:   []string{"createdTime", "updatedTime", "lastPaymentTime", "email", "lastName", "websiteId", "paymentCount", "invoiceCount"},
	})
	if !ok {
		return
	}
	for n, o := range page {
		page[n] = c.onlyFields(o)
	}
	c.json(http.StatusOK, page)
}

// onlyFields obeys the query parameter fields; the id is always there.
func (c *call) onlyFields(o object) object {
	fields := c.list("fields")
	if len(fields) == 0 {
		return o
	}
	out := object{"id": o["id"]}
	for _, f := range fields {
		if v, ok := o[f]; ok {
			out[f] = v
		}
	}
	return out
}

func (c *call) getCustomer(id string) {
	k := c.p.customers[id]
	if k == nil {
		c.notFound("Customer")
		return
	}
	c.showCustomer(http.StatusOK, k)
}

func (c *call) showCustomer(status int, k *customer) {
	o := c.customerDocument(k)
	if i := c.p.byID[k.defaultID]; i != nil && slices.Contains(c.list("expand"), "defaultPaymentInstrument") {
		o["_embedded"] = object{"defaultPaymentInstrument": c.document(i)}
	}
	c.json(status, c.onlyFields(o))
}

func (c *call) createCustomer(string) { c.writeCustomer(newID("cus_")) }

// putCustomer replaces a customer, or makes one with an id of the client's choice.
func (c *call) putCustomer(id string) { c.writeCustomer(id) }

func (c *call) writeCustomer(id string) {
	o, ok := c.body()
	if !ok {
		return
	}
	var violations []violation
	if address := o["primaryAddress"]; address != nil {
		violations = checkContact("primaryAddress", address)
	}
	violations = append(violations, c.p.checkCustomFields(o)...)
	defaultID, defaultViolations := c.newDefault(id, o)
	if violations = append(violations, defaultViolations...); len(violations) > 0 {
		c.invalid(violations...)
		return
	}
	k := c.p.customers[id]
	status := http.StatusOK
	if k == nil {
		c.p.sequence++
		k = &customer{id: id, created: c.now(), sequence: c.p.sequence}
		c.p.customers[id] = k
		status = http.StatusCreated
		c.location("/customers/" + id)
	}
	k.members = object{}
	for _, name := range writableMembers() {
		if v, given := o[name]; given {
			k.members[name] = v
		}
	}
	if defaultID != nil {
		k.defaultID = *defaultID
	}
	k.touch(c.now())
	if has(o, "paymentToken") {
		c.redeem(k, o)
	}
	c.committed()
	c.showCustomer(status, k)
}

// newDefault reads the default that a body asks for; nil leaves it as it is.
func (c *call) newDefault(customerID string, o object) (*string, []violation) {
	none := ""
	name, value := "defaultPaymentInstrumentId", o["defaultPaymentInstrumentId"]
	given := has(o, name)
	if c.p.opts.DefaultAsObject {
		name = "defaultPaymentInstrument"
		reference, isObject := o[name].(object)
		if given = has(o, name); given && isObject {
			value = reference["paymentInstrumentId"]
			if reference["method"] == nil {
				return nil, []violation{field(name+".method", "Is required.")}
			}
		}
	}
	switch {
	case has(o, "paymentToken"):
		_, violations := c.p.usable(object{"token": o["paymentToken"]}, c.now())
		for n := range violations {
			violations[n].Field = "paymentToken"
		}
		return nil, violations
	case !given:
		return nil, nil
	case value == nil:
		return &none, nil
	}
	id, _ := value.(string)
	i := c.p.byID[id]
	if i == nil || i.customer != customerID || i.deactivated {
		return nil, []violation{field(name, "Must be an instrument of the customer that is not deactivated.")}
	}
	return &id, nil
}

// redeem makes an instrument of paymentToken and the customer's default of it.
func (c *call) redeem(k *customer, o object) {
	i := &instrument{customer: k.id}
	t, violations := c.p.fromToken(i, object{"token": o["paymentToken"]}, c.now())
	if len(violations) > 0 {
		return // checked before; only a token without a number comes here
	}
	t.used = c.now()
	stored, _ := c.p.store(i, c.now())
	k.defaultID = stored.id
}

// mergeCustomer moves a customer's instruments to another one and removes it.
func (c *call) mergeCustomer(id string) {
	target := c.query("targetCustomerId")
	k, into := c.p.customers[id], c.p.customers[target]
	switch {
	case target == "" || target == id:
		c.invalid(field("targetCustomerId", "Must be another customer."))
		return
	case k == nil || into == nil:
		c.notFound("Customer")
		return
	}
	for _, i := range c.p.byCustomer[id] {
		i.customer = target
		i.touch(c.now())
	}
	c.p.byCustomer[target] = append(c.p.byCustomer[target], c.p.byCustomer[id]...)
	delete(c.p.byCustomer, id)
	delete(c.p.customers, id)
	c.committed()
	c.noContent()
}
