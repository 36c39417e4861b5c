package bigcommerce

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// Where and how a stored instrument is charged. Source: payments.v3.
const (
	chargeHost   = "payments.bigcommerce.com"
	chargeAccept = "application/vnd.bc.v1+json"
)

// Charge is what a payment with a stored instrument needs: the members of POST
// https://HOST/stores/{store_hash}/payments, and where and how that is sent. The
// call also needs a payment access token of the order.
type Charge struct {
	PaymentMethodID *string          `json:"payment_method_id"` // null for an instrument that was adopted: no read shows it
	Instrument      ChargeInstrument `json:"instrument"`
	// CVVRequired says whether the security code must be sent again. It is known of
	// an order only (see [Adapter.PaymentMethods]), so that it is null here.
	CVVRequired *bool  `json:"cvv_required"`
	Host        string `json:"host"`
	Accept      string `json:"accept"` // the Accept header that the call must have
}

// ChargeInstrument names a stored instrument in a payment.
type ChargeInstrument struct {
	Type  string `json:"type,omitempty"` // "stored_card", …; "" if the type is not known
	Token string `json:"token"`
}

// Charge implements [adapters.Charger] with a [Charge].
func (*Adapter) Charge(ref normalize.References, t normalize.Type) any {
	_, word := typeNames(t)
	out := Charge{Instrument: ChargeInstrument{Type: word, Token: ref[refToken]}, Host: chargeHost, Accept: chargeAccept}
	if method := ref[refPaymentMethod]; method != "" {
		out.PaymentMethodID = &method
	}
	return out
}

// PaymentMethod is a way to pay an order, as the charge needs it.
type PaymentMethod struct {
	ID          string // payment_method_id of the charge, e.g. "braintree.credit_card"
	Name        string
	Type        string // "card", …
	TestMode    bool
	CVVRequired *bool    // whether a stored card needs its security code again; nil if it is not told
	Tokens      []string // the stored instruments that the order's customer can pay with
}

// PaymentMethods returns how the order can be paid: which method a token belongs
// to and whether it needs the security code. orderID is a positive integer.
func (a *Adapter) PaymentMethods(ctx context.Context, orderID string) ([]PaymentMethod, error) {
	if !validID(orderID) {
		return nil, invalid(opMethods, normalize.FieldError{
			Pointer: "/order_id", Code: normalize.InvalidField, Message: "must be a positive integer",
		})
	}
	var rows []struct {
		ID        text `json:"id"`
		Name      text `json:"name"`
		Type      text `json:"type"`
		TestMode  flag `json:"test_mode"`
		Supported []struct {
			Type        text  `json:"instrument_type"`
			CVVRequired *flag `json:"verification_value_required"`
		} `json:"supported_instruments"`
		Stored []row `json:"stored_instruments"`
	}
	if err := a.methods(ctx, "/payments/methods", url.Values{"order_id": {orderID}}, &rows); err != nil {
		return nil, err
	}
	out := make([]PaymentMethod, 0, len(rows))
	for _, r := range rows {
		m := PaymentMethod{ID: string(r.ID), Name: string(r.Name), Type: string(r.Type), TestMode: bool(r.TestMode)}
		for _, s := range r.Supported {
			if strings.EqualFold(string(s.Type), "STORED_CARD") && s.CVVRequired != nil {
				required := bool(*s.CVVRequired)
				m.CVVRequired = &required
			}
		}
		for _, s := range r.Stored {
			if s.Token != "" {
				m.Tokens = append(m.Tokens, string(s.Token))
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// AvailableMethod is a payment method of the store that instruments can be imported for.
type AvailableMethod struct {
	ID                   string // payment_method_id of the import
	Name                 string
	Type                 string
	TestMode             bool
	SupportedInstruments []string // "raw_card", "tokenized_card", "tokenized_paypal_account"
}

// AvailableMethods returns the payment methods that the store has for a currency (ISO 4217).
func (a *Adapter) AvailableMethods(ctx context.Context, currency string) ([]AvailableMethod, error) {
	if !normalize.ValidCurrency(currency) {
		return nil, invalid(opMethods, normalize.FieldError{
			Pointer: "/currency", Code: normalize.InvalidField, Message: "must be an ISO 4217 currency code in upper case",
		})
	}
	var rows []struct {
		ID        text   `json:"method_id"`
		Name      text   `json:"name"`
		Type      text   `json:"type"`
		TestMode  flag   `json:"test_mode"`
		Supported []text `json:"supported_instruments"`
	}
	if err := a.methods(ctx, instrumentsPath+"/methods", url.Values{"currency_code": {currency}}, &rows); err != nil {
		return nil, err
	}
	out := make([]AvailableMethod, 0, len(rows))
	for _, r := range rows {
		m := AvailableMethod{ID: string(r.ID), Name: string(r.Name), Type: string(r.Type), TestMode: bool(r.TestMode)}
		for _, s := range r.Supported {
			m.SupportedInstruments = append(m.SupportedInstruments, string(s))
		}
		out = append(out, m)
	}
	return out, nil
}

// methods reads a data array into rows.
func (a *Adapter) methods(ctx context.Context, path string, query url.Values, rows any) error {
	resp, err := a.client.Do(ctx, rest.Request{Op: opMethods, Method: http.MethodGet, Path: path, Query: query.Encode()})
	if err != nil {
		return err
	}
	if !resp.OK() {
		return statusError(opMethods, resp)
	}
	var e envelope
	if json.Unmarshal(resp.Body, &e) != nil || len(e.Data) == 0 || json.Unmarshal(e.Data, rows) != nil {
		return badResponse(opMethods, resp, errNoData)
	}
	return nil
}
