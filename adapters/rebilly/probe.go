package rebilly

import (
	"context"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

var _ adapters.Prober = (*Adapter)(nil)

// noInstrument has the form of a generated id, and is one that no instrument has.
const noInstrument = "inst_00000000000000000000000000"

// Probe implements [adapters.Prober] with an instrument that does not exist: one
// request and no customer's data. GET /payment-instruments/{id} declares 404 for it,
// and no 429 as calls that change something do [S26].
func (a *Adapter) Probe(ctx context.Context) error {
	_, err := a.read(ctx, "probe", noInstrument)
	switch normalize.CodeOf(err) {
	case normalize.NotFound, normalize.InstrumentDeleted:
		return nil
	default:
		return err
	}
}
