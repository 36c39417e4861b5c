package bigcommerce_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/normalize"
)

func TestCharge(t *testing.T) {
	t.Parallel()
	a, s := sandbox(t, bigcommercetest.Options{})
	for kind, word := range map[normalize.Type]string{
		normalize.TypeCard: "stored_card", normalize.TypePayPal: "stored_paypal_account", normalize.TypeBankAccount: "stored_bank_account",
	} {
		require.Equal(t, map[string]any{
			"payment_method_id": "braintree.credit_card",
			"instrument":        map[string]any{"type": word, "token": token},
			"cvv_required":      nil,
			"host":              "payments.bigcommerce.com",
			"accept":            "application/vnd.bc.v1+json",
		}, members(t, a.Charge(reference(), kind)))
	}
	got := members(t, a.Charge(normalize.References{"customer": "1", "token": token}, normalize.TypeOther))
	require.Nil(t, got["payment_method_id"], "an adopted instrument's method is not known")
	require.Equal(t, map[string]any{"token": token}, got["instrument"])
	require.Empty(t, s.State().Requests)
}

// members is what a charge looks like to whoever gets it.
func members(t *testing.T, charge any) map[string]any {
	t.Helper()
	text, err := json.Marshal(charge)
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

// TestChargeIsEnough pays an order at the stand-in with nothing but what Charge
// and PaymentMethods return.
func TestChargeIsEnough(t *testing.T) {
	t.Parallel()
	s := bigcommercetest.New(bigcommercetest.Options{CVVRequired: true})
	base := serve(t, s)
	a := open(t, base, bigcommercetest.DefaultAccessToken, nil)
	created := mustCreate(t, a, cardSource(0))[0]

	methods, err := a.PaymentMethods(t.Context(), customer) // order 42 is customer 42's there
	require.NoError(t, err)
	require.Equal(t, "braintree.credit_card", methods[0].ID)
	require.Equal(t, []string{created.References["token"]}, methods[0].Tokens)
	require.NotNil(t, methods[0].CVVRequired)
	require.True(t, *methods[0].CVVRequired)

	post := func(path, header, value, accept string, body any) (int, map[string]any) {
		b, err := json.Marshal(body)
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, bytes.NewReader(b))
		require.NoError(t, err)
		req.Header.Set(header, value)
		req.Header.Set("Accept", accept)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		var out map[string]any
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&out))
		return resp.StatusCode, out
	}
	status, pat := post("/stores/sandbox/v3/payments/access_tokens", "X-Auth-Token", "sandbox-token", "application/json",
		map[string]any{"order": map[string]any{"id": 42}})
	require.Equal(t, 201, status)
	data, ok := pat["data"].(map[string]any)
	require.True(t, ok)
	bearer, ok := data["id"].(string)
	require.True(t, ok)

	charge := members(t, a.Charge(created.References, created.Type))
	instrument, ok := charge["instrument"].(map[string]any)
	require.True(t, ok)
	accept, ok := charge["accept"].(string)
	require.True(t, ok)
	pay := func() (int, map[string]any) {
		return post("/stores/sandbox/payments", "Authorization", "PAT "+bearer, accept,
			map[string]any{"payment": map[string]any{"instrument": instrument, "payment_method_id": charge["payment_method_id"]}})
	}
	status, _ = pay()
	require.Equal(t, 422, status, "the security code is required")
	instrument["verification_value"] = "123"
	status, _ = pay()
	require.Equal(t, 201, status)
	status, out := pay()
	require.Equal(t, 422, status, "an access token is used once")
	require.InDelta(t, 30105, out["code"], 0)
}

func TestPaymentMethods(t *testing.T) {
	t.Parallel()
	a, _ := answering(t, 200, `{"data":[{"id":"a.b","name":"A","type":"card","test_mode":true,"supported_instruments":[
		{"instrument_type":"VISA","verification_value_required":true},{"instrument_type":"STORED_CARD","verification_value_required":false}],
		"stored_instruments":[{"token":"one"},{"token":null}]},{"id":"c.d","supported_instruments":[{"instrument_type":"STORED_CARD"}]},{}]}`)
	got, err := a.PaymentMethods(t.Context(), "215")
	require.NoError(t, err)
	no := false
	require.Equal(t, []bigcommerce.PaymentMethod{
		{ID: "a.b", Name: "A", Type: "card", TestMode: true, CVVRequired: &no, Tokens: []string{"one"}}, {ID: "c.d"}, {},
	}, got)
	_, err = a.PaymentMethods(t.Context(), "../x")
	requireError(t, err, normalize.InvalidField, normalize.NotSent)

	a, _ = answering(t, 404, `{"status":404,"title":"x","type":"y","code":30003,"detail":"z"}`)
	_, err = a.PaymentMethods(t.Context(), "215")
	requireError(t, err, normalize.NotFound, normalize.Rejected)
	require.Equal(t, "30003", errorOf(t, err).ProviderCode)
	a, _ = answering(t, 200, `{}`)
	_, err = a.PaymentMethods(t.Context(), "215")
	requireError(t, err, normalize.ProviderBadResponse, normalize.Unknown)
}

func TestAvailableMethods(t *testing.T) {
	t.Parallel()
	a, _ := sandbox(t, bigcommercetest.Options{})
	got, err := a.AvailableMethods(t.Context(), "EUR")
	require.NoError(t, err)
	require.Equal(t, []bigcommerce.AvailableMethod{
		{ID: "braintree.credit_card", Name: "Credit card", Type: "credit_card", SupportedInstruments: []string{"tokenized_card"}},
		{ID: "braintree.paypal", Name: "PayPal", Type: "paypal_account", SupportedInstruments: []string{"tokenized_paypal_account"}},
	}, got)
	_, err = a.AvailableMethods(t.Context(), "euro")
	requireError(t, err, normalize.InvalidField, normalize.NotSent)
}
