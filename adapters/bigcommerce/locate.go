package bigcommerce

import (
	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

var _ adapters.Locator = (*Adapter)(nil)

// Locate implements [adapters.Locator]: the token is unique in a store, the other
// references only say more about it.
func (*Adapter) Locate(ref normalize.References) string { return ref[refToken] }
