package normalize_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// today is when the tables' expiry dates are judged.
func today() time.Time { return time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC) }

func secret(s string) normalize.Secret { return normalize.NewSecret(s) }

func validCard() *normalize.CardSource {
	return &normalize.CardSource{Number: secret(pan), ExpMonth: 12, ExpYear: 2030, CVC: secret("123"), HolderName: "José O'Brien-Smith"}
}

func validInput() normalize.CreateInput {
	return normalize.CreateInput{
		CustomerID: "shopper@42", Currency: "USD", Country: "US", Provider: "rebilly-eu",
		Sources:        []normalize.Source{{Type: normalize.SourceCard, Card: validCard()}},
		BillingAddress: &normalize.Address{FirstName: "José", Country: "US"},
		Metadata:       map[string]string{"tier": "gold"},
	}
}

// wrong renders field errors as "pointer code", in their order.
func wrong(errs []normalize.FieldError) []string {
	out := []string{}
	for _, e := range errs {
		out = append(out, e.Pointer+" "+string(e.Code))
	}
	return out
}

// requireSilent requires that no message holds a value.
func requireSilent(t *testing.T, errs []normalize.FieldError) {
	t.Helper()
	for _, e := range errs {
		require.NotEmpty(t, e.Message, e.Pointer)
		require.False(t, normalize.ContainsCardNumber(e.Message+e.Pointer), "%s holds a card number", e.Pointer)
		require.False(t, strings.HasSuffix(e.Message, "."), e.Message)
	}
}

func TestCreateInputValidate(t *testing.T) {
	t.Parallel()
	type in = normalize.CreateInput
	for name, c := range map[string]struct {
		change func(*in)
		want   []string
	}{
		"a good one passes":             {func(*in) {}, nil},
		"the optional may be absent":    {func(i *in) { *i = in{CustomerID: "c", Sources: i.Sources} }, nil},
		"all that is wrong is told":     {func(i *in) { *i = in{} }, []string{"/customer_id missing_field", "/sources missing_field"}},
		"a customer of 100 characters":  {func(i *in) { i.CustomerID = strings.Repeat("a", 100) }, nil},
		"a customer of 101 characters":  {func(i *in) { i.CustomerID = strings.Repeat("a", 101) }, []string{"/customer_id invalid_field"}},
		"a customer with a slash":       {func(i *in) { i.CustomerID = "a/b" }, []string{"/customer_id invalid_field"}},
		"a customer that is a dot":      {func(i *in) { i.CustomerID = "." }, []string{"/customer_id invalid_field"}},
		"a customer that is two dots":   {func(i *in) { i.CustomerID = ".." }, []string{"/customer_id invalid_field"}},
		"a customer with a line break":  {func(i *in) { i.CustomerID = "a\n" }, []string{"/customer_id invalid_field"}},
		"a card number as the customer": {func(i *in) { i.CustomerID = pan }, []string{"/customer_id pan_in_unexpected_field"}},
		"8 sources":                     {func(i *in) { i.Sources = repeat(i.Sources[0], 8) }, nil},
		"9 sources":                     {func(i *in) { i.Sources = repeat(i.Sources[0], 9) }, []string{"/sources out_of_range"}},
		"a fault in the second source":  {func(i *in) { i.Sources = append(i.Sources, normalize.Source{}) }, []string{"/sources/1/type missing_field"}},
		"an unknown currency":           {func(i *in) { i.Currency = "XXX" }, []string{"/currency invalid_field"}},
		"a currency in lower case":      {func(i *in) { i.Currency = "usd" }, []string{"/currency invalid_field"}},
		"a country that is none":        {func(i *in) { i.Country = "XX" }, []string{"/country invalid_field"}},
		"a country in lower case":       {func(i *in) { i.Country = "us" }, []string{"/country invalid_field"}},
		"half of two countries":         {func(i *in) { i.Country = "D " }, []string{"/country invalid_field"}},
		"a provider of 63":              {func(i *in) { i.Provider = strings.Repeat("a", 63) }, nil},
		"a provider of 64":              {func(i *in) { i.Provider = strings.Repeat("a", 64) }, []string{"/provider invalid_field"}},
		"a provider in upper case":      {func(i *in) { i.Provider = "Rebilly" }, []string{"/provider invalid_field"}},
		"the order is the document's": {func(i *in) {
			i.Provider, i.Currency, i.CustomerID, i.BillingAddress = "A", "x", "", &normalize.Address{Country: "x"}
		}, []string{"/customer_id missing_field", "/billing_address/country invalid_field", "/currency invalid_field", "/provider invalid_field"}},
		"20 metadata keys":        {func(i *in) { i.Metadata = keys(20) }, nil},
		"21 metadata keys":        {func(i *in) { i.Metadata = keys(21) }, []string{"/metadata out_of_range"}},
		"a metadata key of 40":    {func(i *in) { i.Metadata = map[string]string{strings.Repeat("k", 40): "v"} }, nil},
		"a metadata key of 41":    {func(i *in) { i.Metadata = map[string]string{strings.Repeat("k", 41): "v"} }, []string{"/metadata invalid_field"}},
		"an empty metadata key":   {func(i *in) { i.Metadata = map[string]string{"": "v"} }, []string{"/metadata invalid_field"}},
		"a metadata value of 500": {func(i *in) { i.Metadata = map[string]string{"k": strings.Repeat("é", 500)} }, nil},
		"a metadata value of 501": {func(i *in) { i.Metadata = map[string]string{"k": strings.Repeat("é", 501)} }, []string{"/metadata/k out_of_range"}},
		"an empty metadata value": {func(i *in) { i.Metadata = map[string]string{"k": ""} }, nil},
		"a number in metadata":    {func(i *in) { i.Metadata = map[string]string{"k": "4111 1111 1111 1111"} }, []string{"/metadata/k pan_in_unexpected_field"}},
		"a number as a key":       {func(i *in) { i.Metadata = map[string]string{pan: "v"} }, []string{"/metadata pan_in_unexpected_field"}},
	} {
		i := validInput()
		c.change(&i)
		errs := i.Validate(today())
		require.ElementsMatch(t, c.want, wrong(errs), name)
		require.Equal(t, append([]string{}, c.want...), wrong(errs), "%s: order", name)
		requireSilent(t, errs)
	}
}

func repeat[T any](v T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func keys(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out["k"+string(rune('a'+i))] = "v"
	}
	return out
}

func TestAddressValidate(t *testing.T) {
	t.Parallel()
	type a = normalize.Address
	const p = "/billing_address/"
	for name, c := range map[string]struct {
		address a
		want    []string
	}{
		"empty":                  {a{}, nil},
		"names that people have": {a{FirstName: "José", LastName: "O'Brien-Smith", Company: "Ñandú & Søn A/S", City: "'s-Hertogenbosch"}, nil},
		"names in other scripts": {a{FirstName: "王小明", LastName: "𠮷野", Line1: "Улица Ленина, 1", Line2: "شارع الملك", City: "Αθήνα"}, nil},
		"an emoji":               {a{FirstName: "Zoë 🎉"}, nil},
		"a name of one letter":   {a{FirstName: "X", LastName: "Ö"}, nil},
		"every member at its bound": {a{
			FirstName: strings.Repeat("é", 45), LastName: strings.Repeat("𠮷", 45), Company: strings.Repeat("x", 60), Line1: strings.Repeat("x", 60),
			Line2: strings.Repeat("x", 60), City: strings.Repeat("x", 45), Region: strings.Repeat("x", 20), PostalCode: strings.Repeat("9", 10),
			Country: "US", Email: strings.Repeat("a", 64) + "@" + strings.Repeat("b", 186) + ".com", Phone: "+15125550100",
		}, nil},
		"every member past its bound": {a{
			FirstName: strings.Repeat("é", 46), LastName: strings.Repeat("𠮷", 46), Company: strings.Repeat("x", 61), Line1: strings.Repeat("x", 61),
			Line2: strings.Repeat("x", 61), City: strings.Repeat("x", 46), Region: strings.Repeat("x", 21), PostalCode: strings.Repeat("9", 11),
			Country: "USA", Email: strings.Repeat("a", 64) + "@" + strings.Repeat("b", 187) + ".com", Phone: "+1234567890123456",
		}, []string{
			p + "first_name out_of_range", p + "last_name out_of_range", p + "company out_of_range", p + "line1 out_of_range", p + "line2 out_of_range",
			p + "city out_of_range", p + "region out_of_range", p + "postal_code invalid_field", p + "country invalid_field", p + "email out_of_range", p + "phone out_of_range",
		}},
		"a control character":        {a{FirstName: "a\x00b"}, []string{p + "first_name invalid_field"}},
		"a line break":               {a{Line1: "a\r\nb"}, []string{p + "line1 invalid_field"}},
		"a right-to-left override":   {a{FirstName: "a\u202eb"}, []string{p + "first_name invalid_field"}},
		"an isolate":                 {a{LastName: "a\u2066b"}, []string{p + "last_name invalid_field"}},
		"a byte order mark":          {a{City: "\ufeffx"}, []string{p + "city invalid_field"}},
		"broken UTF-8":               {a{Company: "\xff"}, []string{p + "company invalid_field"}},
		"the replacement character":  {a{Company: "a\ufffd"}, []string{p + "company invalid_field"}},
		"nothing but spaces":         {a{Region: "  "}, []string{p + "region invalid_field"}},
		"a card number in a line":    {a{Line1: "4111-1111-1111-1111"}, []string{p + "line1 pan_in_unexpected_field"}},
		"a card number as a name":    {a{LastName: "x 5555555555554444"}, []string{p + "last_name pan_in_unexpected_field"}},
		"a card number in an email":  {a{Email: pan + "@example.com"}, []string{p + "email pan_in_unexpected_field"}},
		"a card number as a phone":   {a{Phone: "378282246310005"}, []string{p + "phone pan_in_unexpected_field"}},
		"phones":                     {a{Phone: "+1 (512) 555-0100"}, nil},
		"a phone with an extension":  {a{Phone: "555-0100 x12"}, nil},
		"a phone in words":           {a{Phone: "call me"}, []string{p + "phone invalid_field"}},
		"a phone of two digits":      {a{Phone: "12"}, []string{p + "phone invalid_field"}},
		"postal codes":               {a{PostalCode: "SW1A 1AA"}, nil},
		"a postal code with a dash":  {a{PostalCode: "78701-1234"}, nil},
		"a postal code with a dot":   {a{PostalCode: "787.01"}, []string{p + "postal_code invalid_field"}},
		"a postal code in Arabic":    {a{PostalCode: "١٢٣٤٥"}, []string{p + "postal_code invalid_field"}},
		"an email without a domain":  {a{Email: "jose@"}, []string{p + "email invalid_field"}},
		"an email without a dot":     {a{Email: "jose@localhost"}, []string{p + "email invalid_field"}},
		"an email with two ats":      {a{Email: "a@b@example.com"}, []string{p + "email invalid_field"}},
		"an email with a space":      {a{Email: "a b@example.com"}, []string{p + "email invalid_field"}},
		"an email in another script": {a{Email: "用户@例子.公司"}, nil},
		"an email with an override":  {a{Email: "a\u202e@example.com"}, []string{p + "email invalid_field"}},
	} {
		i := validInput()
		i.BillingAddress = &c.address
		errs := i.Validate(today())
		require.Equal(t, append([]string{}, c.want...), wrong(errs), name)
		requireSilent(t, errs)
	}
}

func TestUpdateInputValidate(t *testing.T) {
	t.Parallel()
	text, no, yes := func(s string) *string { return &s }, false, true
	number := func(n int) *int { return &n }
	type in = normalize.UpdateInput
	for name, c := range map[string]struct {
		in   in
		want []string
	}{
		"empty":                        {in{}, nil},
		"a month of 12":                {in{ExpMonth: number(12)}, nil},
		"a month of 0":                 {in{ExpMonth: number(0)}, []string{"/card/exp_month out_of_range"}},
		"a month of 13":                {in{ExpMonth: number(13)}, []string{"/card/exp_month out_of_range"}},
		"a year of 2099":               {in{ExpYear: number(2099)}, nil},
		"a year of 2100":               {in{ExpYear: number(2100)}, []string{"/card/exp_year out_of_range"}},
		"a year of two digits":         {in{ExpYear: number(30)}, []string{"/card/exp_year out_of_range"}},
		"this month":                   {in{ExpMonth: number(6), ExpYear: number(2026)}, nil},
		"last month":                   {in{ExpMonth: number(5), ExpYear: number(2026)}, []string{"/card/exp_year expired_card"}},
		"to be the default":            {in{Default: &yes}, nil},
		"not to be the default":        {in{Default: &no}, []string{"/default invalid_field"}},
		"a member of the address":      {in{BillingAddress: normalize.AddressPatch{"city": text("Austin"), "line2": nil}}, nil},
		"a bad member of the address":  {in{BillingAddress: normalize.AddressPatch{"country": text("Texas")}}, []string{"/billing_address/country invalid_field"}},
		"metadata set and removed":     {in{Metadata: map[string]*string{"a": text("1"), "b": nil}}, nil},
		"a number in metadata":         {in{Metadata: map[string]*string{"a": text(pan)}}, []string{"/metadata/a pan_in_unexpected_field"}},
		"a bad key, even to remove it": {in{Metadata: map[string]*string{"a b": nil}}, []string{"/metadata invalid_field"}},
		"a token":                      {in{Source: &normalize.Source{Type: normalize.SourceRebillyToken, RebillyToken: &normalize.RebillyTokenSource{Token: secret("t")}}}, nil},
		"a token that is missing":      {in{Source: &normalize.Source{Type: normalize.SourceRebillyToken, RebillyToken: &normalize.RebillyTokenSource{}}}, []string{"/source/token missing_field"}},
	} {
		errs := c.in.Validate(today())
		require.Equal(t, append([]string{}, c.want...), wrong(errs), name)
		requireSilent(t, errs)
	}
}

func TestUpdateInputEmpty(t *testing.T) {
	t.Parallel()
	require.True(t, normalize.UpdateInput{}.Empty())
	require.True(t, normalize.UpdateInput{IfMatch: `"1"`}.Empty(), "a condition alone changes nothing")
	one, yes := 1, true
	for _, in := range []normalize.UpdateInput{
		{BillingAddress: normalize.AddressPatch{}},
		{ClearBillingAddress: true},
		{ExpMonth: &one},
		{ExpYear: &one},
		{Default: &yes},
		{Metadata: map[string]*string{}},
		{ClearMetadata: true},
		{Source: &normalize.Source{}},
	} {
		require.False(t, in.Empty(), "%+v", in)
	}
}

func TestCustomerInputValidate(t *testing.T) {
	t.Parallel()
	refs := func(name, ref string) normalize.CustomerInput {
		return normalize.CustomerInput{ID: "c", ProviderReferences: map[string]string{name: ref}}
	}
	for name, c := range map[string]struct {
		in   normalize.CustomerInput
		want []string
	}{
		"good":                     {refs("rebilly-eu", "4f6cf35x-2c4y-483z-a0a9-158621f77a21"), nil},
		"none":                     {normalize.CustomerInput{}, []string{"/id missing_field"}},
		"a provider's bad name":    {refs("a/b", "x"), []string{"/provider_references/a~1b invalid_field"}},
		"an empty reference":       {refs("p", ""), []string{"/provider_references/p missing_field"}},
		"a reference of 128":       {refs("p", strings.Repeat("a", 128)), nil},
		"a reference of 129":       {refs("p", strings.Repeat("a", 129)), []string{"/provider_references/p invalid_field"}},
		"two dots in a reference":  {refs("p", "a/../b"), []string{"/provider_references/p invalid_field"}},
		"an American Express card": {refs("p", "378282246310005"), []string{"/provider_references/p pan_in_unexpected_field"}},
		"a 16-digit TMS token":     {refs("p", "7020000000000137"), nil},
		"a 19-digit TMS token":     {refs("p", "7010000000016241111"), nil},
		"a Visa card":              {refs("p", "4111111111111111"), []string{"/provider_references/p pan_in_unexpected_field"}},
		"a Visa card in groups":    {refs("p", "4111-1111-1111-1111"), []string{"/provider_references/p pan_in_unexpected_field"}},
		"a Maestro card":           {refs("p", "6304000000000000000"), []string{"/provider_references/p pan_in_unexpected_field"}},
		"a UUID with long digits":  {refs("p", "41111111-1111-4111-8111-111111111111"), nil},
	} {
		errs := c.in.Validate()
		require.Equal(t, append([]string{}, c.want...), wrong(errs), name)
		requireSilent(t, errs)
	}
	require.True(t, normalize.ValidCustomerID("a.b_c@d~e:f+g-h"))
	require.False(t, normalize.ValidCustomerID("é"))
}

func TestAddressPatch(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	before := normalize.Address{FirstName: "José", City: "Austin", Country: "US"}
	after := normalize.AddressPatch{"city": text("Boston"), "first_name": nil, "line1": text("1 Main Street"), "unknown": text("x")}.Apply(before)
	require.Equal(t, normalize.Address{City: "Boston", Line1: "1 Main Street", Country: "US"}, after)
	require.Equal(t, "José", before.FirstName, "the address before is not changed")
	require.Equal(t, before, normalize.AddressPatch(nil).Apply(before))
	for _, name := range normalize.AddressMembers() {
		got := normalize.AddressPatch{name: text("v")}.Apply(normalize.Address{})
		require.NotEqual(t, normalize.Address{}, got, name)
		require.Equal(t, normalize.Address{}, normalize.AddressPatch{name: nil}.Apply(got), name)
	}
	require.Len(t, normalize.AddressMembers(), 11)
	require.IsIncreasing(t, normalize.AddressMembers())
}

func TestISO(t *testing.T) {
	t.Parallel()
	countries, currencies := 0, 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if normalize.ValidCountry(string([]rune{a, b})) {
				countries++
			}
			for c := 'A'; c <= 'Z'; c++ {
				if normalize.ValidCurrency(string([]rune{a, b, c})) {
					currencies++
				}
			}
		}
	}
	require.Equal(t, 249, countries, "ISO 3166-1 has 249 assigned codes")
	require.Greater(t, currencies, 150)
	for _, s := range []string{"", " ", "U", "us", "Us", "USA", "A ", " A", "S ", "D A", "UK", "EU", "XK"} {
		require.False(t, normalize.ValidCountry(s), "%q", s)
	}
	for _, s := range []string{"", "US", "usd", "USDX", "D E", " US", "DM ", "XXX", "DEM"} {
		require.False(t, normalize.ValidCurrency(s), "%q", s)
	}
	for _, s := range []string{"USD", "EUR", "JPY", "KWD", "ZWG"} {
		require.True(t, normalize.ValidCurrency(s), s)
	}
}

func TestEscapePointer(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a~1b~0c~01", normalize.EscapePointer("a/b~c~1"))
}
