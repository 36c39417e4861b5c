package rehearsal

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/polyvault/polyvault/gateway"
)

// Setup is a configuration as far as decisions depend on it.
type Setup struct {
	Routes    []gateway.Route
	Providers []gateway.ProviderFacts
}

// Destination is where a request goes as long as nothing fails.
type Destination struct {
	Route    string   `json:"route"`    // "" if none matched, or if the request named the provider
	Provider string   `json:"provider"` // the first eligible one; "" if nobody takes it
	Mirrors  []string `json:"mirrors"`  // the eligible ones
}

// Example is one recorded request.
type Example struct {
	Time     time.Time            `json:"time"`
	Tenant   string               `json:"tenant"`
	Type     string               `json:"type,omitempty"`
	Brand    string               `json:"brand,omitempty"`
	Country  string               `json:"country,omitempty"`
	Customer gateway.CustomerHash `json:"customer,omitzero"`
}

// Move is what becomes of the requests that would go another way.
type Move struct {
	Count    int         `json:"count"`
	From     Destination `json:"from"`
	To       Destination `json:"to"`
	Examples []Example   `json:"examples"` // the first ones, up to 5
}

// maxExamples is how many examples a move has.
const maxExamples = 5

// Report is what a rehearsal found. Every request counts as one of Unchanged,
// OtherProvider, OtherMirrors and OtherRoute.
type Report struct {
	Requests       int       `json:"requests"`
	First          time.Time `json:"first"` // when the first of them was recorded
	Last           time.Time `json:"last"`
	Unchanged      int       `json:"unchanged"`
	OtherProvider  int       `json:"other_provider"`
	OtherMirrors   int       `json:"other_mirrors"`   // at the same provider
	OtherRoute     int       `json:"other_route"`     // with the same provider and mirrors
	OtherFallbacks int       `json:"other_fallbacks"` // of all with the same provider: other ones after it
	// Untaken are those that somebody took before and nobody would take any more.
	Untaken         int       `json:"untaken"`
	UntakenExamples []Example `json:"untaken_examples"` // the first ones, up to 5
	// Uncertain are those where the decision depends on what is not recorded: a
	// metadata key that no route matched on then, or more than 6 digits of the card.
	// They are counted as if it did not match.
	Uncertain  int    `json:"uncertain"`
	Unfinished bool   `json:"unfinished"` // the last line was still being written, and is left out
	Moves      []Move `json:"moves"`      // the largest first
}

// ErrEmpty says that there is nothing to rehearse over.
var ErrEmpty = errors.New("it holds no recorded requests: set rehearsal.record to true, and let the gateway run for a while")

// Compare decides every recorded request with the new setup and compares that with
// what was decided, or with what the old setup decides if it is not nil. Providers that
// were drained when a request came are drained for it. It fails with [ErrEmpty], and as
// [Read] does.
func Compare(r io.Reader, old *Setup, next Setup) (Report, error) {
	c := comparison{old: old, next: next, moves: map[string]*Move{}}
	unfinished, err := Read(r, func(d gateway.RecordedDecision) error {
		c.add(d)
		return nil
	})
	if err == nil && c.report.Requests == 0 {
		err = ErrEmpty
	}
	c.report.Unfinished = unfinished
	c.report.Moves, c.report.UntakenExamples = []Move{}, append([]Example{}, c.report.UntakenExamples...)
	for _, m := range slices.SortedFunc(maps.Values(c.moves), func(a, b *Move) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.From.text()+a.To.text(), b.From.text()+b.To.text()))
	}) {
		c.report.Moves = append(c.report.Moves, *m)
	}
	return c.report, err
}

type comparison struct {
	old    *Setup
	next   Setup
	report Report
	moves  map[string]*Move // by from and to
}

func (c *comparison) add(d gateway.RecordedDecision) {
	r := &c.report
	r.Requests++
	if r.First.IsZero() || d.Time.Before(r.First) {
		r.First = d.Time
	}
	if d.Time.After(r.Last) {
		r.Last = d.Time
	}
	before, uncertain := d.Decision, false
	if c.old != nil {
		before, uncertain = c.old.decide(d)
	}
	after, unsure := c.next.decide(d)
	if uncertain || unsure {
		r.Uncertain++
	}
	from, to := destination(before), destination(after)
	switch {
	case from.Provider != to.Provider:
		r.OtherProvider++
	case !slices.Equal(from.Mirrors, to.Mirrors):
		r.OtherMirrors++
	case from.Route != to.Route:
		r.OtherRoute++
	default:
		r.Unchanged++
	}
	if from.Provider == to.Provider && !slices.Equal(eligible(before.Candidates), eligible(after.Candidates)) {
		r.OtherFallbacks++
	}
	if from.Provider != "" && to.Provider == "" {
		if r.Untaken++; r.Untaken <= maxExamples {
			r.UntakenExamples = append(r.UntakenExamples, example(d))
		}
	}
	if from.text() != to.text() {
		c.move(from, to, d)
	}
}

func (c *comparison) move(from, to Destination, d gateway.RecordedDecision) {
	key := from.text() + "\x00" + to.text()
	m := c.moves[key]
	if m == nil {
		m = &Move{From: from, To: to}
		c.moves[key] = m
	}
	if m.Count++; m.Count <= maxExamples {
		m.Examples = append(m.Examples, example(d))
	}
}

func example(d gateway.RecordedDecision) Example {
	return Example{
		Time: d.Time, Tenant: d.Tenant, Type: string(d.Type), Brand: string(d.Brand), Country: d.Country, Customer: d.Customer,
	}
}

// decide decides a recorded request. unsure is true if what was not recorded of the
// request could lead it elsewhere.
func (s Setup) decide(d gateway.RecordedDecision) (decided gateway.Decided, unsure bool) {
	in := gateway.DecideInput{Routes: s.Routes, Providers: slices.Clone(s.Providers), Request: d.RouteRequest}
	for i, f := range in.Providers {
		in.Providers[i].Drained = slices.Contains(d.Drained, f.Name)
	}
	out := gateway.Decide(in).Decided()
	if routes, changed := hopeful(s.Routes, d); changed {
		in.Routes = routes
		unsure = destination(gateway.Decide(in).Decided()).text() != destination(out).text()
	}
	return out, unsure
}

// hopeful are the routes without the conditions that cannot be judged by what was
// recorded; changed is false if there are none.
func hopeful(routes []gateway.Route, d gateway.RecordedDecision) (out []gateway.Route, changed bool) {
	out = slices.Clone(routes)
	for i := range out {
		m := &out[i].Match
		if len(d.BIN) == gateway.RecordedBINDigits && slices.ContainsFunc(m.BIN, func(prefix string) bool {
			return len(prefix) > len(d.BIN) && strings.HasPrefix(prefix, d.BIN)
		}) {
			m.BIN, changed = nil, true
		}
		for key := range m.Metadata {
			if !slices.Contains(d.MetadataKeys, key) {
				known := maps.Clone(m.Metadata)
				maps.DeleteFunc(known, func(k string, _ []string) bool { return !slices.Contains(d.MetadataKeys, k) })
				m.Metadata, changed = known, true
				break
			}
		}
	}
	return out, changed
}

// destination is where a decision leads if nothing fails.
func destination(d gateway.Decided) Destination {
	out := Destination{Route: d.Route, Mirrors: []string{}}
	if able := eligible(d.Candidates); len(able) > 0 {
		out.Provider = able[0]
		out.Mirrors = slices.DeleteFunc(eligible(d.Mirrors), func(name string) bool { return name == out.Provider })
	}
	return out
}

func eligible(candidates []gateway.RecordedCandidate) []string {
	out := []string{}
	for _, c := range candidates {
		if c.Reason == "" {
			out = append(out, c.Provider)
		}
	}
	return out
}

// text tells destinations apart. Names hold no zero bytes.
func (d Destination) text() string {
	return d.Route + "\x00" + d.Provider + "\x00" + strings.Join(d.Mirrors, "\x00") + "\x00"
}
