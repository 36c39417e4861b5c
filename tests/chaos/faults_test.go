package chaos

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
)

// C2: a gateway that is killed after the provider stored the instrument, and a
// client that never comes back: another gateway's reconciler alone finishes it.
func TestC2KilledAfterTheCommit(t *testing.T) {
	t.Parallel()
	for _, provider := range providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			w.know(t, 1)
			w.fail(t, provider, fault.Rule{Fault: fault.CommitThenHang, Times: 1})
			hung := make(chan answer, 1)
			go func() { hung <- w.gateways[0].create(t.Context(), "k", create(1, provider)) }()
			eventually(t, time.Minute, "the provider stores", func() bool { return len(w.live(t, provider)) == 1 })
			w.gateways[0].Kill()
			killed := time.Now()
			require.Zero(t, (<-hung).status, "the client was not answered")

			var op answer
			eventually(t, time.Minute, "the reconciler completes it", func() bool {
				op = w.gateways[1].operation(t, "k")
				return op.str("state") == "completed"
			})
			t.Logf("C2 %s: adopted %.1f s after the kill; lease 3 s, settle time 0.5 s", provider, time.Since(killed).Seconds())
			w.resolves(t, w.gateways[1], op.str("instrument_id"))
			require.Len(t, w.live(t, provider), 1)
		})
	}
}

// C6, C7: whatever the provider does to an answer, before or after it has stored,
// a client that repeats its key gets the instrument; one is stored, and no other
// provider of the route is asked to store.
func TestC6C7AmbiguousAnswers(t *testing.T) {
	t.Parallel()
	for _, provider := range providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3)
			for i, rule := range ambiguous() {
				n := i + 1
				w.know(t, n)
				w.fail(t, provider, rule)
				begun := time.Now()
				a := w.until(t.Context(), time.Minute, fmt.Sprintf("k-%d", n), create(n, provider))
				name := fmt.Sprintf("%s %d", rule.Fault, rule.Status)
				require.Equal(t, http.StatusCreated, a.status, "%s: %s", name, a.raw)
				require.Len(t, w.live(t, provider), n, "%s: one instrument more", name)
				w.resolves(t, w.gateways[n%3], a.str("id"))
				t.Logf("%-26s 201 after %4d ms", name, time.Since(begun).Milliseconds())
			}
			for _, other := range providers() {
				if other != provider {
					require.Empty(t, w.state(t, other).Instruments, "%s stored nothing", other)
					require.Empty(t, w.state(t, other).Requests, "%s was not called", other)
				}
			}
		})
	}
}

// ambiguous are the faults that prove nothing about what the provider did.
func ambiguous() []fault.Rule {
	rules := []fault.Rule{
		{Fault: fault.CommitThenDrop},
		{Fault: fault.CommitThenHang},
		{Fault: fault.Truncate},
		{Fault: fault.Reset},
		{Fault: fault.MalformedJSON},
		{Fault: fault.HTML},
		{Fault: fault.Hang},
		{Fault: fault.Status, Status: 500},
	}
	for _, status := range []int{500, 502, 503, 504} {
		rules = append(rules, fault.Rule{Fault: fault.StatusAfterCommit, Status: status})
	}
	for i := range rules {
		rules[i].Times = 1
	}
	return rules
}

// C6, C7 in numbers: every attempt to store is answered ambiguously, at random; each
// create ends with its one instrument, and no other provider of the route hears of any.
func TestC6C7NoAmbiguousCreateGoesElsewhere(t *testing.T) {
	t.Parallel()
	for _, provider := range providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3)
			n := size(40, 334)
			jobs := make([]job, n)
			country := map[string]string{cybersource: "US", rebilly: "GB", bigcommerce: "CA"}[provider]
			for i := range jobs {
				customer := fmt.Sprintf("cus-%d", i%known+1)
				if i < known {
					w.know(t, i+1)
				}
				jobs[i] = job{key: fmt.Sprintf("k-%d", i), body: request(customer, country, published()[i/known], i/known, 2031, true)}
			}
			rules := ambiguous()
			for i := range rules {
				rules[i].Times, rules[i].Probability = 1_000_000, 1/float64(len(rules)-i) // each as likely as the others
			}
			w.fail(t, provider, rules...)
			y := w.load(t.Context(), jobs, 32, 2*time.Minute)
			require.Empty(t, y.rejected)
			require.Empty(t, y.open)
			hit := 0
			for _, r := range w.rules(t, provider) {
				hit += 1_000_000 - r.Times
			}
			require.GreaterOrEqual(t, hit, n, "each create met at least one")
			require.Len(t, w.live(t, provider), n)
			for _, k := range y.keys {
				require.Len(t, k.ids, 1)
				w.resolves(t, w.gateways[0], k.ids[0])
			}
			elsewhere := 0
			for _, other := range providers() {
				if other != provider {
					elsewhere += len(w.state(t, other).Requests)
				}
			}
			t.Logf("%s: %d creates met %d ambiguous answers: %d live instruments, %d requests at other providers", provider, n, hit, n, elsewhere)
			require.Zero(t, elsewhere)
		})
	}
}
