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
	op := "create"
	if src.ProviderReference != nil {
		op = "get"
	}
	return run(ctx, m, op, func(ctx context.Context) (adapters.Instrument, error) {
		if src.ProviderReference != nil {
			ins, err := m.p.adapter.Get(ctx, src.ProviderReference.References)
			if err == nil {
				// Before the record is complete, so that no crash leaves an adopted instrument
				// whose customer nobody knows.
				err = c.s.learnCustomer(ctx, m.p, c.tenant.Name, c.in.CustomerID, ins.Customer, customer)
			}
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
		ins, err := creator.Create(ctx, adapters.CreateInput{
			Customer: reference, Source: src, BillingAddress: c.in.BillingAddress, Default: c.in.Default,
		})
		if err != nil {
			return ins, err
		}
		return withoutNumber(ins, &src)
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
	if e.Outcome != normalize.NotSent && e.Outcome != normalize.Rejected {
		e.Outcome = normalize.Unknown // also for an adapter that forgot to say
	}
	if len(e.Fields) == 0 {
		return &e
	}
	fields := make([]normalize.FieldError, len(e.Fields))
	for i, f := range e.Fields {
		if rest, ok := strings.CutPrefix(f.Pointer, "/source"); ok && (rest == "" || rest[0] == '/') {
			f.Pointer = "/sources/" + strconv.Itoa(source) + rest
		}
		fields[i] = f
	}
	e.Fields = fields
	return &e
}

// claims are the names that a create takes along with its attempt: the number, or
// the token of a vault, if the tenant wants one instrument for it; the place, if the
// source names one.
func (c *creation) claims(p *Provider, src normalize.Source) []string {
	if src.ProviderReference != nil {
		return c.s.referenceClaims(p, src.ProviderReference.References)
	}
	identity := claimIdentity(src)
	if identity == "" || c.tenant.Duplicates == DuplicatesAllow {
		return nil
	}
	var out []string
	for _, key := range c.s.keys {
		out = append(out, numberClaim(c.tenant.Name, c.in.CustomerID, p.name, key.fingerprint(identity)))
	}
	return out
}

// referenceClaims name a place at a provider once with each reference key: what
// was claimed before a new key came must be found, too.
func (s *Service) referenceClaims(p *Provider, refs normalize.References) []string {
	place := p.locate(refs)
	out := make([]string, len(s.keys))
	for i, key := range s.keys {
		out[i] = referenceClaim(key, p.name, place)
	}
	return out
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
