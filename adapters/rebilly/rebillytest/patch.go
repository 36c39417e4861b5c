package rebillytest

import (
	"maps"
	"net/http"

	"github.com/polyvault/polyvault/adapters/standin"
)

// patchInstrument changes what can be changed. The body is one of three
// variants: with a token, of a card, of a bank account.
func (c *call) patchInstrument(id string) {
	i := c.p.byID[id]
	if i == nil {
		c.notFound("Payment instrument")
		return
	}
	o, ok := c.body()
	if !ok {
		return
	}
	t, violations := c.checkPatch(i, o)
	if len(violations) > 0 {
		c.invalid(violations...)
		return
	}
	c.apply(i, o, t)
	i.touch(c.now())
	c.committed()
	standin.Changed(c.r, standin.Change{Instrument: i.id})
	c.show(http.StatusOK, i)
}

// checkPatch enforces the variants: mixing their members matches none of them.
func (c *call) checkPatch(i *instrument, o object) (*token, []violation) {
	for _, name := range []string{"pan", "customerId", "method", "status", "accountNumber", "routingNumber", "accountNumberType"} {
		if has(o, name) {
			return nil, []violation{field(name, "Cannot be changed.")}
		}
	}
	byToken, byCard, byBank := has(o, "token"), has(o, "cvv", "expMonth", "expYear"), has(o, "bankName", "accountType")
	switch {
	case byToken && (byCard || byBank):
		return nil, []violation{field("token", "Must be sent without the members of another variant.")}
	case byCard && (byBank || i.method != "payment-card"):
		return nil, []violation{field("expMonth", "The members of a card can be sent for a card only.")}
	case byBank && i.method != "ach":
		return nil, []violation{field("accountType", "The members of a bank account can be sent for a bank account only.")}
	}
	out := append(c.p.checkShared(o), checkExpiry(o)...)
	if has(o, "accountType") {
		out = append(out, checkAccountType(o, "")...)
	}
	if sticky, given := o["stickyGatewayAccountId"]; given && (sticky != nil || !byToken) {
		if s, ok := sticky.(string); !ok || !validID(s) {
			out = append(out, field("stickyGatewayAccountId", "Must be an identifier."))
		}
	}
	if !byToken || len(out) > 0 {
		return nil, out
	}
	t, violations := c.p.usable(o, c.now())
	if t != nil && t.method != i.method {
		violations = append(violations, field("token", "The token is of another method."))
	}
	return t, violations
}

func (c *call) apply(i *instrument, o object, t *token) {
	if t != nil { // a token for an update may lack the number
		t.used = c.now()
		if t.number.identity != "" {
			i.number = t.number
		}
		i.expMonth, i.expYear = t.expMonth, t.expYear
		if t.bank != nil {
			i.bank = t.bank
		}
		if t.address != nil {
			i.address = t.address
		}
	}
	if n, ok := whole(o, "expMonth"); ok {
		i.expMonth = n
	}
	if n, ok := whole(o, "expYear"); ok {
		i.expYear = n
	}
	for _, name := range []string{"bankName", "accountType"} {
		if v, given := o[name]; given {
			i.bank = maps.Clone(i.bank)
			i.bank[name] = v
		}
	}
	if address, ok := o["billingAddress"].(object); ok {
		i.address = c.newAddress(i.address, address)
	}
	if fields, ok := o["customFields"].(object); ok {
		i.customFields = fields
	}
	if backup, ok := o["useAsBackup"].(bool); ok {
		i.useAsBackup = backup
	}
	if sticky, given := o["stickyGatewayAccountId"]; given {
		i.sticky = sticky
	}
}

// newAddress replaces or merges, whichever the options say.
func (c *call) newAddress(old, change object) object {
	if !c.p.opts.MergeAddress {
		return change
	}
	merged := maps.Clone(cmpObject(old))
	maps.Copy(merged, change)
	return merged
}
