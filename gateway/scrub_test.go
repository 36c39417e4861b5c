package gateway

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// What a provider says of an instrument comes in without what looks like a card number,
// whichever member it is in; its references come in as they are.
func TestScrub(t *testing.T) {
	t.Parallel()
	const number = "4111 1111-11111111"
	told := adapters.Instrument{
		References: normalize.References{"instrument": "4111111111111111"}, ProviderStatus: number, Version: number,
		Card:        &normalize.Card{Brand: normalize.Visa, BIN: "4111111111111111", Last4: number, IssuerCountry: number, IssuerName: number, ExpMonth: 12},
		BankAccount: &normalize.BankAccount{Last4: number, RoutingNumber: number, BankName: number, Country: number},
		PayPal:      &normalize.PayPal{Email: "4111111111111111@example.com"},
		BillingAddress: &normalize.Address{
			FirstName: number, LastName: number, Company: number, Line1: number, Line2: number, City: number, Region: number,
			PostalCode: number, Country: "US", Email: number, Phone: number,
		},
	}
	page := adapters.Page{Items: []adapters.Instrument{told, told}}
	scrub(&told)
	scrub(&page)
	for _, ins := range append(page.Items, told) {
		require.Equal(t, "4111111111111111", ins.References["instrument"])
		ins.References = nil
		b, err := json.Marshal(ins)
		require.NoError(t, err)
		require.False(t, normalize.ContainsCardNumber(string(b)), "%s", b)
		require.Equal(t, normalize.Card{Brand: normalize.Visa, ExpMonth: 12}, *ins.Card)
		require.Equal(t, normalize.Address{Country: "US"}, *ins.BillingAddress)
	}
}

// What holds no card number stays as it is, and a read pays nothing for it.
func TestScrubLeavesTheRest(t *testing.T) { // not parallel: it counts allocations
	plain := func() adapters.Instrument {
		return adapters.Instrument{
			ProviderStatus: "ACTIVE", Version: `"1732190000000123456"`, Card: &normalize.Card{BIN: "411111", Last4: "1111", IssuerName: "Bank 24"},
			BillingAddress: &normalize.Address{Line1: "12 Analytical Way", PostalCode: "78701", Phone: "+4111111111111"},
		}
	}
	same := plain()
	same.Version = "W/2026-11-21"
	kept := same
	scrub(&same)
	require.Equal(t, kept, same)
	require.Zero(t, testing.AllocsPerRun(100, func() { scrub(&same) }))
	odd := plain()
	scrub(&odd)
	require.Equal(t, plain(), odd, "long numbers that are no scheme's")
}

func TestScrubErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("malformed HTTP response \"4111111111111111\"")
	err := named("p", &normalize.Error{
		Code: normalize.ProviderError, Outcome: normalize.Unknown, Msg: "the provider failed", ProviderCode: "4111-1111-1111-1111", RequestID: "id.4111111111111111", Err: cause,
	})
	require.False(t, normalize.ContainsCardNumber(err.Error()), "%v", err)
	var e *normalize.Error
	require.ErrorAs(t, err, &e)
	require.Empty(t, e.ProviderCode+e.RequestID)
	require.NotErrorIs(t, err, cause)
	require.False(t, normalize.ContainsCardNumber(named("p", cause).Error()), "an error that no adapter classified")
	fine := errors.New("connection reset")
	require.ErrorIs(t, named("p", &normalize.Error{Code: normalize.ProviderError, Err: fine, RequestID: "r-1"}), fine)
}

// A provider that stored a card under its number is not believed: what it calls the
// instrument may not be written down.
func TestAnAnswerThatNamesACardByItsNumber(t *testing.T) {
	t.Parallel()
	src := normalize.Source{Type: normalize.SourceCard, Card: &normalize.CardSource{Number: normalize.NewSecret("4111111111111111")}}
	for name, ins := range map[string]adapters.Instrument{
		"as a reference": {References: normalize.References{"customer": "c", "instrument": "4111111111111111"}},
		"as a customer":  {Customer: "4111111111111111"},
		"as an identity": {Identity: "4111111111111111"},
	} {
		out, err := withoutNumber(ins, &src)
		require.Equal(t, adapters.Instrument{}, out, name)
		require.Equal(t, normalize.Unknown, normalize.OutcomeOf(err), name)
		require.NotContains(t, err.Error(), "4111111111111111")
	}
	token := adapters.Instrument{References: normalize.References{"instrument": "4242424242424242"}}
	out, err := withoutNumber(token, &src)
	require.NoError(t, err, "a token that only looks like a card")
	require.Equal(t, token, out)
	_, err = withoutNumber(token, &normalize.Source{Type: normalize.SourceRebillyToken})
	require.NoError(t, err)
	_, err = withoutNumber(token, nil)
	require.NoError(t, err)
}

// Without the key nobody can tell which card a fingerprint is of, or which key an id.
func TestFingerprintsAndIDsAreKeyed(t *testing.T) {
	t.Parallel()
	one, other := ReferenceKey{ID: "k1", Secret: []byte(strings.Repeat("1", 32))}, ReferenceKey{ID: "k2", Secret: []byte(strings.Repeat("2", 32))}
	const card = "card 4111111111111111"
	again := one
	require.Equal(t, one.fingerprint(card), again.fingerprint(card))
	require.NotEqual(t, one.fingerprint(card), other.fingerprint(card))
	require.NotEqual(t, one.instrumentID("t", "k"), other.instrumentID("t", "k"))
	require.NotEqual(t, one.instrumentID("t", "k"), one.instrumentID("u", "k"), "of each tenant")
	require.NotEqual(t, one.customerKey("t", "c"), one.customerKey("u", "c"))
	require.ErrorContains(t, Keys{{ID: "k", Secret: []byte("short")}}.Validate(), "32 bytes")
	require.ErrorContains(t, Keys{one, one}.Validate(), "used twice")
}
