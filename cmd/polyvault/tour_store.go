package main

// store stores an instrument at each provider.
func (t *tour) store() {
	t.say("Store a card. The routes send cards from the US to CyberSource; the caller names no provider.")
	a := t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-1",
		body: `{"customer_id":"cus-42","country":"US","default":true,"sources":[` + tourVisa + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": "cybersource-us"}, show: "id customer_id type status default card provider_tokens[provider,role,status,references]",
	})
	t.visa = a.id()

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
		want: 201, header: map[string]string{"Gateway-Provider": "rebilly-main"}, show: "id type status card provider_tokens[provider,role,status,references]",
	})
	t.amex = a.id()
	for _, token := range a.list("provider_tokens") {
		t.amexAtRebilly = text(object(token, "references"), "instrument")
	}

	t.say("BigCommerce knows customers by its own ids: say once who cus-42 is there.")
	t.do(call{
		method: "PUT", path: "/v1/customers/cus-42", body: `{"provider_references":{"bigcommerce-main":"1"}}`,
		want: 0, show: "id provider_references",
	})

	t.say("Store a token of the store's payment gateway at BigCommerce, which takes no raw cards.")
	a = t.do(call{
		method: "POST", path: "/v1/instruments", key: "order-3",
		body: `{"customer_id":"cus-42","sources":[` + tourVaulted + `],` + tourAddress + `}`,
		want: 201, header: map[string]string{"Gateway-Provider": "bigcommerce-main"}, show: "id type status card provider_tokens[provider,role,status,references]",
	})
	t.vaulted = a.id()
}

// read reads them, one by one and together.
func (t *tour) read() {
	t.say("Read the first card. The provider is asked, so that the answer is what it has now.")
	a := t.do(call{
		method: "GET", path: "/v1/instruments/" + t.visa, want: 200,
		header: map[string]string{"Gateway-Provider": "cybersource-us"}, member: map[string]any{"status": "active"}, show: "id status card",
	})

	t.say("Read it again with its ETag: nothing has changed.")
	t.do(call{method: "GET", path: "/v1/instruments/" + t.visa, ifNoneMatch: a.header.Get("ETag"), want: 304})

	t.say("List what the customer has, wherever it is stored.")
	a = t.do(call{method: "GET", path: "/v1/customers/cus-42/instruments", want: 200, member: map[string]any{"incomplete": false}, show: "incomplete sources[provider,status]"})
	t.expect(len(a.list("data")) == 3, "the list has %d instruments, not 3", len(a.list("data")))
	for _, item := range a.list("data") {
		t.out.printf("    %s\n", oneLine(item, "id", "card"))
		id := text(item, "id")
		t.expect(id == t.visa || id == t.amex || id == t.vaulted, "the list has the instrument %s, which was not stored here", id)
	}
}
