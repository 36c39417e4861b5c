package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

const (
	// syncChunk is how many instruments are compared at the same time. Each provider's
	// own share bounds how many of its calls that are.
	syncChunk = 16
	// syncBudget is how long a page may take before it ends early, with what it has.
	syncBudget = 15 * time.Second
	// maxSyncExamined bounds how many records a page looks at to find those that are at
	// the provider.
	maxSyncExamined = 1000
)

// Sync compares instruments with what their providers have, and says what is not in
// step. Unless in.Repair is set it changes nothing. Nothing is ever changed because a
// provider could not be asked.
func (s *Service) Sync(ctx context.Context, tenant string, in SyncInput) (DriftPage, error) {
	if err := s.checkSync(&in); err != nil {
		return DriftPage{}, err
	}
	about := []string{"sync", tenant, in.CustomerID, in.Provider}
	after, err := s.place(in.Cursor, about...)
	if err != nil {
		return DriftPage{}, err
	}
	y := &syncing{s: s, tenant: tenant, in: in, looks: map[string]*customerLook{}, until: time.Now().Add(syncBudget), page: DriftPage{Data: []Drift{}}}
	if in.CustomerID != "" && after == "" {
		// The customer may have something at a provider, and no record at all.
		err := y.lookAt(ctx, in.CustomerID)
		if err == nil {
			err = y.unknownOf(ctx, in.CustomerID)
		}
		if err != nil {
			return DriftPage{}, err
		}
	}
	last, more, err := y.walk(ctx, after)
	if err != nil {
		return DriftPage{}, err
	}
	if more {
		y.page.HasMore, y.page.NextCursor = true, s.cursor(last, about...)
	}
	return y.page, nil
}

// checkSync finds what can be known to be wrong before anything is read, and fills in the limit.
func (s *Service) checkSync(in *SyncInput) error {
	var errs []normalize.FieldError
	switch {
	case in.Limit == 0:
		in.Limit = maxLimit
	case in.Limit < 1 || in.Limit > maxLimit:
		errs = append(errs, normalize.FieldError{Pointer: "/limit", Code: normalize.OutOfRange, Message: "must be 1 to 100"})
	}
	if in.CustomerID == "" && in.Provider == "" {
		errs = append(errs, normalize.FieldError{Code: normalize.MissingField, Message: "customer_id or provider is required"})
	}
	if in.CustomerID != "" && !normalize.ValidCustomerID(in.CustomerID) {
		errs = append(errs, normalize.FieldError{Pointer: "/customer_id", Code: normalize.InvalidField, Message: "must be a customer's id"})
	}
	if in.Provider != "" && s.providers[in.Provider] == nil {
		errs = append(errs, normalize.FieldError{Pointer: "/provider", Code: normalize.InvalidField, Message: "is not a configured provider"})
	}
	if len(errs) > 0 {
		return normalize.Invalid(errs...)
	}
	return nil
}

// syncing is one page on its way.
type syncing struct {
	s      *Service
	tenant string
	in     SyncInput
	until  time.Time
	looks  map[string]*customerLook // by customer; filled by lookAt only
	page   DriftPage
}

// selected reports whether a provider is one of those that are compared.
func (y *syncing) selected(provider string) bool {
	return y.in.Provider == "" || y.in.Provider == provider
}

// concerns reports whether a record is an instrument that lives at a selected provider.
func (y *syncing) concerns(rec *stored) bool {
	return rec != nil && rec.live() && rec.Tenant == y.tenant && rec.MirrorOf == "" &&
		slices.ContainsFunc(rec.Tokens, func(t Token) bool { return y.selected(t.Provider) && t.comparable() })
}

// comparable reports whether the token names a place that can be asked about, and that
// is to stay.
func (t Token) comparable() bool {
	return !t.pending() && len(t.References) > 0 && (t.Behind == nil || t.Behind.Delete == "")
}

// walk goes through the customer's or the tenant's index by creation. It returns the
// last member that was done with, and whether there may be more.
func (y *syncing) walk(ctx context.Context, after string) (last string, more bool, err error) {
	index := indexByCreated(y.tenant)
	if y.in.CustomerID != "" {
		index = indexByCustomer(y.tenant, y.in.CustomerID)
	}
	last = after
	for examined := 0; ; {
		members, err := y.s.store.Scan(ctx, index, last, scanPage, false)
		if err != nil {
			return last, false, storeError("sync", err)
		}
		atEnd := len(members) < scanPage
		recs, err := y.s.loadMembers(ctx, "sync", members)
		if err != nil {
			return last, false, err
		}
		for len(members) > 0 {
			chunk, n := y.chunk(recs)
			if err := y.compareAll(ctx, chunk); err != nil {
				return last, false, err
			}
			last, members, recs, examined = members[n-1], members[n:], recs[n:], examined+n
			if y.page.Counts.Instruments >= y.in.Limit || examined >= maxSyncExamined || time.Now().After(y.until) {
				return last, len(members) > 0 || !atEnd, nil
			}
		}
		if atEnd {
			return last, false, nil
		}
	}
}

// chunk takes the next instruments to compare off records; n is how many records they are among.
func (y *syncing) chunk(recs []*stored) (out []stored, n int) {
	most := min(syncChunk, y.in.Limit-y.page.Counts.Instruments)
	for n < len(recs) && len(out) < most {
		if rec := recs[n]; y.concerns(rec) {
			out = append(out, *rec)
		}
		n++
	}
	return out, n
}

// compareAll compares some instruments, and then what their customers have that no record does.
func (y *syncing) compareAll(ctx context.Context, recs []stored) error {
	var customers []string
	for _, rec := range recs {
		customers = append(customers, rec.CustomerID)
	}
	if err := y.lookAt(ctx, customers...); err != nil {
		return err
	}
	found := make([][]Drift, len(recs))
	errs := make([]error, len(recs))
	var wg sync.WaitGroup
	for i, rec := range recs {
		wg.Go(func() { found[i], errs[i] = y.compare(ctx, rec) })
	}
	wg.Wait()
	for i, rec := range recs {
		if errs[i] != nil {
			return errs[i]
		}
		y.page.Counts.Instruments++
		y.note(found[i]...)
		if y.in.CustomerID == "" && y.looks[rec.CustomerID].first == rec.ID {
			if err := y.unknownOf(ctx, rec.CustomerID); err != nil {
				return err
			}
		}
	}
	return nil
}

// note counts what was found, and reports what is not in step.
func (y *syncing) note(found ...Drift) {
	n := &y.page.Counts
	for _, d := range found {
		n.Compared++
		switch {
		case d.State == DriftAbsent:
			n.Absent++
		case d.State == DriftUnreachable:
			n.Unreachable++
		case d.State == DriftUnknownHere:
			n.UnknownHere++
		case len(d.Differences) > 0:
			n.Differing++
		default:
			n.InStep++
			continue
		}
		if d.Repaired {
			n.Repaired++
		}
		y.page.Data = append(y.page.Data, d)
	}
}
