package rehearsal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// vault is a provider that takes every card and forgets it.
type vault struct{ made int }

func (*vault) Type() string { return "vault" }
func (*vault) Get(context.Context, normalize.References) (adapters.Instrument, error) {
	return adapters.Instrument{}, &normalize.Error{Code: normalize.NotFound, Outcome: normalize.Rejected}
}

func (*vault) SourceTypes() []normalize.SourceType {
	return []normalize.SourceType{normalize.SourceCard}
}

func (*vault) CreateCustomer(context.Context, adapters.CustomerInput) (string, error) {
	return "c", nil
}

func (v *vault) Create(context.Context, adapters.CreateInput) (adapters.Instrument, error) {
	v.made++
	return adapters.Instrument{
		References: normalize.References{"id": fmt.Sprint(v.made)}, Type: normalize.TypeCard, Status: normalize.StatusActive,
		Card: &normalize.Card{Brand: normalize.Visa, Last4: "1111", ExpMonth: 1, ExpYear: 2040},
	}, nil
}

// oblivion is a store that has nothing and takes everything: who only decides and
// creates does not need more of it.
type oblivion struct{}

func (oblivion) Load(_ context.Context, keys ...string) (gateway.Loaded, error) {
	return gateway.Loaded{Entries: make([]gateway.Entry, len(keys)), Now: time.Now()}, nil
}

func (oblivion) Write(_ context.Context, w gateway.Write) (gateway.Written, error) {
	out := gateway.Written{Applied: true, Current: gateway.Entry{Value: w.Value, Version: w.Next()}, Loaded: make([]gateway.Entry, len(w.Load)), Now: time.Now()}
	for _, c := range w.Claims {
		out.Owners = append(out.Owners, c.Owner)
	}
	return out, nil
}

func (oblivion) Scan(context.Context, string, string, int, bool) ([]string, error) { return nil, nil }
func (oblivion) Dump(context.Context, func(string, gateway.Entry) error) error     { return nil }
func (oblivion) Ping(context.Context) error                                        { return nil }
func (oblivion) Close() error                                                      { return nil }

// requestOf is the n-th create of the test: customers of three countries with one of
// three cards, some of them with a plan.
func requestOf(n int) normalize.CreateInput {
	numbers := []string{"4111111111111111", "4242424242424242", "5555555555554444"}
	in := normalize.CreateInput{
		CustomerID: fmt.Sprintf("customer-%d", n%4000), Country: []string{"AT", "DE", "US"}[n%3],
		Sources: []normalize.Source{{Type: normalize.SourceCard, Card: &normalize.CardSource{Number: normalize.NewSecret(numbers[n/3%3]), ExpMonth: 1, ExpYear: 2040}}},
	}
	if n%10 == 0 {
		in.Metadata = map[string]string{"plan": []string{"gold", "silver", "tin"}[n/10%3], "note": "private"}
	}
	return in
}

// routesBefore and routesAfter differ in one rule: the canary grows from 25 % to 40.5 %
// of the customers, and takes only cards that begin with 4.
func routesBefore() []gateway.Route {
	return []gateway.Route{
		{
			Name: "canary", Providers: []string{"b"},
			Match: gateway.Match{Country: []string{"AT", "DE"}, Customer: &gateway.CustomerRange{From: 0, Below: 2500}},
		},
		{Name: "gold", Match: gateway.Match{Metadata: map[string][]string{"plan": {"gold"}}}, Providers: []string{"c", "a"}, Mirrors: []string{"c", "a"}},
		{Name: "rest", Providers: []string{"a", "b"}},
	}
}

func routesAfter() []gateway.Route {
	routes := routesBefore()
	routes[0].Match.Customer = &gateway.CustomerRange{From: 0, Below: 4050}
	routes[0].Match.BIN = []string{"4"}
	return routes
}

// wanted computes where a request goes on a way of its own: from the request itself,
// with fractions in place of the gateway's arithmetic.
func wanted(n int, percent int64, only4 bool) string {
	in := requestOf(n)
	sum := sha256.Sum256([]byte("acme\x00" + in.CustomerID))
	place := new(big.Rat).SetFrac(new(big.Int).SetBytes(sum[:8]), new(big.Int).Lsh(big.NewInt(1), 64))
	inRange := place.Cmp(big.NewRat(percent, 10_000)) < 0
	switch {
	case in.Country != "US" && inRange && (!only4 || strings.HasPrefix(in.Sources[0].Card.Number.Reveal(), "4")):
		return "canary: b"
	case in.Metadata["plan"] == "gold":
		return "gold: c + a"
	default:
		return "rest: a"
	}
}

func text(d Destination) string {
	return strings.Join(append([]string{d.Route + ": " + d.Provider}, d.Mirrors...), " + ")
}

// record sends requests through a real gateway, and returns what it has recorded.
func record(t *testing.T, requests int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rehearsal.jsonl")
	file, err := Open(Config{Path: path})
	require.NoError(t, err)
	providers := make([]gateway.ProviderConfig, 3)
	for i, name := range []string{"a", "b", "c"} {
		providers[i] = gateway.ProviderConfig{Name: name, Adapter: &vault{}}
	}
	service, err := gateway.New(gateway.Config{
		Store: oblivion{}, Keys: gateway.Keys{{ID: "k1", Secret: make([]byte, 32)}}, Owner: "me", Providers: providers,
		Routes: routesBefore(), Tenants: []gateway.Tenant{{Name: "acme", AcceptRawCard: true}}, Recorder: file,
	})
	require.NoError(t, err)
	for n := range requests {
		created, err := service.Create(t.Context(), "acme", requestOf(n), fmt.Sprint("key-", n))
		require.NoError(t, err)
		require.Contains(t, wanted(n, 2500, false), ": "+created.Provider, "request %d", n)
	}
	require.NoError(t, file.Close())
	recorded, err := os.ReadFile(path)
	require.NoError(t, err)
	return recorded
}

func setup(routes []gateway.Route) Setup {
	s := Setup{Routes: routes}
	for _, name := range []string{"a", "b", "c"} {
		s.Providers = append(s.Providers, gateway.FactsOf(name, &vault{}, false))
	}
	return s
}

func TestRehearseNamesExactlyTheRequestsThatARuleMoves(t *testing.T) {
	t.Parallel()
	const requests = 10_000
	recorded := record(t, requests)
	for _, secret := range []string{"4111111", "customer-", "private", "note"} {
		require.NotContains(t, string(recorded), secret)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(recorded, []byte("\n")), []byte("\n"))
	require.Len(t, lines, requests, "nothing was dropped")

	moves := map[string]int{}
	var moved, stays bytes.Buffer
	for n, line := range lines {
		from, to := wanted(n, 2500, false), wanted(n, 4050, true)
		if from == to {
			stays.Write(append(bytes.TrimSpace(line), '\n'))
			continue
		}
		moves[from+" -> "+to]++
		moved.Write(append(bytes.TrimSpace(line), '\n'))
	}
	require.Len(t, moves, 4, "the rule moves in both directions: %v", moves)

	old := setup(routesBefore())
	for name, against := range map[string]*Setup{"with what was decided": nil, "with the old routes": &old} {
		all, err := Compare(bytes.NewReader(recorded), against, setup(routesAfter()))
		require.NoError(t, err)
		got, total := map[string]int{}, 0
		for _, m := range all.Moves {
			got[text(m.From)+" -> "+text(m.To)] = m.Count
			total += m.Count
			require.Len(t, m.Examples, min(m.Count, maxExamples))
		}
		require.Equal(t, moves, got, name)
		require.Equal(t, requests, all.Requests)
		require.Equal(t, total, all.OtherProvider)
		require.Equal(t, requests-total, all.Unchanged)
		require.Zero(t, all.Untaken+all.Uncertain+all.OtherMirrors+all.OtherRoute, name)
		t.Logf("%s: %d of %d requests move: %v", name, total, requests, got)

		// The same ones, not just as many: of these all move, and of the others none.
		only, err := Compare(bytes.NewReader(moved.Bytes()), against, setup(routesAfter()))
		require.NoError(t, err)
		require.Equal(t, only.Requests, only.OtherProvider)
		require.Equal(t, total, only.Requests)
		none, err := Compare(bytes.NewReader(stays.Bytes()), against, setup(routesAfter()))
		require.NoError(t, err)
		require.Empty(t, none.Moves)
	}
	same, err := Compare(bytes.NewReader(recorded), nil, old)
	require.NoError(t, err)
	require.Equal(t, requests, same.Unchanged, "the recorded decisions are those of the routes")
}

// lines are recorded decisions of the same routes over a request that edit changes.
func lines(t *testing.T, edits ...func(*gateway.RecordedDecision)) *strings.Reader {
	t.Helper()
	var out strings.Builder
	for i, edit := range edits {
		d := numbered(i + 1)
		d.Country = "AT"
		d.BIN = "411111"
		edit(&d)
		b, err := json.Marshal(d)
		require.NoError(t, err)
		out.Write(append(b, '\n'))
	}
	return strings.NewReader(out.String())
}

func as(*gateway.RecordedDecision) {}

func TestWhatARehearsalTellsApart(t *testing.T) {
	t.Parallel()
	one := func(r gateway.Route) Setup { r.Name = "all"; return setup([]gateway.Route{r}) }
	for rule, tc := range map[string]struct {
		edit func(*gateway.RecordedDecision)
		next Setup
		want Report
	}{
		"nothing":            {as, one(gateway.Route{Providers: []string{"a"}}), Report{Unchanged: 1}},
		"another provider":   {as, one(gateway.Route{Providers: []string{"b"}}), Report{OtherProvider: 1}},
		"another mirror":     {as, one(gateway.Route{Providers: []string{"a"}, Mirrors: []string{"b", "a"}}), Report{OtherMirrors: 1}},
		"itself as a mirror": {as, one(gateway.Route{Providers: []string{"a"}, Mirrors: []string{"a"}}), Report{Unchanged: 1}},
		"another fallback":   {as, one(gateway.Route{Providers: []string{"a", "c"}}), Report{Unchanged: 1, OtherFallbacks: 1}},
		"another route":      {as, setup([]gateway.Route{{Name: "other", Providers: []string{"a"}}}), Report{OtherRoute: 1}},
		"nobody any more":    {as, setup([]gateway.Route{{Name: "us", Match: gateway.Match{Country: []string{"US"}}, Providers: []string{"a"}}}), Report{OtherProvider: 1, Untaken: 1}},
		"nobody, as before":  {func(d *gateway.RecordedDecision) { d.Decision = gateway.Decided{} }, setup(nil), Report{Unchanged: 1}},
		"a provider that is gone": {
			func(d *gateway.RecordedDecision) {
				d.Provider, d.Decision.Route = "z", ""
				d.Decision.Candidates[0].Provider = "z"
			},
			setup(routesBefore()),
			Report{OtherProvider: 1, Untaken: 1},
		},
		"a provider that was drained then": {
			func(d *gateway.RecordedDecision) {
				d.Drained = []string{"b"}
				d.Decision.Candidates = []gateway.RecordedCandidate{{Provider: "b", Reason: gateway.ReasonDrained}, {Provider: "a"}}
			},
			one(gateway.Route{Providers: []string{"b", "a"}}),
			Report{Unchanged: 1},
		},
		"a longer BIN than was recorded": {
			as, setup([]gateway.Route{{Name: "bin", Match: gateway.Match{BIN: []string{"41111122"}}, Providers: []string{"b"}}, {Name: "all", Providers: []string{"a"}}}),
			Report{Unchanged: 1, Uncertain: 1},
		},
		"a longer BIN that cannot be": {
			as, setup([]gateway.Route{{Name: "bin", Match: gateway.Match{BIN: []string{"42111122"}}, Providers: []string{"b"}}, {Name: "all", Providers: []string{"a"}}}),
			Report{Unchanged: 1},
		},
		"metadata that was not recorded": {
			as, setup([]gateway.Route{{Name: "m", Match: gateway.Match{Metadata: map[string][]string{"plan": {"gold"}}}, Providers: []string{"b"}}, {Name: "all", Providers: []string{"a"}}}),
			Report{Unchanged: 1, Uncertain: 1},
		},
		"metadata that was not there": {
			func(d *gateway.RecordedDecision) { d.MetadataKeys = []string{"plan"} },
			setup([]gateway.Route{{Name: "m", Match: gateway.Match{Metadata: map[string][]string{"plan": {"gold"}}}, Providers: []string{"b"}}, {Name: "all", Providers: []string{"a"}}}),
			Report{Unchanged: 1},
		},
		"metadata that does not matter": {
			as, setup([]gateway.Route{{Name: "m", Match: gateway.Match{Country: []string{"US"}, Metadata: map[string][]string{"plan": {"gold"}}}, Providers: []string{"b"}}, {Name: "all", Providers: []string{"a"}}}),
			Report{Unchanged: 1},
		},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			got, err := Compare(lines(t, tc.edit), nil, tc.next)
			require.NoError(t, err)
			require.Len(t, got.UntakenExamples, tc.want.Untaken)
			require.Len(t, got.Moves, tc.want.OtherProvider+tc.want.OtherMirrors+tc.want.OtherRoute)
			got.First, got.Last, got.Moves, got.UntakenExamples = time.Time{}, time.Time{}, nil, nil
			tc.want.Requests = 1
			require.Equal(t, tc.want, got)
		})
	}
}

func TestTheLargestMoveIsFirstWithExamples(t *testing.T) {
	t.Parallel()
	us := func(d *gateway.RecordedDecision) { d.Country = "US" }
	at := func(*gateway.RecordedDecision) {}
	r, err := Compare(lines(t, us, at, at, at, us, at, at, at), nil, setup([]gateway.Route{
		{Name: "us", Match: gateway.Match{Country: []string{"US"}}, Providers: []string{"c"}}, {Name: "all", Providers: []string{"b"}, Mirrors: []string{"a", "c"}},
	}))
	require.NoError(t, err)
	require.Equal(t, 6, r.Moves[0].Count)
	require.Equal(t, Destination{Route: "all", Provider: "b", Mirrors: []string{"a", "c"}}, r.Moves[0].To)
	require.Len(t, r.Moves[0].Examples, 5)
	require.Equal(t, Example{Time: time.Unix(2, 0).UTC(), Tenant: "acme", Type: "card", Country: "AT", Customer: gateway.HashCustomer("acme", "2")}, r.Moves[0].Examples[0])
	require.Equal(t, 2, r.Moves[1].Count)
	require.Equal(t, time.Unix(1, 0).UTC(), r.First)
	require.Equal(t, time.Unix(8, 0).UTC(), r.Last)

	_, err = Compare(strings.NewReader(""), nil, setup(nil))
	require.ErrorIs(t, err, ErrEmpty)
}
