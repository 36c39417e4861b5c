package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// fake is a provider with a memory, every capability, and a script of what goes
// wrong. Other adapters of these tests show only a part of it.
type fake struct {
	mu        sync.Mutex
	seq       int
	held      map[string]*adapters.Instrument // by id, deleted ones are gone
	numbers   map[string]string               // id to the number it was stored with
	customers []string
	calls     map[string]int
	script    map[string][]step
	updates   []adapters.UpdateInput
	creates   []adapters.CreateInput
	upsert    bool // storing the same number for a customer again gives the same instrument
	knows     bool // it tells one card from another, also one that came as a token "last4.name"
}

// step is what the next call of an operation does instead of what it should.
type step struct {
	err     error         // fails with this
	commits bool          // but does it first
	blocks  chan struct{} // waits for this, or for the deadline
	panics  bool
	edit    func(*adapters.Instrument) // changes the answer
}

func newFake() *fake {
	return &fake{
		held: map[string]*adapters.Instrument{}, numbers: map[string]string{}, calls: map[string]int{}, script: map[string][]step{},
	}
}

// will makes the next calls of an operation follow steps.
func (f *fake) will(op string, steps ...step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script[op] = append(f.script[op], steps...)
}

func (f *fake) count(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// live is how many instruments exist at the provider and are not deactivated.
func (f *fake) live() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, ins := range f.held {
		if ins.Status != normalize.StatusDeactivated {
			n++
		}
	}
	return n
}

func (f *fake) change(ref normalize.References, edit func(*adapters.Instrument)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	edit(f.held[ref["instrument"]])
}

func (f *fake) lose(ref normalize.References) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.held, ref["instrument"])
}

// put stores an instrument behind the gateway's back.
func (f *fake) put(customer string) normalize.References {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.add(customer, visaToken("behind")).References
}

// do runs one operation under its script. effect runs under the fake's lock.
func (f *fake) do(ctx context.Context, op string, effect func() (adapters.Instrument, error)) (adapters.Instrument, error) {
	f.mu.Lock()
	f.calls[op]++
	var now step
	if s := f.script[op]; len(s) > 0 {
		now, f.script[op] = s[0], s[1:]
	}
	f.mu.Unlock()
	if now.panics {
		panic("4111111111111111 must not be logged")
	}
	if now.blocks != nil {
		select {
		case <-now.blocks:
		case <-ctx.Done():
			return adapters.Instrument{}, failure(normalize.ProviderTimeout, normalize.Unknown)
		}
	}
	if now.err != nil && !now.commits {
		return adapters.Instrument{}, now.err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ins, err := effect()
	if now.err != nil {
		return adapters.Instrument{}, now.err
	}
	if now.edit != nil {
		now.edit(&ins)
	}
	return ins, err
}

func failure(code normalize.Code, o normalize.Outcome) *normalize.Error {
	return &normalize.Error{Code: code, Outcome: o, Msg: "scripted"}
}

func (f *fake) Type() string { return "fake" }

func (f *fake) find(ref normalize.References) (*adapters.Instrument, error) {
	if ins, ok := f.held[ref["instrument"]]; ok {
		return ins, nil
	}
	return nil, failure(normalize.NotFound, normalize.Rejected)
}

func shown(ins *adapters.Instrument) adapters.Instrument {
	out := *ins
	out.References = maps.Clone(ins.References)
	if ins.Card != nil {
		card := *ins.Card
		out.Card = &card
	}
	if ins.BillingAddress != nil {
		address := *ins.BillingAddress
		out.BillingAddress = &address
	}
	return out
}

func (f *fake) one(ctx context.Context, op string, ref normalize.References, edit func(*adapters.Instrument)) (adapters.Instrument, error) {
	return f.do(ctx, op, func() (adapters.Instrument, error) {
		ins, err := f.find(ref)
		if err != nil {
			return adapters.Instrument{}, err
		}
		if edit != nil {
			edit(ins)
			rev, _ := strconv.Atoi(ins.Version)
			ins.Version = strconv.Itoa(rev + 1)
		}
		return shown(ins), nil
	})
}

func (f *fake) Get(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	return f.one(ctx, "get", ref, nil)
}

func (f *fake) SourceTypes() []normalize.SourceType {
	return []normalize.SourceType{normalize.SourceCard, normalize.SourceBankAccount, normalize.SourceRebillyToken}
}

func (f *fake) Create(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
	return f.do(ctx, "create", func() (adapters.Instrument, error) {
		f.creates = append(f.creates, in)
		if f.upsert && in.Source.Card != nil {
			for id, number := range f.numbers {
				ins := f.held[id]
				if ins != nil && number == in.Source.Card.Number.Reveal() && ins.Customer == in.Customer {
					ins.Card.ExpMonth, ins.Card.ExpYear = in.Source.Card.ExpMonth, in.Source.Card.ExpYear
					out := shown(ins)
					out.Existing = true
					return out, nil
				}
			}
		}
		ins := f.add(in.Customer, in.Source)
		ins.BillingAddress = in.BillingAddress
		if ins.Default = in.Default; in.Default {
			f.onlyDefault(ins)
		}
		return shown(ins), nil
	})
}

func (f *fake) add(customer string, src normalize.Source) *adapters.Instrument {
	f.seq++
	id := fmt.Sprintf("i%d", f.seq)
	ins := &adapters.Instrument{
		References: normalize.References{"instrument": id, "customer": customer}, Customer: customer,
		Type: normalize.TypeCard, Status: normalize.StatusActive, ProviderStatus: "ok", Version: "1",
	}
	switch {
	case src.Card != nil:
		n := src.Card.Number.Reveal()
		f.numbers[id] = n
		ins.Card = &normalize.Card{
			Brand: normalize.BrandOf(n), BIN: normalize.BINOf(n), Last4: normalize.Last4Of(n), ExpMonth: src.Card.ExpMonth, ExpYear: src.Card.ExpYear,
		}
	case src.BankAccount != nil:
		ins.Type, ins.BankAccount = normalize.TypeBankAccount, &normalize.BankAccount{Last4: "6789"}
	default:
		ins.Card = &normalize.Card{Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: 1 + f.seq%12, ExpYear: 2031 + f.seq%7}
	}
	if f.knows {
		if ins.Identity = normalize.Last4Of(f.numbers[id]); src.RebillyToken != nil {
			ins.Identity, _, _ = strings.Cut(src.RebillyToken.Token.Reveal(), ".")
		}
	}
	f.held[id] = ins
	return ins
}

func (f *fake) onlyDefault(ins *adapters.Instrument) {
	for _, other := range f.held {
		if other.Customer == ins.Customer {
			other.Default = other == ins
		}
	}
}

// CreateCustomer makes another customer at every call, as CyberSource does.
func (f *fake) CreateCustomer(ctx context.Context, in adapters.CustomerInput) (string, error) {
	var ref string
	_, err := f.do(ctx, "create_customer", func() (adapters.Instrument, error) {
		f.customers = append(f.customers, in.Key)
		ref = fmt.Sprintf("c%d", len(f.customers))
		return adapters.Instrument{}, nil
	})
	return ref, err
}

func (f *fake) List(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
	var page adapters.Page
	_, err := f.do(ctx, "list", func() (adapters.Instrument, error) {
		for _, id := range slices.Sorted(maps.Keys(f.held)) {
			if ins := f.held[id]; ins.Customer == in.Customer {
				page.Items = append(page.Items, shown(ins))
			}
		}
		return adapters.Instrument{}, nil
	})
	return page, err
}

func (f *fake) Update(ctx context.Context, ref normalize.References, in adapters.UpdateInput) (adapters.Instrument, error) {
	f.mu.Lock()
	f.updates = append(f.updates, in)
	f.mu.Unlock()
	return f.one(ctx, "update", ref, func(ins *adapters.Instrument) {
		if in.BillingAddress != nil {
			ins.BillingAddress = in.BillingAddress
		}
		if in.ClearBillingAddress {
			ins.BillingAddress = nil
		}
		if in.ExpMonth != nil {
			ins.Card.ExpMonth, ins.Card.ExpYear = *in.ExpMonth, *in.ExpYear
		}
	})
}

func (f *fake) SetDefault(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	return f.one(ctx, "set_default", ref, f.onlyDefault)
}

func (f *fake) Deactivate(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	return f.one(ctx, "deactivate", ref, func(ins *adapters.Instrument) { ins.Status = normalize.StatusDeactivated })
}

func (f *fake) remove(ctx context.Context, op string, ref normalize.References) error {
	_, err := f.do(ctx, op, func() (adapters.Instrument, error) {
		delete(f.held, ref["instrument"])
		return adapters.Instrument{}, nil
	})
	return err
}

func (f *fake) Delete(ctx context.Context, ref normalize.References) error {
	return f.remove(ctx, "delete", ref)
}

func (f *fake) DeleteVault(ctx context.Context, ref normalize.References) error {
	return f.remove(ctx, "delete_vault", ref)
}

// Locate leaves the customer out: it is no part of the place.
func (f *fake) Locate(ref normalize.References) string { return ref["instrument"] }

// creatorOnly is a provider that makes no customers and cannot change or delete.
type creatorOnly struct{ f *fake }

func (c creatorOnly) Type() string { return "plain" }
func (c creatorOnly) Get(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	return c.f.Get(ctx, ref)
}
func (c creatorOnly) SourceTypes() []normalize.SourceType { return c.f.SourceTypes() }
func (c creatorOnly) Create(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
	return c.f.Create(ctx, in)
}

// tokensOnly accepts no raw cards.
type tokensOnly struct{ *fake }

func (tokensOnly) SourceTypes() []normalize.SourceType {
	return []normalize.SourceType{normalize.SourceRebillyToken}
}

const (
	visa       = "4111111111111111"
	mastercard = "5555555555554444"
	amex       = "378282246310005"
)

func card(number string) normalize.Source {
	return normalize.Source{Type: normalize.SourceCard, Card: &normalize.CardSource{
		Number: normalize.NewSecret(number), ExpMonth: 12, ExpYear: 2031, CVC: normalize.NewSecret("123"),
	}}
}

func visaToken(name string) normalize.Source {
	return normalize.Source{Type: normalize.SourceRebillyToken, RebillyToken: &normalize.RebillyTokenSource{Token: normalize.NewSecret(name)}}
}

func reference(provider string, ref normalize.References) normalize.Source {
	return normalize.Source{Type: normalize.SourceProviderReference, ProviderReference: &normalize.ProviderReferenceSource{Provider: provider, References: ref}}
}

func input(customer string, sources ...normalize.Source) normalize.CreateInput {
	return normalize.CreateInput{CustomerID: customer, Sources: sources}
}

const (
	acme  = "acme"  // accepts raw cards, updates duplicates
	loose = "loose" // accepts raw cards, allows duplicates
	shy   = "shy"   // accepts no raw cards
)

func testKeys(ids ...string) Keys {
	var out Keys
	for _, id := range ids {
		secret := make([]byte, 32)
		copy(secret, "not a secret: "+id)
		out = append(out, ReferenceKey{ID: id, Secret: secret})
	}
	return out
}

// world is a Service over two fakes, alpha and beta, and a memStore.
type world struct {
	*Service
	store *memStore
	a, b  *fake
}

// newWorld makes a world; edit may change the configuration.
func newWorld(edit ...func(*Config)) *world {
	w := &world{store: newMemStore(), a: newFake(), b: newFake()}
	s, err := New(w.config(edit...))
	if err != nil {
		panic(err)
	}
	w.Service = s
	return w
}

// config is a configuration over the world's store and providers.
func (w *world) config(edit ...func(*Config)) Config {
	c := Config{
		Store: w.store, Keys: testKeys("k1"), Owner: "gateway-1", PromoteDefault: true,
		Providers: []ProviderConfig{{Name: "alpha", Adapter: w.a}, {Name: "beta", Adapter: w.b}},
		Routes:    []Route{{Name: "all", Providers: []string{"alpha", "beta"}}},
		Tenants: []Tenant{
			{Name: acme, AcceptRawCard: true}, {Name: loose, AcceptRawCard: true, Duplicates: DuplicatesAllow}, {Name: shy},
		},
	}
	for _, e := range edit {
		e(&c)
	}
	return c
}

// another is a second gateway on the same store and providers.
func (w *world) another(edit ...func(*Config)) *world {
	out := newWorld(append([]func(*Config){func(c *Config) {
		c.Store, c.Owner = w.store, "gateway-2"
		c.Providers[0].Adapter, c.Providers[1].Adapter = w.a, w.b
	}}, edit...)...)
	out.store, out.a, out.b = w.store, w.a, w.b
	return out
}

// swept is one sweep, and the work that it begins.
func (w *world) swept(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	return w.sweep(ctx, &work)
}

func alone(c *Config) { c.Routes[0].Providers = []string{"alpha"} }

var errForeign = errors.New("not a normalize.Error")

const untilLeaseEnds = 31 * time.Second

// noDefault is a provider that can update, and knows no default instrument.
type noDefault struct {
	creatorOnly
	adapters.Updater
}

func hideAddress(i *adapters.Instrument) { i.BillingAddress = nil }
