package main

// change updates, makes default and deactivates.
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

// remove deletes.
func (t *tour) remove() {
	t.say("Delete it.")
	t.do(call{method: "DELETE", path: "/v1/instruments/" + t.vaulted, want: 204})

	t.say("What was deleted is told apart from what never was: 410, not 404.")
	t.do(call{
		method: "GET", path: "/v1/instruments/" + t.vaulted,
		want: 410, member: map[string]any{"code": "instrument_deleted"}, show: "status code detail outcome retry",
	})
}
