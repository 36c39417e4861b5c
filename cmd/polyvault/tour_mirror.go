package main

import "slices"

// mirror has one instrument at two providers, and lets one of them miss a change.
func (t *tour) mirror() {
	t.say("One create with two sources. The route has CyberSource store the card, and BigCommerce, its mirror, the token.")
	a := t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-4",
		body: `{"customer_id":"cus-42","country":"US","sources":[` + tourMaster + `,` + tourVaultedMaster + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": "cybersource-us"},
		show: "id status provider_tokens[provider,role,status,references]",
	})
	t.master = a.id()
	got := tokens(a, "provider_tokens")
	t.expect(slices.Equal(got, []string{"cybersource-us primary active", "bigcommerce-main mirror active"}), "the provider tokens are %q", got)

	t.say("BigCommerce goes down, and the address changes. CyberSource has it at once, and the caller need not wait for the mirror.")
	t.takeDown(t.d.bigcommerce)
	t.do(call{
		method: "PATCH", path: "/v1/instruments/" + t.master, body: `{"billing_address":{"line1":"22 Lake Rd","city":"Dallas","postal_code":"75201"}}`,
		want: 200, header: map[string]string{"Gateway-Provider": "cybersource-us"}, show: "id billing_address",
	})

	where := call{
		method: "GET", path: "/v1/instruments/" + t.master + "/provider-tokens",
		want: 200, show: "data[provider,role,status,behind]",
	}
	t.say("The gateway knows what the mirror lacks.")
	t.until(where, func(a answer) string {
		for _, token := range a.list("data") {
			behind := object(token, "behind")
			changes, _ := behind["changes"].([]any)
			if text(token, "provider") == "bigcommerce-main" && slices.Contains(changes, any("billing_address")) && text(behind, "code") == "provider_unavailable" {
				return ""
			}
		}
		return "the mirror is not behind by the address"
	})

	t.say("BigCommerce comes back. Nobody calls anything: the gateway brings it in step by itself.")
	t.bringBack(t.d.bigcommerce)
	t.until(where, func(a answer) string {
		for _, token := range a.list("data") {
			if object(token, "behind") != nil {
				return "the mirror is still behind"
			}
		}
		return ""
	})

	t.say("To be sure, compare what both providers have with what the gateway shows.")
	a = t.do(call{
		method: "POST", path: "/v1/sync", body: `{"customer_id":"cus-42"}`, want: 200, show: "data counts",
	})
	t.expect(a.status == 0 || len(a.list("data")) == 0 && object(a.body, "counts")["in_step"] == 4.0, "not everything is in step")
}

// tokens are provider tokens as "PROVIDER ROLE STATUS".
func tokens(a answer, name string) []string {
	var out []string
	for _, token := range a.list(name) {
		out = append(out, text(token, "provider")+" "+text(token, "role")+" "+text(token, "status"))
	}
	return out
}
