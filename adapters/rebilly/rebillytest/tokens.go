package rebillytest

import (
	"maps"
	"net/http"
	"time"
)

// tokenLife is how long a token can be used.
const tokenLife = 30 * time.Minute

// token is a one-time token.
type token struct {
	id, method        string
	number            number
	expMonth, expYear int
	bank              object
	address           object // nil for none
	created, used     time.Time
}

func (c *call) createToken(string) {
	o, ok := c.body()
	if !ok {
		return
	}
	t := &token{created: c.now()}
	t.method, _ = text(o, "method")
	source, _ := o["paymentInstrument"].(object)
	violations := c.p.checkShared(o)
	switch {
	case t.method == "":
		violations = append(violations, field("method", "Is required."))
	case source == nil && (t.method == "payment-card" || t.method == "ach" || t.method == "echeck"):
		violations = append(violations, field("paymentInstrument", "Is required."))
	default:
		violations = append(violations, c.p.fillToken(t, source)...)
	}
	if len(violations) > 0 {
		c.invalid(violations...)
		return
	}
	t.address, _ = o["billingAddress"].(object)
	t.id = newID("tok_")
	c.p.tokens = append(c.p.tokens, t)
	c.p.tokenByID[t.id] = t
	c.committed()
	c.location("/tokens/" + t.id)
	c.json(http.StatusCreated, c.tokenDocument(t))
}

// fillToken reads the token's instrument. A card's number may be left out: then
// the token can only update an expiry date.
func (p *provider) fillToken(t *token, source object) []violation {
	i := &instrument{method: t.method}
	if t.method == "payment-card" && !has(source, "pan") {
		violations := checkExpiry(source)
		t.expMonth, _ = whole(source, "expMonth")
		t.expYear, _ = whole(source, "expYear")
		if t.expMonth == 0 || t.expYear == 0 {
			violations = append(violations, field("paymentInstrument.expMonth", "Is required, like expYear."))
		}
		return violations
	}
	violations := p.fromMembers(i, source, "paymentInstrument.")
	t.method, t.number, t.expMonth, t.expYear, t.bank = i.method, i.number, i.expMonth, i.expYear, i.bank
	return violations
}

func (c *call) tokenDocument(t *token) object {
	source := object{}
	switch t.method {
	case "payment-card":
		source = object{"expMonth": t.expMonth, "expYear": t.expYear, "bin": nil, "last4": nil}
		if t.number.identity != "" {
			source["bin"], source["last4"], source["brand"] = t.number.bin, t.number.last4, t.number.brand
		}
	case "ach":
		source = object{"last4": t.number.last4}
		maps.Copy(source, t.bank)
	}
	o := object{
		"id": t.id, "method": t.method, "paymentInstrument": source, "isUsed": !t.used.IsZero(),
		"createdTime": timestamp(t.created), "updatedTime": timestamp(t.created), "usageTime": timestamp(t.used),
		"expirationTime": timestamp(t.created.Add(tokenLife)),
		"_links":         []object{{"rel": "self", "href": c.href("/tokens/" + t.id)}},
	}
	if t.address != nil {
		o["billingAddress"] = t.address
	}
	return o
}

func (c *call) getToken(id string) {
	t := c.p.tokenByID[id]
	if t == nil {
		c.notFound("Token")
		return
	}
	c.json(http.StatusOK, c.tokenDocument(t))
}

func (c *call) listTokens(string) {
	rows := make([]object, 0, len(c.p.tokens))
	for _, t := range c.p.tokens {
		rows = append(rows, c.tokenDocument(t))
	}
	if page, ok := c.collection(rows, schema{}); ok {
		c.json(http.StatusOK, page)
	}
}
