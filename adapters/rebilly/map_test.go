package rebilly

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

func decode(t *testing.T, s string) adapters.Instrument {
	t.Helper()
	var w wireInstrument
	require.NoError(t, rest.Unmarshal([]byte(s), &w))
	return w.instrument()
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]normalize.Status{
		"active": normalize.StatusActive, "inactive": normalize.StatusActive, "expired": normalize.StatusExpired,
		"verification-needed": normalize.StatusVerificationNeeded, "deactivated": normalize.StatusDeactivated,
		"": normalize.StatusPending, "frozen": normalize.StatusPending, "Active": normalize.StatusPending,
	} {
		ins := decode(t, `{"status":"`+word+`"}`)
		require.Equal(t, want, ins.Status, word)
		require.Equal(t, word, ins.ProviderStatus)
	}
}

func TestTypeOf(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]normalize.Type{
		"payment-card": normalize.TypeCard, "ach": normalize.TypeBankAccount, "echeck": normalize.TypeBankAccount,
		"paypal": normalize.TypePayPal, "Khelocard": normalize.TypeOther, "cash": normalize.TypeOther,
		"PIX": normalize.TypeOther, "AstroPay Card": normalize.TypeOther, "": normalize.TypeOther, "tomorrow's": normalize.TypeOther,
	} {
		ins := decode(t, `{"method":"`+method+`"}`)
		require.Equal(t, want, ins.Type, method)
		require.Equal(t, want == normalize.TypeCard, ins.Card != nil)
		require.Equal(t, want == normalize.TypeBankAccount, ins.BankAccount != nil)
		require.Equal(t, want == normalize.TypePayPal, ins.PayPal != nil)
	}
}

func TestBrandOf(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]normalize.Brand{
		"Visa": normalize.Visa, "MasterCard": normalize.Mastercard, "Mastercard": normalize.Mastercard, "American Express": normalize.Amex,
		"Discover": normalize.Discover, "Diners Club": normalize.Diners, "JCB": normalize.JCB, "Maestro": normalize.Maestro,
		"China UnionPay": normalize.UnionPay, "Solo": normalize.BrandOther, "Electron": normalize.BrandOther, "Voyager": normalize.BrandOther,
		"Switch": normalize.BrandOther, "Laser": normalize.BrandOther, "AstroPay Card": normalize.BrandOther, "Moon Card": normalize.BrandOther,
	} {
		require.Equal(t, want, brandOf(word), word)
	}
	require.Equal(t, normalize.Amex, decode(t, `{"method":"payment-card","bin":"378282"}`).Card.Brand, "a missing brand is read off the BIN")
	require.Equal(t, normalize.BrandOther, decode(t, `{"method":"payment-card"}`).Card.Brand)
}

func TestAccountTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		normalized normalize.AccountType
		word       string
		back       normalize.AccountType
	}{
		{normalize.AccountChecking, "checking", normalize.AccountChecking},
		{normalize.AccountCorporateChecking, "checking", normalize.AccountChecking},
		{normalize.AccountSavings, "savings", normalize.AccountSavings},
		{normalize.AccountOther, "other", normalize.AccountOther},
		{"", "other", normalize.AccountOther},
	} {
		require.Equal(t, c.word, accountTypeWord(c.normalized))
		require.Equal(t, c.back, accountTypeOf(c.word))
	}
}

func TestReadingACard(t *testing.T) {
	t.Parallel()
	got := decode(t, `{"id":"inst_1","customerId":"cus_1","method":"payment-card","status":"inactive","fingerprint":"b7f2","bin":"411111",
		"last4":"1111","expYear":2030,"expMonth":12,"brand":"Visa","bankCountry":"US","bankName":"TEST BANK",
		"pan":"4111111111111111","cvv":"123",
		"billingAddress":{"firstName":"Ada","lastName":"Byron","organization":"Co","address":"1 Main St","address2":"F2","city":"Austin",
		"region":"TX","country":"US","postalCode":"78701","emails":[{"label":"x","value":"x@example.com"},{"label":"main","value":"ada@example.com","primary":true}],
		"phoneNumbers":[{"label":"main","value":"+15125550100"}],"hash":"0f3c"},
		"createdTime":"2026-01-01T00:00:00Z","updatedTime":"2026-01-02T01:00:00.5+01:00","revision":3,
		"_embedded":{"customer":{"id":"cus_1","defaultPaymentInstrument":{"method":"payment-card","paymentInstrumentId":"inst_1"}}}}`)
	require.Equal(t, adapters.Instrument{
		References: normalize.References{"instrument": "inst_1", "customer": "cus_1"}, Customer: "cus_1",
		Type: normalize.TypeCard, Status: normalize.StatusActive, ProviderStatus: "inactive", Default: true,
		Card: &normalize.Card{
			Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: 12, ExpYear: 2030, IssuerCountry: "US", IssuerName: "TEST BANK",
		},
		BillingAddress: &normalize.Address{
			FirstName: "Ada", LastName: "Byron", Company: "Co", Line1: "1 Main St", Line2: "F2", City: "Austin", Region: "TX",
			PostalCode: "78701", Country: "US", Email: "ada@example.com", Phone: "+15125550100",
		},
		Version:   "3",
		CreatedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), UpdatedAt: time.Date(2026, 1, 2, 0, 0, 0, 5e8, time.UTC),
	}, got)
	require.Empty(t, got.Identity, "two cards can share Rebilly's fingerprint")
}

func TestReadingWhatIsOdd(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/odd.json")
	require.NoError(t, err)
	got := decode(t, string(b))
	require.Equal(t, adapters.Instrument{
		References: normalize.References{"instrument": "inst_odd", "customer": "cus_odd"}, Customer: "cus_odd",
		Type: normalize.TypeCard, Status: normalize.StatusPending, ProviderStatus: "hibernating", Default: true,
		Card:           &normalize.Card{Brand: normalize.BrandOther, BIN: "411111", Last4: "1111", ExpMonth: 2, ExpYear: 2041, IssuerCountry: "US"},
		BillingAddress: &normalize.Address{LastName: "9", Email: "byron@example.com"},
		Version:        "12",
		CreatedAt:      time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}, got)
}

func TestReadingMoreDigitsThanAllowedShowsNoMore(t *testing.T) {
	t.Parallel()
	c := decode(t, `{"method":"payment-card","bin":"4111111111111111","last4":"4111111111111111"}`).Card
	require.Equal(t, "411111", c.BIN)
	require.Equal(t, "1111", c.Last4)
	c = decode(t, `{"method":"payment-card","bin":"4111","last4":"XX11","expMonth":13,"expYear":2040}`).Card
	require.Equal(t, normalize.Card{Brand: normalize.BrandOther}, *c)
}

func TestAnAddressOfNullsIsNone(t *testing.T) {
	t.Parallel()
	for _, s := range []string{`null`, `{}`, `{"firstName":null,"emails":[],"hash":"0f"}`, `"x"`, `[]`} {
		require.Nil(t, decode(t, `{"billingAddress":`+s+`}`).BillingAddress, s)
	}
}

func TestTheEmbeddedCustomer(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		`{"customer":{"defaultPaymentInstrument":{"paymentInstrumentId":"inst_1"}}}`:   true,
		`[{"customer":{"defaultPaymentInstrument":{"paymentInstrumentId":"inst_1"}}}]`: true,
		`{"customer":{"defaultPaymentInstrument":{"paymentInstrumentId":"inst_2"}}}`:   false,
		`{"customer":{"defaultPaymentInstrument":null}}`:                               false,
		`{"customer":{}}`: false, `{"customer":null}`: false, `[]`: false, `null`: false, `7`: false,
	} {
		require.Equal(t, want, decode(t, `{"id":"inst_1","_embedded":`+s+`}`).Default, s)
	}
	require.False(t, decode(t, `{"_embedded":{"customer":{"defaultPaymentInstrument":{}}}}`).Default, "no id is nobody's default")
}

func TestSplitName(t *testing.T) {
	t.Parallel()
	long := "Abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst" // 46
	for _, c := range []struct {
		holder, first, last string
		ok                  bool
	}{
		{"Ada", "Ada", "", true},
		{"Ada Byron", "Ada", "Byron", true},
		{"  Ada   Byron King ", "Ada", "Byron King", true},
		{"A B C D E F " + long[:38], "A B C", "D E F " + long[:38], true}, // more words go to the first name until the rest fits
		{long, "", "", false},
		{"A " + long, "", "", false},
		{"   ", "", "", true},
	} {
		first, last, ok := splitName(c.holder)
		require.Equal(t, c.ok, ok, c.holder)
		require.Equal(t, []string{c.first, c.last}, []string{first, last}, c.holder)
	}
}

func TestCharactersAboveTheBasicPlaneAreRefusedByName(t *testing.T) {
	t.Parallel()
	emoji := "a😀"
	a := normalize.Address{
		FirstName: emoji, LastName: emoji, Company: emoji, Line1: emoji, Line2: emoji, City: emoji, Region: emoji,
		PostalCode: emoji, Country: emoji, Email: emoji, Phone: emoji,
	}
	errs := checkAddress(&a)
	pointers := map[string]bool{}
	for _, e := range errs {
		require.Equal(t, normalize.InvalidField, e.Code)
		require.NotContains(t, e.Message, emoji)
		pointers[e.Pointer] = true
	}
	for _, name := range normalize.AddressMembers() {
		require.True(t, pointers["/billing_address/"+name], name)
	}
	require.Empty(t, checkAddress(&normalize.Address{FirstName: "Łukasz", City: "東京", Line1: "\uffff"}))
	_, errs = named(nil, emoji)
	require.Equal(t, "/source/holder_name", errs[0].Pointer)
}

// FuzzInstrument: no JSON makes the reader panic, fail, or show more than it should.
func FuzzInstrument(f *testing.F) {
	b, err := os.ReadFile("testdata/odd.json")
	require.NoError(f, err)
	for _, s := range []string{
		string(b), `{}`, `null`, `[]`, `{"id":1,"last4":[]}`, `{"_embedded":{"customer":[]}}`, `{"billingAddress":{"emails":[[]]}}`,
		`{"method":"payment-card","bin":411111,"last4":null,"expMonth":"02","expYear":"99","revision":1e3}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var w wireInstrument
		if rest.Unmarshal(b, &w) != nil {
			return
		}
		ins := w.instrument()
		require.Contains(t, normalize.Types(), ins.Type)
		require.Contains(t, normalize.Statuses(), ins.Status)
		if ins.Card != nil {
			require.Contains(t, []int{0, 6}, len(ins.Card.BIN))
			require.Contains(t, []int{0, 4}, len(ins.Card.Last4))
			require.Contains(t, normalize.Brands(), ins.Card.Brand)
		}
		if a := ins.BillingAddress; a != nil && a.Country != "" {
			require.True(t, normalize.ValidCountry(a.Country))
		}
	})
}
