package cybersource

import (
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

var _ adapters.Locator = (*Adapter)(nil)

// Locate implements [adapters.Locator]. Token ids are the same in upper and in
// lower case (TMS Developer Guide), and a payment instrument's is unique in a vault.
func (*Adapter) Locate(ref normalize.References) string {
	return strings.ToUpper(ref["payment_instrument"])
}
