package memvault

import (
	"context"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

var _ adapters.Prober = (*Adapter)(nil)

// Probe implements [adapters.Prober]: memvault's own word that it has no such card
// shows that it answers.
func (a *Adapter) Probe(ctx context.Context) error {
	_, err := a.Get(ctx, normalize.References{"card": "card_0"})
	switch normalize.CodeOf(err) {
	case normalize.NotFound, normalize.InstrumentDeleted:
		return nil
	default:
		return err
	}
}
