package normalize_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/polyvault/polyvault/normalize"
)

func TestParseFilter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]normalize.Clause{
		"":                                   nil,
		"status:active":                      {{Field: "status", Values: []string{"active"}}},
		"status:active,expired":              {{Field: "status", Values: []string{"active", "expired"}}},
		"status:!deactivated":                {{Field: "status", Values: []string{"deactivated"}, Negate: true}},
		"status:!deactivated,!failed":        {{Field: "status", Values: []string{"deactivated", "failed"}, Negate: true}},
		"type:card;last4:1111":               {{Field: "type", Values: []string{"card"}}, {Field: "last4", Values: []string{"1111"}}},
		"exp_year:2026..2028":                {{Field: "exp_year", From: "2026", To: "2028"}},
		"exp_year:2026..":                    {{Field: "exp_year", From: "2026"}},
		"exp_year:..2028":                    {{Field: "exp_year", To: "2028"}},
		"metadata.tier:gold":                 {{Field: "metadata.tier", Values: []string{"gold"}}},
		"customFields.tier:gold":             {{Field: "metadata.tier", Values: []string{"gold"}}},
		"customerId:c1":                      {{Field: "customer_id", Values: []string{"c1"}}},
		"method:payment-card,ach":            {{Field: "type", Values: []string{"card", "bank_account"}}},
		"status:inactive":                    {{Field: "status", Values: []string{"active"}}},
		"status:verification-needed":         {{Field: "status", Values: []string{"verification_needed"}}},
		"createdTime:2026-01-01T00:00:00Z..": {{Field: "created_at", From: "2026-01-01T00:00:00Z"}},
		"updatedTime:..x":                    {{Field: "updated_at", To: "x"}},
		"expMonth:1;expYear:2030":            {{Field: "exp_month", Values: []string{"1"}}, {Field: "exp_year", Values: []string{"2030"}}},
		"billingAddress.country:US":          {{Field: "billing_address.country", Values: []string{"US"}}},
		"brand:payment-card":                 {{Field: "brand", Values: []string{"payment-card"}}}, // mapped for type only
	} {
		got, ok := normalize.ParseFilter(text)
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
}

func TestParseFilterRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"status", "status:", ":active", ";", "status:active;", ";status:active", "status:active;;type:card", "nope:1", "Status:active",
		"status:active,", "status:,active", "status:!", "status:!active,expired", "status:active,!expired", "status:!!active",
		"status:a!b", "status:a@b", "exp_year:..", "exp_year:1..2..3", "exp_year:1..2,3", "exp_year:!1..2", "exp_year:a@..",
		"metadata.:x", "metadata:x", "metadata.a b:x", "metadata.a/b:x", "customFields.:x", "metadata." + strings.Repeat("k", 41) + ":x",
		" status:active", "status :active",
	} {
		got, ok := normalize.ParseFilter(text)
		require.False(t, ok, "%q gives %+v", text, got)
		require.Nil(t, got, text)
	}
}

func render(clauses []normalize.Clause) string {
	var parts []string
	for _, c := range clauses {
		values := slices.Clone(c.Values)
		if c.Negate {
			for i := range values {
				values[i] = "!" + values[i]
			}
		}
		text := c.Field + ":" + strings.Join(values, ",")
		if c.Values == nil {
			text += c.From + ".." + c.To
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ";")
}

func TestParseFilterRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[A-Za-z0-9_:+-]{1,10}`)
		clause := rapid.Custom(func(t *rapid.T) normalize.Clause {
			c := normalize.Clause{Field: rapid.SampledFrom(append(normalize.FilterFields(), "metadata.k-1_x")).Draw(t, "field")}
			if rapid.Bool().Draw(t, "range") {
				c.From, c.To = value.Draw(t, "from"), value.Draw(t, "to")
				return c
			}
			c.Values = rapid.SliceOfN(value, 1, 4).Draw(t, "values")
			c.Negate = rapid.Bool().Draw(t, "negate")
			return c
		})
		want := rapid.SliceOfN(clause, 1, 4).Draw(t, "clauses")
		got, ok := normalize.ParseFilter(render(want))
		if !ok {
			t.Fatalf("%q is refused", render(want))
		}
		require.Equal(t, want, got)
	})
}

func instrument() normalize.Instrument {
	fp := "fp_1"
	return normalize.Instrument{
		CustomerID: "c1", Type: normalize.TypeCard, Status: normalize.StatusActive, Default: true, Fingerprint: &fp,
		Card:           &normalize.Card{Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: 2, ExpYear: 2028},
		BillingAddress: &normalize.Address{Country: "US"},
		Metadata:       map[string]string{"tier": "Gold"},
		ProviderTokens: []normalize.ProviderToken{{Provider: "rebilly-eu"}, {Provider: "cybersource-us"}},
		CreatedAt:      time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), UpdatedAt: time.Date(2026, 2, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string]bool{
		"": true, "customer_id:c1": true, "customer_id:c2": false, "status:active": true, "status:ACTIVE": true, "status:expired,active": true,
		"status:!active": false, "status:!expired": true, "status:!expired,!failed": true, "type:card;brand:visa;bin:411111": true,
		"type:card;brand:amex": false, "last4:1111": true, "last4:111": false, "exp_month:2": true, "exp_month:02": false,
		"exp_year:2026..2028": true, "exp_year:2029..": false, "exp_year:..2027": false, "exp_month:1..10": true,
		"provider:cybersource-us": true, "provider:bigcommerce": false, "provider:!rebilly-eu": false, "default:true": true, "default:false": false,
		"fingerprint:fp_1": true, "created_at:2026-01-01T00:00:00Z..2026-01-03T00:00:00+02:00": true, "created_at:2026-01-03T00:00:00Z..": false,
		"created_at:..2026-01-02T03:04:05Z": false, "updated_at:2026-02-02T04:04:05+01:00..2026-02-02T03:04:05Z": true,
		"expires_before:2028-03-01": true, "expires_before:2028-02-29": false, "billing_address.country:us": true,
		"metadata.tier:gold": true, "metadata.tier:!gold": false, "metadata.none:x": false, "metadata.none:!x": true, "metadata.none:a..z": false,
	} {
		clauses, ok := normalize.ParseFilter(filter)
		require.True(t, ok, filter)
		require.Equal(t, want, normalize.Match(instrument(), clauses), filter)
	}
}

func TestMatchOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	bank := normalize.Instrument{Type: normalize.TypeBankAccount, BankAccount: &normalize.BankAccount{Last4: "6789"}}
	for filter, want := range map[string]bool{
		"last4:6789": true, "brand:visa": false, "bin:411111": false, "exp_year:2028": false, "exp_year:2000..2099": false, "expires_before:2099-01-01": false,
		"fingerprint:x": false, "billing_address.country:US": false, "provider:x": false, "brand:!visa": true,
	} {
		clauses, ok := normalize.ParseFilter(filter)
		require.True(t, ok, filter)
		require.Equal(t, want, normalize.Match(bank, clauses), filter)
	}
	unknown := normalize.Instrument{Card: &normalize.Card{}}
	clauses, _ := normalize.ParseFilter("expires_before:2099-01-01")
	require.False(t, normalize.Match(unknown, clauses), "an unknown expiry is before nothing")
}

// Whatever comes in, what comes out of ParseFilter cannot break out of a
// provider's own filter, and is understood by Match.
func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{
		"status:active,expired;type:card", "exp_year:2026..2028", "status:!a,!b", "customFields.x:1", ";:,!@..", "a:b:c", "last4:1..",
		"metadata.a:\x00", "\xff:\xff", "status:...", "created_at:....",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		clauses, ok := normalize.ParseFilter(s)
		if !ok && clauses != nil {
			t.Fatalf("%q is refused and gives %+v", s, clauses)
		}
		normalize.Match(instrument(), clauses)
		for _, c := range clauses {
			if !slices.Contains(normalize.FilterFields(), c.Field) && !strings.HasPrefix(c.Field, "metadata.") {
				t.Fatalf("%q has field %q", s, c.Field)
			}
			if (c.Values == nil) == (c.From == "" && c.To == "") {
				t.Fatalf("%q is neither values nor a range: %+v", s, c)
			}
			for _, v := range append([]string{c.From, c.To}, c.Values...) {
				if strings.ContainsAny(v, ",;!@") || strings.Contains(v, "..") {
					t.Fatalf("%q gives value %q", s, v)
				}
			}
		}
		if ok && len(clauses) > 0 {
			again, ok := normalize.ParseFilter(render(clauses))
			if !ok || render(again) != render(clauses) {
				t.Fatalf("%q is read as %q, which is read as %q", s, render(clauses), render(again))
			}
		}
	})
}
