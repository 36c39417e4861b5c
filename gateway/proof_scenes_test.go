package gateway_test

import (
	"context"
	"fmt"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/normalize"
)

// scene is what clients do while a fault happens to the gateway that they talk to.
type scene struct {
	name   string
	at     []string                          // the providers; nil for all, and for the route over them
	before func(ctx context.Context, p play) // without faults
	act    func(ctx context.Context, p play)
}

// play is a scene at one provider.
type play struct {
	w        *galaxy
	provider string // "" for the route
	comeBack bool   // the client repeats what it was not answered; else it never returns
}

const shopper = "cus-1"

// creates is a create of card n, or of the vaulted token n where the provider takes only those.
func (p play) creates(key string, n int) request {
	in := normalize.CreateInput{CustomerID: shopper, Provider: p.provider, BillingAddress: proofAddress()}
	if p.provider != big {
		in.Sources = append(in.Sources, cardSource(n))
	}
	if p.provider == big || p.provider == "" {
		in.Sources = append(in.Sources, vaultedSource(n))
	}
	return request{verb: create, tenant: updating, customer: shopper, key: key, in: in, body: fmt.Sprintf("card %d", n), number: n}
}

// mirrors is a create that is to live at every provider.
func (p play) mirrors(key string, n int) request {
	r := p.creates(key, n)
	r.in.Metadata = map[string]string{}
	for k, values := range mirrored() {
		r.in.Metadata[k] = values[0]
	}
	return r
}

func proofAddress() *normalize.Address {
	return &normalize.Address{
		FirstName: "Ada", LastName: "Lovelace", Line1: "1 Main St", City: "Austin", Region: "TX", PostalCode: "78701", Country: "US",
		Email: "ada@example.com", Phone: "5125550100",
	}
}

func cardSource(n int) normalize.Source {
	return normalize.Source{Type: normalize.SourceCard, Card: &normalize.CardSource{
		Number: normalize.NewSecret(adaptertest.CardNumber(n)), ExpMonth: 12, ExpYear: 2031, CVC: normalize.NewSecret(secretCode),
		HolderName: "Ada Lovelace",
	}}
}

func vaultedSource(n int) normalize.Source {
	number := adaptertest.CardNumber(n)
	return normalize.Source{Type: normalize.SourceVaultedToken, VaultedToken: &normalize.VaultedTokenSource{
		PaymentMethodID: "braintree.credit_card", Currency: "USD", VaultToken: normalize.NewSecret(fmt.Sprintf("vault-%d", n)),
		ProviderCustomerID: "bt-1", InstrumentType: normalize.TypeCard, Brand: normalize.Visa, BIN: normalize.BINOf(number),
		Last4: normalize.Last4Of(number), ExpMonth: 12, ExpYear: 2031,
	}}
}

// does sends a request until it is answered, or once. It returns nil if there is
// no answer.
func (p play) does(ctx context.Context, r request) *answer {
	c := p.w.clients
	if p.comeBack {
		a := c.insist(ctx, 0, r)
		if a == nil {
			c.mu.Lock()
			c.wrong = append(c.wrong, fmt.Sprintf("W: %v never gets an answer", r))
			c.mu.Unlock()
		}
		return a
	}
	if a := c.ask(ctx, p.w.gate(0), r); a.final() {
		return a
	}
	return nil
}

// surely sends a request that must succeed.
func (p play) surely(ctx context.Context, r request) *answer {
	a := p.w.clients.insist(ctx, 0, r)
	if a == nil || a.err != nil {
		panic(fmt.Sprintf("%v does not succeed: %+v", r, a))
	}
	return a
}

// tells makes the customer known where the gateway cannot make it.
func (p play) tells(ctx context.Context) {
	p.w.clients.outside.pass(ctx, point{what: clientPoint})
	for _, tenant := range []string{updating, allowing} {
		ref := map[string]string{updating: "7", allowing: "8"}[tenant]
		_, _, err := p.w.gate(0).svc.PutCustomer(ctx, tenant, normalize.CustomerInput{
			ID: shopper, ProviderReferences: map[string]string{big: ref},
		})
		if err != nil {
			panic(err)
		}
	}
}

// plants stores card n at the provider behind the gateways' backs.
func (p play) plants(ctx context.Context, n int) {
	p.w.clients.outside.pass(ctx, point{what: clientPoint})
	hc := wire{provider: p.provider, standin: p.w.standins[p.provider], gw: p.w.clients.outside}.client()
	a, err := adapterConfigs()[p.provider].Open(adapters.Env{HTTP: hc})
	if err != nil {
		panic(err)
	}
	cust, err := p.w.gate(0).svc.GetCustomer(ctx, updating, shopper)
	if err != nil {
		panic(err)
	}
	src := cardSource(n)
	if p.provider == big {
		src = vaultedSource(n)
	}
	creator, ok := a.(adapters.Creator)
	if !ok {
		panic("not a creator")
	}
	ins, err := creator.Create(ctx, adapters.CreateInput{
		Customer: cust.ProviderReferences[p.provider], Source: src, BillingAddress: proofAddress(),
	})
	if err != nil {
		panic(err)
	}
	p.w.clients.planted[last4(n)]++
	p.w.clients.found = ins.References
}

func known(ctx context.Context, p play) {
	p.tells(ctx)
	p.surely(ctx, p.creates("first", 1))
}

func scenes() []scene {
	return []scene{
		{
			"a new customer's card", nil, func(ctx context.Context, p play) { p.tells(ctx) },
			func(ctx context.Context, p play) { p.does(ctx, p.creates("key", 2)) },
		},
		{"a known customer's card", nil, known, func(ctx context.Context, p play) { p.does(ctx, p.creates("key", 2)) }},
		{"the same card under a second key", nil, known, func(ctx context.Context, p play) { p.does(ctx, p.creates("key", 1)) }},
		{
			"one key from two clients at two gateways", nil, known,
			func(ctx context.Context, p play) {
				p.w.clients.script("other", func(ctx context.Context) { p.w.clients.ask(ctx, p.w.gate(1), p.creates("key", 2)) })
				p.does(ctx, p.creates("key", 2))
			},
		},
		{
			"one card under two keys at once", nil, known,
			func(ctx context.Context, p play) {
				p.w.clients.script("other", func(ctx context.Context) { p.w.clients.ask(ctx, p.w.gate(1), p.creates("other", 2)) })
				p.does(ctx, p.creates("key", 2))
			},
		},
		{
			"a one-time token",
			[]string{cyb, reb},
			known,
			func(ctx context.Context, p play) { p.does(ctx, p.tokens("key", 2)) },
		},
		{
			"a one-time token of a card that is there",
			[]string{cyb, reb},
			known,
			func(ctx context.Context, p play) { p.does(ctx, p.tokens("key", 1)) },
		},
		{
			"a one-time token and a number of one card at once",
			[]string{cyb, reb},
			known,
			func(ctx context.Context, p play) {
				p.w.clients.script("other", func(ctx context.Context) { p.w.clients.ask(ctx, p.w.gate(1), p.creates("other", 2)) })
				p.does(ctx, p.tokens("key", 2))
			},
		},
		{
			"a key with another body", nil, known,
			func(ctx context.Context, p play) {
				p.does(ctx, p.creates("key", 2))
				p.does(ctx, p.creates("key", 3))
			},
		},
		{
			"adoption by reference", providers(),
			func(ctx context.Context, p play) {
				known(ctx, p)
				p.plants(ctx, 2)
			},
			func(ctx context.Context, p play) {
				r := p.creates("key", 2)
				refs := p.w.clients.found
				r.in.Sources = []normalize.Source{{
					Type: normalize.SourceProviderReference, ProviderReference: &normalize.ProviderReferenceSource{Provider: p.provider, References: refs},
				}}
				if p.does(ctx, r) == nil && !p.comeBack {
					// Nobody asked for it again, so nobody owns it: that is its owner's business.
					p.does(ctx, request{verb: list, tenant: updating, customer: shopper})
				}
			},
		},
		{
			"a change", nil, known,
			func(ctx context.Context, p play) {
				if a := p.does(ctx, p.creates("key", 2)); a != nil {
					two := "2"
					p.does(ctx, request{verb: update, tenant: updating, target: a.id, patch: normalize.UpdateInput{
						Metadata: map[string]*string{"m": &two}, BillingAddress: normalize.AddressPatch{"line1": &two},
					}})
					p.does(ctx, request{verb: get, tenant: updating, target: a.id})
				}
			},
		},
		{
			"a deletion", nil, known,
			func(ctx context.Context, p play) {
				if a := p.does(ctx, p.creates("key", 2)); a != nil {
					p.does(ctx, request{verb: remove, tenant: updating, target: a.id})
					p.does(ctx, p.creates("key", 2))
				}
			},
		},
		{
			"a card with mirrors",
			[]string{""},
			known,
			func(ctx context.Context, p play) { p.does(ctx, p.mirrors("key", 2)) },
		},
		{
			"a change of a card with mirrors",
			[]string{""},
			func(ctx context.Context, p play) {
				known(ctx, p)
				p.surely(ctx, p.mirrors("key", 2))
			},
			func(ctx context.Context, p play) {
				two := "2"
				a := p.w.clients.acked[keyOf(p.mirrors("key", 2))]
				p.does(ctx, request{verb: update, tenant: updating, target: a.id, patch: normalize.UpdateInput{
					BillingAddress: normalize.AddressPatch{"line1": &two},
				}})
			},
		},
		{
			"a deletion of a card with mirrors",
			[]string{""},
			func(ctx context.Context, p play) {
				known(ctx, p)
				p.surely(ctx, p.mirrors("key", 2))
			},
			func(ctx context.Context, p play) {
				a := p.w.clients.acked[keyOf(p.mirrors("key", 2))]
				p.does(ctx, request{verb: remove, tenant: updating, target: a.id})
				p.does(ctx, request{verb: list, tenant: updating, customer: shopper})
			},
		},
		{
			"a deactivation", nil, known,
			func(ctx context.Context, p play) {
				if a := p.does(ctx, p.creates("key", 2)); a != nil {
					p.does(ctx, request{verb: deactivate, tenant: updating, target: a.id})
					p.does(ctx, request{verb: list, tenant: updating, customer: shopper})
				}
			},
		},
	}
}

// inTime bounds what clients do in a scene: long enough for every retry.
const inTime = 20 * time.Minute
