package main

import (
	"fmt"

	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
)

// sync has an instrument changed past the gateway, and brings it in step.
func (t *tour) sync() {
	t.say("Somebody changes the Amex's expiry date in Rebilly itself. The gateway is not told.")
	t.do(call{
		method: "PATCH", base: t.d.rebilly.url(), path: "/payment-instruments/" + t.amexAtRebilly, auth: "REB-APIKEY: " + rebillytest.SecretKey,
		body: `{"expMonth":11,"expYear":2035}`, want: 200, show: "id expMonth expYear",
	})

	t.say("Sync compares with what the providers have, and changes nothing.")
	t.drift(`{"customer_id":"cus-42"}`, false)
	t.expiry(9, 2033)

	t.say("With repair the gateway takes over what the provider has.")
	t.drift(`{"customer_id":"cus-42","repair":true}`, true)
	t.expiry(11, 2035)
}

// drift runs a sync that finds the Amex, and nothing else, to differ.
func (t *tour) drift(body string, repaired bool) {
	a := t.do(call{
		method: "POST", path: "/v1/sync", body: body, want: 200,
		show: "counts data[instrument_id,provider,state,differences,repaired]",
	})
	items := a.list("data")
	t.expect(len(items) == 1, "%d drifts are reported, not 1", len(items))
	for _, d := range items {
		t.expect(text(d, "instrument_id") == t.amex && text(d, "state") == "present" && d["repaired"] == repaired && len(objects(d, "differences")) == 2,
			"the drift is %s", oneLine(d, "instrument_id", "state", "differences", "repaired", "error_code"))
	}
}

// expiry checks the expiry date that the gateway has of the Amex, without asking Rebilly.
func (t *tour) expiry(month, year int) {
	a := t.do(call{method: "GET", path: "/v1/instruments/" + t.amex + "?read=stored", want: 200, show: "id card"})
	card := object(a.body, "card")
	got := fmt.Sprintf("%v/%v", card["exp_month"], card["exp_year"])
	t.expect(got == fmt.Sprintf("%d/%d", month, year), "the gateway has the expiry date %s, not %d/%d", got, month, year)
}
