package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// maxPerCustomer bounds how many of a customer's instruments one provider is asked for.
const maxPerCustomer = 1000

// ListCustomer asks every provider at which the customer is known for its
// instruments, adopts those that the gateway did not know, and answers with all
// of them, newest first. A provider that cannot be asked contributes what was
// last seen of it; it never fails the list.
func (s *Service) ListCustomer(ctx context.Context, tenant, customerID string, limit int, cursor string) (CustomerPage, error) {
	limit, errs := checkLimit(limit)
	if len(errs) > 0 {
		return CustomerPage{}, normalize.Invalid(errs...)
	}
	if !normalize.ValidCustomerID(customerID) {
		return CustomerPage{}, notFound("list_customer")
	}
	after, err := s.place(cursor, tenant, "customer", customerID)
	if err != nil {
		return CustomerPage{}, err
	}
	cust, err := s.loadCustomer(ctx, "list_customer", tenant, customerID)
	if err != nil {
		return CustomerPage{}, err
	}
	known, err := s.knownOf(ctx, tenant, customerID)
	if err != nil {
		return CustomerPage{}, err
	}
	lists := s.askProviders(ctx, cust, known)
	out := CustomerPage{InstrumentPage: InstrumentPage{Data: []normalize.Instrument{}}, Sources: []SourceStatus{}}
	all, err := s.fold(ctx, cust, known, lists, &out)
	if err != nil {
		return CustomerPage{}, err
	}
	s.cut(&out, all, limit, after, tenant, customerID)
	return out, nil
}

// cut puts the page after a place into out.
func (s *Service) cut(out *CustomerPage, all []stored, limit int, after, tenant, customerID string) {
	place := func(r stored) string { return member(timeKey(r.CreatedAt), r.ID) }
	slices.SortFunc(all, func(a, b stored) int { return strings.Compare(place(b), place(a)) })
	now := s.clock.at(s.now())
	last := ""
	for _, rec := range all {
		if after != "" && place(rec) >= after {
			continue
		}
		if len(out.Data) == limit {
			out.HasMore, out.NextCursor = true, s.cursor(last, tenant, "customer", customerID)
			return
		}
		out.Data = append(out.Data, rec.instrument(now))
		last = place(rec)
	}
}

// knownOf loads a customer's live records by the place they live at.
func (s *Service) knownOf(ctx context.Context, tenant, customerID string) (map[string]stored, error) {
	out := map[string]stored{}
	err := s.eachOfCustomer(ctx, "list_customer", tenant, customerID, func(rec stored) error {
		out[s.placeOf(rec)] = rec
		return nil
	})
	return out, err
}

func (s *Service) placeOf(rec stored) string {
	t := rec.primary()
	if p := s.providers[t.Provider]; p != nil {
		return t.Provider + "\x00" + p.locate(t.References)
	}
	return t.Provider + "\x00" + rec.ID
}

// providerList is what one provider answered.
type providerList struct {
	p     *Provider
	items []adapters.Instrument
	err   error
}

// askProviders asks every provider that knows the customer, at the same time.
func (s *Service) askProviders(ctx context.Context, cust storedCustomer, known map[string]stored) []providerList {
	names := cust.known()
	for _, rec := range known {
		names[rec.primary().Provider] = true
	}
	var lists []providerList
	for _, name := range s.order {
		if names[name] {
			lists = append(lists, providerList{p: s.providers[name]})
		}
	}
	var wg sync.WaitGroup
	for i := range lists {
		wg.Go(func() { lists[i].items, lists[i].err = s.listAt(ctx, lists[i].p, cust.at(lists[i].p.name)) })
	}
	wg.Wait()
	return lists
}

// listAt asks a provider for all that it has under a customer's references.
func (s *Service) listAt(ctx context.Context, p *Provider, references []string) ([]adapters.Instrument, error) {
	lister, err := as[adapters.Lister](p, "list")
	if err != nil {
		return nil, err
	}
	if len(references) == 0 {
		return nil, &normalize.Error{
			Code: normalize.CustomerReferenceRequired, Outcome: normalize.NotSent, Op: "list", Provider: p.name,
			Msg: "the customer's reference at the provider is not known",
		}
	}
	var all []adapters.Instrument
	for _, reference := range references {
		if all, err = listUnder(ctx, p, lister, reference, all); err != nil {
			return nil, err
		}
	}
	if len(references) > 1 {
		// Two references may be two spellings of one customer.
		seen := map[string]bool{}
		all = slices.DeleteFunc(all, func(ins adapters.Instrument) bool {
			place := p.locate(ins.References)
			again := seen[place]
			seen[place] = true
			return again
		})
	}
	return all, nil
}

func listUnder(ctx context.Context, p *Provider, lister adapters.Lister, reference string, all []adapters.Instrument) ([]adapters.Instrument, error) {
	for cursor := ""; ; {
		page, err := call(ctx, p, p.read, "list", func(ctx context.Context) (adapters.Page, error) {
			return lister.List(ctx, adapters.ListInput{Customer: reference, Limit: scanPage, Cursor: cursor})
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" || page.Next == cursor || len(all) >= maxPerCustomer {
			return all, nil
		}
		cursor = page.Next
	}
}

// fold brings what the providers answered and what the gateway knew together.
func (s *Service) fold(ctx context.Context, cust storedCustomer, known map[string]stored, lists []providerList, out *CustomerPage) ([]stored, error) {
	busy, err := s.store.Scan(ctx, indexOpen(cust.Tenant, cust.ID), "", 1, false)
	if err != nil {
		return nil, storeError("list_customer", err)
	}
	var all []stored
	for _, l := range lists {
		if l.err != nil {
			e := asError(l.err)
			out.Incomplete = true
			out.Sources = append(out.Sources, SourceStatus{Provider: l.p.name, Status: "stored", Code: e.Code})
			all = append(all, storedAt(known, l.p.name)...)
			continue
		}
		out.Sources = append(out.Sources, SourceStatus{Provider: l.p.name, Status: "ok"})
		for _, ins := range l.items {
			rec, found := known[l.p.name+"\x00"+l.p.locate(ins.References)]
			switch {
			case found:
				ins.References = mergeReferences(rec.primary().References, ins.References)
				if seen := s.seen(ctx, rec, l.p, ins); seen.MirrorOf == "" {
					all = append(all, seen)
				}
			case len(busy) > 0 || ins.Status == normalize.StatusDeactivated:
				// A create that is under way may be what made it; what is deactivated
				// and was never known here is history.
			default:
				if adopted, ok := s.adopt(ctx, cust, l.p, ins); ok && adopted.MirrorOf == "" {
					all = append(all, adopted)
				}
			}
		}
	}
	return append(all, s.elsewhere(known, lists, out)...), nil
}

// elsewhere are the known instruments at providers that were not asked, since they
// are not configured any more: they are shown as last seen.
func (s *Service) elsewhere(known map[string]stored, lists []providerList, out *CustomerPage) []stored {
	asked := map[string]bool{}
	for _, l := range lists {
		asked[l.p.name] = true
	}
	var all []stored
	for _, place := range slices.Sorted(maps.Keys(known)) {
		provider := known[place].primary().Provider
		if !asked[provider] {
			asked[provider], out.Incomplete = true, true
			out.Sources = append(out.Sources, SourceStatus{Provider: provider, Status: "stored", Code: normalize.ProviderUnavailable})
			all = append(all, storedAt(known, provider)...)
		}
	}
	return all
}

func storedAt(known map[string]stored, provider string) []stored {
	var out []stored
	for _, rec := range known {
		if rec.primary().Provider == provider && rec.MirrorOf == "" {
			out = append(out, rec)
		}
	}
	return out
}

// mergeReferences keeps references that a list does not repeat.
func mergeReferences(before, seen normalize.References) normalize.References {
	out := normalize.References{}
	maps.Copy(out, before)
	for k, v := range seen {
		if v != "" {
			out[k] = v
		}
	}
	return out
}

// adopt makes a record for an instrument that the provider has and the gateway
// did not know. Its id follows from its place, so that two gateways make one. The
// place is claimed first, and the record comes to life only if it is its own:
// however often the gateway dies, an instrument never has two live records.
func (s *Service) adopt(ctx context.Context, cust storedCustomer, p *Provider, ins adapters.Instrument) (stored, bool) {
	key, now := s.current(), s.clock.at(s.now())
	place := p.locate(ins.References)
	rec := newRecord(key.adoptedID(cust.Tenant, p.name, place), cust.Tenant, cust.ID, key, nil, now)
	rec.Owner, rec.LeaseEnd, rec.Claims = s.owner, now.Add(s.lease), s.referenceClaims(p, ins.References)
	if !ins.CreatedAt.IsZero() {
		rec.CreatedAt = ins.CreatedAt.UTC()
	}
	after, res, err := s.put(ctx, "adopt", stored{}, rec)
	if errors.Is(err, errChanged) && after.State == StateFailed {
		after, res, err = s.put(ctx, "adopt", after, rec) // an adoption that did not come to its end
	}
	if err == nil {
		after, err = s.adopted(ctx, after, p, ins, otherOwner(res.Owners, rec.ID))
	}
	switch {
	case errors.Is(err, errChanged):
		return after, after.live()
	case err != nil:
		s.log.Warn("an instrument could not be adopted", zap.String("provider", p.name), zap.Error(err))
		return stored{}, false
	}
	return after, after.live()
}

// adopted ends an adoption. If another record has the place it ends as the alias of
// an instrument of the same customer, which is returned; else as if it had been
// deleted, since a place whose instrument was deleted here, or is another
// customer's, is not this one's.
func (s *Service) adopted(ctx context.Context, cur stored, p *Provider, ins adapters.Instrument, owner string) (stored, error) {
	now := s.clock.at(s.now())
	view := View{}.merge(ins)
	if ins.Identity != "" {
		view.Fingerprint, view.FingerprintOf = s.current().fingerprint(p.Type()+" "+ins.Identity), p.Type()
	}
	next := cur.released()
	next.State, next.View, next.Tokens = StateCompleted, &view, []Token{tokenOf(p, normalize.RolePrimary, ins, now)}
	if owner == "" {
		after, _, err := s.put(ctx, "adopt", cur, next)
		return after, err
	}
	recs, err := s.load(ctx, "adopt", owner)
	if err != nil {
		return cur, err
	}
	first := recs[0]
	mine := first != nil && first.live() && first.Tenant == cur.Tenant && first.CustomerID == cur.CustomerID
	if mine {
		next, err = cur.alias(first.Record, now)
	} else {
		next, err = next.deleted(ScopeProvider, now)
	}
	if err != nil {
		return cur, internalError("adopt", err)
	}
	after, _, err := s.put(ctx, "adopt", cur, next)
	if err == nil && mine {
		return *first, nil
	}
	return after, err
}
