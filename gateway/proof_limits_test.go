package gateway_test

import (
	"strings"

	"github.com/polyvault/polyvault/gateway"
)

// undecidable is the one known limit of the proof: at least two creates of one
// customer at one provider, both by a one-time token, both of unknown outcome at the
// same time. Nothing is known of a token's card, so that what the provider lists
// cannot be told apart. The gateway then asks again, and in the end an operator: a
// guess would give a client another one's card. Nobody was told that anything was
// stored. It takes several faults in one run; the runs that end so are counted.
func (w *galaxy) undecidable() bool {
	records, err := w.store.records()
	if err != nil {
		return false
	}
	blind := map[string]int{}
	for _, r := range records {
		if (r.State == gateway.StateUnknown || r.State == gateway.StateManual) && r.Want != nil && r.Want.View.Type == "" {
			blind[strings.Join([]string{r.Tenant, r.CustomerID, r.Attempts[len(r.Attempts)-1].Provider}, " ")]++
		}
	}
	for _, n := range blind {
		if n > 1 {
			return true
		}
	}
	return false
}
