package rebillytest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/adapters/standin"
)

const (
	visaBody = `{"method":"payment-card","customerId":"c1","pan":"4111111111111111","cvv":"123","expMonth":12,"expYear":2040,"billingAddress":{}}`
	bbanBody = `{"method":"ach","customerId":"c1","accountNumberType":"BBAN","accountNumber":"000123456789","routingNumber":"021000021",` +
		`"accountType":"checking","billingAddress":{}}`
	ibanBody  = `{"method":"ach","customerId":"c1","accountNumberType":"IBAN","accountNumber":"DE89370400440532013000","billingAddress":{}}`
	tokenBody = `{"method":"payment-card","paymentInstrument":{"pan":"5555555555554444","expMonth":1,"expYear":2041}}`
)

// api is a stand-in with a customer, and a way to call it.
type api struct {
	t *testing.T
	s *standin.Server
}

func newAPI(t *testing.T, o rebillytest.Options) api {
	t.Helper()
	a := api{t, rebillytest.New(o)}
	a.must("PUT", "/customers/c1", `{}`, 201)
	return a
}

func (a api) do(method, target, body string, header http.Header) (*httptest.ResponseRecorder, map[string]any) {
	a.t.Helper()
	r := httptest.NewRequestWithContext(a.t.Context(), method, target, strings.NewReader(body))
	r.Header = header
	rec := httptest.NewRecorder()
	a.s.ServeHTTP(rec, r)
	var o map[string]any
	_ = json.Unmarshal(rec.Body.Bytes(), &o)
	return rec, o
}

func (a api) must(method, target, body string, status int) map[string]any {
	a.t.Helper()
	rec, o := a.do(method, target, body, http.Header{"Reb-Apikey": {rebillytest.SecretKey}})
	require.Equal(a.t, status, rec.Code, "%s %s: %s", method, target, rec.Body.String())
	return o
}

// refused requires 422, and returns the fields that are wrong.
func (a api) refused(method, target, body string) []string {
	a.t.Helper()
	var fields []string
	list, ok := a.must(method, target, body, 422)["invalidFields"].([]any)
	require.True(a.t, ok)
	for _, e := range list {
		f, ok := e.(map[string]any)["field"].(string)
		require.True(a.t, ok)
		fields = append(fields, f)
	}
	return fields
}

func (a api) list(query string) []string {
	a.t.Helper()
	rec, _ := a.do("GET", "/payment-instruments?"+query, "", http.Header{"Reb-Apikey": {rebillytest.SecretKey}})
	require.Equal(a.t, 200, rec.Code, rec.Body.String())
	var rows []map[string]any
	require.NoError(a.t, json.Unmarshal(rec.Body.Bytes(), &rows))
	out := []string{}
	for _, r := range rows {
		last4, _ := r["last4"].(string)
		out = append(out, last4)
	}
	return out
}

func id(o map[string]any) string {
	s, _ := o["id"].(string)
	return s
}

func TestCredentialsAndOrganizations(t *testing.T) {
	t.Parallel()
	a := newAPI(t, rebillytest.Options{})
	secret, publishable := []string{rebillytest.SecretKey}, []string{rebillytest.PublishableKey}
	for rule, c := range map[string]struct {
		method, target string
		header         http.Header
		want           int
	}{
		"the organization in the path":         {"GET", "/organizations/org_sandbox/payment-instruments", http.Header{"Reb-Apikey": secret}, 200},
		"the organization in the header":       {"GET", "/payment-instruments", http.Header{"Reb-Apikey": secret, "Organization-Id": {"org_sandbox"}}, 200},
		"the key's own organization":           {"GET", "/payment-instruments", http.Header{"Reb-Apikey": secret}, 200},
		"another organization in the path":     {"GET", "/organizations/org_b/payment-instruments", http.Header{"Reb-Apikey": secret}, 403},
		"another organization in the header":   {"GET", "/payment-instruments", http.Header{"Reb-Apikey": secret, "Organization-Id": {"org_b"}}, 403},
		"no key":                               {"GET", "/payment-instruments", http.Header{}, 401},
		"a wrong key":                          {"GET", "/payment-instruments", http.Header{"Reb-Apikey": {"sk_sandbox_wrong"}}, 401},
		"a publishable key makes tokens":       {"GET", "/tokens", http.Header{"Authorization": publishable}, 200},
		"a publishable key makes nothing else": {"GET", "/customers", http.Header{"Authorization": publishable}, 403},
		"a publishable key is not a bearer":    {"GET", "/tokens", http.Header{"Authorization": {"Bearer " + rebillytest.PublishableKey}}, 401},
		"both keys, one of them wrong":         {"GET", "/tokens", http.Header{"Reb-Apikey": {"x"}, "Authorization": publishable}, 200},
		"no such resource":                     {"GET", "/payment-cards", http.Header{"Reb-Apikey": secret}, 404},
		"no such method":                       {"DELETE", "/payment-instruments/inst_1", http.Header{"Reb-Apikey": secret}, 405},
		"a trailing slash":                     {"GET", "/customers/", http.Header{"Reb-Apikey": secret}, 200},
	} {
		rec, o := a.do(c.method, c.target, "", c.header)
		require.Equal(t, c.want, rec.Code, rule)
		require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
		if c.want >= 400 {
			require.InDelta(t, c.want, o["status"], 0, rule)
		}
	}
}

func TestTheSameNumberIsTheSameInstrument(t *testing.T) {
	t.Parallel()
	a := newAPI(t, rebillytest.Options{})
	a.must("PUT", "/customers/c2", `{}`, 201)
	for _, body := range []string{visaBody, bbanBody, ibanBody, `{"method":"voucher","customerId":"c1","billingAddress":{}}`} {
		first := a.must("POST", "/payment-instruments", body, 201)
		rec, again := a.do("POST", "/organizations/org_sandbox/payment-instruments", strings.Replace(body, "{}", `{"city":"Austin"}`, 1), http.Header{"Reb-Apikey": {rebillytest.SecretKey}})
		require.Equal(t, 303, rec.Code)
		require.Equal(t, "http://example.com/organizations/org_sandbox/payment-instruments/"+id(first), rec.Header().Get("Location"))
		require.Equal(t, id(first), id(again))
		require.Equal(t, map[string]any{"city": "Austin"}, again["billingAddress"])
		require.InDelta(t, 2, again["revision"], 0)
		require.NotEqual(t, id(first), id(a.must("POST", "/payment-instruments", strings.Replace(body, `"c1"`, `"c2"`, 1), 201)), "another customer's is another")
	}
	require.Len(t, a.s.State().Instruments, 8)
}

func TestTwoCardsMayShareAFingerprint(t *testing.T) {
	t.Parallel()
	a := newAPI(t, rebillytest.Options{})
	// Both begin with 400000 and end with 0002; the second is made of the first, a
	// published test number, since no two published ones are alike in both.
	one := a.must("POST", "/payment-instruments", strings.Replace(visaBody, "4111111111111111", "4000000000000002", 1), 201)
	two := a.must("POST", "/payment-instruments", strings.Replace(visaBody, "4111111111111111", strings.Replace("4000000000000002", "000002", "180002", 1), 1), 201)
	require.Equal(t, one["fingerprint"], two["fingerprint"])
	require.NotEqual(t, id(one), id(two))
}

func TestNoNumberIsShownOrKept(t *testing.T) {
	t.Parallel()
	a := newAPI(t, rebillytest.Options{})
	for _, body := range []string{visaBody, bbanBody, ibanBody} {
		text, err := json.Marshal(a.must("POST", "/payment-instruments", body, 201))
		require.NoError(t, err)
		state, err := json.Marshal(a.s.State())
		require.NoError(t, err)
		for _, secret := range []string{"4111111111111111", "000123456789", "DE89370400440532013000", `"cvv"`} {
			require.NotContains(t, string(text)+string(state), secret)
		}
	}
}

func TestCreatesThatAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t, rebillytest.Options{CustomFields: []string{"tier"}})
	change := func(body, old, now string) string { return strings.Replace(body, old, now, 1) }
	for rule, c := range map[string]struct {
		body string
		want []string
	}{
		"nothing at all":                   {`{}`, []string{"customerId", "billingAddress", "method"}},
		"no such customer":                 {change(visaBody, `"c1"`, `"c9"`), []string{"customerId"}},
		"a number that fails the check":    {change(visaBody, "1111111", "1111112"), []string{"pan"}},
		"a month that there is not":        {change(visaBody, `:12`, `:13`), []string{"expMonth"}},
		"no expiry":                        {change(visaBody, `"expMonth":12,"expYear":2040,`, ``), []string{"expMonth", "expYear"}},
		"a security code of letters":       {change(visaBody, `"123"`, `"abc"`), []string{"cvv"}},
		"a raw card without an address":    {change(visaBody, `,"billingAddress":{}`, ``), []string{"billingAddress"}},
		"an empty text":                    {change(visaBody, `{}`, `{"city":""}`), []string{"billingAddress.city"}},
		"an emoji":                         {change(visaBody, `{}`, `{"firstName":"😀"}`), []string{"billingAddress.firstName"}},
		"a text that is too long":          {change(visaBody, `{}`, `{"region":"`+strings.Repeat("é", 46)+`"}`), []string{"billingAddress.region"}},
		"a country in words":               {change(visaBody, `{}`, `{"country":"usa"}`), []string{"billingAddress.country"}},
		"a postal code with a comma":       {change(visaBody, `{}`, `{"postalCode":"1,2"}`), []string{"billingAddress.postalCode"}},
		"an email without a label":         {change(visaBody, `{}`, `{"emails":[{"value":"a@example.com"}]}`), []string{"billingAddress.emails.0.label"}},
		"a list of emails that is null":    {change(visaBody, `{}`, `{"emails":null}`), []string{"billingAddress.emails"}},
		"a custom field without a mention": {change(visaBody, `{}`, `{},"customFields":{"x":1,"tier":"gold"}`), []string{"customFields.x"}},
		"an account number with letters":   {change(bbanBody, "000123456789", "12AB"), []string{"accountNumber"}},
		"an account without a type":        {change(bbanBody, "checking", "x"), []string{"accountType"}},
		"neither BBAN nor IBAN":            {change(bbanBody, "BBAN", "x"), []string{"accountNumberType"}},
		"a card with an account":           {change(visaBody, `{}`, `{},"accountNumber":"1"`), []string{"method"}},
		"a token with a card":              {change(visaBody, `{}`, `{},"token":"tok_1"`), []string{"token"}},
		"a token that never was":           {`{"customerId":"c1","token":"tok_1"}`, []string{"token"}},
	} {
		require.ElementsMatch(t, c.want, a.refused("POST", "/payment-instruments", c.body), rule)
	}
	require.Empty(t, a.s.State().Instruments)
	a.must("POST", "/payment-instruments", `[]`, 400)
	a.must("POST", "/payment-instruments", change(visaBody, `{}`, `{"city":null},"customFields":{"tier":"gold"},"expYear":"2041","expMonth":"02"`), 201)
}

func TestTokensAreUsedOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	a := newAPI(t, rebillytest.Options{Now: func() time.Time { return now }})
	token := a.must("POST", "/tokens", tokenBody, 201)
	body := `{"customerId":"c1","token":"` + id(token) + `"}`
	a.refused("POST", "/payment-instruments", strings.Replace(body, "c1", "c9", 1))
	a.must("POST", "/payment-instruments", body, 201) // a refused create has not used it up
	require.Equal(t, true, a.must("GET", "/tokens/"+id(token), "", 200)["isUsed"])
	require.Equal(t, []string{"token"}, a.refused("POST", "/payment-instruments", body))
	late := a.must("POST", "/tokens", tokenBody, 201)
	now = now.Add(30 * time.Minute)
	require.Equal(t, []string{"token"}, a.refused("POST", "/payment-instruments", `{"customerId":"c1","token":"`+id(late)+`"}`))
	a.must("GET", "/tokens/tok_none", "", 404)
}

func TestUpdateVariants(t *testing.T) {
	t.Parallel()
	a := newAPI(t, rebillytest.Options{})
	card := "/payment-instruments/" + id(a.must("POST", "/payment-instruments", visaBody, 201))
	bank := "/payment-instruments/" + id(a.must("POST", "/payment-instruments", bbanBody, 201))
	token := id(a.must("POST", "/tokens", `{"method":"payment-card","paymentInstrument":{"expMonth":2,"expYear":2050}}`, 201))
	for _, c := range []struct{ path, body, field string }{
		{card, `{"pan":"5555555555554444"}`, "pan"},
		{card, `{"status":"active"}`, "status"},
		{card, `{"customerId":"c2"}`, "customerId"},
		{card, `{"bankName":"x"}`, "accountType"},
		{card, `{"expMonth":1,"accountType":"other"}`, "expMonth"},
		{card, `{"token":"` + token + `","expMonth":1}`, "token"},
		{card, `{"stickyGatewayAccountId":null}`, "stickyGatewayAccountId"},
		{card, `{"expMonth":0}`, "expMonth"},
		{card, `{"billingAddress":{"city":""}}`, "billingAddress.city"},
		{bank, `{"expMonth":1}`, "expMonth"},
		{bank, `{"token":"` + token + `"}`, "token"},
	} {
		require.Equal(t, []string{c.field}, a.refused("PATCH", c.path, c.body), c.body)
	}
	require.InDelta(t, 1, a.must("GET", card, "", 200)["revision"], 0)
	o := a.must("PATCH", card, `{"token":"`+token+`","stickyGatewayAccountId":null,"useAsBackup":true}`, 200)
	require.Equal(t, []any{"1111", 2.0, 2050.0, true, 2.0}, []any{o["last4"], o["expMonth"], o["expYear"], o["useAsBackup"], o["revision"]})
	o = a.must("PATCH", bank, `{"accountType":"savings","bankName":"First"}`, 200)
	require.Equal(t, []any{"savings", "First"}, []any{o["accountType"], o["bankName"]})
	a.must("PATCH", "/payment-instruments/inst_none", `{}`, 404)
}

func TestDeactivation(t *testing.T) {
	t.Parallel()
	a := newAPI(t, rebillytest.Options{})
	i := id(a.must("POST", "/payment-instruments", visaBody, 201))
	a.must("PUT", "/customers/c1", `{"defaultPaymentInstrumentId":"`+i+`"}`, 200)
	require.Equal(t, "deactivated", a.must("POST", "/payment-instruments/"+i+"/deactivation", "", 201)["status"])
	a.must("POST", "/payment-instruments/"+i+"/deactivation", "", 409)
	a.must("POST", "/payment-instruments/inst_none/deactivation", "", 404)
	require.Equal(t, "deactivated", a.must("GET", "/payment-instruments/"+i, "", 200)["status"])
	require.Nil(t, a.must("GET", "/customers/c1", "", 200)["defaultPaymentInstrument"])
	require.Equal(t, []string{"defaultPaymentInstrumentId"}, a.refused("PUT", "/customers/c1", `{"defaultPaymentInstrumentId":"`+i+`"}`))
	require.NotEqual(t, i, id(a.must("POST", "/payment-instruments", visaBody, 201)))
}

func TestFiltersSortAndPages(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	a := newAPI(t, rebillytest.Options{Now: func() time.Time { return now }})
	for _, body := range []string{
		visaBody, strings.Replace(visaBody, "4111111111111111", "378282246310005", 1), strings.Replace(bbanBody, "{}", `{"country":"CA"}`, 1),
	} {
		a.must("POST", "/payment-instruments", body, 201)
		now = now.Add(time.Second)
	}
	for query, want := range map[string][]string{
		"":                                  {"6789", "0005", "1111"},
		"sort=createdTime":                  {"1111", "0005", "6789"},
		"sort=-createdTime,id&limit=1":      {"6789"},
		"sort=createdTime&limit=2&offset=2": {"6789"},
		"limit=0":                           {},
		"offset=1000":                       {},
		"filter=method:ach":                 {"6789"},
		"filter=method:payment-card;brand:visa,x":                              {"1111"},
		"filter=customerId:c1%3Bbrand:!Visa":                                   {"6789", "0005"},
		"filter=last4:!1111,!0005":                                             {"6789"},
		"filter=last4:!1111,0005":                                              {"6789"},
		"filter=brand:American%20Express":                                      {"0005"},
		"filter=billingAddress.country:ca":                                     {"6789"},
		"filter=expYear:2040..&sort=createdTime":                               {"1111", "0005"},
		"filter=expYear:..2039":                                                {},
		"filter=createdTime:2030-01-01T00:00:01Z..2030-01-01T01:00:01%2B01:00": {"0005"},
		"filter=createdTime:2030-01-01T01:00:00%2B01:00":                       {"1111"},
		"filter=useAsBackup:false;status:inactive,active&q=visa":               {"1111"},
		"filter=customFields.tier:gold":                                        {},
		"filter=customerId:nobody":                                             {},
	} {
		require.Equal(t, want, a.list(query), query)
	}
	for query, field := range map[string]string{
		"limit=1001": "limit", "limit=-1": "limit", "limit=x": "limit", "offset=1001": "offset", "offset=-1": "offset", "sort=brand": "sort",
		"filter=customerId": "filter", "filter=planet:earth": "filter", "filter=last4:": "filter", "filter=last4:a,!b": "filter", "filter=last4:a,,b": "filter",
		"filter=last4:@list": "filter", "filter=last4:!@list": "filter", "filter=expYear:x": "filter", "filter=expYear:..": "filter",
		"filter=createdTime:today": "filter", "filter=useAsBackup:yes": "filter", "filter=;": "filter",
	} {
		require.Equal(t, []string{field}, a.refused("GET", "/payment-instruments?"+query, ""), query)
	}
	old := newAPI(t, rebillytest.Options{OffsetLimit: -1})
	require.Empty(t, old.list("offset=100000"), "there was no largest offset in 2021")
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	names := func(rec *httptest.ResponseRecorder) (current, legacy bool) {
		return rec.Header().Get("X-RateLimit-Remaining") != "", rec.Header().Get("Rate-Limit-Reset") != ""
	}
	for generation, want := range map[rebillytest.Headers][2]bool{
		rebillytest.CurrentHeaders: {true, false}, rebillytest.LegacyHeaders: {false, true}, rebillytest.BothHeaders: {true, true}, rebillytest.NoHeaders: {},
	} {
		a := newAPI(t, rebillytest.Options{RateHeaders: generation, RateLimit: 4})
		key := http.Header{"Reb-Apikey": {rebillytest.SecretKey}}
		rec, o := a.do("POST", "/payment-instruments", visaBody, key)
		current, legacy := names(rec)
		require.Equal(t, want, [2]bool{current, legacy}, generation)
		rec, _ = a.do("GET", "/payment-instruments", "", key)
		current, legacy = names(rec)
		require.Equal(t, [2]bool{false, want[1]}, [2]bool{current, legacy}, "reads are not counted today")
		require.Equal(t, []string{"1", "100", "0"}, []string{
			rec.Header().Get("Pagination-Total"), rec.Header().Get("Pagination-Limit"), rec.Header().Get("Pagination-Offset"),
		})
		rec, _ = a.do("PATCH", "/payment-instruments/"+id(o), `{}`, key)
		current, legacy = names(rec)
		require.Equal(t, [2]bool{want[0], false}, [2]bool{current, legacy}, "in 2021 a PATCH told nothing")
		a.must("PUT", "/customers/c1", `{}`, 200)
		rec, o = a.do("PUT", "/customers/c1", `{}`, key)
		require.Equal(t, 429, rec.Code)
		require.Equal(t, "Rate Limit Exceeded", o["title"])
		require.Equal(t, want[0], rec.Header().Get("X-RateLimit-Retry-After") != "")
		require.Equal(t, want[1], rec.Header().Get("Rate-Limit-Reset") != "")
		require.Equal(t, 200, a.mustRead("/customers/c1"), "reads go on")
	}
}

func (a api) mustRead(target string) int {
	a.t.Helper()
	rec, _ := a.do("GET", target, "", http.Header{"Reb-Apikey": {rebillytest.SecretKey}})
	return rec.Code
}

func TestCustomers(t *testing.T) {
	t.Parallel()
	a := newAPI(t, rebillytest.Options{})
	made := a.must("POST", "/customers", `{"id":"ignored","primaryAddress":{"firstName":"Ada","emails":[{"label":"main","value":"ada@example.com"}]},"locale":"en"}`, 201)
	require.Regexp(t, `^cus_[0-9A-Z]{26}$`, made["id"])
	require.Equal(t, "ada@example.com", made["email"])
	replaced := a.must("PUT", "/customers/"+id(made), `{"websiteId":"w"}`, 200)
	require.Equal(t, []any{nil, nil, "w"}, []any{replaced["primaryAddress"], replaced["locale"], replaced["websiteId"]})
	require.Equal(t, []string{"primaryAddress.country"}, a.refused("PUT", "/customers/c9", `{"primaryAddress":{"country":"x"}}`))
	a.must("GET", "/customers/c9", "", 404)
	token := id(a.must("POST", "/tokens", tokenBody, 201))
	o := a.must("PUT", "/customers/c1", `{"paymentToken":"`+token+`"}`, 200)
	require.NotNil(t, o["defaultPaymentInstrument"], "a payment token makes an instrument and the default of it")
	require.Equal(t, []string{"paymentToken"}, a.refused("PUT", "/customers/c1", `{"paymentToken":"`+token+`"}`))
	require.Equal(t, []string{"targetCustomerId"}, a.refused("DELETE", "/customers/c1", ""))
	a.must("DELETE", "/customers/c1?targetCustomerId="+id(made), "", 204)
	a.must("GET", "/customers/c1", "", 404)
	require.Equal(t, id(made), a.s.State().Instruments[0].Customer)
	a.refused("GET", "/customers/a%20b", "")
}

func TestCreatesInParallelMakeOneInstrument(t *testing.T) {
	t.Parallel()
	a := newAPI(t, rebillytest.Options{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			a.do("POST", "/payment-instruments", visaBody, http.Header{"Reb-Apikey": {rebillytest.SecretKey}})
		})
	}
	wg.Wait()
	state := a.s.State()
	require.Len(t, state.Instruments, 1)
	for _, r := range state.Requests {
		require.True(t, r.Committed, "%s %s", r.Method, r.Path)
	}
	a.s.Reset()
	require.Empty(t, a.s.State().Instruments)
	require.Empty(t, a.s.State().Customers)
}

func TestACardExpiresByItself(t *testing.T) {
	t.Parallel()
	now := time.Date(2040, 12, 31, 23, 59, 59, 0, time.UTC)
	a := newAPI(t, rebillytest.Options{Now: func() time.Time { return now }})
	i := id(a.must("POST", "/payment-instruments", visaBody, 201))
	require.Equal(t, "inactive", a.must("GET", "/payment-instruments/"+i, "", 200)["status"])
	now = now.Add(time.Second)
	require.Equal(t, "expired", a.must("GET", "/payment-instruments/"+i, "", 200)["status"])
	require.Equal(t, "inactive", a.must("PATCH", "/payment-instruments/"+i, `{"expYear":2041}`, 200)["status"])
}
