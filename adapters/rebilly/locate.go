package rebilly

import (
	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

var _ adapters.Locator = (*Adapter)(nil)

// Locate implements [adapters.Locator]: an instrument's id is unique in an
// organization; its customer can change when customers are merged.
func (*Adapter) Locate(ref normalize.References) string { return ref["instrument"] }
