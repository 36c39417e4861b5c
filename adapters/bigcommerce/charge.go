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

// Charge implements [adapters.Charger]: the members of POST
// https://payments.bigcommerce.com/stores/{store_hash}/payments, which also needs
// a payment access token of the order. Whether the security code is required is
// known of an order only (see [Adapter.PaymentMethods]): null.
func (*Adapter) Charge(ref normalize.References, t normalize.Type) map[string]any {
	instrument := map[string]any{"token": ref[refToken]}
	if _, word := typeNames(t); word != "" {
		instrument["type"] = word
	}
	out := map[string]any{
		"payment_method_id": nil, "instrument": instrument, "cvv_required": nil, "host": chargeHost, "accept": chargeAccept,
	}
	if method := ref[refPaymentMethod]; method != "" {
		out["payment_method_id"] = method
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
