package cybersource

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func testPlace() place {
	return place{customer: "CUST", vault: "testmerchant", now: time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC)}
}

func readInstrument(tb testing.TB, doc string) adapters.Instrument {
	tb.Helper()
	var b instrumentBody
	require.NoError(tb, json.Unmarshal([]byte(doc), &b))
	return toInstrument(b, b.identifier(), testPlace())
}

func TestReadInstrument(t *testing.T) {
	t.Parallel()
	const upon = `,"_embedded":{"instrumentIdentifier":{"id":"7010000000016241111","state":"ACTIVE","card":{"number":"411111XXXXXX1111"}}}}`
	card := func(brand normalize.Brand, month, year int) *normalize.Card {
		return &normalize.Card{Brand: brand, BIN: "411111", Last4: "1111", ExpMonth: month, ExpYear: year}
	}
	for name, c := range map[string]struct {
		doc   string
		check func(*testing.T, adapters.Instrument)
	}{
		"a whole card": {
			`{"id":"PI","default":true,"state":"ACTIVE","card":{"expirationMonth":"12","expirationYear":"2031","type":"001"},
			"billTo":{"firstName":"Ada","lastName":"L","company":"C","address1":"1","address2":"2","locality":"SF","administrativeArea":"CA",
			"postalCode":"94105","country":"us","email":"a@b.example","phoneNumber":"415"}` + upon,
			func(t *testing.T, ins adapters.Instrument) {
				require.Equal(t, adapters.Instrument{
					References: normalize.References{"customer": "CUST", "payment_instrument": "PI", "instrument_identifier": "7010000000016241111"},
					Customer:   "CUST", Type: normalize.TypeCard, Status: normalize.StatusActive, ProviderStatus: "ACTIVE", Default: true,
					Card: card(normalize.Visa, 12, 2031), Identity: "testmerchant:7010000000016241111",
					BillingAddress: &normalize.Address{
						FirstName: "Ada", LastName: "L", Company: "C", Line1: "1", Line2: "2", City: "SF", Region: "CA",
						PostalCode: "94105", Country: "US", Email: "a@b.example", Phone: "415",
					},
				}, ins)
			},
		},
		"default as the string that the official examples send": {
			`{"id":"PI","default":"true"` + upon,
			func(t *testing.T, ins adapters.Instrument) { require.True(t, ins.Default) },
		},
		"default as the string false": {
			`{"id":"PI","default":"false"` + upon,
			func(t *testing.T, ins adapters.Instrument) { require.False(t, ins.Default) },
		},
		"a brand in version 1's words": {
			`{"id":"PI","card":{"expirationMonth":"1","expirationYear":"2030","type":"american express"}` + upon,
			func(t *testing.T, ins adapters.Instrument) { require.Equal(t, card(normalize.Amex, 1, 2030), ins.Card) },
		},
		"no brand: by the number's first digits": {
			`{"id":"PI","card":{"expirationMonth":"01","expirationYear":"2030"}` + upon,
			func(t *testing.T, ins adapters.Instrument) { require.Equal(t, card(normalize.Visa, 1, 2030), ins.Card) },
		},
		"numbers in place of strings": {
			`{"id":"PI","card":{"expirationMonth":7,"expirationYear":2030,"type":"001"}` + upon,
			func(t *testing.T, ins adapters.Instrument) { require.Equal(t, card(normalize.Visa, 7, 2030), ins.Card) },
		},
		"an expiry that is none": {
			`{"id":"PI","card":{"expirationMonth":"13","expirationYear":"soon","type":"001"}` + upon,
			func(t *testing.T, ins adapters.Instrument) { require.Equal(t, card(normalize.Visa, 0, 0), ins.Card) },
		},
		"a past expiry: expired, which the provider does not say": {
			`{"id":"PI","state":"ACTIVE","card":{"expirationMonth":"10","expirationYear":"2026","type":"001"}` + upon,
			func(t *testing.T, ins adapters.Instrument) {
				require.Equal(t, normalize.StatusExpired, ins.Status)
				require.Equal(t, "ACTIVE", ins.ProviderStatus)
			},
		},
		"an expiry in this month: active": {
			`{"id":"PI","state":"ACTIVE","card":{"expirationMonth":"11","expirationYear":"2026","type":"001"}` + upon,
			func(t *testing.T, ins adapters.Instrument) { require.Equal(t, normalize.StatusActive, ins.Status) },
		},
		"closed by the issuer wins over expired": {
			`{"id":"PI","state":"CLOSED","card":{"expirationMonth":"10","expirationYear":"2020"}` + upon,
			func(t *testing.T, ins adapters.Instrument) {
				require.Equal(t, normalize.StatusFailed, ins.Status)
				require.Equal(t, "CLOSED", ins.ProviderStatus)
			},
		},
		"a closed identifier closes what stands upon it": {
			`{"id":"PI","state":"ACTIVE","_embedded":{"instrumentIdentifier":{"id":"X","state":"CLOSED","card":{}}}}`,
			func(t *testing.T, ins adapters.Instrument) { require.Equal(t, normalize.StatusFailed, ins.Status) },
		},
		"a word that is not known is not taken for usable": {
			`{"id":"PI","state":"NAPPING"` + upon,
			func(t *testing.T, ins adapters.Instrument) {
				require.Equal(t, normalize.StatusPending, ins.Status)
				require.Equal(t, "NAPPING", ins.ProviderStatus)
			},
		},
		"no embedded identifier: what the instrument tells": {
			`{"id":"PI","card":{"expirationMonth":"12","expirationYear":"2031","type":"002"},"instrumentIdentifier":{"id":"abc"}}`,
			func(t *testing.T, ins adapters.Instrument) {
				require.Equal(t, &normalize.Card{Brand: normalize.Mastercard, ExpMonth: 12, ExpYear: 2031}, ins.Card)
				require.Equal(t, "testmerchant:ABC", ins.Identity)
				require.Equal(t, "abc", ins.References["instrument_identifier"])
			},
		},
		"the identifier wins when they disagree": {
			`{"id":"PI","card":{"expirationMonth":"12"},"_embedded":{"instrumentIdentifier":{"id":"X","bankAccount":{"number":"XXXX6789","routingNumber":"071923284"}}}}`,
			func(t *testing.T, ins adapters.Instrument) {
				require.Equal(t, normalize.TypeBankAccount, ins.Type)
				require.Equal(t, &normalize.BankAccount{Last4: "6789", RoutingNumber: "071923284", Country: "US"}, ins.BankAccount)
				require.Nil(t, ins.Card)
			},
		},
		"a bank account with a letter for its type and a masked routing number": {
			`{"id":"PI","bankAccount":{"type":"X"},"_embedded":{"instrumentIdentifier":{"id":"X","bankAccount":{"number":"X100","routingNumber":"XXXXX3284"}}}}`,
			func(t *testing.T, ins adapters.Instrument) {
				require.Equal(t, &normalize.BankAccount{AccountType: normalize.AccountCorporateChecking, Last4: "100"}, ins.BankAccount)
			},
		},
		"nothing but an id": {
			`{"id":"PI","card":null,"billTo":{},"_embedded":null}`,
			func(t *testing.T, ins adapters.Instrument) {
				require.Equal(t, normalize.TypeOther, ins.Type)
				require.Nil(t, ins.BillingAddress)
				require.Empty(t, ins.Identity)
				require.NotContains(t, ins.References, "instrument_identifier")
			},
		},
		"members of the wrong kind": {
			`{"id":"PI","card":"4","billTo":[1],"_embedded":{"instrumentIdentifier":{"id":"X","card":{"number":{}}}}}`,
			func(t *testing.T, ins adapters.Instrument) {
				require.Equal(t, &normalize.Card{Brand: normalize.BrandOther}, ins.Card)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check(t, readInstrument(t, c.doc))
		})
	}
}

func TestReadMask(t *testing.T) {
	t.Parallel()
	for mask, want := range map[string][2]string{
		"411111XXXXXX1111":  {"411111", "1111"},
		"41111111XXXX1111":  {"41111111", "1111"},
		"411111XXXX11112":   {"411111", "1112"}, // the guide's own, of a wrong length
		"4111111XXXXX1111":  {"411111", "1111"},
		"XXXXXXXXXXXX1111":  {"", "1111"},
		"411111XXXXXXXX11":  {"411111", ""},
		"4111111111111111":  {"", ""}, // never a number in the clear
		"411111-XXXXX-1111": {"", ""},
		"":                  {"", ""},
	} {
		c := toCard(cardBody{}, cardBody{Number: text(mask)})
		require.Equal(t, want, [2]string{c.BIN, c.Last4}, mask)
	}
	for mask, want := range map[string]string{"XXXXX6789": "6789", "X100": "100", "4100": "4100", "000123456789": "", "": "", "XXXX": ""} {
		require.Equal(t, want, accountTail(mask), mask)
	}
}

func TestBrandsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, b := range normalize.Brands() {
		code := cardType(b)
		if b == normalize.BrandOther {
			require.Empty(t, code, "the provider finds out")
			continue
		}
		require.Regexp(t, `^[0-9]{3}$`, code, b)
		got, known := brandOf(code)
		require.True(t, known)
		require.Equal(t, b, got)
	}
	_, known := brandOf("999")
	require.False(t, known)
}

func TestWriteAddress(t *testing.T) {
	t.Parallel()
	require.Nil(t, toBillTo(nil, ""))
	require.Equal(t, &billToRequest{FirstName: "Ada King", LastName: "Lovelace"}, toBillTo(nil, " Ada King  Lovelace"))
	require.Equal(t, &billToRequest{LastName: "Ada"}, toBillTo(&normalize.Address{}, "Ada"))
	require.Equal(t, &billToRequest{LastName: "L", Country: "US"}, toBillTo(&normalize.Address{LastName: "L", Country: "US"}, "Ada King"),
		"the address's own names win")
	require.Nil(t, toBillTo(nil, strings.Repeat("x", 61)), "a name is left out rather than cut")

	patch := billToPatch(normalize.Address{Line1: "1 Main", Phone: "+1 (415) 888-0000 x12"})
	require.Len(t, patch, 11)
	require.Equal(t, "1 Main", *patch["address1"])
	require.Equal(t, "+14158880000", *patch["phoneNumber"])
	for name, value := range patch {
		require.Equal(t, name == "address1" || name == "phoneNumber", value != nil, name)
	}
}

func TestWritePhone(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                     "",
		"415-888-0000":         "415-888-0000",
		"+1 (415) 888-0000":    "+14158880000",
		"415.888.0000 x 12345": "4158880000",
		"+123456789012345":     "123456789012345",
		"+12345678901 2345":    "123456789012345",
		"1234567890 12345 67":  "123456789012345",
	} {
		got := phone(in)
		require.Equal(t, want, got)
		require.LessOrEqual(t, len(got), 15)
	}
}

func FuzzReadInstrument(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"id":"PI","default":"true","card":{"expirationMonth":"12","expirationYear":"2031"}}`,
		`{"id":1,"_embedded":{"instrumentIdentifier":{"id":null,"bankAccount":{"number":"X1","routingNumber":5}}}}`,
		`{"total":"3","_links":{"next":{"href":"/x"}},"_embedded":{"paymentInstruments":[{"id":"A"},null,5]}}`,
		`{"card":{"number":"411111XXXXXX1111","type":"visa"},"billTo":{"country":"us"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b instrumentBody
		if json.Unmarshal(data, &b) == nil {
			ins := toInstrument(b, b.identifier(), testPlace())
			require.Contains(t, normalize.Statuses(), ins.Status)
			require.Contains(t, normalize.Types(), ins.Type)
			if ins.Card != nil {
				require.Regexp(t, `^([0-9]{6}|[0-9]{8})?$`, ins.Card.BIN)
				require.Regexp(t, `^([0-9]{4})?$`, ins.Card.Last4)
				require.Contains(t, normalize.Brands(), ins.Card.Brand)
			}
			if ins.BankAccount != nil {
				require.LessOrEqual(t, len(ins.BankAccount.Last4), 4)
			}
		}
		var l listBody
		if json.Unmarshal(data, &l) == nil {
			a := &Adapter{now: time.Now}
			p := a.page(l, "C", 0)
			require.GreaterOrEqual(t, p.Total, -1)
		}
	})
}
