package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
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
)

// tour walks through the API. Each step says what a newcomer sees in it, and
// fails the tour if the answer is another than it should be.
type tour struct {
	*caller
	d    *demo
	step int

	visa, amex, vaulted string // the ids of instruments
	etag                string
}

// runTour is the whole walk.
func runTour(ctx context.Context, d *demo, out *printer) error {
	started := time.Now()
	t := &tour{d: d, caller: newCaller(ctx, "http://"+d.server.addr, d.key, out)}
	defer t.client.CloseIdleConnections()
	out.printf("A gateway at %s, and three stand-in providers:\n", t.base)
	for _, s := range d.standIns() {
		out.printf("  %-11s  %s\n", s.name, s.url())
	}
	t.store()
	t.read()
	t.change()
	t.remove()
	t.failOver(ctx)
	t.switchRoute(ctx)
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

func (t *tour) store() {
	t.say("Store a card. The routes send cards from the US to CyberSource; the caller names no provider.")
	a := t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-1",
		body: `{"customer_id":"cus-42","country":"US","default":true,"sources":[` + tourVisa + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": "cybersource-us"}, show: "id customer_id type status default card provider_tokens",
	})
	t.visa, t.etag = a.id(), a.header.Get("ETag")

	t.say("The answer got lost? Send the same request with the same key: the first answer comes back, and nothing is stored twice.")
	t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-1",
		body: `{"customer_id":"cus-42","country":"US","default":true,"sources":[` + tourVisa + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Idempotent-Replayed": "true"}, member: map[string]any{"id": t.visa}, show: "id",
	})

	t.say("Store another card of the same customer at Rebilly, asked for by name.")
	a = t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-2",
		body: `{"customer_id":"cus-42","provider":"rebilly-main","sources":[` + tourAmex + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": "rebilly-main"}, show: "id type status card provider_tokens",
	})
	t.amex = a.id()

	t.say("BigCommerce knows customers by its own ids: say once who cus-42 is there.")
	t.do(call{
		method: "PUT", path: "/v1/customers/cus-42", body: `{"provider_references":{"bigcommerce-main":"1"}}`,
		want: 0, show: "id provider_references",
	})

	t.say("Store a token of the store's payment gateway at BigCommerce, which takes no raw cards.")
	a = t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-3",
		body: `{"customer_id":"cus-42","sources":[` + tourVaulted + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": "bigcommerce-main"}, show: "id type status card provider_tokens",
	})
	t.vaulted = a.id()
}

func (t *tour) read() {
	t.say("Read the first card. The provider is asked, so that the answer is what it has now.")
	a := t.do(call{
		method: "GET", path: "/v1/instruments/" + t.visa, want: 200,
		header: map[string]string{"Gateway-Provider": "cybersource-us"}, member: map[string]any{"status": "active"}, show: "id status card",
	})
	t.etag = a.header.Get("ETag")

	t.say("Read it again with its ETag: nothing has changed.")
	t.do(call{method: "GET", path: "/v1/instruments/" + t.visa, ifNoneMatch: t.etag, want: 304})

	t.say("List what the customer has, wherever it is stored.")
	a = t.do(call{method: "GET", path: "/v1/customers/cus-42/instruments", want: 200, member: map[string]any{"incomplete": false}, show: "incomplete sources"})
	t.expect(len(a.list("data")) == 3, "the list has %d instruments, not 3", len(a.list("data")))
	for _, item := range a.list("data") {
		t.out.printf("    %s\n", oneLine(item, "id", "card"))
		id := text(item, "id")
		t.expect(id == t.visa || id == t.amex || id == t.vaulted, "the list has the instrument %s, which was not stored here", id)
	}
}

func (t *tour) change() {
	t.say("Change the expiry and add metadata: one PATCH, whatever the provider's own way is.")
	t.do(call{
		method: "PATCH", path: "/v1/instruments/" + t.amex, body: `{"card":{"exp_month":9,"exp_year":2033},"metadata":{"label":"travel"}}`,
		want: 200, show: "id card metadata",
	})

	t.say("Make it the customer's default.")
	t.do(call{
		method: "PATCH", path: "/v1/instruments/" + t.amex, body: `{"default":true}`,
		want: 200, member: map[string]any{"default": true}, show: "id default",
	})

	t.say("Deactivate the one at BigCommerce. The provider has no such state, so the gateway holds it.")
	t.do(call{
		method: "POST", path: "/v1/instruments/" + t.vaulted + "/deactivate",
		want: 200, member: map[string]any{"status": "deactivated"}, show: "id status",
	})
}

func (t *tour) remove() {
	t.say("Delete it.")
	t.do(call{method: "DELETE", path: "/v1/instruments/" + t.vaulted, want: 204})

	t.say("What was deleted is told apart from what never was: 410, not 404.")
	t.do(call{
		method: "GET", path: "/v1/instruments/" + t.vaulted,
		want: 410, member: map[string]any{"code": "instrument_deleted"}, show: "status code detail outcome retry",
	})
}

func (t *tour) failOver(ctx context.Context) {
	t.say("CyberSource goes down: its stand-in's listener is closed. Cards from the US go to the next provider of the route.")
	if t.err == nil {
		t.err = t.d.cybersource.stop()
	}
	a := t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-4",
		body: `{"customer_id":"cus-77","country":"US","sources":[` + tourMaster + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": "rebilly-main"}, show: "id status card provider_tokens",
	})

	t.say("The operation tells what was tried. CyberSource was provably not reached, so a second provider was safe.")
	a = t.do(call{method: "GET", path: "/v1/operations/" + a.id(), want: 200, show: "state outcome attempts"})
	attempts := a.list("attempts")
	t.expect(len(attempts) == 2 && text(attempts[0], "outcome") == "not_sent" && text(attempts[1], "outcome") == "applied",
		"the attempts are not two, the first one not_sent and the second one applied")

	t.say("The card at CyberSource can still be read, as it was last seen, and marked as stale.")
	t.do(call{
		method: "GET", path: "/v1/instruments/" + t.visa, want: 200,
		header: map[string]string{"Gateway-Stale": "true"}, show: "id status card",
	})

	t.say("CyberSource comes back, and gets the next card.")
	if t.err == nil {
		t.err = t.d.cybersource.start(context.WithoutCancel(ctx), t.d.cybersource.addr, nil)
	}
	t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-5",
		body: `{"customer_id":"cus-78","country":"US","sources":[` + tourVisa + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": "cybersource-us"}, show: "id status provider_tokens",
	})
}

func (t *tour) switchRoute(ctx context.Context) {
	t.say("Switch the route by editing the configuration: the same request, another provider first.")
	if t.err == nil {
		t.err = t.reorder(ctx, "rebilly-main", "cybersource-us")
	}
	t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-6",
		body: `{"customer_id":"cus-79","country":"US","sources":[` + tourVisa + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": "rebilly-main"}, show: "id status provider_tokens",
	})

	t.say("What was stored before the switch stays where it is.")
	t.do(call{
		method: "GET", path: "/v1/instruments/" + t.visa, want: 200,
		header: map[string]string{"Gateway-Provider": "cybersource-us"}, show: "id status provider_tokens",
	})
}

// reorder edits the route in the configuration file, and waits until the running
// gateway has noticed.
func (t *tour) reorder(ctx context.Context, first, second string) error {
	before := t.d.live.api.ConfigStatus().Generation
	if err := t.d.writeConfig([]string{first, second}); err != nil {
		return err
	}
	t.out.printf("    %s\n", t.d.configFile())
	for _, line := range []string{
		"- name: us-cards",
		"  match: {country: [US]}",
		fmt.Sprintf("- providers: [%s, %s]", second, first),
		fmt.Sprintf("+ providers: [%s, %s]", first, second),
	} {
		t.out.printf("      %s\n", line)
	}
	ctx, cancel := context.WithTimeout(ctx, noticed)
	defer cancel()
	for t.d.live.api.ConfigStatus().Generation == before {
		select {
		case <-ctx.Done():
			return t.d.live.reload(false) // files cannot be watched everywhere
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// noticed is how long a change of the configuration file is waited for.
const noticed = 2 * time.Second

// expect fails the tour unless ok.
func (t *tour) expect(ok bool, format string, args ...any) {
	if t.err == nil && !ok {
		t.err = fmt.Errorf(format, args...)
	}
}

// statusLine is "201 Created" and the headers that tell a story.
func statusLine(status int, h http.Header) string {
	parts := []string{fmt.Sprintf("%d %s", status, http.StatusText(status))}
	for _, name := range []string{"Gateway-Provider", "Gateway-Outcome", "Idempotent-Replayed", "Gateway-Stale", "ETag"} {
		if v := h.Get(name); v != "" {
			parts = append(parts, name+": "+v)
		}
	}
	return strings.Join(parts, "  ")
}
