package gateway

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// TestDrift compares a card with what a provider shows of it. The differences are
// written as field:here>there.
func TestDrift(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 15, 0, 0, 0, 0, time.UTC)
	for rule, c := range map[string]struct {
		record func(*Record)
		there  func(*adapters.Instrument)
		mirror bool
		want   []string
	}{
		"nothing": {},
		"what the provider does not tell": {there: func(i *adapters.Instrument) {
			i.Type, i.Status, i.BillingAddress = "", "", nil
			i.Card = &normalize.Card{Brand: normalize.BrandOther}
		}},
		"no card at all": {there: func(i *adapters.Instrument) { i.Card = nil }},
		"the expiry date": {
			there: func(i *adapters.Instrument) { i.Card.ExpMonth, i.Card.ExpYear = 1, 2035 },
			want:  []string{"card.exp_month:12>1", "card.exp_year:2031>2035"},
		},
		"another number": {
			there: func(i *adapters.Instrument) {
				i.Card.BIN, i.Card.Last4, i.Card.Brand = "555555", "4444", normalize.Mastercard
			},
			want: []string{"card.brand:visa>mastercard", "card.bin:411111>555555", "card.last4:1111>4444"},
		},
		"more digits of the same BIN": {there: func(i *adapters.Instrument) { i.Card.BIN = "41111122" }},
		"another BIN of eight":        {there: func(i *adapters.Instrument) { i.Card.BIN = "41111222" }, want: []string{"card.bin:411111>41111222"}},
		"the address": {
			there: func(i *adapters.Instrument) { i.BillingAddress = &normalize.Address{City: "Wien", Line2: "Top 3"} },
			want:  []string{"billing_address.city:Graz>Wien", "billing_address.line1:Ring 1>", "billing_address.line2:>Top 3"},
		},
		"an address where none was": {
			record: func(r *Record) { r.View.BillingAddress = nil }, want: []string{"billing_address.city:>Graz", "billing_address.line1:>Ring 1"},
		},
		"it became the default": {there: func(i *adapters.Instrument) { i.Default = true }, want: []string{"default:false>true"}},
		"it is the default no more": {
			record: func(r *Record) { r.View.Default = true }, want: []string{"default:true>false"},
		},
		"a mirror that is its provider's default": {there: func(i *adapters.Instrument) { i.Default = true }, mirror: true},
		"a mirror that is to be the default": {
			record: func(r *Record) { r.View.Default = true }, mirror: true, want: []string{"default:true>false"},
		},
		"it was deactivated":           {there: func(i *adapters.Instrument) { i.Status = normalize.StatusDeactivated }, want: []string{"status:active>deactivated"}},
		"a mirror that was":            {there: func(i *adapters.Instrument) { i.Status = normalize.StatusDeactivated }, mirror: true, want: []string{"status:active>deactivated"}},
		"a mirror that is yet to be":   {record: func(r *Record) { r.Tokens[0].Status = normalize.StatusDeactivated }, mirror: true, want: []string{"status:deactivated>active"}},
		"a token that failed, is back": {record: func(r *Record) { r.Tokens[0].Status = normalize.StatusFailed }, want: []string{"status:failed>active"}},
		"expired by its date": {
			record: func(r *Record) { r.View.Card.ExpMonth, r.View.Card.ExpYear = 12, 2029 },
			there: func(i *adapters.Instrument) {
				i.Card.ExpMonth, i.Card.ExpYear, i.Status = 12, 2029, normalize.StatusExpired
			},
		},
		"expired before its date": {there: func(i *adapters.Instrument) { i.Status = normalize.StatusExpired }, want: []string{"status:active>expired"}},
		"a bank account": {
			record: func(r *Record) {
				r.View.Type, r.View.Card, r.View.BankAccount = normalize.TypeBankAccount, nil, &normalize.BankAccount{Last4: "6789", RoutingNumber: "021000021"}
			},
			there: func(i *adapters.Instrument) {
				i.Type, i.Card, i.BankAccount = normalize.TypeBankAccount, nil, &normalize.BankAccount{Last4: "0000"}
			},
			want: []string{"bank_account.last4:6789>0000"},
		},
		"a PayPal account": {
			record: func(r *Record) {
				r.View.Type, r.View.Card, r.View.PayPal = normalize.TypePayPal, nil, &normalize.PayPal{Email: "a@example.com"}
			},
			there: func(i *adapters.Instrument) {
				i.Type, i.Card, i.PayPal = normalize.TypePayPal, nil, &normalize.PayPal{Email: "b@example.com"}
			},
			want: []string{"paypal.email:a@example.com>b@example.com"},
		},
		"another kind of thing": {
			there: func(i *adapters.Instrument) { i.Type, i.Card = normalize.TypeBankAccount, nil }, want: []string{"type:card>bank_account"},
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			address := normalize.Address{City: "Graz", Line1: "Ring 1"}
			card := normalize.Card{Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: 12, ExpYear: 2031}
			r := Record{
				State: StateCompleted, View: &View{Type: normalize.TypeCard, Card: &card, BillingAddress: &address},
				Tokens: []Token{
					{Provider: "a", Role: normalize.RolePrimary, Status: normalize.StatusActive},
					{Provider: "b", Role: normalize.RoleMirror, Status: normalize.StatusActive},
				},
			}
			shownCard, shownAddress := card, address
			ins := adapters.Instrument{Type: normalize.TypeCard, Status: normalize.StatusActive, Card: &shownCard, BillingAddress: &shownAddress}
			if c.record != nil {
				c.record(&r)
			}
			if c.there != nil {
				c.there(&ins)
			}
			token := r.Tokens[0]
			if c.mirror {
				token = r.Tokens[1]
			}
			var got []string
			for _, d := range r.driftOf(token, *r.View, ins, now) {
				got = append(got, d.Field+":"+d.Here+">"+d.There)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestWhatAMirrorCanBeGiven(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]struct {
		what Behind
		rest bool
	}{
		"card.exp_year":        {what: Behind{Expiry: true}},
		"card.exp_month":       {what: Behind{Expiry: true}},
		"billing_address.city": {what: Behind{Address: true}},
		"default":              {what: Behind{Default: true}},
		"card.last4":           {rest: true},
		"paypal.email":         {rest: true},
	} {
		what, rest := pushable([]Difference{{Field: fields}})
		require.Equal(t, want.what, what, fields)
		require.Equal(t, want.rest, rest, fields)
	}
	what, rest := pushable([]Difference{{Field: "status", Here: "deactivated", There: "active"}})
	require.Equal(t, Behind{Deactivate: true}, what)
	require.False(t, rest)
	what, rest = pushable([]Difference{{Field: "status", Here: "active", There: "deactivated"}})
	require.Equal(t, Behind{}, what, "the record follows")
	require.False(t, rest)
}

func TestALostTokenIsMarkedAndNothingElse(t *testing.T) {
	t.Parallel()
	w, ins, ref := one(t)
	recs, err := w.load(t.Context(), "test", ins.ID)
	require.NoError(t, err)
	before := recs[0].Record
	now := before.UpdatedAt.Add(time.Hour)
	after := before.lostAt("alpha", now)
	require.Equal(t, normalize.StatusFailed, after.Tokens[0].Status)
	require.Equal(t, normalize.InstrumentDeleted, after.Tokens[0].Code)
	require.Equal(t, ref, after.Tokens[0].References)
	require.True(t, after.live(), "it is never deleted")
	require.Equal(t, normalize.StatusActive, before.Tokens[0].Status, "the record before is not touched")
	require.Equal(t, normalize.StatusActive, after.answered().Status, "its create is replayed as it was answered")
	require.True(t, after.UpdatedAt.After(before.UpdatedAt), "callers see it")
	require.Equal(t, before, before.lostAt("nowhere", now))
	require.Equal(t, before, before.behindAt("nowhere", Behind{Address: true}, now))
}
