package gateway

import (
	"context"
	"strconv"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// call makes the admitted call: the customer on demand, then the instrument, in
// one deadline. A source that names what is stored already is only read.
func (c *creation) call(ctx context.Context, m *permit, src normalize.Source, customer Entry) (adapters.Instrument, error) {
	return run(ctx, m, func(ctx context.Context) (adapters.Instrument, error) {
		if src.ProviderReference != nil {
			ins, err := m.p.adapter.Get(ctx, src.ProviderReference.References)
			return ins, harmless(err)
		}
		creator, err := as[adapters.Creator](m.p, "create")
		if err != nil {
			return adapters.Instrument{}, err
		}
		reference, err := c.s.customerReference(ctx, m.p, c.tenant.Name, c.in, customer)
		if err != nil {
			return adapters.Instrument{}, harmless(err)
		}
		return creator.Create(ctx, adapters.CreateInput{
			Customer: reference, Source: src, BillingAddress: c.in.BillingAddress, Default: c.in.Default,
		})
	})
}

// harmless marks an error of a step before the instrument itself was sent: a
// customer without instruments, or a read, is no effect that matters. What the
// provider definitively refused stays so.
func harmless(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*normalize.Error); ok && e.Outcome == normalize.Unknown { //nolint:errorlint // adapters fail with exactly this type
		safe := *e
		safe.Outcome = normalize.NotSent
		return &safe
	}
	return err
}

// inRequest makes an adapter's error one of this request: "/source/…" becomes the
// source that was used.
func (c *creation) inRequest(err error, source int) *normalize.Error {
	e := *asError(err)
	e.Op = "create"
	fields := make([]normalize.FieldError, len(e.Fields))
	for i, f := range e.Fields {
		if rest, ok := strings.CutPrefix(f.Pointer, "/source/"); ok {
			f.Pointer = "/sources/" + strconv.Itoa(source) + "/" + rest
		}
		fields[i] = f
	}
	e.Fields = fields
	return &e
}

// claims are the names that a create takes along with its attempt: the number, if
// it is in hand and the tenant wants one instrument for it; the place, if the
// source names one.
func (c *creation) claims(p *Provider, src normalize.Source) []string {
	if src.ProviderReference != nil {
		return []string{referenceClaim(c.s.current(), p.name, p.locate(src.ProviderReference.References))}
	}
	identity := identityOf(src)
	if identity == "" || c.tenant.Duplicates == DuplicatesAllow {
		return nil
	}
	return []string{numberClaim(c.tenant.Name, c.in.CustomerID, p.name, c.s.current().fingerprint(identity))}
}

// otherOwner returns who holds a claim instead of id; "" if id holds them all.
func otherOwner(owners []string, id string) string {
	for _, o := range owners {
		if o != id {
			return o
		}
	}
	return ""
}
