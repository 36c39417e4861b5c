package cybersource_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/normalize"
)

func sprintAll(v any) string { return fmt.Sprintf("%v %+v %#v %s", v, v, v, v) }

func TestConfig(t *testing.T) {
	t.Parallel()
	good := cybersource.Config{
		URL: "https://apitest.cybersource.com", MerchantID: "testmerchant", KeyID: "08c94330-f618-42a3-b09d-e1e43be5efda",
		SharedSecret: normalize.NewSecret(cybersourcetest.DefaultSharedSecret), ProfileID: profile, PortfolioID: "p", Currency: "EUR",
	}
	require.Empty(t, good.Validate())
	require.Equal(t, good.URL, good.BaseURL())
	require.Contains(t, good.AllowedHosts(), "api.cybersource.com")
	require.Equal(t, []string{
		"base_url: must be an absolute http(s) URL without user, query or fragment",
		"merchant_id: must be 1 to 64 of A-Z a-z 0-9 . _ -",
		"key_id: must be 1 to 64 of A-Z a-z 0-9 . _ -",
		"shared_secret: must be base64, and not empty",
	}, cybersource.Config{}.Validate())
	for name, change := range map[string]func(*cybersource.Config){
		"base_url":      func(c *cybersource.Config) { c.URL = "https://user@apitest.cybersource.com" },
		"merchant_id":   func(c *cybersource.Config) { c.MerchantID = "a\r\nb" },
		"key_id":        func(c *cybersource.Config) { c.KeyID = `a"b` },
		"shared_secret": func(c *cybersource.Config) { c.SharedSecret = normalize.NewSecret("??") },
		"profile_id":    func(c *cybersource.Config) { c.ProfileID = "not-a-uuid" },
		"portfolio_id":  func(c *cybersource.Config) { c.PortfolioID = "a b" },
		"currency":      func(c *cybersource.Config) { c.Currency = "usd" },
	} {
		bad := good
		change(&bad)
		require.Len(t, bad.Validate(), 1, name)
		require.Regexp(t, "^"+name+": ", bad.Validate()[0])
		_, err := bad.Open(adapters.Env{})
		require.Equal(t, normalize.ProviderMisconfigured, normalize.CodeOf(err), name)
	}
	require.NotContains(t, sprintAll(good), cybersourcetest.DefaultSharedSecret)
}

func TestIdentityIsOfOneVault(t *testing.T) {
	t.Parallel()
	s := &script{answers: []scripted{{status: 200, body: `{"id":"` + paymentID + `","instrumentIdentifier":{"id":"abcdef"}}`}}}
	ins, err := s.open(t).Get(t.Context(), reference())
	require.NoError(t, err)
	require.Equal(t, profile+":ABCDEF", ins.Identity)

	r := newRig(t, cybersourcetest.Options{})
	a, b := r.create(t, cardSource("4111111111111111")), r.create(t, cardSource("4111111111111111"))
	other := r.create(t, cardSource("5555555555554444"))
	require.Equal(t, a.Identity, b.Identity)
	require.NotEqual(t, a.References, b.References, "payment instruments are not deduped")
	require.NotEqual(t, a.Identity, other.Identity)
	require.Regexp(t, `^testmerchant:[0-9A-Z]+$`, a.Identity)
}

func TestListPages(t *testing.T) {
	t.Parallel()
	const item = `{"id":"` + paymentID + `"}`
	for name, c := range map[string]struct {
		body  string
		items int
		next  string
		total int
	}{
		"past the end there is no _embedded":      {`{"offset":40,"limit":2,"count":0,"total":3}`, 0, "", 3},
		"more by the total":                       {`{"total":45,"_embedded":{"paymentInstruments":[` + item + `,` + item + `]}}`, 2, "42", 45},
		"the last page":                           {`{"total":42,"_embedded":{"paymentInstruments":[` + item + `,` + item + `]}}`, 2, "", 42},
		"no total: by the link":                   {`{"_links":{"next":{"href":"/x"}},"_embedded":{"paymentInstruments":[` + item + `]}}`, 1, "41", -1},
		"no total and no link":                    {`{"_embedded":{"paymentInstruments":[` + item + `]}}`, 1, "", -1},
		"what cannot be referred to still counts": {`{"total":44,"_embedded":{"paymentInstruments":[null,{"x":1},` + item + `]}}`, 1, "43", 44},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{answers: []scripted{{status: 200, body: c.body}}}
			p, err := s.open(t).List(t.Context(), adapters.ListInput{Customer: customerID, Limit: 2, Cursor: "40"})
			require.NoError(t, err)
			require.Len(t, p.Items, c.items)
			require.Equal(t, c.next, p.Next)
			require.Equal(t, c.total, p.Total)
		})
	}
}

// An empty list proves that an instrument is absent, and an absent one may be stored
// again. So what is no list is never read as an empty one.
func TestWhatIsNoListIsNoEmptyList(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{}`, `{"id":"x"}`, `{"total":null,"_links":null,"_embedded":null}`, `{"message":"OK"}`,
		`{"total":2,"_embedded":{"paymentInstruments":[null,{"x":1}]}}`,
	} {
		s := &script{answers: []scripted{{status: 200, body: body}}}
		_, err := s.open(t).List(t.Context(), adapters.ListInput{Customer: customerID})
		require.Equal(t, normalize.ProviderBadResponse, normalize.CodeOf(err), body)
	}
}

func TestAnAnswerAboutAnotherInstrumentIsNone(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"id":"AB6A54B97C00FCB6E05341588E0A3936"}`, `{"id":7}`, `{}`} {
		s := &script{answers: []scripted{{status: 200, body: body}}}
		_, err := s.open(t).Get(t.Context(), reference())
		require.Equal(t, normalize.ProviderBadResponse, normalize.CodeOf(err), body)
	}
}

func TestListRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   adapters.ListInput
		code normalize.Code
	}{
		"every customer's": {adapters.ListInput{}, normalize.UnsupportedOperation},
		"a filter":         {adapters.ListInput{Customer: customerID, Filter: []normalize.Clause{{Field: "status", Values: []string{"active"}}}}, normalize.UnsupportedOperation},
		"a sort":           {adapters.ListInput{Customer: customerID, Sort: []string{"created_at"}}, normalize.UnsupportedOperation},
		"a search":         {adapters.ListInput{Customer: customerID, Query: "x"}, normalize.UnsupportedOperation},
		"a limit over 100": {adapters.ListInput{Customer: customerID, Limit: 101}, normalize.OutOfRange},
		"a negative limit": {adapters.ListInput{Customer: customerID, Limit: -1}, normalize.OutOfRange},
		"a cursor of text": {adapters.ListInput{Customer: customerID, Cursor: "x"}, normalize.InvalidCursor},
		"a negative one":   {adapters.ListInput{Customer: customerID, Cursor: "-1"}, normalize.InvalidCursor},
		"an odd spelling":  {adapters.ListInput{Customer: customerID, Cursor: "+1"}, normalize.InvalidCursor},
		"a bad customer":   {adapters.ListInput{Customer: ".."}, normalize.InvalidField},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{}
			_, err := s.open(t).List(t.Context(), c.in)
			require.Equal(t, c.code, normalize.CodeOf(err))
			require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
			require.Zero(t, s.sent.Len())
		})
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{})
	ins := r.create(t, cardSource("4111111111111111"))
	month, year, bad := 3, 2044, 13

	got, err := r.Update(t.Context(), ins.References, adapters.UpdateInput{Version: ins.Version})
	require.NoError(t, err)
	require.Equal(t, ins, got, "a change of nothing reads")
	_, err = r.Update(t.Context(), ins.References, adapters.UpdateInput{Version: `"other"`})
	require.Equal(t, normalize.VersionMismatch, normalize.CodeOf(err), "and keeps its condition")

	full := normalize.Address{FirstName: "A", LastName: "B", Line1: "1", City: "C", Country: "US", Email: "a@b.example", Phone: "415"}
	_, err = r.Update(t.Context(), ins.References, adapters.UpdateInput{BillingAddress: &full})
	require.NoError(t, err)
	got, err = r.Update(t.Context(), ins.References, adapters.UpdateInput{
		BillingAddress: &normalize.Address{Line1: "2"}, ExpMonth: &month, ExpYear: &year,
	})
	require.NoError(t, err)
	require.Equal(t, &normalize.Address{Line1: "2"}, got.BillingAddress, "members that are absent are removed")
	require.Equal(t, []int{3, 2044}, []int{got.Card.ExpMonth, got.Card.ExpYear})

	for name, c := range map[string]struct {
		in   adapters.UpdateInput
		code normalize.Code
	}{
		"a token":       {adapters.UpdateInput{Source: &normalize.Source{}}, normalize.UnsupportedOperation},
		"a month alone": {adapters.UpdateInput{ExpMonth: &month}, normalize.MissingField},
		"no month":      {adapters.UpdateInput{ExpMonth: &bad, ExpYear: &year}, normalize.OutOfRange},
		"no year":       {adapters.UpdateInput{ExpMonth: &month, ExpYear: &bad}, normalize.OutOfRange},
		"no header":     {adapters.UpdateInput{ExpMonth: &month, ExpYear: &year, Version: "a\r\nb"}, normalize.InvalidField},
	} {
		before := len(r.standin.State().Requests)
		_, err := r.Update(t.Context(), ins.References, c.in)
		require.Equal(t, c.code, normalize.CodeOf(err), name)
		require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err), name)
		require.Empty(t, r.sent(before), name)
	}
}

func TestCustomers(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{})
	id, err := r.CreateCustomer(t.Context(), adapters.CustomerInput{
		Key: "cus_2", MerchantID: "shopper-42", Address: &normalize.Address{Email: "ada@example.com"},
	})
	require.NoError(t, err)
	c, err := r.GetCustomer(t.Context(), id)
	require.NoError(t, err)
	require.NotEmpty(t, c.Version)
	c.Version = ""
	require.Equal(t, cybersource.Customer{Reference: id, MerchantID: "shopper-42", Email: "ada@example.com"}, c)

	ins, err := r.Create(t.Context(), adapters.CreateInput{Customer: id, Source: cardSource("4111111111111111")})
	require.NoError(t, err)
	c, err = r.GetCustomer(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, ins.References["payment_instrument"], c.DefaultInstrument)

	require.NoError(t, r.DeleteCustomer(t.Context(), id))
	require.NoError(t, r.DeleteCustomer(t.Context(), id), "idempotent")
	_, err = r.GetCustomer(t.Context(), id)
	require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(err))
	_, err = r.Get(t.Context(), ins.References)
	require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(err), "its instruments go with it")
	for _, bad := range []string{"", "..", "a/b"} {
		_, err = r.GetCustomer(t.Context(), bad)
		require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
		require.Equal(t, normalize.NotSent, normalize.OutcomeOf(r.DeleteCustomer(t.Context(), bad)))
	}
}

func TestInstrumentIdentifiers(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{})
	ins := r.create(t, cardSource("4111111111111111"))
	id := ins.References["instrument_identifier"]
	got, err := r.GetInstrumentIdentifier(t.Context(), id)
	require.NoError(t, err)
	require.NotEmpty(t, got.Version)
	require.Equal(t, &normalize.Card{Brand: normalize.Visa, BIN: "411111", Last4: "1111"}, got.Card)
	err = r.DeleteInstrumentIdentifier(t.Context(), id)
	require.Equal(t, normalize.Conflict, normalize.CodeOf(err), "an instrument stands upon it")
	require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
	require.NoError(t, r.Delete(t.Context(), ins.References))
	require.NoError(t, r.DeleteInstrumentIdentifier(t.Context(), id), "gone already")
	_, err = r.GetInstrumentIdentifier(t.Context(), "a/b")
	require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
	account := r.create(t, bankSource())
	got, err = r.GetInstrumentIdentifier(t.Context(), account.References["instrument_identifier"])
	require.NoError(t, err)
	require.Equal(t, "6789", got.BankAccount.Last4)
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{Profiles: []string{profile}})
	with := func(id string) *cybersource.Adapter {
		return open(t, r.base, func(c *cybersource.Config, _ *adapters.Env) { c.ProfileID = id })
	}
	ins, err := with(profile).Create(t.Context(), adapters.CreateInput{Customer: r.customer, Source: cardSource("4111111111111111")})
	require.NoError(t, err)
	_, err = with("11111111-2222-4333-8444-555555555555").Get(t.Context(), ins.References)
	require.Equal(t, normalize.ProviderMisconfigured, normalize.CodeOf(err))
	require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
}

func TestCheckReferences(t *testing.T) {
	t.Parallel()
	a := (&script{}).open(t)
	require.Empty(t, a.CheckReferences(reference()))
	require.Empty(t, a.CheckReferences(normalize.References{"customer": customerID, "payment_instrument": paymentID}))
	pointers := func(ref normalize.References) []string {
		var out []string
		for _, f := range a.CheckReferences(ref) {
			out = append(out, f.Pointer+" "+string(f.Code))
		}
		return out
	}
	require.Equal(t, []string{"/customer missing_field", "/payment_instrument missing_field"}, pointers(nil))
	require.Equal(t, []string{"/customer invalid_field", "/payment_instrument invalid_field", "/instrument_identifier invalid_field"},
		pointers(normalize.References{"customer": "..", "payment_instrument": "a/b", "instrument_identifier": "123456789012345678901234567890123"}))
}

func TestLocate(t *testing.T) {
	t.Parallel()
	a := (&script{}).open(t)
	lower := normalize.References{"customer": "other", "payment_instrument": strings.ToLower(paymentID)}
	require.Equal(t, a.Locate(reference()), a.Locate(lower), "ids are not case-sensitive")
	require.NotEqual(t, a.Locate(reference()), a.Locate(normalize.References{"payment_instrument": missingID}))
}

func TestCharge(t *testing.T) {
	t.Parallel()
	a := (&script{}).open(t)
	body := func(ref normalize.References) string {
		text, err := json.Marshal(a.Charge(ref, normalize.TypeCard))
		require.NoError(t, err)
		return string(text)
	}
	require.JSONEq(t, `{"paymentInformation":{"customer":{"id":"`+customerID+`"},"paymentInstrument":{"id":"`+paymentID+`"},
		"instrumentIdentifier":{"id":"`+identID+`"}}}`, body(reference()))
	require.JSONEq(t, `{"paymentInformation":{"customer":{"id":"C"},"paymentInstrument":{"id":"P"}}}`,
		body(normalize.References{"customer": "C", "payment_instrument": "P"}))
}
