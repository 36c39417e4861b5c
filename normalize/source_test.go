package normalize_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

type sourceCase struct {
	source normalize.Source
	want   []string // below /sources/0
}

func cardCase(change func(*normalize.CardSource), want ...string) sourceCase {
	c := validCard()
	change(c)
	return sourceCase{normalize.Source{Type: normalize.SourceCard, Card: c}, want}
}

func bankCase(change func(*normalize.BankAccountSource), want ...string) sourceCase {
	b := &normalize.BankAccountSource{
		AccountNumber: secret("000123456789"), RoutingNumber: "021000021", AccountType: normalize.AccountChecking, HolderName: "José",
	}
	change(b)
	return sourceCase{normalize.Source{Type: normalize.SourceBankAccount, BankAccount: b}, want}
}

func vaultedCase(change func(*normalize.VaultedTokenSource), want ...string) sourceCase {
	v := &normalize.VaultedTokenSource{
		PaymentMethodID: "braintree.credit_card", Currency: "USD", VaultToken: secret("tok_1"), ProviderCustomerID: "c1",
		InstrumentType: normalize.TypeCard, Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: 12, ExpYear: 2030,
	}
	change(v)
	return sourceCase{normalize.Source{Type: normalize.SourceVaultedToken, VaultedToken: v}, want}
}

func identifierCase(id string, brand normalize.Brand, want ...string) sourceCase {
	return sourceCase{normalize.Source{Type: normalize.SourceInstrumentIdentifier, InstrumentIdentifier: &normalize.InstrumentIdentifierSource{
		InstrumentIdentifier: id, ExpMonth: 12, ExpYear: 2030, Brand: brand,
	}}, want}
}

func tokenCase(token string, want ...string) sourceCase {
	return sourceCase{normalize.Source{Type: normalize.SourceRebillyToken, RebillyToken: &normalize.RebillyTokenSource{Token: secret(token)}}, want}
}

func jwtCase(token string, want ...string) sourceCase {
	return sourceCase{normalize.Source{Type: normalize.SourceTransientToken, TransientToken: &normalize.TransientTokenSource{TransientToken: secret(token)}}, want}
}

func referenceCase(provider string, refs normalize.References, want ...string) sourceCase {
	return sourceCase{normalize.Source{Type: normalize.SourceProviderReference, ProviderReference: &normalize.ProviderReferenceSource{
		Provider: provider, References: refs,
	}}, want}
}

func requireSources(t *testing.T, cases map[string]sourceCase) {
	t.Helper()
	for name, c := range cases {
		in := validInput()
		in.Sources = []normalize.Source{c.source}
		errs := in.Validate(today())
		want := []string{}
		for _, w := range c.want {
			want = append(want, "/sources/0"+w)
		}
		require.Equal(t, want, wrong(errs), name)
		requireSilent(t, errs)
	}
}

func TestCardSource(t *testing.T) {
	t.Parallel()
	type c = normalize.CardSource
	requireSources(t, map[string]sourceCase{
		"good":                      cardCase(func(*c) {}),
		"no security code, no name": cardCase(func(s *c) { s.CVC, s.HolderName = secret(""), "" }),
		"nothing":                   cardCase(func(s *c) { *s = c{} }, "/number missing_field", "/exp_month missing_field", "/exp_year missing_field"),
		"13 digits":                 cardCase(func(s *c) { s.Number = secret("4222222222222") }),
		"19 digits":                 cardCase(func(s *c) { s.Number = secret("6304000000000000000") }),
		"11 digits":                 cardCase(func(s *c) { s.Number = secret("41111111111") }, "/number invalid_field"),
		"20 digits":                 cardCase(func(s *c) { s.Number = secret(strings.Repeat("1", 20)) }, "/number invalid_field"),
		"spaces in the number":      cardCase(func(s *c) { s.Number = secret("4111 1111 1111 1111") }, "/number invalid_field"),
		"full-width digits":         cardCase(func(s *c) { s.Number = secret("４１１１１１１１１１１１１１１１") }, "/number invalid_field"),
		"a wrong check digit":       cardCase(func(s *c) { s.Number = secret("4111111111111112") }, "/number invalid_field"),
		"zeroes":                    cardCase(func(s *c) { s.Number = secret(strings.Repeat("0", 16)) }, "/number invalid_field"),
		"month 13":                  cardCase(func(s *c) { s.ExpMonth = 13 }, "/exp_month out_of_range"),
		"a negative month":          cardCase(func(s *c) { s.ExpMonth = -1 }, "/exp_month out_of_range"),
		"a year of two digits":      cardCase(func(s *c) { s.ExpYear = 30 }, "/exp_year out_of_range"),
		"year 2099":                 cardCase(func(s *c) { s.ExpYear = 2099 }),
		"year 2100":                 cardCase(func(s *c) { s.ExpYear = 2100 }, "/exp_year out_of_range"),
		"this month":                cardCase(func(s *c) { s.ExpMonth, s.ExpYear = 6, 2026 }),
		"last month":                cardCase(func(s *c) { s.ExpMonth, s.ExpYear = 5, 2026 }, "/exp_year expired_card"),
		"a security code of 4":      cardCase(func(s *c) { s.CVC = secret("1234") }),
		"a security code of 2":      cardCase(func(s *c) { s.CVC = secret("12") }, "/cvc invalid_field"),
		"a security code of 5":      cardCase(func(s *c) { s.CVC = secret("12345") }, "/cvc invalid_field"),
		"letters in the code":       cardCase(func(s *c) { s.CVC = secret("12a") }, "/cvc invalid_field"),
		"a name of 90":              cardCase(func(s *c) { s.HolderName = strings.Repeat("ñ", 90) }),
		"a name of 91":              cardCase(func(s *c) { s.HolderName = strings.Repeat("ñ", 91) }, "/holder_name out_of_range"),
		"the number as the name":    cardCase(func(s *c) { s.HolderName = pan }, "/holder_name pan_in_unexpected_field"),
		"a name in another script":  cardCase(func(s *c) { s.HolderName = "𠮷野 王小明" }),
	})
}

func TestBankAccountSource(t *testing.T) {
	t.Parallel()
	type b = normalize.BankAccountSource
	iban := secret("DE89370400440532013000")
	requireSources(t, map[string]sourceCase{
		"good":                    bankCase(func(*b) {}),
		"nothing":                 bankCase(func(s *b) { *s = b{} }, "/account_number missing_field", "/routing_number missing_field", "/account_type missing_field"),
		"4 digits":                bankCase(func(s *b) { s.AccountNumber = secret("1234") }),
		"17 digits":               bankCase(func(s *b) { s.AccountNumber = secret(strings.Repeat("1", 17)) }),
		"3 digits":                bankCase(func(s *b) { s.AccountNumber = secret("123") }, "/account_number invalid_field"),
		"18 digits":               bankCase(func(s *b) { s.AccountNumber = secret(strings.Repeat("1", 18)) }, "/account_number invalid_field"),
		"a dash":                  bankCase(func(s *b) { s.AccountNumber = secret("1234-5678") }, "/account_number invalid_field"),
		"a bad routing number":    bankCase(func(s *b) { s.RoutingNumber = "021000022" }, "/routing_number invalid_field"),
		"savings":                 bankCase(func(s *b) { s.AccountType = normalize.AccountSavings }),
		"an account type unknown": bankCase(func(s *b) { s.AccountType = normalize.AccountOther }, "/account_type invalid_field"),
		"an IBAN":                 bankCase(func(s *b) { *s = b{IBAN: iban} }),
		"a bad IBAN":              bankCase(func(s *b) { *s = b{IBAN: secret("DE89370400440532013001")} }, "/iban invalid_field"),
		"an IBAN and a number":    bankCase(func(s *b) { s.IBAN = iban }, "/iban invalid_field"),
	})
}

func TestVaultedTokenSource(t *testing.T) {
	t.Parallel()
	type v = normalize.VaultedTokenSource
	requireSources(t, map[string]sourceCase{
		"a card":                      vaultedCase(func(*v) {}),
		"nothing":                     vaultedCase(func(s *v) { *s = v{} }, "/payment_method_id missing_field", "/currency missing_field", "/vault_token missing_field", "/provider_customer_id missing_field", "/instrument_type missing_field"),
		"a card for a method":         vaultedCase(func(s *v) { s.PaymentMethodID = "4111111111111111.card" }, "/payment_method_id pan_in_unexpected_field"),
		"a method without a dot":      vaultedCase(func(s *v) { s.PaymentMethodID = "braintree" }, "/payment_method_id invalid_field"),
		"an unknown currency":         vaultedCase(func(s *v) { s.Currency = "XXX" }, "/currency invalid_field"),
		"a card number as a token":    vaultedCase(func(s *v) { s.VaultToken = secret(pan) }, "/vault_token pan_in_unexpected_field"),
		"a token of 512":              vaultedCase(func(s *v) { s.VaultToken = secret(strings.Repeat("t", 512)) }),
		"a token of 513":              vaultedCase(func(s *v) { s.VaultToken = secret(strings.Repeat("t", 513)) }, "/vault_token invalid_field"),
		"an unknown brand":            vaultedCase(func(s *v) { s.Brand = "Visa" }, "/brand invalid_field"),
		"no brand":                    vaultedCase(func(s *v) { s.Brand = "" }, "/brand missing_field"),
		"no BIN":                      vaultedCase(func(s *v) { s.BIN = "" }),
		"a BIN of 8":                  vaultedCase(func(s *v) { s.BIN = "41111111" }, "/bin invalid_field"),
		"a last4 of 3":                vaultedCase(func(s *v) { s.Last4 = "111" }, "/last4 invalid_field"),
		"expired":                     vaultedCase(func(s *v) { s.ExpYear = 2020 }, "/exp_year expired_card"),
		"PayPal":                      vaultedCase(func(s *v) { s.InstrumentType, s.Email = normalize.TypePayPal, "a@example.com" }),
		"PayPal without an email":     vaultedCase(func(s *v) { s.InstrumentType = normalize.TypePayPal }, "/email missing_field"),
		"a bank account":              vaultedCase(func(s *v) { s.InstrumentType, s.MaskedAccountNumber = normalize.TypeBankAccount, "12XXX56" }),
		"a bank account in the clear": vaultedCase(func(s *v) { s.InstrumentType, s.MaskedAccountNumber = normalize.TypeBankAccount, pan }, "/masked_account_number pan_in_unexpected_field"),
		"a bank account in words":     vaultedCase(func(s *v) { s.InstrumentType, s.MaskedAccountNumber = normalize.TypeBankAccount, "mine" }, "/masked_account_number invalid_field"),
		"another type":                vaultedCase(func(s *v) { s.InstrumentType = normalize.TypeOther }, "/instrument_type invalid_field"),
	})
}

func TestTokenAndReferenceSources(t *testing.T) {
	t.Parallel()
	eight := normalize.References{}
	for _, k := range "abcdefgh" {
		eight[string(k)] = "v"
	}
	nine := maps.Clone(eight)
	nine["i"] = "v"
	requireSources(t, map[string]sourceCase{
		"an identifier":               identifierCase("7010000000016241111", normalize.Visa),
		"an identifier without brand": identifierCase("7010000000016241111", ""),
		"a short identifier":          identifierCase("70100000000", "", "/instrument_identifier invalid_field"),
		"a card for an identifier":    identifierCase("4111111111111111", "", "/instrument_identifier pan_in_unexpected_field"),
		"no identifier":               identifierCase("", "", "/instrument_identifier missing_field"),
		"an identifier, odd brand":    identifierCase("7010000000016241111", "Visa", "/brand invalid_field"),
		"a Rebilly token":             tokenCase("tok_a.b~c@d-e"),
		"a Rebilly token of 50":       tokenCase(strings.Repeat("t", 50)),
		"a Rebilly token of 51":       tokenCase(strings.Repeat("t", 51), "/token invalid_field"),
		"a Rebilly token, slash":      tokenCase("a/b", "/token invalid_field"),
		"no Rebilly token":            tokenCase("", "/token missing_field"),
		"a card as a Rebilly token":   tokenCase(pan, "/token pan_in_unexpected_field"),
		"a JWT":                       jwtCase("eyJh.eyJi.c2ln"),
		"a JWT of 8192":               jwtCase("a.b." + strings.Repeat("c", 8188)),
		"a JWT of 8193":               jwtCase("a.b."+strings.Repeat("c", 8189), "/transient_token invalid_field"),
		"a JWT of two parts":          jwtCase("a.b", "/transient_token invalid_field"),
		"no JWT":                      jwtCase("", "/transient_token missing_field"),
		"a card as a JWT":             jwtCase(pan, "/transient_token pan_in_unexpected_field"),
		"a reference":                 referenceCase("rebilly-eu", normalize.References{"instrument": "inst_1"}),
		"8 references":                referenceCase("p", eight),
		"9 references":                referenceCase("p", nine, "/references out_of_range"),
		"no references":               referenceCase("p", nil, "/references missing_field"),
		"no provider":                 referenceCase("", eight, "/provider missing_field"),
		"a slash in a key":            referenceCase("p", normalize.References{"a/b": ".."}, "/references/a~1b invalid_field"),
		"no type":                     {normalize.Source{}, []string{"/type missing_field"}},
		"a type that is unknown":      {normalize.Source{Type: "cash"}, []string{"/type unsupported_source"}},
		"a type without its member":   {normalize.Source{Type: normalize.SourceCard}, []string{"/type unsupported_source"}},
		"a type with another member":  {normalize.Source{Type: normalize.SourceBankAccount, Card: validCard()}, []string{"/type unsupported_source"}},
	})
}

func TestSourceFacts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source sourceCase
		want   normalize.Type
		brand  normalize.Brand
		bin    string
		raw    bool
	}{
		"a card":          {cardCase(func(*normalize.CardSource) {}), normalize.TypeCard, normalize.Visa, "411111", true},
		"a bank account":  {bankCase(func(*normalize.BankAccountSource) {}), normalize.TypeBankAccount, "", "", true},
		"an identifier":   {identifierCase("7010000000016241111", normalize.Amex), normalize.TypeCard, normalize.Amex, "", false},
		"a JWT":           {jwtCase("a.b.c"), normalize.TypeCard, "", "", false},
		"a Rebilly token": {tokenCase("t"), normalize.TypeCard, "", "", false},
		"a vaulted card":  {vaultedCase(func(*normalize.VaultedTokenSource) {}), normalize.TypeCard, normalize.Visa, "411111", false},
		"a vaulted PayPal account": {
			vaultedCase(func(v *normalize.VaultedTokenSource) { v.InstrumentType, v.Brand, v.BIN = normalize.TypePayPal, "", "" }), normalize.TypePayPal, "", "", false,
		},
		"a reference": {referenceCase("p", nil), normalize.TypeOther, "", "", false},
		"nothing":     {sourceCase{source: normalize.Source{Type: normalize.SourceVaultedToken}}, normalize.TypeOther, "", "", false},
	} {
		s := c.source.source
		brand, bin := s.CardFacts()
		require.Equal(t, c.want, s.InstrumentType(), name)
		require.Equal(t, c.brand, brand, name)
		require.Equal(t, c.bin, bin, name)
		require.Equal(t, c.raw, s.Raw(), name)
	}
}
