package bigcommerce_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/normalize"
)

func TestCreateReadsTheResultOfTheImport(t *testing.T) {
	t.Parallel()
	const failed = `"errors":[{"status":422,"title":"x","type":"y","errors":{"0.instrument.last_4":"z"}}]`
	tests := []struct {
		name, answer string
		code         normalize.Code // "" for success
		outcome      normalize.Outcome
		pointer      string
	}{
		{name: "imported", answer: `200 {"data":[` + cardRow + `],"errors":[],"meta":{"total":1,"success":1,"failed":0}}`},
		{name: "imported without meta", answer: `200 {"data":[` + cardRow + `]}`},
		{name: "a success in a 422 is one", answer: `422 {"data":[` + cardRow + `],` + failed + `,"meta":{"total":2,"success":1,"failed":1}}`},
		{
			"the item failed", `422 {"data":[],` + failed + `,"meta":{"total":1,"success":0,"failed":1}}`,
			normalize.InvalidField, normalize.Rejected, "/source/last4",
		},
		{
			"the item failed, its error is an object", `422 {"errors":{"status":422,"title":"x","errors":{"[0].customer_id":"z"}},"meta":{"failed":1}}`,
			normalize.InvalidField, normalize.Rejected, "/customer_id",
		},
		{
			"the whole request failed", `422 {"status":422,"title":"x","type":"y","errors":{"billing_address.country_code":"z"}}`,
			normalize.InvalidField, normalize.Rejected, "/billing_address/country",
		},
		{
			"the item failed in a 200", `200 {"data":[],` + failed + `,"meta":{"total":1,"success":0,"failed":1}}`,
			normalize.InvalidField, normalize.Rejected, "/source/last4",
		},
		{
			"the item conflicts", `422 {"data":[],"errors":[{"status":409,"title":"x"}]}`,
			normalize.Conflict, normalize.Rejected, "",
		},
		{
			"the item met a failure of the provider", `422 {"data":[],"errors":[{"status":500,"title":"x"}]}`,
			normalize.ProviderError, normalize.Unknown, "",
		},
		{"imported, but not shown", `422 {"data":[],` + failed + `,"meta":{"total":1,"success":1,"failed":0}}`, normalize.ProviderBadResponse, normalize.Unknown, ""},
		{"imported, without a token", `200 {"data":[{"type":"credit_card"}]}`, normalize.ProviderBadResponse, normalize.Unknown, ""},
		{"imported, for another customer", `200 {"data":[{"customer_id":7,"token":"abc","type":"credit_card"}]}`, normalize.ProviderBadResponse, normalize.Unknown, ""},
		{"nothing at all", `200 {"data":[]}`, normalize.ProviderBadResponse, normalize.Unknown, ""},
		{"no body", `204 `, normalize.ProviderBadResponse, normalize.Unknown, ""},
		{"a 422 that is not the provider's", `422 <html>`, normalize.ProviderBadResponse, normalize.Unknown, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, _ := sequence(t, tt.answer)
			got, err := a.Create(t.Context(), createInput(cardSource(111)))
			if tt.code == "" {
				require.NoError(t, err)
				require.Equal(t, reference(), got.References)
				return
			}
			requireError(t, err, tt.code, tt.outcome)
			e := errorOf(t, err)
			if tt.pointer != "" {
				require.Len(t, e.Fields, 1)
				require.Equal(t, tt.pointer, e.Fields[0].Pointer)
			}
		})
	}
}

func TestCreateRefusesBeforeSending(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		change  func(in *adapters.CreateInput)
		code    normalize.Code
		pointer string
	}{
		{"a raw card", func(in *adapters.CreateInput) {
			in.Source = normalize.Source{Type: normalize.SourceCard, Card: &normalize.CardSource{Number: normalize.NewSecret("4111111111111111")}}
		}, normalize.UnsupportedSource, "/source/type"},
		{"a source without its member", func(in *adapters.CreateInput) { in.Source.VaultedToken = nil }, normalize.UnsupportedSource, "/source/type"},
		{"a customer that is no integer", func(in *adapters.CreateInput) { in.Customer = "cus_1" }, normalize.InvalidField, "/customer_id"},
		{"no customer", func(in *adapters.CreateInput) { in.Customer = "" }, normalize.InvalidField, "/customer_id"},
		{"no billing address", func(in *adapters.CreateInput) { in.BillingAddress = nil }, normalize.MissingField, "/billing_address"},
		{"an empty billing address", func(in *adapters.CreateInput) { in.BillingAddress = &normalize.Address{} }, normalize.MissingField, "/billing_address"},
		{"no vault token", func(in *adapters.CreateInput) { in.Source.VaultedToken.VaultToken = normalize.Secret{} }, normalize.MissingField, "/source/vault_token"},
		{"no payment method", func(in *adapters.CreateInput) { in.Source.VaultedToken.PaymentMethodID = "" }, normalize.MissingField, "/source/payment_method_id"},
		{"no currency", func(in *adapters.CreateInput) { in.Source.VaultedToken.Currency = "" }, normalize.MissingField, "/source/currency"},
		{"an unknown type", func(in *adapters.CreateInput) { in.Source.VaultedToken.InstrumentType = normalize.TypeOther }, normalize.InvalidField, "/source/instrument_type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, s := sandbox(t, bigcommercetest.Options{})
			in := createInput(cardSource(0))
			tt.change(&in)
			_, err := a.Create(t.Context(), in)
			requireError(t, err, tt.code, normalize.NotSent)
			e := errorOf(t, err)
			require.Len(t, e.Fields, 1)
			require.Equal(t, tt.pointer, e.Fields[0].Pointer)
			require.Equal(t, tt.code, e.Fields[0].Code)
			require.Empty(t, s.State().Requests)
		})
	}
}

func TestCreateAtTheStore(t *testing.T) {
	t.Parallel()
	t.Run("what the store refuses is named in each of the forms that its errors have", func(t *testing.T) {
		t.Parallel()
		for _, index := range []bigcommercetest.ErrorIndex{bigcommercetest.IndexDotted, bigcommercetest.IndexBracketed, bigcommercetest.IndexNone} {
			for _, single := range []bool{false, true} {
				a, s := sandbox(t, bigcommercetest.Options{ErrorIndex: index, SingleError: single})
				in := createInput(cardSource(0))
				in.Customer = "101"
				in.Source.VaultedToken.ExpMonth = 13
				in.BillingAddress.Country = "XX"
				_, err := a.Create(t.Context(), in)
				requireError(t, err, normalize.InvalidField, normalize.Rejected)
				e := errorOf(t, err)
				var pointers []string
				for _, f := range e.Fields {
					pointers = append(pointers, f.Pointer)
				}
				require.ElementsMatch(t, []string{"/customer_id", "/source/exp_month", "/billing_address/country"}, pointers)
				require.Empty(t, s.State().Instruments)
			}
		}
	})
	t.Run("a duplicate is another instrument, or refused, as the store likes", func(t *testing.T) {
		t.Parallel()
		a, s := sandbox(t, bigcommercetest.Options{})
		mustCreate(t, a, cardSource(0), cardSource(0))
		require.Len(t, s.State().Instruments, 2)

		a, s = sandbox(t, bigcommercetest.Options{RejectDuplicates: true})
		mustCreate(t, a, cardSource(0))
		_, err := a.Create(t.Context(), createInput(cardSource(0)))
		requireError(t, err, normalize.InvalidField, normalize.Rejected)
		e := errorOf(t, err)
		require.Equal(t, "/source/vault_token", e.Fields[0].Pointer)
		require.Len(t, s.State().Instruments, 1)
	})
	t.Run("the address of what shows none is the one that was sent", func(t *testing.T) {
		t.Parallel()
		a, _ := sandbox(t, bigcommercetest.Options{})
		for _, source := range []normalize.Source{payPalSource("a@example.com"), bankSource("12XXX56")} {
			got := mustCreate(t, a, source)[0]
			require.Equal(t, billing(), got.BillingAddress)
		}
	})
	t.Run("an instrument is read with what no read shows", func(t *testing.T) {
		t.Parallel()
		for _, o := range []bigcommercetest.Options{{}, {StringNumbers: true}, {EnvelopedCustomers: true}} {
			a, _ := sandbox(t, o)
			created := mustCreate(t, a, cardSource(0), payPalSource("a@example.com"), bankSource("12XXX56"))
			for _, want := range created {
				got, err := a.Get(t.Context(), want.References)
				require.NoError(t, err)
				require.Equal(t, want.References, got.References)
				require.Equal(t, "braintree", got.References["payment_method_id"][:9])
				require.Equal(t, want.Card, got.Card)
				require.Equal(t, want.PayPal, got.PayPal)
				require.Equal(t, want.BankAccount, got.BankAccount)
			}
		}
	})
	t.Run("an instrument of another customer is not found", func(t *testing.T) {
		t.Parallel()
		for _, o := range []bigcommercetest.Options{{}, {UnknownCustomer404: true}} {
			a, _ := sandbox(t, o)
			ref := mustCreate(t, a, cardSource(0))[0].References
			for _, other := range []string{"7", "4711"} {
				ref["customer"] = other
				_, err := a.Get(t.Context(), ref)
				requireError(t, err, normalize.NotFound, normalize.Rejected)
			}
		}
	})
	t.Run("over the quota nothing is executed and the error says when it will be", func(t *testing.T) {
		t.Parallel()
		a, s := sandbox(t, bigcommercetest.Options{Quota: 2})
		mustCreate(t, a, cards(2)...)
		_, err := a.Create(t.Context(), createInput(cardSource(3)))
		requireError(t, err, normalize.ProviderRateLimited, normalize.NotSent)
		e := errorOf(t, err)
		require.Positive(t, e.RetryAfter)
		require.Len(t, s.State().Instruments, 2)
		require.Regexp(t, `^[0-9a-f]{32}$`, e.RequestID)
	})
}

func TestErrorsDoNotLeak(t *testing.T) {
	t.Parallel()
	quote := `{"status":422,"title":"vault-token-0111 4111111111111111 sandbox-token","errors":{"0.instrument.vault_token":"vault-token-0111","vault-token-0111":"x"}}`
	for _, status := range []int{400, 401, 403, 404, 409, 422, 429, 500, 503} {
		a, _ := sequence(t, fmt.Sprintf("%d %s", status, quote))
		_, err := a.Create(t.Context(), createInput(cardSource(111)))
		require.Error(t, err)
		for _, secret := range []string{"vault-token-0111", "4111111111111111", bigcommercetest.DefaultAccessToken} {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), secret)
		}
	}
}
