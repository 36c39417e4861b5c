package gateway

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// explains is what Explain says, in one line for each provider and each route.
func (w *world) explains(t *testing.T, in normalize.ExplainInput) []string {
	t.Helper()
	out, err := w.Explain(t.Context(), acme, in)
	require.NoError(t, err)
	lines := []string{}
	text := func(v any) string {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return string(b)
	}
	lines = append(lines, "route "+text(out.Route)+" "+text(out.Strategy))
	for _, c := range out.Candidates {
		lines = append(lines, c.Provider+" "+text(c.Place)+" "+text(c.SourceType)+" "+text(c.Reason))
	}
	for _, m := range out.Mirrors {
		lines = append(lines, "mirror "+m.Provider+" "+text(m.SourceType)+" "+text(m.Reason))
	}
	for _, u := range out.Unmatched {
		lines = append(lines, "not "+u.Route+": "+u.Because)
	}
	return lines
}

func TestExplainShowsTheMomentAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(c *Config) {
			plain := newFake()
			c.Providers = append(c.Providers,
				ProviderConfig{Name: "plain", Adapter: creatorOnly{plain}}, ProviderConfig{Name: "off", Adapter: newFake(), Disabled: true},
				ProviderConfig{Name: "tokens", Adapter: tokensOnly{newFake()}})
			c.Routes = []Route{
				{Name: "others", Match: Match{Tenant: []string{loose}}, Providers: []string{"beta"}},
				{Name: "amex", Match: Match{Brand: []normalize.Brand{normalize.Amex}}, Providers: []string{"beta"}},
				{Name: "all", Providers: []string{"off", "plain", "alpha", "tokens", "beta"}, Mirrors: []string{"alpha", "beta", "tokens"}},
			}
		})
		in := normalize.ExplainInput{CustomerID: "cus", SourceTypes: []normalize.SourceType{normalize.SourceCard}, BIN: "411111"}
		want := []string{
			`route "all" "priority"`, `off null "card" "disabled"`, `plain null "card" "no_customer_reference"`, `alpha 1 "card" null`,
			`tokens null null "unsupported_source"`, `beta 2 "card" null`,
			`mirror beta "card" null`, `mirror tokens null "unsupported_source"`, `not amex: brand`,
		}
		require.Equal(t, want, w.explains(t, in))

		_, _, err := w.PutCustomer(t.Context(), acme, normalize.CustomerInput{ID: "cus", ProviderReferences: map[string]string{"plain": "7"}})
		require.NoError(t, err)
		require.Contains(t, w.explains(t, in), `plain 1 "card" null`, "it is known there now")
		in.CustomerID = ""
		require.Contains(t, w.explains(t, in), `plain 1 "card" null`, "without a customer nobody looks")

		for range 5 {
			w.a.will("create", step{err: failure(normalize.ProviderUnavailable, normalize.NotSent)})
			req := input("other", card(visa))
			req.Provider = "alpha"
			_, err := w.Create(t.Context(), acme, req, nonce())
			require.Error(t, err)
		}
		in.CustomerID = "other"
		require.Contains(t, w.explains(t, in), `alpha null "card" "breaker_open"`)
		require.Contains(t, w.explains(t, in), `mirror alpha "card" "breaker_open"`, "beta would be the primary")
		time.Sleep(time.Hour)
		require.Contains(t, w.explains(t, in), `alpha 1 "card" null`)

		writes := w.store.trips["write"]
		in.Provider = "off"
		require.Equal(t, []string{"route null null", `off null "card" "disabled"`}, w.explains(t, in))
		require.Equal(t, writes, w.store.trips["write"], "nothing is written")
		require.Zero(t, w.b.count("create"), "nothing is sent")
	})
}

func TestExplainAgreesWithTheCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(func(c *Config) {
		c.Routes = []Route{
			{Name: "canary", Match: Match{Customer: &CustomerRange{0, 3000}, Type: []normalize.Type{"card"}}, Providers: []string{"beta"}},
			{Name: "gold", Match: Match{Metadata: map[string][]string{"plan": {"gold"}}, BIN: []string{"4"}}, Providers: []string{"beta", "alpha"}},
			{Name: "rest", Providers: []string{"alpha", "beta"}, Strategy: StrategyWeighted, Weights: map[string]int{"alpha": 2, "beta": 1}},
		}
	})
	seen := map[string]int{}
	for _, customer := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		for _, plan := range []string{"gold", "tin"} {
			in := input(customer, card(visa))
			in.Metadata = map[string]string{"plan": plan}
			created, err := w.Create(t.Context(), loose, in, customer+plan)
			require.NoError(t, err)
			out, err := w.Explain(t.Context(), loose, normalize.ExplainInput{
				CustomerID: customer, SourceTypes: []normalize.SourceType{normalize.SourceCard}, BIN: "411111", Metadata: in.Metadata,
			})
			require.NoError(t, err)
			require.Equal(t, created.Provider, out.Candidates[0].Provider)
			seen[*out.Route+" "+created.Provider]++
		}
	}
	require.Len(t, seen, 4, "every route, and both providers of the weighted one: %v", seen)
}

func TestExplainRefusesWhatACreateWould(t *testing.T) {
	t.Parallel()
	w := newWorld()
	refused := func(tenant string, in normalize.ExplainInput) normalize.FieldError {
		_, err := w.Explain(t.Context(), tenant, in)
		require.Error(t, err)
		return asError(err).Fields[0]
	}
	cards := []normalize.SourceType{normalize.SourceRebillyToken, normalize.SourceCard}
	require.Equal(t, normalize.RawCardNotAccepted, refused(shy, normalize.ExplainInput{SourceTypes: cards}).Code)
	require.Equal(t, "/source_types/1", refused(shy, normalize.ExplainInput{SourceTypes: cards}).Pointer)
	require.Equal(t, "/provider", refused(acme, normalize.ExplainInput{SourceTypes: cards, Provider: "gamma"}).Pointer)
	require.Equal(t, normalize.MissingField, refused(acme, normalize.ExplainInput{}).Code)
	w.store.onLoad = func(int, []string) error { return errInjected }
	_, err := w.Explain(t.Context(), acme, normalize.ExplainInput{SourceTypes: cards})
	require.NoError(t, err, "without a customer the store is not asked")
	_, err = w.Explain(t.Context(), acme, normalize.ExplainInput{CustomerID: "cus", SourceTypes: cards})
	require.Equal(t, normalize.StoreUnavailable, normalize.CodeOf(err))
}

// notes is a Recorder that keeps everything.
type notes []RecordedDecision

func (n *notes) Record(d RecordedDecision) { *n = append(*n, d) }

func TestWhatIsRecordedOfACreate(t *testing.T) {
	t.Parallel()
	var n notes
	w := newWorld(func(c *Config) {
		c.Recorder = &n
		c.Now = func() time.Time { return testTime }
		c.Routes = append([]Route{{Name: "gold", Match: Match{Metadata: map[string][]string{"plan": {"gold"}}, BIN: []string{"41111111"}}, Providers: []string{"beta"}}}, c.Routes...)
		c.Routes[1].Mirrors = []string{"beta"}
	})
	in := input("customer-id", card(visa), reference("alpha", normalize.References{"instrument": "i-ref"}))
	in.Provider, in.Sources = "", in.Sources[:1]
	in.Country, in.Currency, in.Metadata = "AT", "EUR", map[string]string{"plan": "tin", "order": "private"}
	in.BillingAddress = &normalize.Address{FirstName: "Ada", Country: "GB"}
	_, err := w.Create(t.Context(), acme, in, "key")
	require.NoError(t, err)
	require.Len(t, n, 1)
	line, err := json.Marshal(n[0])
	require.NoError(t, err)
	require.JSONEq(t, `{"time":"2026-03-01T12:00:00Z","tenant":"acme","customer":"e2079d6ed1b95d8c","country":"AT","currency":"EUR","type":"card","brand":"visa",
		"bin":"411111","source_types":["card"],"metadata":{"plan":"tin"},"metadata_keys":["plan"],
		"decision":{"route":"all","candidates":[{"provider":"alpha"},{"provider":"beta"}],"mirrors":[{"provider":"beta"}]}}`, string(line))
	var back RecordedDecision
	require.NoError(t, json.Unmarshal(line, &back))
	require.Equal(t, n[0], back, "it can be read again")

	n = nil
	in = input("c", reference("alpha", normalize.References{"instrument": "i-ref"}))
	_, err = w.Create(t.Context(), acme, in, "another")
	require.Error(t, err)
	line, err = json.Marshal(n[0])
	require.NoError(t, err)
	require.Contains(t, string(line), `"source_types":["provider_reference:alpha"],"provider":"alpha"`)
	require.NotContains(t, string(line), "i-ref")
	n = nil
	in.CustomerID = ""
	_, err = w.Create(t.Context(), acme, in, "another")
	require.Error(t, err)
	require.Empty(t, n, "what is not valid does not come to the routes")
}
