package gateway_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/polyvault/polyvault/normalize"
)

// op is one operation of a provider, as the API or the reconciler asks for it.
type op struct {
	name  string
	reads bool // it counts for the breaker of reads
	check func(*trial)
}

// The operations.
const (
	opCreate     = "create"
	opAlone      = "create, one provider only"
	opCustomer   = "create: the customer before it"
	opIdentifier = "create: the identifier before it"
	opUpdate     = "update"
	opDefault    = "set default"
	opDeactivate = "deactivate"
	opDelete     = "delete"
	opVault      = "delete from the vault"
	opGet        = "get"
	opList       = "list of a customer"
	opLook       = "look-up of the reconciler"
)

func ops() []op {
	return []op{
		{opCreate, false, (*trial).create},
		{opAlone, false, (*trial).createAlone},
		{opCustomer, false, (*trial).createStep},
		{opIdentifier, false, (*trial).createStep},
		{opUpdate, false, (*trial).change},
		{opDefault, false, (*trial).change},
		{opDeactivate, false, (*trial).change},
		{opDelete, false, (*trial).change},
		{opVault, false, (*trial).change},
		{opGet, true, (*trial).get},
		{opList, true, (*trial).list},
		{opLook, true, (*trial).lookUp},
	}
}

// requestsOf are each provider's requests that make an operation what it is. What is
// missing does not exist there.
func requestsOf() map[string]map[string][2]string {
	const (
		tms    = "/tms/v2/customers/*/payment-instruments"
		org    = "/payment-instruments"
		stored = "/stores/*/v3/payments/stored-instruments"
		listed = "/stores/*/v3/customers/*/stored-instruments"
	)
	return map[string]map[string][2]string{
		cyb: {
			opCreate: {"POST", tms}, opCustomer: {"POST", "/tms/v2/customers"}, opIdentifier: {"POST", "/tms/v1/instrumentidentifiers"},
			opUpdate: {"PATCH", tms + "/*"}, opDefault: {"PATCH", tms + "/*"}, opDelete: {"DELETE", tms + "/*"}, opVault: {"DELETE", tms + "/*"},
			opGet: {"GET", tms + "/*"}, opList: {"GET", tms},
		},
		reb: {
			opCreate: {"POST", org}, opCustomer: {"PUT", "/customers/*"}, opUpdate: {"PATCH", org + "/*"},
			opDefault: {"PUT", "/customers/*"}, opDeactivate: {"POST", org + "/*/deactivation"},
			opDelete: {"POST", org + "/*/deactivation"}, opVault: {"POST", org + "/*/deactivation"},
			opGet: {"GET", org + "/*"}, opList: {"GET", org},
		},
		big: {
			opCreate: {"POST", stored}, opUpdate: {"PUT", stored}, opDefault: {"PUT", stored},
			opDelete: {"DELETE", stored}, opVault: {"DELETE", stored + "/*"}, opGet: {"GET", listed}, opList: {"GET", listed},
		},
	}
}

// spoiler matches the operation's own request.
func (o op) spoiler(provider string) spoiler {
	name := map[string]string{opAlone: opCreate, opLook: opList}[o.name]
	if name == "" {
		name = o.name
	}
	r := requestsOf()[provider][name]
	return spoiler{method: r[0], path: r[1]}
}

// exists reports whether the provider has the operation.
func (o op) exists(provider string) bool { return o.spoiler(provider).path != "" }

// trial is one class at one provider's operation.
type trial struct {
	*failureWorld
	op    op
	class class // as it is here

	told   [3]int // the breaker's counts before
	sent   int    // requests to the provider before
	stored int    // live instruments there before
}

// Every class of failure, at every operation of every provider: what the caller is
// told, where a create goes, how many requests each provider gets, and what the
// breaker learns. What is expected comes from the classes, which say what is proved.
func TestFailureTable(t *testing.T) {
	t.Parallel()
	for _, provider := range providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			f := newFront(t)
			serverTLS()
			cases := map[normalize.Outcome]int{}
			for i, c := range classes() {
				for j, o := range ops() {
					if (i*len(ops())+j)%min(oneIn, 7) != 0 { // with the race detector one in 7, which has no divisor in common with the operations
						continue
					}
					ran := false
					t.Run(c.name+"/"+o.name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { ran = tryOne(t, f, provider, c.at(provider, o.name), o) })
					})
					if ran {
						cases[c.at(provider, o.name).outcome]++
					}
				}
			}
			total := 0
			for _, outcome := range slices.Sorted(maps.Keys(cases)) {
				t.Logf("%-12s %-9s %4d cases", provider, outcome, cases[outcome])
				total += cases[outcome]
			}
			t.Logf("%-12s %d classes, %d cases", provider, len(classes()), total)
		})
	}
}

// tryOne runs one case in a world of its own, and reports whether there was one.
func tryOne(t *testing.T, f *front, provider string, c class, o op) bool {
	t.Helper()
	if !o.exists(provider) && o.name != opDeactivate && o.name != opCustomer || o.skips(provider, c) {
		return false
	}
	w := newFailureWorld(t, f, provider, c.shape)
	defer w.close()
	defer w.heal()
	w.other = w.create("first", shopper, 3, provider).must(t, http.StatusCreated).str("id")
	w.ask("PATCH", "/v1/instruments/"+w.other, "", object{"default": true}).must(t, http.StatusOK)
	w.target = w.create("second", shopper, 1, provider).must(t, http.StatusCreated).str("id")
	c.meet(w, o)
	tr := &trial{failureWorld: w, op: o, class: c}
	tr.told, tr.sent, tr.stored = tr.counts(), w.lines[provider].requests("", ""), w.live(provider)
	o.check(tr)
	return true
}

// skips says which cases are none.
func (o op) skips(provider string, c class) bool {
	switch {
	case o.name == opAlone:
		return c.outcome != normalize.NotSent // another provider makes no difference
	case provider == reb && o.name == opCustomer && c.name == "2xx without a reference":
		return true // the id is one that the gateway has chosen
	case o.name == opList || o.name == opLook:
		// An empty list has no reference, either: it is a list.
		return c.name == "2xx without a reference" || o.name == opLook && c.outcome == normalize.Rejected && c.breaker == success
	}
	return false
}

func (tr *trial) counts() [3]int {
	s, f, x := tr.Counts(tr.provider, tr.op.reads)
	return [3]int{s, f, x}
}
