package main

import (
	"fmt"
	"time"
)

// switchRoute edits the configuration file of the running gateway.
func (t *tour) switchRoute() {
	t.say("The configuration in force is the first one, and a card from the US goes to CyberSource.")
	t.generation(1)
	t.explain(t.once, "cybersource-us", "rebilly-main")

	t.say("Edit the file: Rebilly first. No restart, no signal, and no call.")
	t.reorder("cybersource-us", "rebilly-main")
	t.generation(2)

	t.say("The same question, and the same request: another provider.")
	t.explain(t.once, "rebilly-main", "cybersource-us")
	t.create("order-11", "cus-83", tourVisa, "rebilly-main")

	t.say("What was stored before the switch stays where it is.")
	t.do(call{
		method: "GET", path: "/v1/instruments/" + t.visa, want: 200,
		header: map[string]string{"Gateway-Provider": "cybersource-us"}, show: "id status provider_tokens[provider,role,status]",
	})
}

// reorder swaps the two providers of a route in the configuration file.
func (t *tour) reorder(first, second string) {
	if t.err != nil {
		return
	}
	if t.err = t.d.writeConfig([]string{second, first}); t.err != nil {
		return
	}
	t.out.printf("    %s\n", t.d.configFile())
	for _, line := range []string{
		"  - name: us-cards",
		"    match: {country: [US], source: [card]}",
		fmt.Sprintf("-   providers: [%s, %s]", first, second),
		fmt.Sprintf("+   providers: [%s, %s]", second, first),
	} {
		t.out.printf("      %s\n", line)
	}
}

// noticed is how long a change of the configuration file is waited for, before the
// gateway is told: files cannot be watched everywhere.
const noticed = 2 * time.Second

// generation waits until a configuration is in force: n counts them.
func (t *tour) generation(n float64) {
	written := time.Now()
	t.until(call{method: "GET", path: "/readyz", want: 200, show: "status generation"}, func(a answer) string {
		got := a.body["generation"]
		if got == n {
			return ""
		}
		if time.Since(written) > noticed {
			if err := t.d.live.reload(false); err != nil {
				return err.Error()
			}
		}
		return fmt.Sprintf("the generation is %v, not %v", got, n)
	})
}
