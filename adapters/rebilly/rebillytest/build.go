package rebillytest

import "time"

// build makes an instrument of a create's body, which is exactly one of the
// documented variants. The token is returned if the body names one; it is not
// used up yet.
func (p *provider) build(o object, now time.Time) (*instrument, *token, []violation) {
	customerID, ok := text(o, "customerId")
	var out []violation
	if !ok || !validID(customerID) {
		out = append(out, field("customerId", "Is required."))
	}
	out = append(out, p.checkShared(o)...)
	i := &instrument{customer: customerID}
	i.useAsBackup, _ = o["useAsBackup"].(bool)
	i.customFields, _ = o["customFields"].(object)
	if has(o, "token") {
		t, violations := p.fromToken(i, o, now)
		return i, t, append(out, violations...)
	}
	if _, given := o["billingAddress"]; !given {
		out = append(out, field("billingAddress", "Is required."))
	}
	i.address, _ = o["billingAddress"].(object)
	i.method, _ = text(o, "method")
	return i, nil, append(out, p.fromMembers(i, o, "")...)
}

// fromToken takes over what the token holds.
func (p *provider) fromToken(i *instrument, o object, now time.Time) (*token, []violation) {
	if has(o, "method", "pan", "cvv", "expMonth", "expYear", "accountNumber", "accountNumberType", "routingNumber", "accountType") {
		return nil, []violation{field("token", "Must be sent without the members of another variant.")}
	}
	t, problem := p.usable(o, now)
	if problem != nil {
		return nil, problem
	}
	if t.method == "payment-card" && t.number.identity == "" {
		return nil, []violation{field("token", "The token has no card number.")}
	}
	i.method, i.number, i.expMonth, i.expYear = t.method, t.number, t.expMonth, t.expYear
	i.bank, i.address = t.bank, t.address
	return t, nil
}

// fromMembers reads raw card or account data, under a path for messages.
func (p *provider) fromMembers(i *instrument, o object, path string) []violation {
	switch i.method {
	case "payment-card":
		if has(o, "accountNumber", "routingNumber", "accountType", "accountNumberType") {
			return []violation{field("method", "The members of a bank account cannot be sent for a card.")}
		}
		var out []violation
		for _, name := range []string{"expMonth", "expYear"} {
			if !has(o, name) {
				out = append(out, field(path+name, "Is required."))
			}
		}
		out = append(out, checkExpiry(o)...)
		var violations []violation
		i.number, violations = p.cardNumber(o, path)
		i.expMonth, _ = whole(o, "expMonth")
		i.expYear, _ = whole(o, "expYear")
		return append(out, violations...)
	case "ach", "echeck":
		if has(o, "pan", "cvv", "expMonth", "expYear") {
			return []violation{field("method", "The members of a card cannot be sent for a bank account.")}
		}
		i.method = "ach"
		var violations []violation
		i.number, violations = p.accountNumber(o, path)
		i.bank = bankOf(o)
		return violations
	case "":
		return []violation{field("method", "Is required.")}
	}
	if has(o, "pan", "cvv", "expMonth", "expYear", "accountNumber", "routingNumber") {
		return []violation{field("method", "The members of another variant cannot be sent for this method.")}
	}
	i.reference, _ = o["referenceData"].(object)
	return nil
}

// bankOf keeps what is shown of a bank account; the number is not.
func bankOf(o object) object {
	bank := object{"bic": nil}
	for _, name := range []string{"accountNumberType", "routingNumber", "accountType", "bankName", "bic"} {
		if v, ok := o[name]; ok {
			bank[name] = v
		}
	}
	return bank
}

// usable finds a token that can still be used.
func (p *provider) usable(o object, now time.Time) (*token, []violation) {
	id, _ := text(o, "token")
	t := p.tokenByID[id]
	switch {
	case t == nil:
		return nil, []violation{field("token", "The token was not found.")}
	case !t.used.IsZero():
		return nil, []violation{field("token", "The token was used already.")}
	case !now.Before(t.created.Add(tokenLife)):
		return nil, []violation{field("token", "The token is expired.")}
	}
	return t, nil
}
