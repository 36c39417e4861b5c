package chaos

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// place is where an instrument lives: a provider and the provider's own id of it.
type place struct{ provider, id string }

// keyReport is what became of one idempotency key.
type keyReport struct {
	key   string
	ids   []string // that clients were answered with, 200 or 201, each once
	taken int      // different bodies that were accepted
	state string   // of its operation in the end; "" if there is none
}

// evidence is all that is known once a run has come to rest.
type evidence struct {
	live  map[place]string   // from the providers' ledgers: what is live, with its customer and card, "" if not known
	homes map[string][]place // id -> where the gateway says that it lives; an id that does not resolve is not in it
	keys  []keyReport
	texts map[string]string // what must hold no card number: logs, the store's file, ledgers, answers
}

// verdict is what is wrong, by the letters of ARCHITECTURE.md's promises: D stored
// twice, L lost, M a key taken for two requests, X at two providers, U unfinished,
// P a card number or security code where none may be.
type verdict struct {
	D, L, M, X, U, P []string
	manual           int
}

// faults are all violations, each with its letter.
func (v verdict) faults() []string {
	var out []string
	for letter, list := range map[string][]string{"D": v.D, "L": v.L, "M": v.M, "X": v.X, "U": v.U, "P": v.P} {
		for _, what := range list {
			out = append(out, letter+": "+what)
		}
	}
	slices.Sort(out)
	return out
}

// judge holds the evidence against the promise. It is a pure function, so that it
// can itself be tested.
func judge(e evidence, numbers []string) verdict {
	var v verdict
	owners := map[place][]string{}
	for _, id := range slices.Sorted(maps.Keys(e.homes)) {
		at := map[string]int{}
		for _, p := range e.homes[id] {
			owners[p] = append(owners[p], id)
			if _, ok := e.live[p]; ok {
				at[p.provider]++
			}
		}
		for provider, n := range at {
			if n > 1 {
				v.D = append(v.D, fmt.Sprintf("%s has %d live instruments at %s", id, n, provider))
			}
		}
		if len(at) > 1 {
			v.X = append(v.X, fmt.Sprintf("%s lives at %v", id, slices.Sorted(maps.Keys(at))))
		}
	}
	cards := map[string]int{}
	for p, card := range e.live {
		if cards[p.provider+" "+card]++; card != "" && cards[p.provider+" "+card] == 2 {
			v.D = append(v.D, fmt.Sprintf("one card of one customer is stored twice at %s: %s", p.provider, card))
		}
		switch ids := owners[p]; {
		case len(ids) == 0:
			v.D = append(v.D, fmt.Sprintf("%s at %s is live and nobody's", p.id, p.provider))
		case len(ids) > 1:
			v.D = append(v.D, fmt.Sprintf("%s at %s is live under %v", p.id, p.provider, ids))
		}
	}
	for _, k := range e.keys {
		v.judgeKey(k, e)
	}
	for name, text := range e.texts {
		v.P = append(v.P, secretsIn(name, text, numbers)...)
	}
	return v
}

func (v *verdict) judgeKey(k keyReport, e evidence) {
	for _, id := range k.ids {
		if !slices.ContainsFunc(e.homes[id], func(p place) bool { _, ok := e.live[p]; return ok }) {
			v.L = append(v.L, fmt.Sprintf("%s was told %s, which lives nowhere", k.key, id))
		}
	}
	if len(k.ids) > 1 {
		v.D = append(v.D, fmt.Sprintf("%s was told of %v", k.key, k.ids))
	}
	if k.taken > 1 {
		v.M = append(v.M, fmt.Sprintf("%s was taken for %d requests", k.key, k.taken))
	}
	switch k.state {
	case "", "completed", "failed":
	case "manual":
		v.manual++
	default:
		v.U = append(v.U, fmt.Sprintf("%s is %s", k.key, k.state))
	}
}

// securityCode is a security code by its name, in JSON or another notation.
var securityCode = regexp.MustCompile(`(?i)"?(cvc|cvv|cvn|security_?code)"?\s*[:=]\s*"?[0-9]{3,4}\b`)

// secretsIn finds card numbers, also in groups of four, and security codes.
func secretsIn(name, text string, numbers []string) []string {
	var out []string
	for _, number := range numbers {
		for _, sep := range []string{"", " ", "-"} {
			if strings.Contains(text, grouped(number, sep)) {
				out = append(out, name+" has a card number ending in "+number[len(number)-4:])
				break
			}
		}
	}
	if securityCode.MatchString(text) {
		out = append(out, name+" has a security code")
	}
	return out
}

func grouped(number, sep string) string {
	var groups []string
	for group := range slices.Chunk([]byte(number), 4) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, sep)
}

// The oracle sees one violation of each kind, and nothing in a run without any.
func TestTheOracleSeesEachViolation(t *testing.T) {
	t.Parallel()
	fine := func() evidence {
		return evidence{
			live:  map[place]string{{rebilly, "a"}: "cus-1 visa", {bigcommerce, "b"}: "cus-1 visa"},
			homes: map[string][]place{"ins_1": {{rebilly, "a"}}, "ins_2": {{bigcommerce, "b"}}},
			keys: []keyReport{
				{key: "k1", ids: []string{"ins_1"}, taken: 1, state: "completed"},
				{key: "k2", ids: []string{"ins_2"}, taken: 1, state: "completed"},
				{key: "a duplicate", ids: []string{"ins_2"}, taken: 1, state: "completed"},
				{key: "refused", state: "failed"},
				{key: "never arrived"},
			},
			texts: map[string]string{"log": `{"msg":"stored 411111******1111","cvc":null}`},
		}
	}
	numbers := []string{"4111111111111111"}
	require.Empty(t, judge(fine(), numbers).faults())

	for name, c := range map[string]struct {
		spoil func(*evidence)
		want  string // letters
	}{
		"a live instrument of nobody":     {func(e *evidence) { e.live[place{rebilly, "c"}] = "" }, "D"},
		"a live instrument under two ids": {func(e *evidence) { e.homes["ins_3"] = []place{{rebilly, "a"}} }, "D"},
		"an id with two at one provider":  {func(e *evidence) { e.add("ins_1", place{rebilly, "c"}) }, "D"},
		"a card stored twice": {func(e *evidence) {
			e.add("ins_3", place{rebilly, "c"})
			e.live[place{rebilly, "c"}] = "cus-1 visa"
		}, "D"},
		"a key with two ids":                    {func(e *evidence) { e.keys[0].ids = []string{"ins_1", "ins_2"} }, "D"},
		"an id at two providers":                {func(e *evidence) { e.add("ins_1", place{cybersource, "c"}) }, "X"},
		"an id that does not resolve":           {func(e *evidence) { e.keys[0].ids = []string{"ins_9"} }, "L"},
		"an id whose instrument is gone":        {func(e *evidence) { delete(e.live, place{rebilly, "a"}) }, "L"},
		"a key taken for two bodies":            {func(e *evidence) { e.keys[0].taken = 2 }, "M"},
		"an operation that still sends":         {func(e *evidence) { e.keys[3].state = "sending" }, "U"},
		"an operation that is not known of":     {func(e *evidence) { e.keys[3].state = "unknown" }, "U"},
		"a card number in a log":                {func(e *evidence) { e.texts["log"] = "pan=4111111111111111" }, "P"},
		"a card number in groups of four":       {func(e *evidence) { e.texts["log"] = "4111 1111 1111 1111" }, "P"},
		"a security code":                       {func(e *evidence) { e.texts["dump"] = `{"cvc":"123"}` }, "P"},
		"a security code in another notation":   {func(e *evidence) { e.texts["dump"] = `cvv=1234 ` }, "P"},
		"a security code in names with an _":    {func(e *evidence) { e.texts["dump"] = `"security_code": 123,` }, "P"},
		"an unacknowledged one that was stored": {func(e *evidence) { e.live[place{bigcommerce, "z"}] = ""; e.keys[3].state = "failed" }, "D"},
	} {
		e := fine()
		c.spoil(&e)
		var letters []string
		for _, f := range judge(e, numbers).faults() {
			letters = append(letters, f[:1])
		}
		require.Equal(t, c.want, strings.Join(letters, ""), name)
	}

	e := fine()
	e.keys[3].state = "manual"
	v := judge(e, numbers)
	require.Empty(t, v.faults(), "manual is apart")
	require.Equal(t, 1, v.manual)
}

// add makes an id live at one more place.
func (e *evidence) add(id string, p place) {
	e.homes[id] = append(e.homes[id], p)
	e.live[p] = ""
}
