package bigcommercetest

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// importMany is POST /payments/stored-instruments. It talks to no payment
// gateway: what has the right form is stored. 422 with the successes in data,
// the failures in errors and the counts in meta if any item fails.
func (s *server) importMany(c call) {
	v, ok := decode(c.body)
	if !ok {
		writeError(c.w, http.StatusBadRequest, "Input is invalid", nil)
		return
	}
	items, ok := v.([]any)
	switch {
	case !ok:
		unprocessable(c.w, "obj", notArray)
		return
	case len(items) == 0:
		unprocessable(c.w, "obj", "is required")
		return
	case len(items) > s.opts.MaxImport:
		writeError(c.w, http.StatusRequestEntityTooLarge, "Too many instruments", nil)
		return
	}
	data, failed := []any{}, []apiError{}
	for n, item := range items {
		ins, fields := s.importOne(n, item)
		if len(fields) > 0 {
			failed = append(failed, newError(http.StatusUnprocessableEntity, notValid, fields))
			continue
		}
		c.committed()
		data = append(data, s.managementRow(ins))
	}
	status := http.StatusOK
	if len(failed) > 0 {
		status = http.StatusUnprocessableEntity
	}
	writeJSON(c.w, status, map[string]any{
		"data": data, "errors": s.batchErrors(failed),
		"meta": map[string]int{"total": len(items), "success": len(data), "failed": len(failed)},
	})
}

// batchErrors writes a batch's errors; a single one as an object where the option says so.
func (s *server) batchErrors(failed []apiError) any {
	if s.opts.SingleError && len(failed) == 1 {
		return failed[0]
	}
	return failed
}

// index is the prefix of the n-th item's members in errors.
func (s *server) index(n int) string {
	switch s.opts.ErrorIndex {
	case IndexBracketed:
		return "[" + strconv.Itoa(n) + "]."
	case IndexNone:
		return ""
	default:
		return strconv.Itoa(n) + "."
	}
}

// importOne stores an item, or returns what is wrong with it.
func (s *server) importOne(n int, item any) (*instrument, map[string]string) {
	errs := map[string]string{}
	prefix := s.index(n)
	members, ok := item.(map[string]any)
	if !ok {
		return nil, map[string]string{strings.TrimSuffix(prefix, "."): notObject}
	}
	o := object{members: members, prefix: prefix, errs: errs}
	ins := &instrument{method: o.text("payment_method_id", true), customer: o.integer("customer_id")}
	currency := o.text("currency_code", true)
	if ins.method != "" && !methodPattern.MatchString(ins.method) {
		o.fail("payment_method_id", notAccepted)
	}
	if currency != "" && !normalize.ValidCurrency(currency) {
		o.fail("currency_code", notAccepted)
	}
	if _, bad := errs[prefix+"customer_id"]; !bad && (ins.customer < 1 || ins.customer > s.customers()) {
		o.fail("customer_id", "customer does not exist")
	}
	vault := ""
	if detail, ok := o.child("instrument", true); ok {
		vault = detail.instrument(ins)
	}
	if a, ok := o.child("billing_address", true); ok {
		if ins.address = a.address(); len(a.members) == 0 {
			o.fail("billing_address", "is required")
		}
	}
	o.shipping()
	makeDefault := o.boolean("default_instrument")
	ins.identity = s.identityOf(ins.method, vault)
	if s.opts.RejectDuplicates && len(errs) == 0 && s.duplicate(ins) {
		o.fail("instrument.vault_token", "instrument already exists")
	}
	if len(errs) > 0 {
		return nil, errs
	}
	s.add(ins)
	if makeDefault {
		s.makeDefault(ins)
	}
	return ins, nil
}

func (s *server) duplicate(ins *instrument) bool {
	for _, i := range s.byCustomer[ins.customer] {
		if i.live() && i.identity == ins.identity {
			return true
		}
	}
	return false
}

// instrument reads the instrument member into ins and returns the vault token.
func (o object) instrument(ins *instrument) (vaultToken string) {
	vaultToken = o.text("vault_token", true)
	o.text("provider_customer_id", false)
	switch ins.kind = o.text("type", true); ins.kind {
	case kindCard:
		o.card(ins)
	case kindPayPal:
		if ins.email = o.text("email", true); ins.email != "" && !strings.Contains(ins.email, "@") {
			o.fail("email", notAccepted)
		}
	case kindBank:
		ins.issuer, ins.masked = o.text("issuer", false), o.text("masked_account_number", true)
	case "":
	default:
		o.fail("type", notAccepted)
	}
	return vaultToken
}

func (o object) card(ins *instrument) {
	ins.brand, ins.iin, ins.last4 = o.text("brand", false), o.text("iin", false), o.text("last_4", true)
	ins.month, ins.year = o.integer("expiry_month"), o.integer("expiry_year")
	if o.has("expiry_month") && (ins.month < 1 || ins.month > 12) {
		o.fail("expiry_month", notAccepted)
	}
	if o.has("expiry_year") && (ins.year < 2000 || ins.year > 2099) {
		o.fail("expiry_year", notAccepted)
	}
	if ins.last4 != "" && (len(ins.last4) != 4 || !digitsPattern.MatchString(ins.last4)) {
		o.fail("last_4", notAccepted)
	}
	if ins.iin != "" && (len(ins.iin) != 6 || !digitsPattern.MatchString(ins.iin)) {
		o.fail("iin", notAccepted)
	}
}
