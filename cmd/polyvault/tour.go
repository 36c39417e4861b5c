package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// The bodies of the tour. The card numbers are the schemes' published test numbers.
const (
	tourAddress = `"billing_address":{"first_name":"Ada","last_name":"Lovelace","line1":"1 Main St","city":"Austin","region":"TX","postal_code":"78701","country":"US"}`
	tourVisa    = `{"type":"card","number":"4111111111111111","exp_month":12,"exp_year":2031}`
	tourAmex    = `{"type":"card","number":"378282246310005","exp_month":6,"exp_year":2030}`
	tourMaster  = `{"type":"card","number":"5555555555554444","exp_month":3,"exp_year":2030}`
	tourVaulted = `{"type":"vaulted_token","payment_method_id":"braintree.credit_card","currency":"USD","vault_token":"b7k2m9","provider_customer_id":"8571",` +
		`"instrument_type":"card","brand":"visa","bin":"400000","last4":"0002","exp_month":1,"exp_year":2032}`
	tourVaultedMaster = `{"type":"vaulted_token","payment_method_id":"braintree.credit_card","currency":"USD","vault_token":"c9x4p1","provider_customer_id":"8571",` +
		`"instrument_type":"card","brand":"mastercard","bin":"555555","last4":"4444","exp_month":3,"exp_year":2030}`
)

// tour walks through the API. Each step says what a newcomer sees in it, and
// fails the tour if the answer is another than it should be.
type tour struct {
	*caller
	d    *demo
	step int

	visa, amex, master, vaulted string // the ids of instruments
	amexAtRebilly               string // Rebilly's own id of the Amex
}

// runTour is the whole walk.
func runTour(ctx context.Context, d *demo, out *printer) error {
	started := time.Now()
	t := &tour{d: d, caller: newCaller(ctx, "http://"+d.server.addr, d.key, out)}
	t.said = []saying{{long: tourAddress, short: `"billing_address":{…}`}}
	defer t.client.CloseIdleConnections()
	out.printf("A gateway at %s, and three stand-in providers:\n", t.base)
	for _, s := range d.standIns() {
		out.printf("  %-11s  %s\n", s.name, s.url())
	}
	for _, chapter := range []struct {
		heading string
		walk    func()
	}{
		{"Store and read", func() { t.store(); t.read() }},
		{"Change and delete", func() { t.change(); t.remove() }},
		{"Mirrors: one instrument at two providers", t.mirror},
		{"Resolve: where can it be charged now?", t.resolve},
		{"Failover: a provider goes down", t.failOver},
		{"Drain: take a provider out on purpose", t.drain},
		{"Switch: edit the configuration while it runs", t.switchRoute},
		{"Sync: what was changed past the gateway", t.sync},
	} {
		if t.err == nil {
			out.printf("\n== %s ==\n", chapter.heading)
		}
		chapter.walk()
	}
	if t.err == nil {
		t.err = out.err
	}
	if t.err != nil {
		return fmt.Errorf("the tour ends at step %d: %w", t.step, t.err)
	}
	out.printf("\nDone: %d steps in %s, with instruments at three providers behind one API.\n", t.step, time.Since(started).Round(100*time.Millisecond))
	out.printf("Run polyvault demo to try it yourself.\n")
	return out.err
}

// say begins a step.
func (t *tour) say(sentence string) {
	if t.err == nil {
		t.step++
		t.out.printf("\n%d. %s\n", t.step, sentence)
	}
}

// expect fails the tour unless ok.
func (t *tour) expect(ok bool, format string, args ...any) {
	if t.err == nil && !ok {
		t.err = fmt.Errorf(format, args...)
	}
}

// takeDown closes a stand-in's listener and every connection to it.
func (t *tour) takeDown(s *standIn) {
	if t.err == nil {
		t.err = s.stop()
	}
}

// bringBack starts a stand-in again where it was, with what it had.
func (t *tour) bringBack(s *standIn) {
	if t.err == nil {
		t.err = s.start(context.WithoutCancel(t.ctx), s.addr, nil)
	}
}

// create stores a card from the US, and checks which provider got it.
func (t *tour) create(key, customer, source, provider string) answer {
	return t.do(call{
		method: "POST", path: "/v1/instruments", key: key,
		body: `{"customer_id":"` + customer + `","country":"US","sources":[` + source + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": provider}, show: "id status",
	})
}

// explain asks what a create with a card from the US would do now. wants are the
// candidates, in order, as [candidate] puts them. ask is [caller.once], or
// [caller.until] where it takes a while until they are these.
func (t *tour) explain(ask asking, wants ...string) {
	ask(call{
		method: "POST", path: "/v1/routes/explain", body: `{"country":"US","source_types":["card"]}`,
		want: 200, show: "route candidates[provider,place,reason]",
	}, wantCandidates(wants))
}

// asking is how a question is asked: once, or until the answer is right.
type asking = func(c call, missing func(answer) string)

// wantCandidates says what is wrong with the candidates of an answer; "" if nothing is.
func wantCandidates(wants []string) func(answer) string {
	return func(a answer) string {
		var got []string
		for _, c := range a.list("candidates") {
			got = append(got, candidate(c))
		}
		if slices.Equal(got, wants) {
			return ""
		}
		return fmt.Sprintf("the candidates are %q, not %q", got, wants)
	}
}

// candidate is "PROVIDER", or "PROVIDER: REASON" for one that is not eligible.
func candidate(c map[string]any) string {
	if reason := text(c, "reason"); reason != "" {
		return text(c, "provider") + ": " + reason
	}
	return text(c, "provider")
}
