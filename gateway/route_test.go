package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

func TestTheFirstRouteThatMatchesDecides(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) {
		c.Providers = append(c.Providers,
			ProviderConfig{Name: "tokens", Adapter: tokensOnly{newFake()}},
			ProviderConfig{Name: "off", Adapter: newFake(), Disabled: true})
		c.Routes = []Route{
			{Name: "tenant", Match: Match{Tenant: []string{"special"}}, Providers: []string{"beta"}},
			{Name: "austria in euro", Match: Match{Country: []string{"AT"}, Currency: []string{"EUR", "CHF"}}, Providers: []string{"beta", "alpha"}},
			{Name: "accounts", Match: Match{Type: []normalize.Type{normalize.TypeBankAccount}}, Providers: []string{"off"}},
			{Name: "amex", Match: Match{Brand: []normalize.Brand{normalize.Amex}}, Providers: []string{"tokens", "beta"}},
			{Name: "by token", Match: Match{Source: []normalize.SourceType{normalize.SourceRebillyToken}}, Providers: []string{"tokens", "alpha"}},
			{Name: "visa", Match: Match{Brand: []normalize.Brand{normalize.Visa}}, Providers: []string{"alpha"}},
		}
	})
	account := normalize.Source{Type: normalize.SourceBankAccount, BankAccount: &normalize.BankAccountSource{}}
	place := func(provider string, source int) Candidate { return Candidate{Provider: provider, Source: source} }
	by := func(route string, candidates ...Candidate) Decision {
		return Decision{Route: route, Strategy: StrategyPriority, Candidates: candidates}
	}
	for rule, c := range map[string]struct {
		tenant string
		in     normalize.CreateInput
		want   Decision
	}{
		"a tenant's own":                      {"special", input("c", card(amex)), by("tenant", place("beta", 0))},
		"country and currency":                {acme, normalize.CreateInput{Country: "AT", Currency: "CHF", Sources: []normalize.Source{card(visa)}}, by("austria in euro", place("beta", 0), place("alpha", 0))},
		"the address gives a country":         {acme, normalize.CreateInput{BillingAddress: &normalize.Address{Country: "AT"}, Currency: "EUR", Sources: []normalize.Source{card(visa)}}, by("austria in euro", place("beta", 0), place("alpha", 0))},
		"the request's country is first":      {acme, normalize.CreateInput{Country: "US", BillingAddress: &normalize.Address{Country: "AT"}, Currency: "EUR", Sources: []normalize.Source{card(visa)}}, by("visa", place("alpha", 0))},
		"only one of two conditions":          {acme, normalize.CreateInput{Country: "AT", Sources: []normalize.Source{card(visa)}}, by("visa", place("alpha", 0))},
		"a type, at a disabled provider":      {acme, input("c", account), by("accounts", Candidate{"off", 0, ReasonDisabled})},
		"a brand, at one that takes no cards": {acme, input("c", card(amex)), by("amex", Candidate{"tokens", -1, ReasonUnsupportedSource}, place("beta", 0))},
		"any source of the request":           {acme, input("c", card(visa), visaToken("t")), by("by token", place("tokens", 1), place("alpha", 0))},
		"none":                                {acme, input("c", card(mastercard)), Decision{}},
		"the provider is named":               {acme, normalize.CreateInput{Provider: "alpha", Sources: []normalize.Source{card(amex)}}, Decision{Candidates: []Candidate{place("alpha", 0)}}},
		"an unknown provider is named":        {acme, normalize.CreateInput{Provider: "gamma", Sources: []normalize.Source{card(amex)}}, Decision{Candidates: []Candidate{{"gamma", -1, ReasonUnknownProvider}}}},
		"a reference names it":                {acme, input("c", reference("alpha", nil)), Decision{Candidates: []Candidate{place("alpha", 0)}}},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			for range 2 {
				require.Equal(t, c.want, w.decideCreate(c.tenant, c.in))
			}
			require.Zero(t, w.store.trips["load"]+w.store.trips["write"], "deciding is pure")
		})
	}
}

func TestWhyNoProviderCouldTakeIt(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) {
		c.Routes = []Route{{Name: "visa", Match: Match{Brand: []normalize.Brand{normalize.Visa}}, Providers: []string{"alpha", "beta"}}}
		c.Providers[0].Adapter, c.Providers[1].Adapter = tokensOnly{newFake()}, tokensOnly{newFake()}
	})
	w.refuses(t, acme, input("cus", card(mastercard)), "a", normalize.NoEligibleProvider, normalize.NotSent)
	f := w.refuses(t, acme, input("cus", card(visa)), "b", normalize.UnsupportedSource, normalize.NotSent)
	require.Len(t, f.Attempts, 2)
	in := input("cus", card(visa))
	in.Provider = "gamma"
	w.refuses(t, acme, in, "c", normalize.InvalidField, normalize.NotSent)
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for rule, edit := range map[string]func(*Config){
		"no store":                      func(c *Config) { c.Store = nil },
		"no owner":                      func(c *Config) { c.Owner = "" },
		"no key":                        func(c *Config) { c.Keys = nil },
		"a short key":                   func(c *Config) { c.Keys[0].Secret = c.Keys[0].Secret[:31] },
		"a key id twice":                func(c *Config) { c.Keys = append(c.Keys, c.Keys[0]) },
		"a provider twice":              func(c *Config) { c.Providers[1].Name = "alpha" },
		"a provider without adapter":    func(c *Config) { c.Providers[1].Adapter = nil },
		"a route to nowhere":            func(c *Config) { c.Routes[0].Providers = []string{"gamma"} },
		"a lease shorter than its call": func(c *Config) { c.Lease = maxTimeout },
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			require.Panics(t, func() { newWorld(edit) })
		})
	}
}
