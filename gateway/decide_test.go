package gateway

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/polyvault/polyvault/normalize"
)

func TestWhatAMatchLooksAt(t *testing.T) {
	t.Parallel()
	visaOfAda := RouteRequest{
		Tenant: acme, Customer: HashCustomer(acme, "ada"), Country: "AT", Currency: "EUR", Type: normalize.TypeCard, Brand: normalize.Visa, BIN: "411111",
		Sources: []RouteSource{{Type: normalize.SourceCard}}, Metadata: map[string]string{"plan": "gold", "shop": "1"},
	}
	all := &CustomerRange{0, wholeRange}
	for rule, c := range map[string]struct {
		match   Match
		because string
	}{
		"nothing matches everything":      {Match{}, ""},
		"everything at once":              {Match{[]string{acme}, []string{"AT"}, []string{"EUR"}, []normalize.Type{"card"}, []normalize.Brand{"visa"}, []string{"4"}, all, map[string][]string{"plan": {"gold"}}, []normalize.SourceType{"card"}}, ""},
		"the first that differs is named": {Match{Tenant: []string{"b"}, Country: []string{"DE"}}, "tenant"},
		"country":                         {Match{Country: []string{"DE"}, Currency: []string{"USD"}}, "country"},
		"currency":                        {Match{Currency: []string{"USD"}, Type: []normalize.Type{"paypal"}}, "currency"},
		"type":                            {Match{Type: []normalize.Type{"paypal"}, Brand: []normalize.Brand{"jcb"}}, "type"},
		"brand":                           {Match{Brand: []normalize.Brand{"jcb"}, BIN: []string{"35"}}, "brand"},
		"one of the BINs":                 {Match{BIN: []string{"5", "4111"}}, ""},
		"the whole BIN":                   {Match{BIN: []string{"411111"}}, ""},
		"a BIN that is longer":            {Match{BIN: []string{"41111111"}, Customer: &CustomerRange{0, 1}}, "bin"},
		"no customer of the range":        {Match{Customer: &CustomerRange{0, 1}, Metadata: map[string][]string{"x": {"y"}}}, "customer"},
		"one of the metadata's values":    {Match{Metadata: map[string][]string{"plan": {"silver", "gold"}, "shop": {"1"}}}, ""},
		"one metadata key of two":         {Match{Metadata: map[string][]string{"plan": {"gold"}, "shop": {"2"}}, Source: []normalize.SourceType{"rebilly_token"}}, "metadata"},
		"a metadata key that is not there": {
			Match{Metadata: map[string][]string{"tier": {""}}}, "metadata",
		},
		"source": {Match{Source: []normalize.SourceType{"rebilly_token"}}, "source"},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.because, c.match.mismatch(visaOfAda))
		})
	}
}

func TestWhyAProviderIsNotEligible(t *testing.T) {
	t.Parallel()
	token := []normalize.SourceType{normalize.SourceRebillyToken}
	ok := ProviderFacts{Name: "p", SourceTypes: token, MakesCustomers: true}
	edit := func(f func(*ProviderFacts)) ProviderFacts { out := ok; f(&out); return out }
	unknown := map[string]bool{}
	for rule, c := range map[string]struct {
		facts  ProviderFacts
		source RouteSource
		known  map[string]bool
		want   Reason
	}{
		"none":                            {ok, RouteSource{Type: normalize.SourceRebillyToken}, nil, ""},
		"a stranger":                      {edit(func(f *ProviderFacts) { f.Name = "q" }), RouteSource{Type: normalize.SourceRebillyToken}, nil, ReasonUnknownProvider},
		"another source":                  {ok, RouteSource{Type: normalize.SourceCard}, nil, ReasonUnsupportedSource},
		"another's reference":             {ok, RouteSource{normalize.SourceProviderReference, "q"}, nil, ReasonUnsupportedSource},
		"its reference":                   {ok, RouteSource{normalize.SourceProviderReference, "p"}, nil, ""},
		"disabled before drained":         {edit(func(f *ProviderFacts) { f.Disabled, f.Drained, f.BreakerOpen = true, true, true }), RouteSource{Type: normalize.SourceRebillyToken}, nil, ReasonDisabled},
		"drained before the breaker":      {edit(func(f *ProviderFacts) { f.Drained, f.BreakerOpen = true, true }), RouteSource{Type: normalize.SourceRebillyToken}, nil, ReasonDrained},
		"the breaker":                     {edit(func(f *ProviderFacts) { f.BreakerOpen = true }), RouteSource{Type: normalize.SourceRebillyToken}, nil, ReasonBreakerOpen},
		"makes the customer":              {ok, RouteSource{Type: normalize.SourceRebillyToken}, unknown, ""},
		"makes no customers":              {edit(func(f *ProviderFacts) { f.MakesCustomers = false }), RouteSource{Type: normalize.SourceRebillyToken}, unknown, ReasonNoCustomerReference},
		"knows the customer":              {edit(func(f *ProviderFacts) { f.MakesCustomers = false }), RouteSource{Type: normalize.SourceRebillyToken}, map[string]bool{"p": true}, ""},
		"nobody looked for the customer":  {edit(func(f *ProviderFacts) { f.MakesCustomers = false }), RouteSource{Type: normalize.SourceRebillyToken}, nil, ""},
		"a reference brings its customer": {edit(func(f *ProviderFacts) { f.MakesCustomers = false }), RouteSource{normalize.SourceProviderReference, "p"}, unknown, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			route := Route{Name: "r", Providers: []string{"p"}, Mirrors: []string{"p"}}
			d := Decide(DecideInput{
				Routes: []Route{route}, Providers: []ProviderFacts{c.facts},
				Request: RouteRequest{Sources: []RouteSource{c.source}}, Known: c.known,
			})
			require.Equal(t, c.want, d.Candidates[0].Reason)
			require.Equal(t, d.Candidates, d.Mirrors, "a mirror is judged as a candidate is")
			require.Equal(t, c.want == "", d.First() == "p")
			require.Empty(t, d.MirrorsOf("p"), "a provider is no mirror of itself")
		})
	}
}

// anyDecision draws routes, providers and a request of a small world, in which much
// collides.
func anyDecision(t *rapid.T) DecideInput {
	names := []string{"a", "b", "c", "d"}
	some := func(label string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, len(names), rapid.ID).Draw(t, label)
	}
	sources := rapid.SampledFrom(normalize.SourceTypes())
	in := DecideInput{Request: RouteRequest{
		Tenant: rapid.SampledFrom([]string{acme, loose}).Draw(t, "tenant"), Customer: CustomerHash(rapid.Uint64().Draw(t, "customer")),
		Country: rapid.SampledFrom([]string{"", "AT", "US"}).Draw(t, "country"), BIN: rapid.SampledFrom([]string{"", "411111", "42424242"}).Draw(t, "bin"),
		Metadata: map[string]string{"plan": rapid.SampledFrom([]string{"gold", "tin"}).Draw(t, "plan")},
		Provider: rapid.SampledFrom([]string{"", "", "", "a", "nobody"}).Draw(t, "asked"),
	}}
	for range rapid.IntRange(1, 3).Draw(t, "sources") {
		s := RouteSource{Type: sources.Draw(t, "source")}
		if s.Type == normalize.SourceProviderReference {
			s.Provider = rapid.SampledFrom(names).Draw(t, "referenced")
		}
		in.Request.Sources = append(in.Request.Sources, s)
	}
	if rapid.Bool().Draw(t, "looked") {
		in.Known = map[string]bool{rapid.SampledFrom(names).Draw(t, "known"): true}
	}
	flag := rapid.Bool()
	for _, name := range names {
		in.Providers = append(in.Providers, ProviderFacts{
			Name: name, SourceTypes: rapid.SliceOfN(sources, 0, 4).Draw(t, "accepts"), MakesCustomers: flag.Draw(t, "makes"),
			Disabled: flag.Draw(t, "disabled"), Drained: flag.Draw(t, "drained"), BreakerOpen: flag.Draw(t, "open"),
		})
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "routes") {
		r := Route{Name: fmt.Sprint("r", i), Providers: some("providers")}
		if flag.Draw(t, "mirrored") {
			r.Mirrors = some("mirrors")
		}
		if flag.Draw(t, "weighted") {
			r.Strategy, r.Weights = StrategyWeighted, map[string]int{}
			for _, name := range r.Providers {
				r.Weights[name] = rapid.IntRange(0, maxWeight).Draw(t, "weight")
			}
		}
		switch rapid.IntRange(0, 5).Draw(t, "matches on") {
		case 0:
			r.Match.Tenant = []string{acme}
		case 1:
			r.Match.Country = []string{"AT"}
		case 2:
			r.Match.BIN = []string{"41", "4242424"}
		case 3:
			r.Match.Customer = &CustomerRange{rapid.IntRange(0, 5000).Draw(t, "from"), rapid.IntRange(5001, wholeRange).Draw(t, "below")}
		case 4:
			r.Match.Metadata = map[string][]string{"plan": {"gold", "silver"}}
		}
		in.Routes = append(in.Routes, r)
	}
	return in
}

// eligible is written anew, in another form than Decide: what must all be true.
func eligible(in DecideInput, c Candidate) bool {
	for _, f := range in.Providers {
		if f.Name != c.Provider || f.Disabled || f.Drained || f.BreakerOpen || c.Source < 0 {
			continue
		}
		s := in.Request.Sources[c.Source]
		adopts := s.Type == normalize.SourceProviderReference && s.Provider == f.Name
		stores := s.Type != normalize.SourceProviderReference && slices.Contains(f.SourceTypes, s.Type) &&
			(in.Known == nil || in.Known[f.Name] || f.MakesCustomers)
		return adopts || stores
	}
	return false
}

func TestAChosenProviderIsAlwaysEligible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anyDecision(t)
		d := Decide(in)
		for _, c := range slices.Concat(d.Candidates, d.Mirrors) {
			require.Equal(t, eligible(in, c), c.Reason == "", "%+v", c)
		}
		if first := d.First(); first != "" {
			require.NotContains(t, names(d.MirrorsOf(first)), first)
		}
		require.Equal(t, d, Decide(in), "the same input gives the same decision")
	})
}

func names(candidates []Candidate) []string {
	out := make([]string, len(candidates))
	for i, c := range candidates {
		out[i] = c.Provider
	}
	return out
}

func TestTheFirstMatchWinsAndOthersChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := anyDecision(t)
		d := Decide(in)
		if in.Request.Provider != "" {
			require.Empty(t, d.Route)
			require.Equal(t, []string{in.Request.Provider}, names(d.Candidates))
			return
		}
		first := slices.IndexFunc(in.Routes, func(r Route) bool { return r.Match.mismatch(in.Request) == "" })
		if first < 0 {
			require.Zero(t, d)
			return
		}
		won := in.Routes[first]
		require.Equal(t, won.Name, d.Route)
		require.ElementsMatch(t, won.Providers, names(d.Candidates), "every provider has exactly one place")
		if won.Strategy != StrategyWeighted {
			require.Equal(t, won.Providers, names(d.Candidates))
		}
		// What does not match may stand anywhere, and what comes after the first may be anything.
		var others []Route
		for _, r := range in.Routes[first+1:] {
			if r.Match.mismatch(in.Request) != "" {
				others = append(others, r)
			}
		}
		other := in
		other.Routes = rapid.Permutation(append(slices.Clone(in.Routes[:first]), append(others, won)...)).Draw(t, "routes")
		require.Equal(t, d, Decide(other))
	})
}

// weighted is a route of n providers with weights from 1 to 1000.
func weighted(t *rapid.T) Route {
	r := Route{Name: "w", Strategy: StrategyWeighted, Weights: map[string]int{}}
	for i := range rapid.IntRange(2, 5).Draw(t, "providers") {
		name := fmt.Sprint("p", i)
		r.Providers = append(r.Providers, name)
		r.Weights[name] = rapid.IntRange(0, maxWeight).Draw(t, "weight")
	}
	r.Weights["p0"] = max(1, r.Weights["p0"])
	return r
}

func TestAWeightMovesCustomersToOrFromItsProviderOnly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := weighted(t)
		after := before
		after.Weights = maps.Clone(before.Weights)
		changed := rapid.SampledFrom(before.Providers).Draw(t, "changed")
		after.Weights[changed] = rapid.IntRange(0, maxWeight).Draw(t, "to")
		after.Weights["p0"] = max(1, after.Weights["p0"])
		up := after.Weights[changed] > before.Weights[changed]
		for i := range 300 {
			h := HashCustomer(acme, fmt.Sprint("c", i))
			was, is := before.byWeight(h), after.byWeight(h)
			require.Equal(t, is, after.byWeight(h), "it is sticky")
			without := func(order []string) []string {
				return slices.DeleteFunc(slices.Clone(order), func(s string) bool { return s == changed })
			}
			require.Equal(t, without(was), without(is), "the others keep their order")
			switch moved := slices.Index(is, changed) - slices.Index(was, changed); {
			case up:
				require.LessOrEqual(t, moved, 0, "more weight never moves a customer away")
			default:
				require.GreaterOrEqual(t, moved, 0, "less weight never brings a customer")
			}
		}
	})
}

func TestSharesAreThoseOfTheWeights(t *testing.T) {
	t.Parallel()
	const customers = 20_000
	r := Route{Providers: []string{"a", "b", "c", "d"}, Weights: map[string]int{"a": 50, "b": 30, "c": 20, "d": 0}}
	quarter := CustomerRange{0, 2500}
	share, inQuarter, second := map[string]float64{}, map[string]float64{}, map[string]float64{}
	var quarterSize float64
	for i := range customers {
		h := HashCustomer(acme, fmt.Sprint("customer-", i))
		order := r.byWeight(h)
		require.Equal(t, "d", order[3], "weight 0 is the last")
		share[order[0]]++
		if order[0] == "a" {
			second[order[1]]++
		}
		if quarter.contains(h) {
			quarterSize++
			inQuarter[order[0]]++
		}
	}
	within := func(want, n, got float64, what string) {
		t.Helper()
		// Five standard deviations of a fair draw: one in 1.7 million, and the hash is fixed.
		require.InDelta(t, want*n, got, 5*math.Sqrt(n*want*(1-want)), what)
		t.Logf("%s: %.2f %%, wanted %.2f %%", what, 100*got/n, 100*want)
	}
	within(0.25, customers, quarterSize, "a range of 25 %")
	for name, want := range map[string]float64{"a": 0.5, "b": 0.3, "c": 0.2} {
		within(want, customers, share[name], name)
		within(want, quarterSize, inQuarter[name], name+" within the range")
	}
	within(0.6, share["a"], second["b"], "b as a's fallback")
}

func TestRangesShareOutTheCustomers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cut := rapid.IntRange(1, wholeRange-1).Draw(t, "cut")
		h := CustomerHash(rapid.Uint64Range(1, math.MaxUint64).Draw(t, "hash"))
		low, high := CustomerRange{0, cut}, CustomerRange{cut, wholeRange}
		require.NotEqual(t, low.contains(h), high.contains(h), "ranges that touch share out all")
		wider := CustomerRange{0, cut + 1}
		require.False(t, low.contains(h) && !wider.contains(h), "who was in a range stays as it grows")
	})
	moved := 0
	for i := range 20_000 {
		if (CustomerRange{0, 100}).contains(HashCustomer(acme, fmt.Sprint(i))) {
			moved++
		}
	}
	require.InDelta(t, 200, moved, 70, "1 %")
	require.False(t, CustomerRange{0, wholeRange}.contains(0), "no customer is in no range")
	require.Zero(t, HashCustomer(acme, ""))
	require.NotEqual(t, HashCustomer("a", "b"), HashCustomer("ab", ""))
	require.Equal(t, CustomerHash(0x214d00348d29de37), HashCustomer(acme, "cus-1"), "recorded hashes and shares stay what they are")
}

func TestWithoutACustomerTheHeaviestIsFirst(t *testing.T) {
	t.Parallel()
	r := Route{Providers: []string{"a", "b", "c", "d"}, Weights: map[string]int{"a": 0, "b": 5, "c": 50, "d": 0}}
	require.Equal(t, []string{"c", "b", "a", "d"}, r.byWeight(0))
}
