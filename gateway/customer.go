package gateway

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// customer is where one of a tenant's customers is known.
type customer struct {
	Schema int               `json:"schema"`
	Tenant string            `json:"tenant"`
	ID     string            `json:"id"`
	Refs   map[string]string `json:"refs,omitempty"`   // provider name to its customer reference
	Making map[string]making `json:"making,omitempty"` // providers at which one is being made
	// Also are further references at providers: made while the store had lost this entry,
	// or the owners of adopted instruments. What is stored under them is this customer's, too.
	Also      map[string][]string `json:"also,omitempty"`
	Named     []string            `json:"named,omitempty"` // indexes by which notices find the customer; they only grow
	Skew      uint64              `json:"skew,omitempty"`  // how far a restore set the store's version ahead of the entry's own
	CreatedAt time.Time           `json:"created_at"`
	UpdatedAt time.Time           `json:"updated_at"`
}

// making is a marker that one request is creating the customer at a provider, so
// that concurrent first cards make one customer and not several. If its maker
// dies the marker runs out; a customer that was made for nothing holds no card.
type making struct {
	By    string    `json:"by"`
	Until time.Time `json:"until"`
}

// makingFor is how long a marker is left alone: as long as the call may take, and a
// little for writing down what it gave.
func (p *Provider) makingFor() time.Duration { return p.timeout + 2*time.Second }

// at returns the customer's references at a provider: the one that is used, then others.
func (c customer) at(provider string) []string {
	var out []string
	for _, ref := range append([]string{c.Refs[provider]}, c.Also[provider]...) {
		if ref != "" && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// known are the providers at which the customer has a reference.
func (c customer) known() map[string]bool {
	out := map[string]bool{}
	for name := range c.Refs {
		out[name] = true
	}
	for name := range c.Also {
		out[name] = true
	}
	return out
}

type storedCustomer struct {
	customer
	version uint64
}

func (s *Service) loadCustomer(ctx context.Context, op, tenant, id string) (storedCustomer, error) {
	res, err := s.loadEntries(ctx, customerEntryKey(tenant, id))
	if err != nil {
		return storedCustomer{}, storeError(op, err)
	}
	c, err := s.decodeCustomer(res.Entries[0], tenant, id)
	if err != nil {
		return c, storeError(op, err)
	}
	return c, nil
}

// changeCustomer applies fn and writes, again from the start when another request was faster.
func (s *Service) changeCustomer(ctx context.Context, op string, cur storedCustomer, fn func(*customer) bool) (storedCustomer, error) {
	for range 20 {
		next := cur.customer
		next.Refs, next.Making, next.Also = maps.Clone(cur.Refs), maps.Clone(cur.Making), maps.Clone(cur.Also)
		if next.Refs == nil {
			next.Refs = map[string]string{}
		}
		if next.Making == nil {
			next.Making = map[string]making{}
		}
		if !fn(&next) {
			return cur, nil
		}
		now := s.clock.at(s.now())
		if next.UpdatedAt = now; next.CreatedAt.IsZero() {
			next.CreatedAt = now
		}
		next.Named = s.customerNamed(next)
		res, err := s.write(ctx, Write{
			Key: customerEntryKey(cur.Tenant, cur.ID), Expect: cur.version, Value: s.encodeCustomer(next), Nonce: nonce(), Add: next.members(),
		})
		if err != nil {
			return cur, storeError(op, err)
		}
		if res.Applied {
			return storedCustomer{next, res.Current.Version}, nil
		}
		if cur, err = s.decodeCustomer(res.Current, cur.Tenant, cur.ID); err != nil {
			return cur, storeError(op, err)
		}
	}
	return cur, &normalize.Error{
		Code: normalize.Conflict, Outcome: normalize.NotSent, Op: op,
		Msg: "too many requests change the customer at the same time", RetryAfter: time.Second,
	}
}

// customerReference returns the provider's reference of the request's customer,
// making the customer there if it is not known yet. entry is the customer's as
// loaded along with the attempt, so that a known customer costs nothing.
func (s *Service) customerReference(ctx context.Context, p *Provider, tenant string, in normalize.CreateInput, entry Entry) (string, error) {
	cur, err := s.decodeCustomer(entry, tenant, in.CustomerID)
	if err != nil {
		return "", storeError("create", err)
	}
	if refs := cur.at(p.name); len(refs) > 0 {
		return refs[0], nil
	}
	creator, err := as[adapters.CustomerCreator](p, "create_customer")
	if err != nil {
		return "", &normalize.Error{
			Code: normalize.CustomerReferenceRequired, Outcome: normalize.NotSent, Op: "create",
			Msg: "the provider does not make customers: tell the gateway its reference with PUT /v1/customers/{id}",
			Fields: []normalize.FieldError{{
				Pointer: "/customer_id", Code: normalize.CustomerReferenceRequired, Message: "is not known at provider " + p.name,
			}},
		}
	}
	for {
		ref, mine, err := s.reserveCustomer(ctx, p, &cur)
		switch {
		case err != nil:
			return "", beingMade(ctx, err)
		case ref != "":
			return ref, nil
		case mine != "":
			return s.makeCustomer(ctx, p, creator, cur, mine, in)
		}
		if err := pause(ctx, 25*time.Millisecond); err != nil {
			return "", beingMade(ctx, err)
		}
		if cur, err = s.loadCustomer(ctx, "create_customer", tenant, in.CustomerID); err != nil {
			return "", beingMade(ctx, err)
		}
	}
}

// beingMade words an error of waiting for another request's customer: once the
// time is over it is neither the store's nor the provider's failure.
func beingMade(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &normalize.Error{
		Code: normalize.Conflict, Outcome: normalize.NotSent, Op: "create_customer", RetryAfter: time.Second,
		Msg: "another request is still making the customer at the provider", Err: err,
	}
}

// reserveCustomer puts this request's marker on the customer. It returns the
// reference if another request was faster, or its own marker if it may go on.
func (s *Service) reserveCustomer(ctx context.Context, p *Provider, cur *storedCustomer) (ref, mine string, err error) {
	by := nonce()
	now := s.clock.at(s.now())
	*cur, err = s.changeCustomer(ctx, "create_customer", *cur, func(c *customer) bool {
		if c.Refs[p.name] != "" || now.Before(c.Making[p.name].Until) {
			return false
		}
		c.Making[p.name] = making{By: by, Until: now.Add(p.makingFor())}
		return true
	})
	if err == nil && cur.Making[p.name].By == by {
		mine = by
	}
	return cur.Refs[p.name], mine, err
}

func (s *Service) makeCustomer(ctx context.Context, p *Provider, creator adapters.CustomerCreator, cur storedCustomer, by string, in normalize.CreateInput) (string, error) {
	ref, callErr := creator.CreateCustomer(ctx, adapters.CustomerInput{
		Key: s.current().customerKey(cur.Tenant, cur.ID), MerchantID: cur.ID, Address: in.BillingAddress,
	})
	// The marker is taken off even when the call's own time is over.
	after, err := s.changeCustomer(context.WithoutCancel(ctx), "create_customer", cur, func(c *customer) bool {
		if c.Making[p.name].By == by {
			delete(c.Making, p.name)
		}
		if callErr == nil && c.Refs[p.name] == "" {
			c.Refs[p.name] = ref
		}
		return true
	})
	switch {
	case callErr != nil:
		return "", callErr
	case err != nil:
		return "", err
	}
	return after.Refs[p.name], nil
}

// PutCustomer records where a customer is known. References that are not named stay.
func (s *Service) PutCustomer(ctx context.Context, tenant string, in normalize.CustomerInput) (c normalize.Customer, created bool, err error) {
	if err := s.checkCustomer(in); err != nil {
		return c, false, err
	}
	cur, err := s.loadCustomer(ctx, "put_customer", tenant, in.ID)
	if err != nil {
		return c, false, err
	}
	after, err := s.changeCustomer(ctx, "put_customer", cur, func(c *customer) bool {
		maps.Copy(c.Refs, in.ProviderReferences)
		return true
	})
	return after.shown(), after.version == 1, err
}

// checkCustomer finds what can be known to be wrong before anything is read.
func (s *Service) checkCustomer(in normalize.CustomerInput) error {
	errs := in.Validate()
	for name := range in.ProviderReferences {
		if s.providers[name] == nil {
			errs = append(errs, normalize.FieldError{
				Pointer: "/provider_references/" + normalize.EscapePointer(name), Code: normalize.InvalidField, Message: "is not a configured provider",
			})
		}
	}
	if len(errs) > 0 {
		return normalize.Invalid(errs...)
	}
	return nil
}

// GetCustomer returns where a customer is known.
func (s *Service) GetCustomer(ctx context.Context, tenant, id string) (normalize.Customer, error) {
	if !normalize.ValidCustomerID(id) {
		return normalize.Customer{}, notFound("get_customer")
	}
	c, err := s.loadCustomer(ctx, "get_customer", tenant, id)
	if err == nil && c.version == 0 {
		err = notFound("get_customer")
	}
	return c.shown(), err
}

func (c customer) shown() normalize.Customer {
	refs := map[string]string{}
	for name := range c.known() {
		refs[name] = c.at(name)[0]
	}
	return normalize.Customer{Object: "customer", ID: c.ID, ProviderReferences: refs, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt}
}

// maxReferences bounds a customer's references at one provider: each is asked for a
// list of its own. A merchant that adopts everybody's instruments under one customer
// would make the entry grow without an end.
const maxReferences = 32

// learnCustomer writes down the provider's customer that owns an adopted instrument,
// as the provider told it, so that lists ask for it and no second customer is made
// there. entry is the customer's as loaded along with the attempt: one that is known
// costs nothing. A reference that is in use already stays so, and this one is put beside it.
func (s *Service) learnCustomer(ctx context.Context, p *Provider, tenant, id, reference string, entry Entry) error {
	cur, err := s.decodeCustomer(entry, tenant, id)
	if err != nil {
		return storeError("create", err)
	}
	_, err = s.changeCustomer(ctx, "create", cur, func(c *customer) bool {
		known := c.at(p.name)
		switch {
		case reference == "" || slices.Contains(known, reference) || len(known) >= maxReferences:
			return false
		case c.Refs[p.name] == "":
			c.Refs[p.name] = reference
		default:
			c.Also = withReferences(c.Also, map[string][]string{p.name: {reference}})
		}
		return true
	})
	return err
}

// nonce names one write, so that the store applies it once even if it is sent twice.
func nonce() string { return rand.Text() }

// pause waits, unless ctx is done first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
