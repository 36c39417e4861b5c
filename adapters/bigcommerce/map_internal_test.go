package bigcommerce

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

const token = "9f2c4d6e8a0b1c3d5e7f90a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e"

func TestBrands(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]normalize.Brand{
		"visa": normalize.Visa, "VISA": normalize.Visa, "Visa": normalize.Visa,
		"mastercard": normalize.Mastercard, "MASTERCARD": normalize.Mastercard, "master_card": normalize.Mastercard,
		"master": normalize.Mastercard, "Master Card": normalize.Mastercard,
		"amex": normalize.Amex, "AMEX": normalize.Amex, "american_express": normalize.Amex, "American Express": normalize.Amex,
		"discover": normalize.Discover, "DISCOVER": normalize.Discover,
		"diners": normalize.Diners, "diners_club": normalize.Diners, "DINERS_CLUB": normalize.Diners, "diners-club": normalize.Diners,
		"jcb": normalize.JCB, "JCB": normalize.JCB, "maestro": normalize.Maestro, "dankort": normalize.Dankort, "DANKORT": normalize.Dankort,
		"CARTES_BANCAIRES": normalize.CartesBancaires, "unionpay": normalize.UnionPay,
		"holo": normalize.BrandOther, "": normalize.BrandOther, "STORED_CARD": normalize.BrandOther,
	} {
		require.Equal(t, want, brandOf(word), word)
	}
	for brand, want := range map[normalize.Brand]string{
		normalize.Visa: "visa", normalize.Mastercard: "mastercard", normalize.Amex: "american_express",
		normalize.Discover: "discover", normalize.Diners: "diners_club", normalize.JCB: "jcb",
		normalize.Maestro: "maestro", normalize.Dankort: "dankort", normalize.BrandOther: "",
	} {
		require.Equal(t, want, brandName(brand), brand)
	}
	for _, b := range normalize.Brands() {
		require.Equal(t, b, brandOf(brandName(b)), "%s survives the way there and back", b)
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	for word, want := range map[text]normalize.Type{
		"credit_card": normalize.TypeCard, "stored_card": normalize.TypeCard, "STORED_CARD": normalize.TypeCard,
		"paypal_account": normalize.TypePayPal, "stored_paypal_account": normalize.TypePayPal,
		"bank_account": normalize.TypeBankAccount, "stored_bank_account": normalize.TypeBankAccount,
		"gift_card": normalize.TypeOther, "": normalize.TypeOther,
	} {
		require.Equal(t, want, typeOf(word), word)
	}
}

func TestInstrumentFrom(t *testing.T) {
	t.Parallel()
	ref := normalize.References{"customer": "42", "token": token, "payment_method_id": "braintree.credit_card", "vault_customer": "321123"}
	card := func(c normalize.Card) adapters.Instrument {
		return adapters.Instrument{
			References: ref, Customer: "42", Type: normalize.TypeCard, Status: normalize.StatusActive, Card: &c,
		}
	}
	full := normalize.Card{Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: 12, ExpYear: 2031}
	with := func(i adapters.Instrument, f func(*adapters.Instrument)) adapters.Instrument { f(&i); return i }
	tests := []struct {
		name, row string
		want      adapters.Instrument
	}{
		{
			"a management row of a card",
			`{"customer_id":42,"token":"` + token + `","type":"credit_card","is_default":true,"brand":"visa","expiry_month":12,"expiry_year":2031,"iin":"411111","last_4":"1111"}`,
			with(card(full), func(i *adapters.Instrument) { i.Default = true }),
		},
		{
			"a customer row of the same card",
			`{"token":"` + token + `","type":"stored_card","is_default":false,"brand":"VISA","expiry_month":12,"expiry_year":2031,"issuer_identification_number":"411111","last_4":"1111"}`,
			card(full),
		},
		{
			"numbers as strings, a number for digits, a year of two digits",
			`{"customer_id":"42","type":"credit_card","is_default":"true","brand":"visa","expiry_month":"12","expiry_year":"31","iin":411111,"last_4":1111}`,
			with(card(full), func(i *adapters.Instrument) { i.Default = true }),
		},
		{
			"nulls and members of other kinds are absent",
			`{"customer_id":null,"type":"stored_card","is_default":null,"brand":null,"expiry_month":null,"expiry_year":{},"iin":[],"last_4":null,"billing_address":[]}`,
			card(normalize.Card{Brand: normalize.BrandOther}),
		},
		{
			"values that are none are absent",
			`{"type":"stored_card","expiry_month":13,"expiry_year":7,"iin":"4111","last_4":"411111111111"}`,
			card(normalize.Card{Brand: normalize.BrandOther, ExpYear: 2007}),
		},
		{
			"a card is expired after its month",
			`{"type":"stored_card","expiry_month":10,"expiry_year":2026}`,
			with(card(normalize.Card{Brand: normalize.BrandOther, ExpMonth: 10, ExpYear: 2026}), func(i *adapters.Instrument) {
				i.Status = normalize.StatusExpired
			}),
		},
		{
			"a PayPal account",
			`{"customer_id":42,"type":"paypal_account","email":"a@example.com"}`,
			adapters.Instrument{
				References: ref, Customer: "42", Type: normalize.TypePayPal, Status: normalize.StatusActive,
				PayPal: &normalize.PayPal{Email: "a@example.com"},
			},
		},
		{
			"a bank account shows as many digits as its mask does",
			`{"type":"stored_bank_account","issuer":"DE001","masked_account_number":"12XXX56"}`,
			adapters.Instrument{
				References: ref, Customer: "42", Type: normalize.TypeBankAccount, Status: normalize.StatusActive,
				BankAccount: &normalize.BankAccount{BankName: "DE001", Last4: "56"},
			},
		},
		{
			"an unmasked account number is cut to four digits",
			`{"type":"bank_account","masked_account_number":"000123456789"}`,
			adapters.Instrument{
				References: ref, Customer: "42", Type: normalize.TypeBankAccount, Status: normalize.StatusActive,
				BankAccount: &normalize.BankAccount{Last4: "6789"},
			},
		},
		{
			"another type is other",
			`{"type":"stored_gift_card","brand":"visa"}`,
			adapters.Instrument{References: ref, Customer: "42", Type: normalize.TypeOther, Status: normalize.StatusActive},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var r row
			require.NoError(t, json.Unmarshal([]byte(tt.row), &r))
			got, err := instrumentFrom(r, ref, now())
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestInstrumentFromRefuses(t *testing.T) {
	t.Parallel()
	ref := normalize.References{"customer": "42", "token": token}
	for name, tt := range map[string]struct {
		row string
		ref normalize.References
	}{
		"a row of another token":                 {`{"token":"abc","type":"stored_card"}`, ref},
		"a row of another customer":              {`{"customer_id":7,"type":"stored_card"}`, ref},
		"a row without a type":                   {`{"token":"` + token + `"}`, ref},
		"a row without a token where none known": {`{"type":"stored_card"}`, nil},
		"a token that could not be sent back":    {`{"token":"../x","type":"stored_card"}`, nil},
	} {
		var r row
		require.NoError(t, json.Unmarshal([]byte(tt.row), &r), name)
		_, err := instrumentFrom(r, tt.ref, now())
		require.Error(t, err, name)
	}
}

func TestAddressFrom(t *testing.T) {
	t.Parallel()
	full := `{"first_name":"Ada","last_name":"Byron","email":"ada@example.com","company":"AE","address1":"12 Way","address2":"Unit 3",` +
		`"city":"Austin","state_or_province":"Texas","state_or_province_code":"TX","country_code":"us","phone":"512","postal_code":"78701","store_credit_amounts":[]}`
	want := &normalize.Address{
		FirstName: "Ada", LastName: "Byron", Email: "ada@example.com", Company: "AE", Line1: "12 Way", Line2: "Unit 3",
		City: "Austin", Region: "TX", Country: "US", Phone: "512", PostalCode: "78701",
	}
	for raw, want := range map[string]*normalize.Address{
		full:                             want,
		`{"state_or_province":"Nevada"}`: {Region: "Nevada"},
		`{"state_or_province":"Nevada","state_or_province_code":""}`: {Region: "Nevada"},
		`{"postal_code":78701,"city":null}`:                          {PostalCode: "78701"},
		`{"country_code":"XQ","city":"Nowhere"}`:                     {City: "Nowhere"},
		`{}`:                                                         nil,
		`[]`:                                                         nil,
		`null`:                                                       nil,
		``:                                                           nil,
		`{"street_1":"the name of requests, which answers do not have","first_name":""}`: nil,
	} {
		require.Equal(t, want, addressFrom(json.RawMessage(raw)), raw)
	}
}

func TestRowsOf(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		`[]`: 0, "\n[{}]\n": 1, `{"data":[{},{}]}`: 2, `{"data":[]}`: 0,
	} {
		rows, _, err := rowsOf([]byte(body))
		require.NoError(t, err, body)
		require.Len(t, rows, want, body)
	}
	for _, body := range []string{``, `{}`, `null`, `{"data":null}`, `{"data":{}}`, `[null]`, `["x"]`, `7`, `[`, `<html>`} {
		_, _, err := rowsOf([]byte(body))
		require.Error(t, err, "%q proves nothing about what is not in it", body)
	}
}

func TestNextCursor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		meta         string
		count, limit int
		want         string
	}{
		"a next link by cursor":                     {`{"cursor_pagination":{"end_cursor":"Mw==","links":{"next":"?limit=3&after=Mw%3D%3D"}}}`, 3, 3, "after:Mw=="},
		"both kinds: the cursor":                    {`{"pagination":{"current_page":1,"total_pages":2},"cursor_pagination":{"end_cursor":"Mw==","links":{"next":"?after=Mw%3D%3D"}}}`, 3, 3, "after:Mw=="},
		"no end cursor: the link's":                 {`{"cursor_pagination":{"links":{"next":"?limit=3&after=Mw%3D%3D"}}}`, 3, 3, "after:Mw=="},
		"no next link":                              {`{"cursor_pagination":{"end_cursor":"Mw==","links":{}}}`, 3, 3, ""},
		"no links at all and a full page":           {`{"cursor_pagination":{"end_cursor":"Mw=="}}`, 3, 3, "after:Mw=="},
		"no links at all and a short page":          {`{"cursor_pagination":{"end_cursor":"Mw=="}}`, 2, 3, ""},
		"an empty page ends the list":               {`{"cursor_pagination":{"end_cursor":"Mw==","links":{"next":"?after=x"}}}`, 0, 3, ""},
		"pages only":                                {`{"pagination":{"current_page":2,"total_pages":3}}`, 3, 3, "page:3/3"},
		"pages only, known by the link":             {`{"pagination":{"current_page":"2","links":{"next":"?page=3&limit=3"}}}`, 3, 3, "page:3/3"},
		"the last of pages":                         {`{"pagination":{"current_page":3,"total_pages":3,"links":{"previous":"?page=2"}}}`, 3, 3, ""},
		"no meta":                                   {`{}`, 3, 3, ""},
		"meta of other kinds":                       {`{"pagination":[],"cursor_pagination":[]}`, 3, 3, ""},
		"an endless cursor is not passed on":        {`{"cursor_pagination":{"end_cursor":"` + longCursor() + `","links":{"next":"?x"}}}`, 3, 3, ""},
		"links as an array, as PHP writes an empty": {`{"cursor_pagination":{"end_cursor":"Mw==","links":[]}}`, 2, 3, ""},
	} {
		var m listMeta
		_ = json.Unmarshal([]byte(tt.meta), &m)
		require.Equal(t, tt.want, nextCursor(m, tt.count, tt.limit), name)
	}
}

func longCursor() string {
	b := make([]byte, maxCursor+1)
	for i := range b {
		b[i] = 'a'
	}
	return string(b)
}

func TestCheckReferences(t *testing.T) {
	t.Parallel()
	a := &Adapter{}
	require.Empty(t, a.CheckReferences(normalize.References{"customer": "42", "token": token}))
	require.Empty(t, a.CheckReferences(normalize.References{"customer": "2147483647", "token": "a"}))
	codes := func(ref normalize.References) map[string]normalize.Code {
		out := map[string]normalize.Code{}
		for _, f := range a.CheckReferences(ref) {
			out[f.Pointer] = f.Code
		}
		return out
	}
	require.Equal(t, map[string]normalize.Code{"/customer": normalize.MissingField, "/token": normalize.MissingField}, codes(nil))
	for _, bad := range []string{"0", "-1", "+1", "042", "1.0", "x", " 1", "12345678901", "٣"} {
		require.Equal(t, map[string]normalize.Code{"/customer": normalize.InvalidField}, codes(normalize.References{"customer": bad, "token": token}), bad)
	}
	for _, bad := range []string{".", "..", "a/b", "a,b", "a b", "a%2fb", "a\nb", "é"} {
		require.Equal(t, map[string]normalize.Code{"/token": normalize.InvalidField}, codes(normalize.References{"customer": "1", "token": bad}), bad)
	}
	require.Equal(t, map[string]normalize.Code{"/token": normalize.PANInUnexpectedField},
		codes(normalize.References{"customer": "1", "token": "4111111111111111"}), "a card number is not a token")
}

// FuzzRows: no answer makes the mapping panic, and what it returns keeps its bounds.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{
		`[{"token":"` + token + `","type":"stored_card","brand":"VISA","expiry_month":12,"expiry_year":2031,"last_4":"1111"}]`,
		`{"data":[{"customer_id":42,"token":"a","type":"credit_card","billing_address":{"address1":"x"}}],"meta":{"pagination":{"total":1}}}`,
		`{"data":{"type":"paypal_account","email":7}}`, `{"data":[null]}`, `[[]]`, `{"data":"x","errors":{"errors":{}}}`,
		`[{"type":"bank_account","token":"a","masked_account_number":"4111111111111111"}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		check := func(r row) {
			got, err := instrumentFrom(r, normalize.References{"customer": "42"}, now())
			if err != nil {
				return
			}
			require.Regexp(t, tokenPattern, got.References["token"])
			require.Contains(t, normalize.Types(), got.Type)
			if c := got.Card; c != nil {
				require.Contains(t, normalize.Brands(), c.Brand)
				require.Regexp(t, `^([0-9]{4})?$`, c.Last4)
				require.Regexp(t, `^([0-9]{6}|[0-9]{8})?$`, c.BIN)
				require.True(t, c.ExpMonth >= 0 && c.ExpMonth <= 12)
			}
			if b := got.BankAccount; b != nil {
				require.Regexp(t, `^[0-9]{0,4}$`, b.Last4)
			}
		}
		if rows, e, err := rowsOf(body); err == nil {
			var m listMeta
			_ = json.Unmarshal(e.Meta, &m)
			_ = nextCursor(m, len(rows), 50)
			for _, r := range rows {
				check(r)
			}
		}
		if r, err := rowOf(body); err == nil {
			check(r)
		}
	})
}
