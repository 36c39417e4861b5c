package main

import (
	"fmt"
	"slices"
)

// resolve asks where an instrument can be charged while all is well.
func (t *tour) resolve() {
	t.say("A payment service wants to charge in USD: the candidates, best first, with what each provider's own payment call needs.")
	t.resolved(t.once, "USD", []string{"cybersource-us: healthy", "bigcommerce-main: healthy"}, nil)

	t.say("In EUR: the account at BigCommerce does not take that, as its configuration says.")
	t.resolved(t.once, "EUR", []string{"cybersource-us: healthy"}, []string{"bigcommerce-main: currency_not_supported"})
}

// resolved resolves the mirrored instrument, and checks the candidates and what is
// left out.
func (t *tour) resolved(ask asking, currency string, candidates, excluded []string) {
	ask(call{
		method: "POST", path: "/v1/instruments/" + t.master + "/resolve", body: fmt.Sprintf(`{"currency":%q}`, currency),
		want: 200, show: "candidates[provider,role,health,charge] excluded[provider,role,reason]",
	}, func(a answer) string {
		var got, out []string
		for _, c := range a.list("candidates") {
			got = append(got, text(c, "provider")+": "+text(c, "health"))
			if len(object(c, "charge")) == 0 {
				return "it is not told what " + text(c, "provider") + " needs"
			}
		}
		for _, c := range a.list("excluded") {
			out = append(out, text(c, "provider")+": "+text(c, "reason"))
		}
		if !slices.Equal(got, candidates) || !slices.Equal(out, excluded) {
			return fmt.Sprintf("the candidates are %q, not %q; %q are left out, not %q", got, candidates, out, excluded)
		}
		return ""
	})
}
