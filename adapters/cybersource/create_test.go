package cybersource_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/normalize"
)

const (
	identifiersPath = "/tms/v1/instrumentidentifiers"
	instrumentsPath = "/tms/v2/customers/*/payment-instruments"
	identifierPath  = identifiersPath + "/*"
)

// sent lists the mutations that reached the stand-in since the n-th request.
func (r rig) sent(n int) []string {
	var out []string
	for _, q := range r.standin.State().Requests[n:] {
		if q.Method != http.MethodGet {
			path := q.Path
			if i := strings.Index(path, "instrumentidentifiers/"); i > 0 {
				path = identifierPath
			} else if strings.HasSuffix(path, "/payment-instruments") {
				path = instrumentsPath
			}
			out = append(out, q.Method+" "+path)
		}
	}
	return out
}

func TestFailureOfTheIdentifierStepStoresNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule    fault.Rule
		code    normalize.Code
		outcome normalize.Outcome
	}{
		"ambiguous: nothing is stored, so another may be tried": {
			fault.Rule{Fault: fault.StatusAfterCommit, Status: 500}, normalize.ProviderError, normalize.NotSent,
		},
		"dropped after it was done": {fault.Rule{Fault: fault.CommitThenDrop}, normalize.ProviderBadResponse, normalize.NotSent},
		"rate limited":              {fault.Rule{Fault: fault.RateLimited}, normalize.ProviderRateLimited, normalize.NotSent},
		"an answer in HTML":         {fault.Rule{Fault: fault.HTML}, normalize.ProviderBadResponse, normalize.NotSent},
		"refused":                   {fault.Rule{Fault: fault.Status, Status: 403}, normalize.ProviderMisconfigured, normalize.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, cybersourcetest.Options{})
			c.rule.Method, c.rule.Path, c.rule.Times = http.MethodPost, identifiersPath, 1
			r.standin.Faults.Add(c.rule)
			before := len(r.standin.State().Requests)
			_, err := r.Create(t.Context(), adapters.CreateInput{Customer: r.customer, Source: cardSource("4111111111111111")})
			require.Equal(t, c.code, normalize.CodeOf(err))
			require.Equal(t, c.outcome, normalize.OutcomeOf(err))
			require.Equal(t, []string{"POST " + identifiersPath}, r.sent(before))
			require.Empty(t, r.standin.State().Instruments)
			r.create(t, cardSource("4111111111111111"))
		})
	}
}

func TestRefusedInstrumentTakesItsNewIdentifierBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{})
	in := adapters.CreateInput{
		Customer: r.customer, Source: cardSource("4111111111111111"),
		BillingAddress: &normalize.Address{Country: "us"}, // which the stand-in refuses
	}
	before := len(r.standin.State().Requests)
	_, err := r.Create(t.Context(), in)
	require.Equal(t, normalize.InvalidField, normalize.CodeOf(err))
	require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
	require.Contains(t, err.Error(), "/billing_address/country")
	require.Equal(t, []string{"POST " + identifiersPath, "POST " + instrumentsPath, "DELETE " + identifierPath}, r.sent(before))

	ins := r.create(t, cardSource("4111111111111111"))
	before = len(r.standin.State().Requests)
	_, err = r.Create(t.Context(), in)
	require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
	require.Equal(t, []string{"POST " + identifiersPath, "POST " + instrumentsPath}, r.sent(before), "it was somebody else's: 200")
	_, err = r.Get(t.Context(), ins.References)
	require.NoError(t, err)
}

func TestCleaningUpMayFail(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{})
	r.standin.Faults.Add(fault.Rule{Method: http.MethodDelete, Path: identifierPath, Fault: fault.Status, Status: 500})
	_, err := r.Create(t.Context(), adapters.CreateInput{
		Customer: r.customer, Source: cardSource("4111111111111111"), BillingAddress: &normalize.Address{Country: "us"},
	})
	require.Equal(t, normalize.InvalidField, normalize.CodeOf(err))
	require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
}

func TestUnknownOutcomeLeavesTheIdentifier(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{})
	r.standin.Faults.Add(fault.Rule{Method: http.MethodPost, Path: instrumentsPath, Fault: fault.CommitThenDrop, Times: 1})
	before := len(r.standin.State().Requests)
	_, err := r.Create(t.Context(), adapters.CreateInput{Customer: r.customer, Source: cardSource("4111111111111111")})
	require.Equal(t, normalize.Unknown, normalize.OutcomeOf(err))
	require.Equal(t, []string{"POST " + identifiersPath, "POST " + instrumentsPath}, r.sent(before))
	page, err := r.List(t.Context(), adapters.ListInput{Customer: r.customer})
	require.NoError(t, err)
	require.Len(t, page.Items, 1, "which a list finds")
}

func TestUnknownCustomer(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{})
	_, err := r.Create(t.Context(), adapters.CreateInput{Customer: missingID, Source: cardSource("4111111111111111")})
	require.Equal(t, normalize.InvalidField, normalize.CodeOf(err))
	require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
	require.Contains(t, err.Error(), "/customer_id")
	require.Equal(t, "DELETE "+identifierPath, r.sent(0)[len(r.sent(0))-1])
}

// TestIdentifierVanishesInBetween: another client deletes the last instrument upon
// the same number between the two calls, and the provider its identifier with it.
func TestIdentifierVanishesInBetween(t *testing.T) {
	t.Parallel()
	gone := scripted{status: 400, body: `{"errors":[{"type":"instrumentIdentifierGone","message":"m"}]}`}
	byStatus := scripted{status: 410, body: `{"errors":[{"type":"notAvailable","message":"m"}]}`}
	known, fresh := scripted{status: 200, body: identAnswer}, scripted{status: 201, body: identAnswer}
	made := scripted{status: 201, body: pmtAnswer}
	for name, c := range map[string]struct {
		answers []scripted
		code    normalize.Code
		outcome normalize.Outcome
	}{
		"once, said by the type":   {[]scripted{known, gone, fresh, made}, "", normalize.Applied},
		"once, said by the status": {[]scripted{known, byStatus, fresh, made}, "", normalize.Applied},
		"twice: nothing is stored, and it is nobody's fault": {
			[]scripted{known, gone, fresh, gone, {status: 204}}, normalize.Conflict, normalize.NotSent,
		},
		"twice by the status: it is the customer": {
			[]scripted{known, byStatus, known, byStatus}, normalize.InvalidField, normalize.Rejected,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{answers: c.answers}
			_, err := s.open(t).Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: cardSource("4111111111111111")})
			require.Equal(t, c.code, normalize.CodeOf(err))
			require.Equal(t, c.outcome, normalize.OutcomeOf(err))
			require.Empty(t, s.answers)
		})
	}
}

func TestBankAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{})
	ins := r.create(t, bankSource())
	require.Equal(t, normalize.TypeBankAccount, ins.Type)
	require.Equal(t, &normalize.BankAccount{
		AccountType: normalize.AccountCorporateChecking, Last4: "6789", RoutingNumber: "071923284", Country: "US",
	}, ins.BankAccount)
	require.Equal(t, "Lovelace", ins.BillingAddress.LastName)
	month, year := 12, 2040
	_, err := r.Update(t.Context(), ins.References, adapters.UpdateInput{ExpMonth: &month, ExpYear: &year})
	require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err), "an account has no expiry")

	before := len(r.standin.State().Requests)
	_, err = r.Create(t.Context(), adapters.CreateInput{Customer: r.customer, Source: normalize.Source{
		Type: normalize.SourceBankAccount, BankAccount: &normalize.BankAccountSource{IBAN: normalize.NewSecret("DE89370400440532013000")},
	}})
	require.Equal(t, normalize.UnsupportedSource, normalize.CodeOf(err))
	require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
	require.Empty(t, r.sent(before))
}

func TestInstrumentIdentifierSource(t *testing.T) {
	t.Parallel()
	r := newRig(t, cybersourcetest.Options{})
	card := r.create(t, cardSource("4111111111111111"))
	source := func(id string) normalize.Source {
		return normalize.Source{Type: normalize.SourceInstrumentIdentifier, InstrumentIdentifier: &normalize.InstrumentIdentifierSource{
			InstrumentIdentifier: id, ExpMonth: 1, ExpYear: 2045,
		}}
	}
	ins := r.create(t, source(card.References["instrument_identifier"]))
	require.Equal(t, card.Identity, ins.Identity)
	require.NotEqual(t, card.References, ins.References)
	require.Equal(t, "1111", ins.Card.Last4)
	require.Equal(t, normalize.Visa, ins.Card.Brand, "by the number's first digits")

	_, err := r.Create(t.Context(), adapters.CreateInput{Customer: r.customer, Source: source(missingIdentifier)})
	require.Equal(t, normalize.InvalidField, normalize.CodeOf(err))
	require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
	require.Contains(t, err.Error(), "/source/instrument_identifier")
	_, err = r.Create(t.Context(), adapters.CreateInput{Customer: r.customer, Source: source("../../x")})
	require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
}

func TestTransientToken(t *testing.T) {
	t.Parallel()
	mint := cybersourcetest.MintTransientToken
	for name, check := range map[string]func(*testing.T, rig, adapters.CreateInput){
		"it becomes an instrument": func(t *testing.T, r rig, in adapters.CreateInput) {
			r.create(t, cardSource("4111111111111111"))
			ins, err := r.Create(t.Context(), in)
			require.NoError(t, err)
			require.Equal(t, &normalize.Card{Brand: normalize.Mastercard, BIN: "555555", Last4: "4444", ExpMonth: 8, ExpYear: 2040}, ins.Card)
			require.True(t, ins.Default)
			require.Equal(t, in.BillingAddress, ins.BillingAddress)
			require.NotEmpty(t, ins.Version)
		},
		"a used token": func(t *testing.T, r rig, in adapters.CreateInput) {
			_, err := r.Create(t.Context(), in)
			require.NoError(t, err)
			_, err = r.Create(t.Context(), in)
			require.Equal(t, normalize.TokenExpired, normalize.CodeOf(err))
			require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
			require.Contains(t, err.Error(), "/source/transient_token")
		},
		"an expired token": func(t *testing.T, r rig, in adapters.CreateInput) {
			in.Source = tokenSource(mint(cybersourcetest.TransientCard{Expires: time.Now().Add(-time.Minute)}))
			_, err := r.Create(t.Context(), in)
			require.Equal(t, normalize.TokenExpired, normalize.CodeOf(err))
		},
		"a declined card": func(t *testing.T, r rig, in adapters.CreateInput) {
			in.Source = tokenSource(mint(cybersourcetest.TransientCard{BIN: "400000", Last4: "0002"}))
			_, err := r.Create(t.Context(), in)
			require.Equal(t, normalize.CardDeclined, normalize.CodeOf(err))
			require.Equal(t, normalize.Rejected, normalize.OutcomeOf(err))
			require.Empty(t, r.standin.State().Instruments)
		},
		"a failing read changes nothing": func(t *testing.T, r rig, in adapters.CreateInput) {
			r.standin.Faults.Add(fault.Rule{Method: http.MethodGet, Fault: fault.Status, Status: 500, Times: 1})
			ins, err := r.Create(t.Context(), in)
			require.NoError(t, err)
			require.Equal(t, normalize.TypeCard, ins.Type)
			require.NotEmpty(t, ins.Identity)
			full, err := r.Get(t.Context(), ins.References)
			require.NoError(t, err)
			require.Equal(t, full.References, ins.References)
			require.Equal(t, full.Identity, ins.Identity)
		},
		"a broken payment answer is unknown": func(t *testing.T, r rig, in adapters.CreateInput) {
			r.standin.Faults.Add(fault.Rule{Method: http.MethodPost, Path: "/pts/v2/payments", Fault: fault.MalformedJSON, Times: 1})
			_, err := r.Create(t.Context(), in)
			require.Equal(t, normalize.Unknown, normalize.OutcomeOf(err))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, cybersourcetest.Options{DeclineLast4: "0002"})
			token := mint(cybersourcetest.TransientCard{BIN: "555555", Last4: "4444", Type: "002", ExpMonth: "08", ExpYear: "2040"})
			check(t, r, adapters.CreateInput{
				Customer: r.customer, Source: tokenSource(token), Default: true, BillingAddress: &normalize.Address{Line1: "1 Main", Country: "US"},
			})
		})
	}
}

func TestPaymentAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body    string
		code    normalize.Code
		outcome normalize.Outcome
	}{
		"declined":                    {`{"status":"DECLINED","errorInformation":{"reason":"EXPIRED_CARD"}}`, normalize.CardDeclined, normalize.Rejected},
		"declined by risk":            {`{"status":"AUTHORIZED_RISK_DECLINED"}`, normalize.CardDeclined, normalize.Rejected},
		"invalid":                     {`{"status":"INVALID_REQUEST"}`, normalize.InvalidField, normalize.Rejected},
		"authorized without a token":  {`{"status":"AUTHORIZED"}`, normalize.ProviderBadResponse, normalize.Unknown},
		"a status that is new":        {`{"status":"PONDERING","tokenInformation":null}`, normalize.ProviderBadResponse, normalize.Unknown},
		"an id that could be no path": {`{"status":"AUTHORIZED","tokenInformation":{"paymentInstrument":{"id":"../x"}}}`, normalize.ProviderBadResponse, normalize.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{answers: []scripted{{status: 201, body: c.body}}}
			_, err := s.open(t).Create(t.Context(), adapters.CreateInput{Customer: customerID, Source: tokenSource("e30.e30.c2ln")})
			require.Equal(t, c.code, normalize.CodeOf(err))
			require.Equal(t, c.outcome, normalize.OutcomeOf(err))
		})
	}
}

func TestPrintingAnAdapterShowsNoSecret(t *testing.T) {
	t.Parallel()
	a := (&script{}).open(t)
	require.NotContains(t, sprintAll(a), "unit-test-shared-secret")
	require.NotContains(t, sprintAll(*a), cybersourcetest.DefaultSharedSecret)
}
