package bigcommerce_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/normalize"
)

func TestUpdateReplacesTheAddress(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]bigcommercetest.Options{
		"as documented": {},
		"trusted shipping addresses are demanded":        {RequireShipping: true},
		"the answer leaves out token, customer, address": {TerseUpdate: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := sandbox(t, o)
			created := mustCreate(t, a, cardSource(0))[0]
			address := &normalize.Address{Line1: "1 New Rd", Region: "Bayern", City: "Ulm", Country: "DE"}
			got, err := a.Update(t.Context(), created.References, adapters.UpdateInput{BillingAddress: address})
			require.NoError(t, err)
			require.Equal(t, address, got.BillingAddress)
			require.Equal(t, created.References, got.References)
			require.Equal(t, created.Card, got.Card)
			read, err := a.Get(t.Context(), created.References)
			require.NoError(t, err)
			require.Equal(t, address, read.BillingAddress, "nothing of the address before is left")
			puts := 0
			for _, r := range s.State().Requests {
				if r.Method == "PUT" {
					puts++
				}
			}
			require.Equal(t, map[bool]int{false: 1, true: 2}[o.RequireShipping], puts)
		})
	}
}

func TestUpdateWithoutChangesReads(t *testing.T) {
	t.Parallel()
	a, s := sandbox(t, bigcommercetest.Options{})
	created := mustCreate(t, a, cardSource(0))[0]
	got, err := a.Update(t.Context(), created.References, adapters.UpdateInput{})
	require.NoError(t, err)
	require.Equal(t, created, got)
	requests := s.State().Requests
	require.Equal(t, "GET", requests[len(requests)-1].Method)
}

func TestUpdateRefusesBeforeSending(t *testing.T) {
	t.Parallel()
	a, s := sandbox(t, bigcommercetest.Options{})
	month, source := 12, cardSource(1)
	for name, in := range map[string]adapters.UpdateInput{
		"an expiry month":          {ExpMonth: &month},
		"an expiry year":           {ExpYear: &month, BillingAddress: billing()},
		"a source":                 {Source: &source},
		"no address in its place":  {ClearBillingAddress: true},
		"an address and a removal": {ClearBillingAddress: true, BillingAddress: billing()},
	} {
		_, err := a.Update(t.Context(), reference(), in)
		requireError(t, err, normalize.UnsupportedOperation, normalize.NotSent)
		require.Empty(t, s.State().Requests, name)
	}
	_, err := a.Update(t.Context(), normalize.References{"token": token}, adapters.UpdateInput{BillingAddress: billing()})
	requireError(t, err, normalize.MissingField, normalize.NotSent)
	require.Empty(t, s.State().Requests)
}

func TestUpdateErrors(t *testing.T) {
	t.Parallel()
	shipping := `422 {"status":422,"title":"x","errors":{"trusted_shipping_addresses":"error.path.missing"}}`
	ok := `200 {"data":` + cardRow + `}`
	for name, tt := range map[string]struct {
		answers []string
		code    normalize.Code
		outcome normalize.Outcome
		puts    int
	}{
		"shipping demanded, then accepted": {[]string{shipping, ok}, "", "", 2},
		"shipping demanded for ever":       {[]string{shipping}, normalize.InvalidField, normalize.Rejected, 2},
		"an error about something else":    {[]string{`422 {"status":422,"title":"x","errors":{"billing_address.city":"x"}}`}, normalize.InvalidField, normalize.Rejected, 1},
		"not found":                        {[]string{`404 {"status":404,"title":"x"}`}, normalize.NotFound, normalize.Rejected, 1},
		"an answer without data":           {[]string{`200 {"meta":{}}`}, normalize.ProviderBadResponse, normalize.Unknown, 1},
		"an answer about another token":    {[]string{`200 {"data":` + strings.Replace(cardRow, token, "abc", 1) + `}`}, normalize.ProviderBadResponse, normalize.Unknown, 1},
		"an answer in an array":            {[]string{`200 {"data":[` + cardRow + `]}`}, "", "", 1},
	} {
		a, p := sequence(t, tt.answers...)
		_, err := a.Update(t.Context(), reference(), adapters.UpdateInput{BillingAddress: billing()})
		require.Equal(t, tt.puts, strings.Count(p.text(), "PUT "), name)
		require.Equal(t, tt.puts-1, strings.Count(p.text(), `"trusted_shipping_addresses":[]`), name)
		if tt.code == "" {
			require.NoError(t, err, name)
			continue
		}
		requireError(t, err, tt.code, tt.outcome)
	}
}

func TestSetDefault(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		options bigcommercetest.Options
		puts    int
	}{
		"by make_default, as documented":     {bigcommercetest.Options{}, 1},
		"make_default without an effect":     {bigcommercetest.Options{DefaultByIsDefault: true}, 2},
		"make_default refused":               {bigcommercetest.Options{RefuseMakeDefault: true}, 2},
		"trusted shipping addresses as well": {bigcommercetest.Options{DefaultByIsDefault: true, RequireShipping: true}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := sandbox(t, tt.options)
			created := mustCreate(t, a, cards(2)...)
			for _, target := range created {
				got, err := a.SetDefault(t.Context(), target.References)
				require.NoError(t, err)
				require.True(t, got.Default)
				require.Equal(t, target.References, got.References)
				require.Equal(t, target.References["token"], s.State().Customers[41].Default)
			}
			puts := 0
			for _, r := range s.State().Requests {
				if r.Method == "PUT" {
					puts++
				}
			}
			require.Equal(t, 2*tt.puts, puts)
		})
	}
	t.Run("no effect by either name is an error of unknown outcome", func(t *testing.T) {
		t.Parallel()
		a, s := sandbox(t, bigcommercetest.Options{IgnoreDefault: true})
		_, err := a.SetDefault(t.Context(), mustCreate(t, a, cardSource(0))[0].References)
		requireError(t, err, normalize.ProviderBadResponse, normalize.Unknown)
		require.Len(t, s.State().Requests, 3)
	})
	t.Run("a second call that is limited does not undo the first", func(t *testing.T) {
		t.Parallel()
		a, _ := sequence(t, `200 {"data":`+strings.Replace(cardRow, `"is_default":true`, `"is_default":false`, 1)+`}`, `429 `)
		_, err := a.SetDefault(t.Context(), reference())
		requireError(t, err, normalize.ProviderRateLimited, normalize.Unknown)
	})
}
