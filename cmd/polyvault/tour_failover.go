package main

import "slices"

// failOver takes the first provider of the route down.
func (t *tour) failOver() {
	t.say("Where would a card from the US go?")
	t.explain(t.once, "cybersource-us", "rebilly-main")

	t.say("CyberSource goes down: its stand-in's listener is closed. The card is stored at the route's next provider.")
	t.takeDown(t.d.cybersource)
	a := t.create("order-5", "cus-77", tourMaster, "rebilly-main")

	t.say("The operation tells what was tried. CyberSource was provably not reached, so that a second provider was safe.")
	t.attempts(a.id(), "cybersource-us: not_sent", "rebilly-main: applied")

	t.say("Two more cards: with the third failure in a row CyberSource's breaker opens, and it is not even tried.")
	t.create("order-6", "cus-78", tourVisa, "rebilly-main")
	t.create("order-7", "cus-79", tourAmex, "rebilly-main")
	t.explain(t.once, "cybersource-us: breaker_open", "rebilly-main")

	t.readWhileDown()

	t.say("The payment service asks again, and is sent to the mirror.")
	t.resolved(t.once, "USD", []string{"bigcommerce-main: healthy"}, []string{"cybersource-us: breaker_open"})

	t.say("CyberSource comes back. The gateway's own probe notices, before a customer's card finds out.")
	t.bringBack(t.d.cybersource)
	t.explain(t.until, "cybersource-us", "rebilly-main")
	t.create("order-8", "cus-80", tourVisa, "cybersource-us")

	t.say("Reads are live again, and the card can be charged there.")
	t.until(call{
		method: "GET", path: "/v1/instruments/" + t.visa, want: 200,
		header: map[string]string{"Gateway-Provider": "cybersource-us", "Gateway-Stale": ""}, show: "id status",
	}, nil)
	t.resolved(t.until, "USD", []string{"cybersource-us: healthy", "bigcommerce-main: healthy"}, nil)
}

// readWhileDown reads what the provider holds that is down.
func (t *tour) readWhileDown() {
	t.say("What CyberSource holds can still be read. If it has a mirror, that answers, with what it has now.")
	a := t.do(call{
		method: "GET", path: "/v1/instruments/" + t.master, want: 200,
		header: map[string]string{"Gateway-Provider": "bigcommerce-main", "Gateway-Stale": ""}, show: "id status billing_address",
	})
	city := text(object(a.body, "billing_address"), "city")
	t.expect(city == "Dallas", "the city is %q: the mirror was not brought in step", city)

	t.say("Without a mirror the store answers: what was last seen, marked as stale, with its age in seconds.")
	a = t.do(call{
		method: "GET", path: "/v1/instruments/" + t.visa, want: 200,
		header: map[string]string{"Gateway-Provider": "cybersource-us", "Gateway-Stale": "true"}, show: "id status card",
	})
	t.expect(a.header.Get("Age") != "", "it is not told how old it is")
}

// attempts reads an operation, and checks what was tried: "PROVIDER: OUTCOME" each. The
// code depends on whether a connection that was open breaks, or a new one is refused.
func (t *tour) attempts(id string, wants ...string) {
	a := t.do(call{
		method: "GET", path: "/v1/operations/" + id, want: 200, member: map[string]any{"state": "completed"},
		show: "state outcome attempts[provider,outcome,code]",
	})
	var got []string
	for _, m := range a.list("attempts") {
		got = append(got, text(m, "provider")+": "+text(m, "outcome"))
	}
	t.expect(slices.Equal(got, wants), "the attempts are %q, not %q", got, wants)
}
