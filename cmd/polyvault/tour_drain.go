package main

// drain takes a provider that works out of the routes, and gives it its place back.
func (t *tour) drain() {
	t.say("CyberSource has maintenance at noon. Drain it: no gateway begins a create there any more.")
	t.do(call{
		method: "POST", path: "/v1/providers/cybersource-us/drain", body: `{"reason":"maintenance until noon"}`,
		want: 200, member: map[string]any{"drained": true, "drained_by": "demo", "drained_reason": "maintenance until noon"},
		show: "name drained drained_by drained_reason",
	})

	t.say("New cards go to the next provider, and explain says why.")
	t.explain(t.once, "cybersource-us: drained", "rebilly-main")
	t.create("order-9", "cus-81", tourVisa, "rebilly-main")

	t.say("Nothing changes for what is stored there: it is read there as ever.")
	t.do(call{
		method: "GET", path: "/v1/instruments/" + t.visa, want: 200,
		header: map[string]string{"Gateway-Provider": "cybersource-us", "Gateway-Stale": ""}, show: "id status",
	})

	t.say("Maintenance is over: undrain it. The next card is stored there.")
	t.do(call{
		method: "POST", path: "/v1/providers/cybersource-us/undrain", body: `{"reason":"maintenance is over"}`,
		want: 200, member: map[string]any{"drained": false}, show: "name drained",
	})
	t.create("order-10", "cus-82", tourVisa, "cybersource-us")
}
