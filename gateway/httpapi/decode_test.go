package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

const card = `{"type":"card","number":"4111111111111111","exp_month":12,"exp_year":2031}`

func createBody(members string) string {
	return `{"customer_id":"cus-42","sources":[` + card + `]` + members + `}`
}

func sources(s string) string { return `{"customer_id":"cus-42","sources":[` + s + `]}` }

func TestCreateBodiesAreReadStrictly(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	for name, tt := range map[string]struct {
		body    string
		status  int
		code    normalize.Code
		pointer string
	}{
		"an empty body":                         {" ", 400, normalize.InvalidJSON, ""},
		"half a document":                       {`{"customer_id":`, 400, normalize.InvalidJSON, "/customer_id"},
		"a trailing comma":                      {`{"customer_id":"c",}`, 400, normalize.InvalidJSON, ""},
		"single quotes":                         {`{'a':1}`, 400, normalize.InvalidJSON, ""},
		"a comment":                             {`{} // done`, 400, normalize.InvalidJSON, ""},
		"a second document":                     {`{}{}`, 400, normalize.InvalidJSON, ""},
		"NaN":                                   {createBody(`,"default":NaN`), 400, normalize.InvalidJSON, "/default"},
		"a byte order mark":                     {"\ufeff{}", 400, normalize.InvalidJSON, ""},
		"bad UTF-8":                             {createBody(",\"country\":\"\xff\""), 400, normalize.InvalidJSON, "/country"},
		"half a surrogate pair":                 {createBody(`,"country":"\ud800"`), 400, normalize.InvalidJSON, "/country"},
		"a raw control character":               {createBody(",\"country\":\"\x01\""), 400, normalize.InvalidJSON, "/country"},
		"a duplicate member":                    {createBody(`,"customer_id":"other"`), 400, normalize.DuplicateMember, "/customer_id"},
		"a duplicate member, escaped":           {createBody(`,"customer\u005fid":"other"`), 400, normalize.DuplicateMember, "/customer_id"},
		"a duplicate member, deep":              {sources(`{"type":"card","type":"card"}`), 400, normalize.DuplicateMember, "/sources/0/type"},
		"too deep":                              {createBody(`,"metadata":` + deep), 400, normalize.InvalidJSON, "/metadata" + strings.Repeat("/a", 31)},
		"a bomb of arrays":                      {strings.Repeat("[", 60000), 400, normalize.InvalidJSON, strings.Repeat("/0", 32)},
		"an unknown member":                     {createBody(`,"amount":1`), 400, normalize.UnknownMember, "/amount"},
		"another case is another member":        {createBody(`,"Currency":"USD"`), 400, normalize.UnknownMember, "/Currency"},
		"an unknown member of a source":         {sources(`{"type":"rebilly_token","token":"t","x":1}`), 400, normalize.UnknownMember, "/sources/0/x"},
		"a member of another source type":       {sources(`{"type":"rebilly_token","token":"t","number":"4111111111111111"}`), 400, normalize.UnknownMember, "/sources/0/number"},
		"an unknown member of the address":      {createBody(`,"billing_address":{"zip":"1"}`), 400, normalize.UnknownMember, "/billing_address/zip"},
		"a member name with a slash":            {createBody(`,"a/b~c":1`), 400, normalize.UnknownMember, "/a~1b~0c"},
		"a card number as a member name":        {createBody(`,"4111111111111111":1`), 400, normalize.UnknownMember, "/[redacted]"},
		"an array":                              {`[]`, 422, normalize.InvalidField, ""},
		"null":                                  {`null`, 422, normalize.InvalidField, ""},
		"a string":                              {`"x"`, 422, normalize.InvalidField, ""},
		"a number where a string belongs":       {`{"customer_id":42,"sources":[` + card + `]}`, 422, normalize.InvalidField, "/customer_id"},
		"a card number as a JSON number":        {sources(`{"type":"card","number":4111111111111111,"exp_month":12,"exp_year":2031}`), 422, normalize.InvalidField, "/sources/0/number"},
		"null where a string belongs":           {createBody(`,"currency":null`), 422, normalize.InvalidField, "/currency"},
		"a string where a number belongs":       {sources(`{"type":"card","number":"4111111111111111","exp_month":"12","exp_year":2031}`), 422, normalize.InvalidField, "/sources/0/exp_month"},
		"a fraction":                            {sources(`{"type":"card","number":"4111111111111111","exp_month":1.5,"exp_year":2031}`), 422, normalize.InvalidField, "/sources/0/exp_month"},
		"an exponent":                           {sources(`{"type":"card","number":"4111111111111111","exp_month":1e1,"exp_year":2031}`), 422, normalize.InvalidField, "/sources/0/exp_month"},
		"a number past 64 bits":                 {sources(`{"type":"card","number":"4111111111111111","exp_month":99999999999999999999,"exp_year":2031}`), 422, normalize.OutOfRange, "/sources/0/exp_month"},
		"month 0 is out of range, not missing":  {sources(`{"type":"card","number":"4111111111111111","exp_month":0,"exp_year":2031}`), 422, normalize.OutOfRange, "/sources/0/exp_month"},
		"a string where a boolean belongs":      {createBody(`,"default":"true"`), 422, normalize.InvalidField, "/default"},
		"an object where an array belongs":      {`{"customer_id":"c","sources":{}}`, 422, normalize.InvalidField, "/sources"},
		"a source that is a string":             {sources(card + `,"x"`), 422, normalize.InvalidField, "/sources/1"},
		"a source type that is a number":        {sources(`{"type":1}`), 422, normalize.InvalidField, "/sources/0/type"},
		"metadata that is not text":             {createBody(`,"metadata":{"a":1}`), 422, normalize.InvalidField, "/metadata/a"},
		"metadata that is an array":             {createBody(`,"metadata":[]`), 422, normalize.InvalidField, "/metadata"},
		"an address that is a string":           {createBody(`,"billing_address":"x"`), 422, normalize.InvalidField, "/billing_address"},
		"a reference that is a number":          {sources(`{"type":"provider_reference","provider":"a","references":{"customer":1}}`), 422, normalize.InvalidField, "/sources/0/references/customer"},
		"a member of the wrong type in a vault": {sources(`{"type":"vaulted_token","bin":411111}`), 422, normalize.InvalidField, "/sources/0/bin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			rec := r.call(t, http.MethodPost, "/v1/instruments", tt.body, "Idempotency-Key", "k")
			p := requireProblem(t, rec, tt.status, tt.code)
			require.NotEmpty(t, p.Errors)
			require.Equal(t, tt.code, p.Errors[0].Code)
			require.Equal(t, tt.pointer, p.Errors[0].Pointer, rec.Body.String())
			require.Equal(t, normalize.NotSent, p.Outcome)
			require.NotContains(t, rec.Body.String(), testNumber)
			require.Empty(t, r.key, "the service was called")
		})
	}
}

func TestEverythingThatIsWrongIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	body := `{"sources":[{"type":"card","number":"4111111111111112","exp_month":13,"exp_year":"31","cvv":"1"}],"default":1}`
	p := requireProblem(t, newRig(t).call(t, http.MethodPost, "/v1/instruments", body, "Idempotency-Key", "k"), 422, normalize.InvalidField)
	var got []string
	for _, e := range p.Errors {
		got = append(got, e.Pointer+" "+string(e.Code))
	}
	require.Equal(t, []string{
		"/sources/0/exp_year invalid_field", "/sources/0/cvv unknown_member", "/default invalid_field",
		"/customer_id missing_field", "/sources/0/number invalid_field", "/sources/0/exp_month out_of_range",
	}, got)
}

func TestEverySourceTypeIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := sources(strings.Join([]string{
		`{"type":"card","number":"4111111111111111","exp_month":12,"exp_year":2031,"cvc":"123","holder_name":"Ada"}`,
		`{"type":"bank_account","account_number":"1234567890","routing_number":"021000021","account_type":"checking","holder_name":"Ada"}`,
		`{"type":"cybersource_instrument_identifier","instrument_identifier":"7010000000016241111","exp_month":1,"exp_year":2030,"brand":"visa"}`,
		`{"type":"cybersource_transient_token","transient_token":"a.b.c"}`,
		`{"type":"rebilly_token","token":"tok"}`,
		`{"type":"vaulted_token","payment_method_id":"braintree.credit_card","currency":"USD","vault_token":"vt","provider_customer_id":"7","instrument_type":"card","brand":"visa","bin":"411111","last4":"1111","exp_month":1,"exp_year":2030,"email":"a@example.com","issuer":"Bank","masked_account_number":"XX12"}`,
		`{"type":"provider_reference","provider":"rebilly-main","references":{"customer":"c","payment_instrument":"p"}}`,
	}, ","))
	require.Equal(t, 201, r.call(t, http.MethodPost, "/v1/instruments", body, "Idempotency-Key", "k").Code)
	got := r.create.Sources
	require.Len(t, got, len(normalize.SourceTypes()))
	require.Equal(t, normalize.CardSource{
		Number: normalize.NewSecret(testNumber), ExpMonth: 12, ExpYear: 2031, CVC: normalize.NewSecret("123"), HolderName: "Ada",
	}, *got[0].Card)
	require.Equal(t, normalize.BankAccountSource{
		AccountNumber: normalize.NewSecret("1234567890"), RoutingNumber: "021000021", AccountType: normalize.AccountChecking, HolderName: "Ada",
	}, *got[1].BankAccount)
	require.Equal(t, normalize.InstrumentIdentifierSource{
		InstrumentIdentifier: "7010000000016241111", ExpMonth: 1, ExpYear: 2030, Brand: normalize.Visa,
	}, *got[2].InstrumentIdentifier)
	require.Equal(t, "a.b.c", got[3].TransientToken.TransientToken.Reveal())
	require.Equal(t, "tok", got[4].RebillyToken.Token.Reveal())
	require.Equal(t, normalize.VaultedTokenSource{
		PaymentMethodID: "braintree.credit_card", Currency: "USD", VaultToken: normalize.NewSecret("vt"), ProviderCustomerID: "7",
		InstrumentType: normalize.TypeCard, Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: 1, ExpYear: 2030,
		Email: "a@example.com", Issuer: "Bank", MaskedAccountNumber: "XX12",
	}, *got[5].VaultedToken)
	require.Equal(t, normalize.References{"customer": "c", "payment_instrument": "p"}, got[6].ProviderReference.References)
}

func TestMergePatches(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	number := func(n int) *int { return &n }
	yes := true
	for name, tt := range map[string]struct {
		body string
		want normalize.UpdateInput
	}{
		"an empty patch changes nothing":            {`{}`, normalize.UpdateInput{}},
		"null removes an address's member":          {`{"billing_address":{"line2":null,"city":"Ely"}}`, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{"line2": nil, "city": text("Ely")}}},
		"null removes the address":                  {`{"billing_address":null}`, normalize.UpdateInput{ClearBillingAddress: true}},
		"an address without members changes none":   {`{"billing_address":{}}`, normalize.UpdateInput{BillingAddress: normalize.AddressPatch{}}},
		"an expiry date":                            {`{"card":{"exp_month":1,"exp_year":2032}}`, normalize.UpdateInput{ExpMonth: number(1), ExpYear: number(2032)}},
		"the default":                               {`{"default":true}`, normalize.UpdateInput{Default: &yes}},
		"metadata is set and removed key by key":    {`{"metadata":{"a":"1","b":null}}`, normalize.UpdateInput{Metadata: map[string]*string{"a": text("1"), "b": nil}}},
		"null removes the metadata":                 {`{"metadata":null}`, normalize.UpdateInput{ClearMetadata: true}},
		"a token replaces what the provider stores": {`{"source":{"type":"rebilly_token","token":"t"}}`, normalize.UpdateInput{Source: &normalize.Source{Type: normalize.SourceRebillyToken, RebillyToken: &normalize.RebillyTokenSource{Token: normalize.NewSecret("t")}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			rec := r.call(t, http.MethodPatch, "/v1/instruments/"+exampleID, tt.body, "Content-Type", mediaMergePatch)
			require.Equal(t, 200, rec.Code, rec.Body.String())
			require.Equal(t, tt.want, r.update)
		})
	}
	for body, want := range map[string]struct {
		status  int
		code    normalize.Code
		pointer string
	}{
		`{"id":"ins_x"}`:                       {422, normalize.InvalidField, "/id"},
		`{"status":null}`:                      {422, normalize.InvalidField, "/status"},
		`{"card":{"last4":"1111"}}`:            {422, normalize.InvalidField, "/card/last4"},
		`{"card":null}`:                        {422, normalize.InvalidField, "/card"},
		`{"card":{"exp_month":null}}`:          {422, normalize.InvalidField, "/card/exp_month"},
		`{"card":{"cvc":"1"}}`:                 {400, normalize.UnknownMember, "/card/cvc"},
		`{"nickname":"x"}`:                     {400, normalize.UnknownMember, "/nickname"},
		`{"billing_address":{"zip":null}}`:     {400, normalize.UnknownMember, "/billing_address/zip"},
		`{"billing_address":{"city":1}}`:       {422, normalize.InvalidField, "/billing_address/city"},
		`{"metadata":{"a":[]}}`:                {422, normalize.InvalidField, "/metadata/a"},
		`{"default":null}`:                     {422, normalize.InvalidField, "/default"},
		`{"source":{"type":"card","token":1}}`: {400, normalize.UnknownMember, "/source/token"},
		`[]`:                                   {422, normalize.InvalidField, ""},
	} {
		r := newRig(t)
		p := requireProblem(t, r.call(t, http.MethodPatch, "/v1/instruments/"+exampleID, body), want.status, want.code)
		require.Equal(t, want.pointer, p.Errors[0].Pointer, body)
		require.Empty(t, r.id, body)
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{createBody(""), `{"items":[{}]}`, `{"a":[1,null,true,"\u0000"]}`, `{"card":{"exp_month":1}}`, "[[[", "\xff", `{"ids":["x"],"scope":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parseJSON(b)
		if err != nil {
			require.Contains(t, []normalize.Code{normalize.InvalidJSON, normalize.DuplicateMember}, normalize.CodeOf(err))
			return
		}
		now := exampleTime()
		_, createErr := decodeCreate(n, now)
		_, updateErr := decodeUpdate(n, now)
		_, customerErr := decodeCustomer(n, "c")
		_, importErr := decodeImport(n, now)
		_, _, deleteErr := decodeBulkDelete(n)
		_, mirrorErr := decodeMirror(n, now)
		_, resolveErr := decodeResolve(n)
		_, syncErr := decodeSync(n)
		_, explainErr := decodeExplain(n)
		_, drainErr := decodeDrain(n)
		for _, err := range []error{createErr, updateErr, customerErr, importErr, deleteErr, mirrorErr, resolveErr, syncErr, explainErr, drainErr} {
			if err != nil {
				require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
				require.Less(t, kindOf(normalize.CodeOf(err)).status, 500)
				for _, field := range newProblem(err, "id", false).Errors {
					require.False(t, holdsSecret(field.Pointer+" "+field.Message), "%+v", field)
				}
			}
		}
	})
}

// FuzzQuery: a query is refused or has only what its operation knows, each once, and no
// message shows a secret.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"limit=1", "metadata[k]=v&q=x", "filter=status:active%3Btype:card", "a=%zz", "q=4111111111111111", "=1", "limit=1&limit=2", fullKey + "=1", "%00", ";"} {
		f.Add(q)
	}
	op := operations()["listInstruments"]
	f.Fuzz(func(t *testing.T, q string) {
		errs := checkQuery(&url.URL{RawQuery: q}, op)
		for _, e := range errs {
			require.Empty(t, e.Pointer)
			require.False(t, holdsSecret(e.Message), e.Message)
		}
		values, err := url.ParseQuery(q)
		if len(errs) > 0 || err != nil {
			require.NotEmpty(t, errs)
			return
		}
		for name, v := range values {
			require.Len(t, v, 1, name)
			require.True(t, slices.Contains(op.query, name) || metadataParam.MatchString(name), name)
			require.True(t, utf8.ValidString(v[0]) && len(v[0]) <= maxQueryValue)
		}
	})
}
