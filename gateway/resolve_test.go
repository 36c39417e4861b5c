package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// charging is a provider whose payment call names the instrument in a way of its own.
type charging struct{ *fake }

// Charge implements [adapters.Charger].
func (charging) Charge(ref normalize.References, t normalize.Type) any {
	return map[string]string{"pay_with": ref["instrument"], "kind": string(t)}
}

// edited changes a record in the store, as no operation could.
func (w *world) edited(t *testing.T, id string, edit func(*Record)) {
	t.Helper()
	recs, err := w.load(t.Context(), "test", id)
	require.NoError(t, err)
	next := recs[0].Record
	next.Tokens = append([]Token(nil), next.Tokens...)
	view := *next.View
	next.View = &view
	edit(&next)
	_, _, err = w.put(t.Context(), "test", *recs[0], next)
	require.NoError(t, err)
}

// mirrored is a card at alpha with a mirror at beta, whose provider can name it in a charge.
func mirrored(t *testing.T, edit ...func(*Config)) (*world, string) {
	t.Helper()
	edit = append([]func(*Config){func(c *Config) {
		fake, ok := c.Providers[0].Adapter.(*fake)
		require.True(t, ok)
		c.Providers[0].Adapter = charging{fake}
	}}, edit...)
	w, ins, _ := one(t, edit...)
	w.edited(t, ins.ID, func(r *Record) {
		r.Tokens = append(r.Tokens, Token{
			Provider: "beta", ProviderType: "fake", Role: normalize.RoleMirror, Status: normalize.StatusActive,
			References: normalize.References{"instrument": "i7", "customer": "c7"}, SyncedAt: r.CreatedAt,
		})
	})
	return w, ins.ID
}

func fails5(p *Provider, c *class) {
	for range 5 {
		_ = ends(p, c, failure(normalize.ProviderTimeout, normalize.Unknown))
	}
}

func TestAResolutionHasWhatACallerNeeds(t *testing.T) {
	t.Parallel()
	w, id := mirrored(t)
	var out Resolution
	calls := w.a.count("get") + w.b.count("get")
	require.Equal(t, 1, w.store.counted(func() {
		var err error
		out, err = w.Resolve(t.Context(), acme, id, ResolveInput{})
		require.NoError(t, err)
	}), "one load, and no write")
	require.Equal(t, calls, w.a.count("get")+w.b.count("get"), "no provider is asked")
	require.Equal(t, Resolution{
		Object: "resolution", InstrumentID: id, Excluded: []NotChargeable{},
		Candidates: []Chargeable{{
			Provider: "alpha", ProviderType: "fake", Role: normalize.RolePrimary, Health: HealthHealthy, Reason: "primary",
			References: normalize.References{"instrument": "i1", "customer": "c1"},
			Charge:     map[string]string{"pay_with": "i1", "kind": "card"},
		}, {
			Provider: "beta", ProviderType: "fake", Role: normalize.RoleMirror, Health: HealthHealthy, Reason: "mirror",
			References: normalize.References{"instrument": "i7", "customer": "c7"}, Charge: struct{}{},
		}},
	}, out)
}

// TestWhoIsACandidate goes through what can keep a token from being charged. The
// mirror is healthy in every case unless it is what the case is about.
func TestWhoIsACandidate(t *testing.T) {
	t.Parallel()
	limited := func(c Charges) func(*Config) {
		return func(conf *Config) { conf.Providers[0].Charges = c }
	}
	status := func(s normalize.Status) func(*Record) { return func(r *Record) { r.Tokens[0].Status = s } }
	for rule, c := range map[string]struct {
		config func(*Config)
		record func(*Record)
		now    func(*world)
		in     ResolveInput
		first  ExcludedReason // of alpha; "" if it is a candidate
		second ExcludedReason // of beta
	}{
		"asked for by nobody":      {in: ResolveInput{ExcludeProviders: []string{"x", "alpha"}}, first: ExcludedByRequest},
		"no provider is asked for": {in: ResolveInput{ExcludeProviders: []string{"alpha", "beta"}}, first: ExcludedByRequest, second: ExcludedByRequest},
		"the mirror is pending":    {record: func(r *Record) { r.Tokens[1].Status = normalize.StatusPending }, second: ExcludedTokenPending},
		"the mirror failed":        {record: func(r *Record) { r.Tokens[1].Status = normalize.StatusFailed }, second: ExcludedTokenFailed},
		"the mirror is deactivated": {
			record: func(r *Record) { r.Tokens[1].Status = normalize.StatusDeactivated }, second: ExcludedDeactivated,
		},
		"the primary failed":          {record: status(normalize.StatusFailed), first: ExcludedTokenFailed},
		"the primary is not verified": {record: status(normalize.StatusVerificationNeeded), first: ExcludedVerificationNeeded},
		"the provider calls it expired": {
			record: status(normalize.StatusExpired), first: ExcludedExpired, // the other one has its own word
		},
		"the card has expired": {
			record: func(r *Record) { r.View.Card = &normalize.Card{ExpMonth: 1, ExpYear: 2020} }, first: ExcludedExpired, second: ExcludedExpired,
		},
		"a provider that is not configured": {record: func(r *Record) { r.Tokens[0].Provider = "gone" }, first: ExcludedNotConfigured},
		"a disabled provider keeps what it has": {
			config: func(c *Config) { c.Providers[0].Disabled = true },
		},
		"another currency": {config: limited(Charges{Currencies: []string{"USD", "CAD"}}), in: ResolveInput{Currency: "EUR"}, first: ExcludedCurrency},
		"its currency":     {config: limited(Charges{Currencies: []string{"USD", "CAD"}}), in: ResolveInput{Currency: "CAD"}},
		"no currency told": {config: limited(Charges{Currencies: []string{"USD"}}), in: ResolveInput{Country: "AT"}},
		"another country":  {config: limited(Charges{Countries: []string{"US"}}), in: ResolveInput{Country: "AT", Currency: "EUR"}, first: ExcludedCountry},
		"its country":      {config: limited(Charges{Countries: []string{"US"}}), in: ResolveInput{Country: "US"}},
		"its reads fail":   {now: func(w *world) { fails5(w.providers["alpha"], w.providers["alpha"].read) }, first: ExcludedBreakerOpen},
		"it is drained": {now: func(w *world) {
			if _, err := w.Drain(t.Context(), "alpha", "operator", normalize.DrainInput{}); err != nil {
				panic(err)
			}
		}, first: ExcludedDrained},
		"its writes fail": {now: func(w *world) { fails5(w.providers["alpha"], w.providers["alpha"].write) }, first: ExcludedBreakerOpen},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			edit := c.config
			if edit == nil {
				edit = func(*Config) {}
			}
			w, id := mirrored(t, edit)
			if c.record != nil {
				w.edited(t, id, c.record)
			}
			if c.now != nil {
				c.now(w)
			}
			out, err := w.Resolve(t.Context(), acme, id, c.in)
			require.NoError(t, err)
			require.Len(t, append([]Chargeable{}, out.Candidates...), 2-len(out.Excluded))
			got := map[normalize.Role]ExcludedReason{}
			for _, e := range out.Excluded {
				got[e.Role] = e.Reason
			}
			require.Equal(t, c.first, got[normalize.RolePrimary])
			require.Equal(t, c.second, got[normalize.RoleMirror])
			require.NotNil(t, out.Candidates, "an empty list is one all the same")
		})
	}
}

func TestAProviderThatRecoversComesAfterHealthyOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, id := mirrored(t)
		p := w.providers["alpha"]
		fails5(p, p.write)
		time.Sleep(20 * time.Second) // the breaker is half open from then on
		out, err := w.Resolve(t.Context(), acme, id, ResolveInput{})
		require.NoError(t, err)
		require.Empty(t, out.Excluded)
		order := []string{}
		for _, c := range out.Candidates {
			order = append(order, c.Provider+": "+c.Reason+", "+string(c.Health))
		}
		require.Equal(t, []string{"beta: mirror, healthy", "alpha: primary recovering, recovering"}, order)
		fails5(w.providers["beta"], w.providers["beta"].read)
		time.Sleep(20 * time.Second)
		out, err = w.Resolve(t.Context(), acme, id, ResolveInput{})
		require.NoError(t, err)
		require.Equal(t, "alpha", out.Candidates[0].Provider, "the primary first, where both recover")
	})
}

func TestWhatCannotBeResolved(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	resolve := func(tenant, id string) error {
		out, err := w.Resolve(t.Context(), tenant, id, ResolveInput{})
		require.Empty(t, out.Candidates)
		return err
	}
	_, other := w.Resolve(t.Context(), loose, ins.ID, ResolveInput{})
	require.Equal(t, resolve(acme, w.current().instrumentID(acme, "never sent")), other, "another tenant's is like none")
	require.Equal(t, normalize.NotFound, normalize.CodeOf(other))
	require.Equal(t, normalize.NotFound, normalize.CodeOf(resolve(acme, "no id")))

	_, err := w.Deactivate(t.Context(), acme, ins.ID)
	require.NoError(t, err)
	require.Equal(t, normalize.InvalidState, normalize.CodeOf(resolve(acme, ins.ID)))
	require.NoError(t, w.Delete(t.Context(), acme, ins.ID, ScopeProvider))
	require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(resolve(acme, ins.ID)))
}

// What a provider cannot deactivate is held by the gateway, and not charged either.
func TestAnInstrumentThatTheGatewayHoldsIsNotResolved(t *testing.T) {
	t.Parallel()
	w, id := mirrored(t)
	w.edited(t, id, func(r *Record) { r.Held = true })
	_, err := w.Resolve(t.Context(), acme, id, ResolveInput{})
	require.Equal(t, normalize.InvalidState, normalize.CodeOf(err))
}
