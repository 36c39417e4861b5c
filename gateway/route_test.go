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

func TestAttemptsSayWhyNobodyTookIt(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) {
		c.Providers = append(c.Providers,
			ProviderConfig{Name: "off", Adapter: newFake(), Disabled: true}, ProviderConfig{Name: "tokens", Adapter: tokensOnly{newFake()}},
			ProviderConfig{Name: "plain", Adapter: creatorOnly{newFake()}})
		c.Routes = []Route{
			{Name: "visa", Match: Match{Brand: []normalize.Brand{normalize.Visa}}, Providers: []string{"off", "tokens"}},
			{Name: "rest", Providers: []string{"off", "plain"}},
		}
	})
	codes := func(f *refusal) []normalize.Code {
		var out []normalize.Code
		for _, a := range f.Attempts {
			out = append(out, a.Code)
		}
		return out
	}
	f := w.refuses(t, acme, input("cus", card(visa)), "a", normalize.NoEligibleProvider, normalize.NotSent)
	require.Equal(t, []normalize.Code{"disabled", "unsupported_source"}, codes(f))
	f = w.refuses(t, acme, input("cus", card(mastercard)), "b", normalize.CustomerReferenceRequired, normalize.NotSent)
	require.Equal(t, []normalize.Code{"disabled", "no_customer_reference"}, codes(f), "the problem is what can be mended")
}

func TestHowMuchOfACardNumberARouteSees(t *testing.T) {
	t.Parallel()
	vaulted := normalize.Source{Type: normalize.SourceVaultedToken, VaultedToken: &normalize.VaultedTokenSource{BIN: "545454"}}
	for _, c := range []struct {
		want    string
		sources []normalize.Source
	}{
		{"41111111", []normalize.Source{card(visa)}},
		{"378282", []normalize.Source{card(amex)}},
		{"545454", []normalize.Source{vaulted}},
		{"55555555", []normalize.Source{visaToken("t"), card(mastercard), vaulted}},
		{"", []normalize.Source{visaToken("t")}},
	} {
		require.Equal(t, c.want, routeRequest(acme, input("c", c.sources...)).BIN)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for rule, edit := range map[string]func(*Config){
		"no store":                     func(c *Config) { c.Store = nil },
		"no owner":                     func(c *Config) { c.Owner = "" },
		"no key":                       func(c *Config) { c.Keys = nil },
		"a short key":                  func(c *Config) { c.Keys[0].Secret = c.Keys[0].Secret[:31] },
		"a key id twice":               func(c *Config) { c.Keys = append(c.Keys, c.Keys[0]) },
		"a provider twice":             func(c *Config) { c.Providers[1].Name = "alpha" },
		"a provider without adapter":   func(c *Config) { c.Providers[1].Adapter = nil },
		"a route to nowhere":           func(c *Config) { c.Routes[0].Providers = []string{"gamma"} },
		"a mirror that is not there":   func(c *Config) { c.Routes[0].Mirrors = []string{"gamma"} },
		"a route without providers":    func(c *Config) { c.Routes[0].Providers = nil },
		"an empty range of customers":  func(c *Config) { c.Routes[0].Match.Customer = &CustomerRange{5, 5} },
		"an unknown strategy":          func(c *Config) { c.Routes[0].Strategy = "random" },
		"weights without the strategy": func(c *Config) { c.Routes[0].Weights = map[string]int{"alpha": 1, "beta": 1} },
		"a provider without a weight": func(c *Config) {
			c.Routes[0].Strategy, c.Routes[0].Weights = StrategyWeighted, map[string]int{"alpha": 1}
		},
		"weights of nothing": func(c *Config) {
			c.Routes[0].Strategy, c.Routes[0].Weights = StrategyWeighted, map[string]int{"alpha": 0, "beta": 0}
		},
		"a lease shorter than its call": func(c *Config) { c.Lease = maxTimeout },
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			require.Panics(t, func() { newWorld(edit) })
		})
	}
}
