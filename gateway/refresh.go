package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/normalize"
)

// Refresh is what a record notes of a provider that is to be asked about it, since it
// gave notice. It stays until the provider was asked after the last notice.
type Refresh struct {
	Provider string    `json:"provider"`
	Whole    bool      `json:"whole,omitempty"` // everything of the customer, and not only this instrument
	Rev      uint64    `json:"rev"`             // counts the notices, so that one which comes during a look leads to another look
	At       time.Time `json:"at"`              // of the first notice
	NextAt   time.Time `json:"next_at"`         // when the reconciler may begin
	Tries    int       `json:"tries,omitempty"` // looks that could not be made
}

const (
	// noticeGrace is how long a mark is left to the gateway that made it.
	noticeGrace = 10 * time.Second
	// refreshFor is for how long it is tried to ask a provider that gave notice.
	refreshFor = 24 * time.Hour
	// maxNoticed bounds what waits in a gateway's memory; the rest waits for a sweep.
	maxNoticed = 256
	// maxLooks is how often a look is made at once that others' changes came before.
	maxLooks = 3
)

// noticed tells Reconcile of a mark that this gateway has made.
type noticed struct {
	id, provider string
	next         time.Time // the mark's, so that one that somebody else took is left alone
}

func (r Record) refreshAt(provider string) int {
	return slices.IndexFunc(r.Refresh, func(m Refresh) bool { return m.Provider == provider })
}

// refreshing marks a live record: COMPLETED -> COMPLETED. No caller sees that.
func (r Record) refreshing(provider string, whole bool, now time.Time) (Record, Refresh, error) {
	if !r.live() {
		r, err := r.refuse("mark")
		return r, Refresh{}, err
	}
	r.Refresh = slices.Clone(r.Refresh)
	i := r.refreshAt(provider)
	if i < 0 {
		i = len(r.Refresh)
		r.Refresh = append(r.Refresh, Refresh{Provider: provider, At: now, NextAt: now.Add(noticeGrace)})
	}
	m := &r.Refresh[i]
	m.Rev, m.Whole = m.Rev+1, m.Whole || whole
	if m.Tries > 0 && now.Add(noticeGrace).Before(m.NextAt) {
		m.Tries, m.NextAt = 0, now.Add(noticeGrace) // who gives notice can be asked
	}
	return r, *m, nil
}

// lookedAt takes a mark off, unless there was another notice since rev.
func (r Record) lookedAt(provider string, rev uint64) Record {
	r.Refresh = slices.DeleteFunc(slices.Clone(r.Refresh), func(m Refresh) bool { return m.Provider == provider && m.Rev == rev })
	if len(r.Refresh) == 0 {
		r.Refresh = nil
	}
	return r
}

// refreshLater puts a look off until then.
func (r Record) refreshLater(provider string, at time.Time, tries int) Record {
	r.Refresh = slices.Clone(r.Refresh)
	if i := r.refreshAt(provider); i >= 0 {
		r.Refresh[i].NextAt, r.Refresh[i].Tries = at, tries
	}
	return r
}

// refreshDue is when the first provider is to be asked; zero if none is.
func (r Record) refreshDue() time.Time {
	var due time.Time
	for _, m := range r.Refresh {
		if due.IsZero() || m.NextAt.Before(due) {
			due = m.NextAt
		}
	}
	return due
}

// toRefresh returns a mark whose time has come.
func (r Record) toRefresh(now time.Time) (Refresh, bool) {
	i := slices.IndexFunc(r.Refresh, func(m Refresh) bool { return !now.Before(m.NextAt) })
	if i < 0 {
		return Refresh{}, false
	}
	return r.Refresh[i], true
}

// shareFor is the share that work on a record is done under.
func (s *Service) shareFor(r Record) *share {
	if m, due := r.toRefresh(s.clock.at(s.now())); due {
		if p := s.providers[m.Provider]; p != nil {
			return &p.notices
		}
		return &s.noShare
	}
	if p := s.providers[r.settledAt()]; p != nil {
		return &p.share
	}
	return &s.noShare
}

// refreshNoticed looks at a record that this gateway has marked.
func (s *Service) refreshNoticed(ctx context.Context, n noticed) {
	p := s.providers[n.provider]
	if p == nil || p.notices.wait(ctx, n.id) != nil {
		return
	}
	defer p.notices.give(n.id)
	recs, err := s.load(ctx, "notice", n.id)
	if err != nil || recs[0] == nil {
		return // a sweep will see it
	}
	cur := *recs[0]
	now := s.clock.at(s.now())
	if i := cur.refreshAt(n.provider); i < 0 || !cur.Refresh[i].NextAt.Equal(n.next) || now.After(n.next.Add(-noticeGrace/2)) {
		return // it was made, or is another's by now
	}
	if _, err := s.refresh(ctx, cur, n.provider); err != nil && ctx.Err() == nil {
		s.log.Info("a notice could not be followed up yet", zap.String("instrument", n.id), zap.String("provider", n.provider), zap.Error(err))
	}
}

// refreshTaken looks at a record whose mark was left for anybody: it is taken first, so
// that one gateway does it.
func (s *Service) refreshTaken(ctx context.Context, cur stored, m Refresh) (stored, error) {
	next := cur.refreshLater(m.Provider, s.clock.at(s.now()).Add(s.lease), m.Tries)
	taken, _, err := s.put(ctx, "notice", cur, next)
	if err != nil {
		return s.settled(taken, Written{}, err)
	}
	return s.refresh(ctx, taken, m.Provider)
}

// refresh asks a provider that gave notice, writes down what it shows, and takes the
// mark off.
func (s *Service) refresh(ctx context.Context, cur stored, provider string) (stored, error) {
	for range maxLooks {
		i := cur.refreshAt(provider)
		if i < 0 {
			return cur, nil
		}
		m := cur.Refresh[i]
		after, code, err := s.lookOnce(ctx, cur, m)
		if errors.Is(err, errChanged) {
			cur = after
			continue
		}
		if err == nil && code == "" {
			return after, nil
		}
		cur = after
		if code == "" {
			code = normalize.CodeOf(err)
		}
		s.log.Info("a provider that gave notice could not be asked", zap.String("instrument", cur.ID), zap.String("provider", provider), zap.String("code", string(code)))
		break
	}
	return s.putOff(ctx, cur, provider)
}

// putOff has a look made later, or never if it was tried for long enough.
func (s *Service) putOff(ctx context.Context, cur stored, provider string) (stored, error) {
	now := s.clock.at(s.now())
	after, err := s.change(ctx, "notice", cur, func(r Record) (Record, error) {
		i := r.refreshAt(provider)
		if i < 0 {
			return r, nil
		}
		m := r.Refresh[i]
		if now.Sub(m.At) > refreshFor {
			return r.lookedAt(provider, m.Rev), nil
		}
		return r.refreshLater(provider, now.Add(min(lastBackoff, firstBackoff<<min(m.Tries, 10))), m.Tries+1), nil
	})
	if err == nil && after.refreshAt(provider) < 0 && cur.refreshAt(provider) >= 0 {
		s.log.Warn("a notice was given up: its provider could not be asked for a day", zap.String("instrument", cur.ID), zap.String("provider", provider))
	}
	return after, err
}

// lookOnce asks the provider once. code says that it could not be asked; errChanged
// that somebody changed the record meanwhile, and what was seen may be older than that.
func (s *Service) lookOnce(ctx context.Context, cur stored, m Refresh) (after stored, code normalize.Code, err error) {
	switch {
	case m.Whole:
		if code, err = s.lookAtCustomer(ctx, m.Provider, customerOwner{cur.Tenant, cur.CustomerID}); code != "" || err != nil {
			return cur, code, err
		}
		after, err = s.change(ctx, "notice", cur, func(r Record) (Record, error) { return r.lookedAt(m.Provider, m.Rev), nil })
		if err == nil && after.refreshAt(m.Provider) >= 0 {
			err = errChanged
		}
		return after, "", err
	case !cur.live():
		after, _, err = s.put(ctx, "notice", cur, cur.lookedAt(m.Provider, m.Rev))
		return after, "", err
	}
	y := s.looking(m.Provider, customerOwner{cur.Tenant, cur.CustomerID})
	y.looks[cur.CustomerID] = &customerLook{} // it is asked for alone
	return y.refreshOne(ctx, cur, m)
}

// looking is a comparison that repairs, of one customer at one provider.
func (s *Service) looking(provider string, o customerOwner) *syncing {
	return &syncing{
		s: s, tenant: o.tenant, in: SyncInput{CustomerID: o.customer, Provider: provider, Repair: true, Limit: maxLimit},
		looks: map[string]*customerLook{}, until: time.Now().Add(syncBudget), page: DriftPage{Data: []Drift{}},
	}
}

// refreshOne compares an instrument with what one provider has of it, and writes down
// what it shows together with the mark's end.
func (y *syncing) refreshOne(ctx context.Context, cur stored, m Refresh) (stored, normalize.Code, error) {
	now := y.s.clock.at(y.s.now())
	next := cur.Record
	var found []finding
	for _, t := range cur.Tokens {
		if !y.selected(t.Provider) || !t.comparable() {
			continue
		}
		f := y.ask(ctx, cur, t)
		if f.drift.State == DriftUnreachable {
			return cur, f.drift.ErrorCode, nil
		}
		found = append(found, f)
	}
	for i := range found {
		f := &found[i]
		if f.drift.State == DriftAbsent && f.token.Status == normalize.StatusFailed {
			continue // as the record says
		}
		var err error
		if next, err = y.fold(next, f, now); err != nil {
			return cur, "", internalError("notice", err)
		}
		if f.drift.State == DriftAbsent && !f.drift.Repaired {
			return cur, normalize.NotFound, nil // it may not show yet what it has just stored
		}
		if f.present() && f.token.Role == normalize.RolePrimary && len(f.drift.Differences) == 0 {
			// As after a read: when it was seen, and in which of the provider's versions.
			if next, err = y.foldPrimary(next, f, now); err != nil {
				return cur, "", internalError("notice", err)
			}
		}
	}
	after, _, err := y.s.put(ctx, "notice", cur, next.lookedAt(m.Provider, m.Rev))
	if err == nil {
		y.followed(ctx, found)
	}
	return after, "", err
}

// lookAtCustomer compares all that a customer has at a provider, repairs what differs,
// and adopts what no record has, as a comparison with repair does. code says that the
// provider could not be asked, or that somebody's change came between.
func (s *Service) lookAtCustomer(ctx context.Context, provider string, o customerOwner) (code normalize.Code, err error) {
	if s.providers[provider] == nil {
		return normalize.ProviderUnavailable, nil
	}
	y := s.looking(provider, o)
	if err := y.lookAt(ctx, o.customer); err != nil {
		return "", err
	}
	if l := y.looks[o.customer].lists[provider]; l.err != nil && unreachable(l.err) {
		return normalize.CodeOf(l.err), nil
	}
	if err := y.unknownOf(ctx, o.customer); err != nil {
		return "", err
	}
	for after, more := "", true; more; {
		if after, more, err = y.walk(ctx, after); err != nil {
			return "", err
		}
		y.page.Counts.Instruments = 0 // another page
		y.until = time.Now().Add(syncBudget)
	}
	for _, d := range y.page.Data {
		if d.State == DriftUnreachable || d.State == DriftPresent && d.Role == normalize.RolePrimary && d.ErrorCode == normalize.Conflict {
			return d.ErrorCode, nil
		}
	}
	return "", nil
}
