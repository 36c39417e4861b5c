package bigcommerce

import (
	"context"
	"net/http"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
)

var _ adapters.Prober = (*Adapter)(nil)

// Probe implements [adapters.Prober] with a list of one. The provider cannot read
// one instrument, and what it answers for a customer that does not exist is not
// documented; 200 and 401 of this list are (reference "Stored Instruments"). What it
// shows is not kept.
func (a *Adapter) Probe(ctx context.Context) error {
	const op = "probe"
	resp, err := a.client.Do(ctx, rest.Request{Op: op, Method: http.MethodGet, Path: instrumentsPath, Query: "limit=1"})
	if err != nil {
		return err
	}
	if !resp.OK() {
		e := statusError(opListAll, resp)
		e.Op = op
		return e
	}
	_, _, err = listed(op, resp)
	return err
}
