package gateway

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Notices: what a provider says by itself. A notice is not believed. What it names is
// marked in the store as to be looked at, and the provider is told that it was heard;
// then the provider is asked, as a comparison asks it (refresh.go). So a notice costs
// its sender a few milliseconds, is never lost once it was answered, and an instrument
// of which a hundred things are said at once is looked at once or twice.

// noticeBudget bounds what a notice's sender waits for.
const noticeBudget = 1800 * time.Millisecond

// TakesNotices fails with NotFound unless the provider has webhooks configured.
func (s *Service) TakesNotices(provider string) error {
	_, n, err := s.notifier(provider)
	if err == nil {
		_, err = n.Notices(nil, nil, time.Time{})
	}
	return err
}

// Notice takes in a provider's webhook. When it returns nil what the webhook names was
// looked at, or is marked durably to be. It fails with NotFound if the provider has no
// webhooks configured, with InvalidWebhook if it is not the provider's, and with
// StoreUnavailable or ProviderUnavailable if it must be sent again.
func (s *Service) Notice(ctx context.Context, provider string, header http.Header, body []byte) error {
	p, n, err := s.notifier(provider)
	if err != nil {
		return err
	}
	if header == nil {
		header = http.Header{}
	}
	notices, err := n.Notices(header, body, s.now())
	switch {
	case normalize.CodeOf(err) == normalize.InvalidWebhook:
		s.observer.Noticed(p.name, NoticeRefused)
		return err
	case normalize.CodeOf(err) == normalize.NotFound:
		return err // it takes none
	case err != nil:
		s.observer.Noticed(p.name, NoticeUnreadable)
		return err
	case len(notices) == 0:
		s.observer.Noticed(p.name, NoticeEmpty)
		return nil
	}
	// Not given up when its sender is: a call that was cut short would count as the
	// provider's failure.
	type end struct {
		fresh bool
		err   error
	}
	done := make(chan end, 1)
	go func() {
		fresh, err := s.takeNotices(context.WithoutCancel(ctx), p, notices)
		done <- end{fresh, err}
	}()
	limit := time.NewTimer(noticeBudget)
	defer limit.Stop()
	var out end
	select {
	case out = <-done:
	case <-limit.C:
		out.err = notYet(nil)
	}
	result := NoticeRepeated
	switch {
	case out.err != nil:
		result = NoticeDeferred
	case out.fresh:
		result = NoticeActedUpon
	}
	s.observer.Noticed(p.name, result)
	return out.err
}

func (s *Service) notifier(provider string) (*Provider, adapters.Notifier, error) {
	p := s.providers[provider]
	if p == nil {
		return nil, nil, adapters.NoWebhooks()
	}
	n, ok := p.adapter.(adapters.Notifier)
	if !ok {
		return nil, nil, adapters.NoWebhooks()
	}
	return p, n, nil
}

// notYet asks the sender to send once more: nothing says that the notice will be acted
// upon.
func notYet(err error) error {
	return &normalize.Error{
		Code: normalize.ProviderUnavailable, Outcome: normalize.NotSent, Op: "notice", RetryAfter: 5 * time.Second,
		Msg: "the webhook cannot be acted upon now: send it again", Err: err,
	}
}

// takeNotices acts upon what a webhook says. fresh is false if all of that was done already.
func (s *Service) takeNotices(ctx context.Context, p *Provider, notices []adapters.Notice) (fresh bool, err error) {
	for _, n := range notices {
		one, err := s.takeNotice(ctx, p, n)
		if err != nil {
			return fresh, err
		}
		fresh = fresh || one
	}
	return fresh, nil
}

// takeNotice acts upon one notice, unless that was done already: then it is not fresh.
func (s *Service) takeNotice(ctx context.Context, p *Provider, n adapters.Notice) (fresh bool, err error) {
	if n.ID == "" {
		return true, s.actUpon(ctx, p, n)
	}
	entry, fresh, err := s.openNotice(ctx, p, n.ID)
	if err != nil || !fresh {
		return false, err
	}
	if err := s.actUpon(ctx, p, n); err != nil {
		s.closeNotice(ctx, entry, noticeOpen)
		return false, err
	}
	s.closeNotice(ctx, entry, noticeDone)
	return true, nil
}

// actUpon has everything that a notice names looked at.
func (s *Service) actUpon(ctx context.Context, p *Provider, n adapters.Notice) error {
	kind, name := namedInstrument, n.Instrument
	switch {
	case n.Instrument != "":
	case n.Card != "":
		kind, name = namedCard, n.Card
	default:
		return s.customerNoticed(ctx, p, n.Customer)
	}
	recs, err := s.instrumentsNamed(ctx, p, kind, name)
	if err != nil {
		return err
	}
	for _, rec := range recs {
		if i := rec.tokenAt(p.name); n.Revision > 0 && i >= 0 && rec.Tokens[i].revision() >= n.Revision {
			continue // this state of it, or a later one, was seen
		}
		if err := s.mark(ctx, rec, p.name, false); err != nil {
			return err
		}
	}
	if len(recs) == 0 && n.References != nil {
		return s.unknownNoticed(ctx, p, n)
	}
	return nil
}

// revision is the provider's version where that is a number; else 0.
func (t Token) revision() int64 {
	n, err := strconv.ParseInt(t.Version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// unknownNoticed looks at an instrument that no record has. If the provider shows it,
// and its customer is known here, the customer is looked at: what is adopted then, and
// what is not, is as in any comparison.
func (s *Service) unknownNoticed(ctx context.Context, p *Provider, n adapters.Notice) error {
	var ins adapters.Instrument
	err := s.inTurn(ctx, p, func() (err error) {
		ins, err = call(ctx, p, p.read, "get", func(ctx context.Context) (adapters.Instrument, error) { return p.adapter.Get(ctx, n.References) })
		return err
	})
	if err != nil {
		if unreachable(err) {
			return notYet(err)
		}
		return nil // there is no such instrument
	}
	owners, err := s.customersNamed(ctx, p, p.noticeNames(mergeReferences(n.References, ins.References)).Customer)
	if err != nil {
		return err
	}
	for _, o := range owners {
		// Most often it is one that the gateway itself is just storing.
		busy, err := s.store.Scan(ctx, indexOpen(o.tenant, o.customer), "", 1, false)
		if err != nil {
			return storeError("notice", err)
		}
		if len(busy) > 0 {
			continue
		}
		if err := s.markCustomer(ctx, p, o); err != nil {
			return err
		}
	}
	return nil
}

// inTurn does something at a provider when it is its turn among the notices.
func (s *Service) inTurn(ctx context.Context, p *Provider, fn func() error) error {
	turn := nonce()
	waiting, cancel := context.WithTimeout(ctx, noticeBudget)
	defer cancel()
	if err := p.notices.wait(waiting, turn); err != nil {
		return notYet(err)
	}
	defer p.notices.give(turn)
	return fn()
}

func (s *Service) customerNoticed(ctx context.Context, p *Provider, name string) error {
	owners, err := s.customersNamed(ctx, p, name)
	if err != nil {
		return err
	}
	for _, o := range owners {
		if err := s.markCustomer(ctx, p, o); err != nil {
			return err
		}
	}
	return nil
}

// markCustomer has all that a customer has at a provider looked at. One of its
// instruments keeps the mark, one that is there if any is: whoever works on another
// one would have to begin anew for it. A customer who has none is looked at now.
func (s *Service) markCustomer(ctx context.Context, p *Provider, o customerOwner) error {
	members, err := s.store.Scan(ctx, indexByCustomer(o.tenant, o.customer), "", scanPage, false)
	if err != nil {
		return storeError("notice", err)
	}
	recs, err := s.loadMembers(ctx, "notice", members)
	if err != nil {
		return err
	}
	var keeper *stored
	for _, rec := range recs {
		if rec != nil && rec.live() && rec.MirrorOf == "" && (keeper == nil || keeper.tokenAt(p.name) < 0 && rec.tokenAt(p.name) >= 0) {
			keeper = rec
		}
	}
	if keeper != nil {
		return s.mark(ctx, *keeper, p.name, true)
	}
	return s.inTurn(ctx, p, func() error {
		if code, err := s.lookAtCustomer(ctx, p.name, o); code != "" || err != nil {
			return notYet(err)
		}
		return nil
	})
}

// mark notes in a record that its provider is to be asked, and has Reconcile do it.
func (s *Service) mark(ctx context.Context, cur stored, provider string, whole bool) error {
	now := s.clock.at(s.now())
	var asked Refresh
	_, err := s.change(ctx, "notice", cur, func(r Record) (next Record, err error) {
		next, asked, err = r.refreshing(provider, whole, now)
		return next, err
	})
	if normalize.CodeOf(err) == normalize.InstrumentDeleted {
		return nil // there is nothing to look at any more
	}
	if err != nil {
		return err
	}
	if asked.NextAt.Equal(now.Add(noticeGrace)) { // else somebody is at it
		select {
		case s.noticed <- noticed{cur.ID, provider, asked.NextAt}:
		default: // a sweep will see it
		}
	}
	s.log.Debug("a provider gave notice", zap.String("provider", provider), zap.String("instrument", cur.ID), zap.Bool("customer", whole))
	return nil
}
