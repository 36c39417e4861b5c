package bigcommerce_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/normalize"
)

// addresses draws any address that the gateway lets through, and at least one member.
func addresses() *rapid.Generator[normalize.Address] {
	return rapid.Custom(func(t *rapid.T) normalize.Address {
		words := func(label string, limit int) string {
			return rapid.OneOf(rapid.Just(""), rapid.StringOfN(rapid.RuneFrom([]rune("aZ é王ñ'\"<&>\\/-.0")), 1, limit, -1)).Draw(t, label)
		}
		return normalize.Address{
			FirstName: words("first_name", 45), LastName: words("last_name", 45), Company: words("company", 60),
			Line1: "1 " + words("line1", 50), Line2: words("line2", 60), City: words("city", 45),
			Region:     rapid.SampledFrom([]string{"", "TX", "NSW", "13", "Bayern", "texas", "Île-de-France", "X Y"}).Draw(t, "region"),
			PostalCode: rapid.SampledFrom([]string{"", "78701", "K1A 0B1", "01234-5678"}).Draw(t, "postal_code"),
			Country:    rapid.SampledFrom([]string{"", "US", "DE", "ZW"}).Draw(t, "country"),
			Email:      rapid.SampledFrom([]string{"", "a@example.com"}).Draw(t, "email"),
			Phone:      rapid.SampledFrom([]string{"", "+1 512 555 0100"}).Draw(t, "phone"),
		}
	})
}

// vaulted draws any vaulted token that the gateway lets through.
func vaulted() *rapid.Generator[normalize.Source] {
	return rapid.Custom(func(t *rapid.T) normalize.Source {
		v := &normalize.VaultedTokenSource{
			PaymentMethodID:    rapid.SampledFrom([]string{"braintree.credit_card", "stripe.card", "adyenv2.scheme"}).Draw(t, "payment_method_id"),
			Currency:           rapid.SampledFrom([]string{"USD", "EUR", "JPY"}).Draw(t, "currency"),
			VaultToken:         normalize.NewSecret(rapid.StringMatching(`[A-Za-z0-9._~@=+/-]{1,40}`).Draw(t, "vault_token")),
			ProviderCustomerID: rapid.StringMatching(`[A-Za-z0-9_-]{1,20}`).Draw(t, "provider_customer_id"),
			InstrumentType:     rapid.SampledFrom([]normalize.Type{normalize.TypeCard, normalize.TypePayPal, normalize.TypeBankAccount}).Draw(t, "type"),
		}
		switch v.InstrumentType {
		case normalize.TypeCard:
			v.Brand = rapid.SampledFrom(normalize.Brands()).Draw(t, "brand")
			v.BIN = rapid.StringMatching(`([0-9]{6})?`).Draw(t, "bin")
			v.Last4 = rapid.StringMatching(`[0-9]{4}`).Draw(t, "last4")
			v.ExpMonth = rapid.IntRange(1, 12).Draw(t, "exp_month")
			v.ExpYear = rapid.IntRange(2000, 2099).Draw(t, "exp_year")
		case normalize.TypePayPal:
			v.Email = rapid.StringMatching(`[a-z]{1,10}@[a-z]{1,10}\.com`).Draw(t, "email")
		default:
			v.Issuer = rapid.SampledFrom([]string{"", "DE001", "Bank of Ñandú"}).Draw(t, "issuer")
			v.MaskedAccountNumber = rapid.StringMatching(`[0-9]{0,4}[X*]{1,10}[0-9]{0,6}`).Draw(t, "masked_account_number")
		}
		return normalize.Source{Type: normalize.SourceVaultedToken, VaultedToken: v}
	})
}

// expect is the instrument that a source must become.
func expect(t *rapid.T, s normalize.VaultedTokenSource, got adapters.Instrument) {
	require.Equal(t, s.InstrumentType, got.Type)
	require.Equal(t, s.PaymentMethodID, got.References["payment_method_id"])
	require.Equal(t, s.ProviderCustomerID, got.References["vault_customer"])
	switch s.InstrumentType {
	case normalize.TypeCard:
		require.Equal(t, &normalize.Card{Brand: s.Brand, BIN: s.BIN, Last4: s.Last4, ExpMonth: s.ExpMonth, ExpYear: s.ExpYear}, got.Card)
	case normalize.TypePayPal:
		require.Equal(t, &normalize.PayPal{Email: s.Email}, got.PayPal)
	default:
		require.Equal(t, s.Issuer, got.BankAccount.BankName)
		_, tail := normalize.ParseMask(s.MaskedAccountNumber)
		require.Equal(t, tail[max(0, len(tail)-4):], got.BankAccount.Last4)
	}
}

// TestRoundTrip: what is sent to the store comes back the same from each of the
// four places that show it: the import, the customer's list, everybody's list,
// and an update.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]bigcommercetest.Options{"integers": {}, "integers as strings": {StringNumbers: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := sandbox(t, o)
			rapid.Check(t, func(rt *rapid.T) {
				s.Reset()
				source, address := vaulted().Draw(rt, "source"), addresses().Draw(rt, "address")
				in := adapters.CreateInput{
					Customer: strconv.Itoa(rapid.IntRange(1, 100).Draw(rt, "customer")), Source: source,
					BillingAddress: &address, Default: rapid.Bool().Draw(rt, "default"),
				}
				created, err := a.Create(t.Context(), in)
				require.NoError(rt, err)
				expect(rt, *source.VaultedToken, created)
				require.Equal(rt, in.Customer, created.Customer)
				require.Equal(rt, in.Default, created.Default)
				require.Equal(rt, &address, created.BillingAddress)

				shown := created
				if created.Type != normalize.TypeCard {
					shown.BillingAddress = nil // of the others no read shows it
				}
				read, err := a.Get(t.Context(), created.References)
				require.NoError(rt, err)
				require.Equal(rt, shown, read)

				shown.References = normalize.References{"customer": in.Customer, "token": created.References["token"]}
				for _, customer := range []string{in.Customer, ""} {
					page, err := a.List(t.Context(), adapters.ListInput{Customer: customer})
					require.NoError(rt, err)
					require.Equal(rt, []adapters.Instrument{shown}, page.Items)
				}

				moved := addresses().Draw(rt, "new address")
				updated, err := a.Update(t.Context(), created.References, adapters.UpdateInput{BillingAddress: &moved})
				require.NoError(rt, err)
				created.BillingAddress = &moved
				require.Equal(rt, created, updated)
				if created.Type == normalize.TypeCard {
					read, err = a.Get(t.Context(), created.References)
					require.NoError(rt, err)
					require.Equal(rt, created, read)
				}
			})
		})
	}
}

// TestPartialBulkDelete: of any batch, over any kind of store, what DeleteMany
// calls deleted is gone, and nothing else is.
func TestPartialBulkDelete(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a, s := sandbox(t, bigcommercetest.Options{
			StopDeleteAtError: rapid.Bool().Draw(rt, "stop at error"), BareDelete404: rapid.Bool().Draw(rt, "bare 404"),
			SingleError: rapid.Bool().Draw(rt, "single error"), MaxDelete: rapid.SampledFrom([]int{1, 2, 5, 50}).Draw(rt, "max delete"),
			Lag: rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(rt, "lag"), Quota: rapid.SampledFrom([]int{0, 0, 30, 40}).Draw(rt, "quota"),
		})
		created := mustCreate(t, a, cards(12)...)
		var refs []normalize.References
		asked := map[string]bool{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 23), 0, 40).Draw(rt, "batch") { // above 11: never existed
			ref := missing(n)
			if n < len(created) {
				ref = created[n].References
			}
			refs = append(refs, ref)
			asked[ref["token"]] = true
		}
		errs := a.DeleteMany(t.Context(), refs)
		require.Len(rt, errs, len(refs))
		live := liveTokens(s)
		for i, err := range errs {
			if err == nil {
				require.NotContains(rt, live, refs[i]["token"], "reported as deleted")
			}
			if normalize.OutcomeOf(err) == normalize.NotSent {
				known := slices.ContainsFunc(created, func(c adapters.Instrument) bool { return c.References["token"] == refs[i]["token"] })
				require.Equal(rt, known, slices.Contains(live, refs[i]["token"]), "reported as not sent")
			}
		}
		for _, c := range created {
			if !asked[c.References["token"]] {
				require.Contains(rt, live, c.References["token"], "nobody asked for it")
			}
		}
	})
}
