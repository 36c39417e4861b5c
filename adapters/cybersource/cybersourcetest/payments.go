package cybersourcetest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// postPayment is POST /pts/v2/payments for one purpose: an authorization of
// nothing with the action TOKEN_CREATE, which turns a transient token into a
// payment instrument. Other members of the request are taken and not looked at.
func (v *vault) postPayment(c call) answer {
	doc, ok := c.parse()
	if !ok {
		return v.badPayment("INVALID_DATA", "")
	}
	types := wordsAt(doc, "processingInformation", "actionTokenTypes")
	amount, err := strconv.ParseFloat(stringAt(doc, "orderInformation", "amountDetails", "totalAmount"), 64)
	customerID := stringAt(doc, "paymentInformation", "customer", "id")
	switch {
	case !slices.Contains(wordsAt(doc, "processingInformation", "actionList"), "TOKEN_CREATE"):
		return v.badPayment("INVALID_DATA", "processingInformation.actionList")
	case err != nil || amount != 0:
		return v.badPayment("INVALID_DATA", "orderInformation.amountDetails.totalAmount")
	case len(stringAt(doc, "orderInformation", "amountDetails", "currency")) != 3:
		return v.badPayment("MISSING_FIELD", "orderInformation.amountDetails.currency")
	case stringAt(doc, "tokenInformation", "transientTokenJwt") == "":
		return v.badPayment("MISSING_FIELD", "tokenInformation.transientTokenJwt")
	case customerID == "" && !slices.Contains(types, "customer"):
		return v.badPayment("MISSING_FIELD", "paymentInformation.customer.id")
	}
	owner := v.customers[strings.ToUpper(customerID)]
	if customerID != "" && (owner == nil || owner.deleted) {
		return v.badPayment("INVALID_DATA", "paymentInformation.customer.id")
	}
	bill := object{}
	if b, ok := at(doc, "orderInformation", "billTo").(object); ok {
		bill["billTo"] = b
		if _, ok := v.clean(billTo(), bill); !ok {
			return v.badPayment("INVALID_DATA", "orderInformation.billTo")
		}
	}
	token, ok := readTransient(stringAt(doc, "tokenInformation", "transientTokenJwt"))
	if !ok || v.usedTokens[token.id] || !token.expires.IsZero() && !v.opts.Now().Before(token.expires) {
		return v.badPayment("INVALID_DATA", "tokenInformation.jti")
	}
	v.usedTokens[token.id] = true
	if v.opts.DeclineLast4 != "" && strings.HasSuffix(token.mask, v.opts.DeclineLast4) {
		out := v.payment(doc, "DECLINED", nil)
		out.body.(object)["errorInformation"] = object{ //nolint:errcheck // payment makes an object
			"reason": "PROCESSOR_DECLINED", "message": "Decline - General decline of the card.",
		}
		return out
	}
	if owner == nil {
		owner = v.newCustomer(object{})
	}
	asDefault, _ := boolean(at(doc, "tokenInformation", "paymentInstrument", "default"))
	i, isNew := v.identify(number{hashed: "mask:" + token.mask, mask: token.mask}, object{})
	p := v.addInstrument(owner, i, merge(bill, object{"card": token.card}), asDefault)
	return v.payment(doc, "AUTHORIZED", object{
		"instrumentidentifierNew": isNew, "customer": object{"id": owner.id},
		"paymentInstrument": object{"id": p.id}, "instrumentIdentifier": object{"id": i.id, "state": "ACTIVE"},
	})
}

// payment makes the answer of an authorization. Using up a token changes the
// state, so a declined one is committed, too.
func (v *vault) payment(doc object, status string, tokens object) answer {
	body := object{
		"id": strconv.FormatInt(v.opts.Now().UnixNano(), 10), "submitTimeUtc": v.submitTime(), "status": status,
		"orderInformation": object{"amountDetails": object{
			"authorizedAmount": "0.00", "currency": stringAt(doc, "orderInformation", "amountDetails", "currency"),
		}},
	}
	if code := stringAt(doc, "clientReferenceInformation", "code"); code != "" {
		body["clientReferenceInformation"] = object{"code": code}
	}
	if tokens != nil {
		body["tokenInformation"] = tokens
	}
	return answer{status: http.StatusCreated, body: body, committed: true}
}

// badPayment makes an error in the form of the payments API.
func (v *vault) badPayment(reason, path string) answer {
	body := object{
		"submitTimeUtc": v.submitTime(), "status": "INVALID_REQUEST", "reason": reason,
		"message": "Declined - The request was missing one or more fields",
	}
	if reason == "INVALID_DATA" {
		body["message"] = "Declined - One or more fields in the request contains invalid data"
	}
	if path != "" {
		body["details"] = []object{{"field": path, "reason": reason}}
	}
	return answer{status: http.StatusBadRequest, body: body}
}

func (v *vault) submitTime() string { return v.opts.Now().UTC().Format(time.RFC3339) }

func wordsAt(o object, path ...string) []string {
	list, _ := at(o, path...).([]any)
	var out []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
