package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

const (
	defaultLimit = 20
	maxLimit     = 100
	// maxExamined bounds the work of one list request; a page that ends there has
	// fewer entries, and a cursor to go on.
	maxExamined = 10_000
)

// List returns stored instruments, as last seen.
func (s *Service) List(ctx context.Context, tenant string, in ListInput) (InstrumentPage, error) {
	limit, errs := checkLimit(in.Limit)
	order, descending, ok := parseSort(in.Sort)
	if !ok {
		errs = append(errs, normalize.FieldError{Pointer: "/sort", Code: normalize.InvalidField, Message: "must be created_at, updated_at or exp, with - for descending"})
	}
	if len(errs) > 0 {
		return InstrumentPage{}, normalize.Invalid(errs...)
	}
	filter, _ := json.Marshal(in.Filter) // strings and booleans: cannot fail
	about := []string{tenant, in.Sort, in.Query, string(filter)}
	after, err := s.place(in.Cursor, about...)
	if err != nil {
		return InstrumentPage{}, err
	}
	w := &walk{s: s, tenant: tenant, order: order, descending: descending, after: after, page: scanPage}
	if len(in.Filter) == 0 && in.Query == "" {
		w.page = limit + 1 // nearly all of them will match
	}
	w.narrow(in.Filter)
	out := InstrumentPage{Data: []normalize.Instrument{}}
	for examined := 0; ; {
		recs, err := w.next(ctx)
		if err != nil {
			return InstrumentPage{}, err
		}
		if len(recs) == 0 {
			return out, nil
		}
		now := s.clock.at(s.now())
		for _, rec := range recs {
			examined++
			place := rec.place
			if rec.stored != nil && rec.live() && rec.Tenant == tenant && rec.MirrorOf == "" {
				ins := rec.instrument(now)
				if normalize.Match(ins, in.Filter) && matchesQuery(ins, in.Query) {
					if len(out.Data) == limit {
						out.HasMore, out.NextCursor = true, s.cursor(w.before, about...)
						return out, nil
					}
					out.Data = append(out.Data, ins)
				}
			}
			w.before = place
			if examined >= maxExamined {
				out.HasMore, out.NextCursor = true, s.cursor(place, about...)
				return out, nil
			}
		}
	}
}

func checkLimit(limit int) (int, []normalize.FieldError) {
	switch {
	case limit == 0:
		return defaultLimit, nil
	case limit < 1 || limit > maxLimit:
		return 0, []normalize.FieldError{{Pointer: "/limit", Code: normalize.OutOfRange, Message: "must be 1 to 100"}}
	}
	return limit, nil
}

// order is what a list is sorted by.
type order string

const (
	byCreated order = "created_at"
	byUpdated order = "updated_at"
	byExpiry  order = "exp"
)

func parseSort(sort string) (o order, descending, ok bool) {
	if sort == "" {
		return byCreated, true, true
	}
	name, descending := strings.CutPrefix(sort, "-")
	o = order(name)
	return o, descending, slices.Contains([]order{byCreated, byUpdated, byExpiry}, o)
}

// walk goes through an index, or, where an index of few records is not in the
// order that is asked for, through those records sorted.
type walk struct {
	s          *Service
	tenant     string
	order      order
	descending bool
	after      string // the index member to go on after
	before     string // the last member that was looked at
	small      string // the index of one customer or one fingerprint; "" walks the tenant's
	sorted     bool   // small was read whole
	page       int    // how many records one round trip reads
}

type walked struct {
	*stored
	place string
}

// narrow picks the smallest index that holds everything the filter can match.
func (w *walk) narrow(filter []normalize.Clause) {
	w.before = w.after
	for _, c := range filter {
		if c.Negate || len(c.Values) != 1 {
			continue
		}
		switch c.Field {
		case "customer_id":
			w.small = indexByCustomer(w.tenant, c.Values[0])
		case "fingerprint":
			w.small = indexByFingerprint(w.tenant, c.Values[0])
		}
	}
}

func (w *walk) next(ctx context.Context) ([]walked, error) {
	if w.small != "" && w.order != byCreated {
		return w.nextSorted(ctx)
	}
	index := w.small
	if index == "" {
		index = map[order]string{byCreated: indexByCreated(w.tenant), byUpdated: indexByUpdated(w.tenant), byExpiry: indexByExpiry(w.tenant)}[w.order]
	}
	members, err := w.s.store.Scan(ctx, index, w.after, w.page, w.descending)
	if err != nil {
		return nil, storeError("list", err)
	}
	if len(members) == 0 {
		return nil, nil
	}
	w.after = members[len(members)-1]
	return w.load(ctx, members)
}

func (w *walk) load(ctx context.Context, members []string) ([]walked, error) {
	recs, err := w.s.loadMembers(ctx, "list", members)
	if err != nil {
		return nil, err
	}
	out := make([]walked, len(recs))
	for i, rec := range recs {
		out[i] = walked{rec, members[i]}
	}
	return out, nil
}

// nextSorted reads a small index whole, once, and sorts it as asked.
func (w *walk) nextSorted(ctx context.Context) ([]walked, error) {
	if w.sorted {
		return nil, nil
	}
	w.sorted = true
	var all []walked
	for from := ""; len(all) < maxExamined; {
		members, err := w.s.store.Scan(ctx, w.small, from, scanPage, false)
		if err != nil {
			return nil, storeError("list", err)
		}
		page, err := w.load(ctx, members)
		if err != nil {
			return nil, err
		}
		for _, rec := range page {
			if rec.stored != nil && rec.live() {
				rec.place = member(rec.sortKey(w.order), rec.ID)
				all = append(all, rec)
			}
		}
		if len(members) < scanPage {
			break
		}
		from = members[len(members)-1]
	}
	slices.SortFunc(all, func(a, b walked) int { return strings.Compare(a.place, b.place) })
	if w.descending {
		slices.Reverse(all)
	}
	return slices.DeleteFunc(all, func(r walked) bool {
		return w.after != "" && (!w.descending && r.place <= w.after || w.descending && r.place >= w.after)
	}), nil
}

func (r Record) sortKey(o order) string {
	switch o {
	case byUpdated:
		return timeKey(r.UpdatedAt)
	case byExpiry:
		return r.expiryKey()
	default:
		return timeKey(r.CreatedAt)
	}
}

// matchesQuery finds q, without case, in what a person would look for.
func matchesQuery(ins normalize.Instrument, q string) bool {
	if q == "" {
		return true
	}
	texts := []string{ins.ID, ins.CustomerID}
	if c := ins.Card; c != nil {
		texts = append(texts, c.BIN, c.Last4, string(c.Brand))
	}
	if b := ins.BankAccount; b != nil {
		texts = append(texts, b.Last4, b.BankName)
	}
	if p := ins.PayPal; p != nil {
		texts = append(texts, p.Email)
	}
	if a := ins.BillingAddress; a != nil {
		texts = append(texts, a.FirstName+" "+a.LastName, a.Company, a.Email, a.City, a.PostalCode)
	}
	for _, v := range ins.Metadata {
		texts = append(texts, v)
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), strings.ToLower(q)) })
}
