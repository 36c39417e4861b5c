package bigcommercetest

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

const chargeAccept = "application/vnd.bc.v1+json"

// access is a payment access token: single use, for one order, one hour.
type access struct {
	order   int
	expires time.Time
	used    bool
}

// storeMethods is GET /payments/stored-instruments/methods: what can be imported for a currency.
func (*server) storeMethods(c call) {
	currency := c.r.URL.Query().Get("currency_code")
	if !normalize.ValidCurrency(currency) {
		unprocessable(c.w, "currency_code", notAccepted)
		return
	}
	method := func(id, name, kind, supported string) map[string]any {
		return map[string]any{
			"method_id": id, "name": name, "test_mode": false, "type": kind, "supported_instruments": []string{supported},
		}
	}
	data := []any{
		method("braintree.credit_card", "Credit card", kindCard, "tokenized_card"),
		method("braintree.paypal", "PayPal", kindPayPal, "tokenized_paypal_account"),
	}
	if currency == "USD" {
		data = append(data, method("braintree.ach", "ACH", kindBank, "raw_card"))
	}
	writeJSON(c.w, http.StatusOK, map[string]any{"data": data, "meta": map[string]any{}})
}

// instrumentAccess is POST /payments/stored-instruments/access-tokens. The token
// is for storing a raw card, which no stand-in takes.
func (s *server) instrumentAccess(c call) {
	writeJSON(c.w, http.StatusCreated, map[string]any{
		"data": map[string]any{"access_token": "IAT " + randomHex(24), "expires_at": s.opts.Now().Add(time.Hour).Unix()},
		"meta": map[string]any{},
	})
}

// order returns the customer of an order: order n is customer n's.
func (s *server) order(id int) (customer int, ok bool) { return id, id >= 1 && id <= s.customers() }

func writePaymentError(w http.ResponseWriter, status, code int, detail string) {
	e := newError(status, http.StatusText(status), nil)
	e.Code, e.Detail = code, detail
	writeJSON(w, status, e)
}

// orderMethods is GET /payments/methods?order_id=: how the order's customer can pay it.
func (s *server) orderMethods(c call) {
	id, err := strconv.Atoi(c.r.URL.Query().Get("order_id"))
	if err != nil {
		writePaymentError(c.w, http.StatusBadRequest, 10001, "order_id or checkout_id is required")
		return
	}
	customer, ok := s.order(id)
	if !ok {
		writePaymentError(c.w, http.StatusNotFound, 30003, "The order was not found")
		return
	}
	stored := map[string][]any{}
	order := []string{"braintree.credit_card", "braintree.paypal", "braintree.ach"}
	for _, i := range s.instruments {
		if i.customer != customer || !i.live() {
			continue
		}
		if _, known := stored[i.method]; !known && !strings.HasPrefix(i.method, "braintree.") {
			order = append(order, i.method)
		}
		stored[i.method] = append(stored[i.method], s.customerRow(i))
	}
	data := []any{}
	for _, method := range order {
		rows := stored[method]
		if rows == nil {
			rows = []any{}
		}
		data = append(data, map[string]any{
			"id": method, "name": method, "test_mode": true, "type": "card", "stored_instruments": rows,
			"supported_instruments": []any{
				map[string]any{"instrument_type": "VISA", "verification_value_required": true},
				map[string]any{"instrument_type": "STORED_CARD", "verification_value_required": s.opts.CVVRequired},
			},
		})
	}
	writeJSON(c.w, http.StatusOK, map[string]any{"data": data, "meta": map[string]any{}})
}

// paymentAccess is POST /payments/access_tokens.
func (s *server) paymentAccess(c call) {
	v, _ := decode(c.body)
	members, _ := v.(map[string]any)
	o := object{members: members, errs: map[string]string{}}
	id := 0
	if order, ok := o.child("order", true); ok {
		id = order.integer("id")
		order.boolean("is_recurring")
	}
	if len(o.errs) > 0 {
		writeError(c.w, http.StatusUnprocessableEntity, notValid, o.errs)
		return
	}
	if _, ok := s.order(id); !ok {
		writePaymentError(c.w, http.StatusNotFound, 30003, "The order was not found")
		return
	}
	token := randomHex(8) + "." + randomHex(24) + "." + randomHex(16)
	s.pats[token] = &access{order: id, expires: s.opts.Now().Add(time.Hour)}
	writeJSON(c.w, http.StatusCreated, map[string]any{"data": map[string]any{"id": token}, "meta": map[string]any{}})
}

// serveCharge is POST /stores/{hash}/payments of the payments host, here on the
// same server. It takes stored instruments only.
func (s *server) serveCharge(c call) {
	pat, ok := s.pats[strings.TrimPrefix(c.r.Header.Get("Authorization"), "PAT ")]
	switch {
	case c.r.Method != http.MethodPost:
		writeError(c.w, http.StatusMethodNotAllowed, "Method Not Allowed", nil)
	case !ok || !strings.HasPrefix(c.r.Header.Get("Authorization"), "PAT "):
		writePaymentError(c.w, http.StatusUnauthorized, 30102, "The payment access token is not valid")
	case c.r.Header.Get("Accept") != chargeAccept:
		writeError(c.w, http.StatusNotAcceptable, "Not Acceptable", nil)
	case pat.used:
		writePaymentError(c.w, http.StatusUnprocessableEntity, 30105, "The payment access token was used")
	case s.opts.Now().After(pat.expires):
		writePaymentError(c.w, http.StatusUnprocessableEntity, 30103, "The payment access token is expired")
	default:
		s.charge(c, pat)
	}
}

func (s *server) charge(c call, pat *access) {
	v, _ := decode(c.body)
	members, _ := v.(map[string]any)
	o := object{members: members, errs: map[string]string{}}
	var method, kind, token, cvv string
	if payment, ok := o.child("payment", true); ok {
		method = payment.text("payment_method_id", true)
		if i, ok := payment.child("instrument", true); ok {
			kind, token, cvv = i.text("type", true), i.text("token", true), i.text("verification_value", false)
			if len(token) != 64 {
				i.fail("token", notAccepted)
			}
		}
	}
	if len(o.errs) > 0 {
		writeError(c.w, http.StatusUnprocessableEntity, notValid, o.errs)
		return
	}
	ins := s.find(token)
	if ins == nil || ins.customer != pat.order || ins.method != method || chargeWord(ins.kind) != kind {
		writePaymentError(c.w, http.StatusUnprocessableEntity, 30051, "The stored instrument was not found")
		return
	}
	if s.opts.CVVRequired && kind == "stored_card" && cvv == "" {
		writePaymentError(c.w, http.StatusUnprocessableEntity, 10001, "verification_value is required")
		return
	}
	pat.used = true
	c.committed()
	writeJSON(c.w, http.StatusCreated, map[string]any{
		"data": map[string]any{"id": randomHex(16), "transaction_type": "purchase", "status": "success"},
	})
}
