package cybersource

import (
	"context"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

var _ adapters.Prober = (*Adapter)(nil)

// Probe implements [adapters.Prober] with a payment instrument that does not exist:
// one signed request, no customer's data, and an answer that only TMS itself gives.
//
// Source: the response tables of the official OpenAPI description for GET
// /tms/v2/customers/{id}/payment-instruments/{id}: 404 notFound "Token not found."
// for a token that never existed, 410 notAvailable for one that is gone.
func (a *Adapter) Probe(ctx context.Context) error {
	nobody := strings.Repeat("0", 32)
	_, err := a.Get(ctx, normalize.References{refCustomer: nobody, refPaymentInstrument: nobody})
	switch normalize.CodeOf(err) {
	case normalize.NotFound, normalize.InstrumentDeleted:
		return nil
	default:
		return err
	}
}
