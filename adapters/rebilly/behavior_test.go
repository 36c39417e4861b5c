package rebilly_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

// pair opens an adapter at a stand-in that has the customer.
func pair(tb testing.TB, o rebillytest.Options) (*rebilly.Adapter, *standin.Server) {
	tb.Helper()
	s := rebillytest.New(o)
	mustCall(tb, s, http.MethodPut, "/customers/"+customerID, `{}`, http.StatusCreated)
	return openAt(tb, s, rebilly.Config{APIKey: normalize.NewSecret(rebillytest.SecretKey)}), s
}

func TestAFollowingStepCannotUndoACreate(t *testing.T) {
	t.Parallel()
	a, s := pair(t, rebillytest.Options{})
	s.Faults.Add(fault.Rule{Method: http.MethodPatch, Fault: fault.Status, Times: 1})
	s.Faults.Add(fault.Rule{Method: http.MethodPut, Fault: fault.Status, Times: 1})
	token := mint(t, s, `{"method":"payment-card","paymentInstrument":{"pan":"4111111111111111","expMonth":12,"expYear":2040}}`)
	ins, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: tokenSource(token), BillingAddress: fullAddress(), Default: true})
	require.NoError(t, err)
	require.Nil(t, ins.BillingAddress, "the address was not written")
	require.False(t, ins.Default, "the default was not changed")
	require.Empty(t, s.Faults.Rules(), "both steps were tried")
	got, err := a.Get(t.Context(), ins.References)
	require.NoError(t, err)
	require.Equal(t, got, ins)
}

func TestTheAddressFollowsAToken(t *testing.T) {
	t.Parallel()
	a, s := pair(t, rebillytest.Options{})
	ins, err := a.Create(t.Context(), adapters.CreateInput{
		Customer: customerID, Source: tokenSource(mint(t, s, cardToken("4111111111111111"))), BillingAddress: fullAddress(),
	})
	require.NoError(t, err)
	require.Equal(t, fullAddress(), ins.BillingAddress)
	require.False(t, ins.Existing)
}

func TestTokensAreForOneUse(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	a, s := pair(t, rebillytest.Options{Now: func() time.Time { return now }})
	create := func(token string) normalize.Code {
		_, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: tokenSource(token)})
		return normalize.CodeOf(err)
	}
	token := mint(t, s, cardToken("4111111111111111"))
	require.Empty(t, create(token))
	require.Equal(t, normalize.TokenAlreadyUsed, create(token))
	token = mint(t, s, cardToken("4111111111111111"))
	now = now.Add(30 * time.Minute)
	require.Equal(t, normalize.TokenExpired, create(token))
	require.Equal(t, normalize.InvalidField, create("tok_never"))
}

func TestARedirectNamesTheInstrumentThatWasThere(t *testing.T) {
	t.Parallel()
	a, s := pair(t, rebillytest.Options{EmptySeeOther: true})
	in := adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111")}
	first, err := a.Create(t.Context(), in)
	require.NoError(t, err)
	again, err := a.Create(t.Context(), in)
	require.NoError(t, err)
	require.True(t, again.Existing)
	require.Equal(t, first.References, again.References)
	s.Faults.Add(fault.Rule{Method: http.MethodGet, Fault: fault.Status})
	known, err := a.Create(t.Context(), in)
	require.NoError(t, err, "it is stored, though it cannot be read")
	require.Equal(t, first.References, known.References)
	require.Equal(t, normalize.StatusPending, known.Status)
	require.Equal(t, "1111", known.Card.Last4)
}

func TestOnlyALocationOfOurOwnIsBelieved(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]bool{
		"/payment-instruments/inst_1": true, "%s/organizations/o/payment-instruments/inst_1": true, "//evil.example/payment-instruments/inst_1": false,
		"https://evil.example/payment-instruments/inst_1": false, "/payment-instruments/": false, "/payment-instruments/..": false,
		"/payment-instruments/a/b": false, "/customers/inst_1": false, "": false, "::": false,
	} {
		var reads int
		var base string
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				reads++
				_, _ = w.Write([]byte(instrumentJSON))
				return
			}
			base = "http://" + r.Host
			w.Header().Set("Location", strings.Replace(location, "%s", base, 1))
			w.WriteHeader(http.StatusSeeOther)
		})
		ins, err := openAt(t, h, rebilly.Config{}).Create(t.Context(), adapters.CreateInput{Customer: "cus_1", Source: cardSource("4111111111111111")})
		if want {
			require.NoError(t, err, location)
			require.Equal(t, "inst_1", ins.References["instrument"])
			require.Equal(t, 1, reads)
			continue
		}
		require.Equal(t, normalize.Unknown, normalize.OutcomeOf(err), location)
		require.Zero(t, reads, location)
	}
}

func TestUpdateRefusals(t *testing.T) {
	t.Parallel()
	a := openAt(t, http.NotFoundHandler(), rebilly.Config{})
	month, year := 1, 2040
	token, card := tokenSource("tok_1"), cardSource("4111111111111111")
	for rule, c := range map[string]struct {
		in   adapters.UpdateInput
		code normalize.Code
	}{
		"a month without a year":            {adapters.UpdateInput{ExpMonth: &month}, normalize.InvalidField},
		"a year without a month":            {adapters.UpdateInput{ExpYear: &year}, normalize.InvalidField},
		"two variants at once":              {adapters.UpdateInput{ExpMonth: &month, ExpYear: &year, Source: &token}, normalize.UnsupportedOperation},
		"a card in place of a token":        {adapters.UpdateInput{Source: &card}, normalize.UnsupportedSource},
		"characters above the basic plane":  {adapters.UpdateInput{BillingAddress: &normalize.Address{City: "😀"}}, normalize.InvalidField},
		"a token that would be another key": {adapters.UpdateInput{Source: new(tokenSource("a b"))}, normalize.InvalidField},
	} {
		_, err := a.Update(t.Context(), normalize.References{"instrument": "inst_1"}, c.in)
		require.Equal(t, c.code, normalize.CodeOf(err), rule)
		require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err), rule)
	}
}

func TestClearingTheAddress(t *testing.T) {
	t.Parallel()
	for _, merge := range []bool{false, true} {
		a, _ := pair(t, rebillytest.Options{MergeAddress: merge})
		ins, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111"), BillingAddress: fullAddress()})
		require.NoError(t, err)
		changed, err := a.Update(t.Context(), ins.References, adapters.UpdateInput{BillingAddress: &normalize.Address{City: "Dallas"}})
		require.NoError(t, err)
		require.Equal(t, &normalize.Address{City: "Dallas"}, changed.BillingAddress, "the whole new address, merge: %v", merge)
		cleared, err := a.Update(t.Context(), ins.References, adapters.UpdateInput{ClearBillingAddress: true})
		require.NoError(t, err)
		require.Nil(t, cleared.BillingAddress, "merge: %v", merge)
	}
}

func TestFieldsOfARefusedUpdateAreTheCards(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, rebillytest.Options{})
	ins, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111")})
	require.NoError(t, err)
	month, year := 13, 2040
	_, err = a.Update(t.Context(), ins.References, adapters.UpdateInput{ExpMonth: &month, ExpYear: &year})
	var e *normalize.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "/card/exp_month", e.Fields[0].Pointer)
}

func TestSettingTheDefaultKeepsTheCustomer(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]rebillytest.Options{"today": {}, "before 2026-08": {DefaultAsObject: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := pair(t, o)
			mustCall(t, s, http.MethodPut, "/customers/"+customerID,
				`{"primaryAddress":{"firstName":"Ada","city":null,"dob":"1815-12-10"},"locale":"en_GB","notificationEmails":["a@example.com"]}`, http.StatusOK)
			ins, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111"), Default: true})
			require.NoError(t, err)
			require.True(t, ins.Default)
			rec := mustCall(t, s, http.MethodGet, "/customers/"+customerID+"?fields=locale,notificationEmails,primaryAddress,defaultPaymentInstrument", "", http.StatusOK)
			require.Contains(t, rec.Body.String(), `"locale":"en_GB"`)
			require.Contains(t, rec.Body.String(), `"notificationEmails":["a@example.com"]`)
			require.Contains(t, rec.Body.String(), `"dob":"1815-12-10"`)
			require.Contains(t, rec.Body.String(), ins.References["instrument"])
			before := len(s.State().Requests)
			_, err = a.SetDefault(t.Context(), ins.References)
			require.NoError(t, err)
			require.Len(t, s.State().Requests, before+2, "nothing is written when it is the default already")
		})
	}
}

func TestADeactivatedInstrumentIsNoDefault(t *testing.T) {
	t.Parallel()
	a, s := pair(t, rebillytest.Options{})
	ins, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111")})
	require.NoError(t, err)
	_, err = a.Deactivate(t.Context(), ins.References)
	require.NoError(t, err)
	before := len(s.State().Requests)
	_, err = a.SetDefault(t.Context(), ins.References)
	require.Equal(t, normalize.InvalidState, normalize.CodeOf(err))
	require.Len(t, s.State().Requests, before+1)
}

func TestAProtectedDefaultSaysWhatToDoFirst(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, rebillytest.Options{ProtectDefault: true})
	ins, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111"), Default: true})
	require.NoError(t, err)
	err = a.Delete(t.Context(), ins.References)
	require.Equal(t, normalize.DefaultInstrumentInUse, normalize.CodeOf(err))
	require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
}

func TestReadsDoNotLieAboutTheDefault(t *testing.T) {
	t.Parallel()
	a, s := pair(t, rebillytest.Options{NoExpand: true})
	ins, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111"), Default: true})
	require.NoError(t, err)
	s.Faults.Add(fault.Rule{Method: http.MethodGet, Path: "/customers/*", Fault: fault.Status})
	_, err = a.Get(t.Context(), ins.References)
	require.Error(t, err, "without the customer nobody knows")
	_, err = a.List(t.Context(), adapters.ListInput{Customer: customerID})
	require.Error(t, err)
}

func TestCreateCustomerKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	a, s := pair(t, rebillytest.Options{})
	ins, err := a.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111"), Default: true})
	require.NoError(t, err)
	id, err := a.CreateCustomer(t.Context(), adapters.CustomerInput{Key: customerID, Address: fullAddress()})
	require.NoError(t, err)
	require.Equal(t, customerID, id)
	got, err := a.Get(t.Context(), ins.References)
	require.NoError(t, err)
	require.True(t, got.Default)
	_, err = a.CreateCustomer(t.Context(), adapters.CustomerInput{Key: "a/b", Address: &normalize.Address{City: "😀"}})
	require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
	s.Faults.Add(fault.Rule{Method: http.MethodGet, Fault: fault.CommitThenDrop})
	_, err = a.CreateCustomer(t.Context(), adapters.CustomerInput{Key: "new"})
	require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err), "a read that failed changed nothing")
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	for _, generation := range []rebillytest.Headers{rebillytest.CurrentHeaders, rebillytest.LegacyHeaders, rebillytest.BothHeaders} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(30 * 365 * 24 * time.Hour) // the bubble's clock begins in 2000, where Unix seconds still look like a delay
			s := rebillytest.New(rebillytest.Options{RateLimit: 1, RateHeaders: generation})
			mustCall(t, s, http.MethodPut, "/customers/"+customerID, `{}`, http.StatusCreated)
			conf := rebilly.Config{Base: "http://stand-in", APIKey: normalize.NewSecret(rebillytest.SecretKey)}
			a, err := conf.Open(adapters.Env{HTTP: &http.Client{Transport: inMemory{t, s}}})
			require.NoError(t, err)
			c, ok := a.(adapters.Creator)
			require.True(t, ok)
			time.Sleep(4 * time.Minute)
			_, err = c.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111")})
			var e *normalize.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, normalize.ProviderRateLimited, e.Code)
			require.Equal(t, normalize.NotSent, e.Outcome, "it was not executed")
			require.InDelta(t, 6*time.Minute, e.RetryAfter, float64(time.Second), generation)
			time.Sleep(e.RetryAfter + time.Second)
			_, err = c.Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111")})
			require.NoError(t, err)
		})
	}
}

// inMemory answers without a network, for tests with a clock of their own.
type inMemory struct {
	t *testing.T
	h http.Handler
}

// RoundTrip implements [http.RoundTripper].
func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := call(m.t, m.h, r.Method, r.URL.RequestURI(), readAll(m.t, r), r.Header)
	return rec.Result(), nil
}

// TestListsGoOnPastTheLargestOffset: 2,300 instruments, many made in the same
// second, each listed once.
func TestListsGoOnPastTheLargestOffset(t *testing.T) {
	t.Parallel()
	const n = 2300
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	a, s := pair(t, rebillytest.Options{Now: func() time.Time { return now }})
	for i := range n {
		// Seconds of very different weight: single rows, dozens, and 700 at once around row 1000.
		if i%7 == 0 && (i < 700 || i >= 1400) || i%60 == 0 && (i < 700 || i > 1400) {
			now = now.Add(time.Second)
		}
		body := fmt.Sprintf(`{"method":"voucher","customerId":%q,"billingAddress":{}}`, customerID)
		if i%50 != 0 { // alternatives are one a customer
			body = fmt.Sprintf(`{"method":"ach","customerId":%q,"accountNumberType":"BBAN","accountNumber":"%08d","routingNumber":"021000021","accountType":"checking","billingAddress":{}}`, customerID, i)
		}
		rec := call(t, s, http.MethodPost, "/payment-instruments", body, nil)
		require.Less(t, rec.Code, 400, rec.Body.String())
	}
	live := len(s.State().Instruments)
	for _, c := range []struct {
		sort  []string
		limit int
	}{{nil, 100}, {[]string{"-created_at", "updated_at"}, 99}, {[]string{"created_at"}, 997}} {
		seen := map[string]bool{}
		in := adapters.ListInput{Customer: customerID, Sort: c.sort, Limit: c.limit}
		for pages := 0; ; pages++ {
			require.Less(t, pages, 200)
			page, err := a.List(t.Context(), in)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page.Items), c.limit)
			require.Equal(t, live, page.Total, "the total is of the whole list, on every page")
			for _, ins := range page.Items {
				id := ins.References["instrument"]
				require.False(t, seen[id], "%v: %s is listed twice", c, id)
				seen[id] = true
			}
			if in.Cursor = page.Next; page.Next == "" {
				break
			}
		}
		require.Len(t, seen, live, "%v", c)
	}
	in := adapters.ListInput{Customer: customerID, Sort: []string{"updated_at"}, Limit: 100}
	for {
		page, err := a.List(t.Context(), in)
		if err != nil {
			require.Equal(t, normalize.UnsupportedOperation, normalize.CodeOf(err), "the list does not end as if it were complete")
			break
		}
		require.NotEmpty(t, page.Next)
		in.Cursor = page.Next
	}
}

func TestSearchReadsDefaultsOfManyCustomersInOneCall(t *testing.T) {
	t.Parallel()
	a, s := pair(t, rebillytest.Options{})
	mustCall(t, s, http.MethodPut, "/customers/other", `{}`, http.StatusCreated)
	for _, c := range []string{customerID, "other"} {
		for _, number := range []string{"4111111111111111", "5555555555554444"} {
			_, err := a.Create(t.Context(), adapters.CreateInput{Customer: c, Source: cardSource(number), Default: number[0] == '4'})
			require.NoError(t, err)
		}
	}
	for _, c := range []struct {
		expand bool
		calls  int
	}{{true, 1}, {false, 3}} {
		before := len(s.State().Requests)
		page, err := a.Search(t.Context(), rebilly.SearchInput{ListInput: adapters.ListInput{Query: "1"}, ExpandCustomer: c.expand})
		require.NoError(t, err)
		require.Len(t, page.Items, 4)
		for _, ins := range page.Items {
			require.Equal(t, ins.Card.Brand == normalize.Visa, ins.Default)
		}
		require.Len(t, s.State().Requests, before+c.calls)
	}
}

func TestAListIsOfOneCustomer(t *testing.T) {
	t.Parallel()
	a, s := pair(t, rebillytest.Options{})
	mustCall(t, s, http.MethodPut, "/customers/"+strings.ToUpper(customerID), `{}`, http.StatusCreated)
	for _, c := range []string{customerID, strings.ToUpper(customerID)} {
		_, err := a.Create(t.Context(), adapters.CreateInput{Customer: c, Source: cardSource("4111111111111111")})
		require.NoError(t, err)
	}
	page, err := a.List(t.Context(), adapters.ListInput{Customer: customerID})
	require.NoError(t, err)
	require.Len(t, page.Items, 1, "Rebilly's filters ignore case")
	require.Equal(t, customerID, page.Items[0].Customer)
}

func TestChargeNamesTheInstrument(t *testing.T) {
	t.Parallel()
	a := openAt(t, http.NotFoundHandler(), rebilly.Config{})
	text, err := json.Marshal(a.Charge(normalize.References{"instrument": "inst_1", "customer": "cus_1"}, normalize.TypeCard))
	require.NoError(t, err)
	require.JSONEq(t, `{"customerId":"cus_1","paymentInstruction":{"paymentInstrumentId":"inst_1"}}`, string(text))
}
