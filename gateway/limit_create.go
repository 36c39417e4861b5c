package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/normalize"
)

type addressKey struct{}

// WithAddress tells a create the address of its caller, for limits by address.
func WithAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

func addressOf(ctx context.Context) string {
	address, _ := ctx.Value(addressKey{}).(string)
	return address
}

// limit counts a create towards the tenant's limits, before anything is stored or
// sent. A create whose key was used before counts nothing and is never refused here:
// its record is returned.
func (c *creation) limit(ctx context.Context, id string) (*stored, error) {
	counts := c.counts(ctx, id)
	if len(counts) == 0 {
		return nil, nil
	}
	recs, err := c.s.load(ctx, "create", id)
	if err != nil || recs[0] != nil {
		return recs[0], err
	}
	results := c.s.limiter.count(ctx, counts...)
	over := slices.IndexFunc(results, func(r Counted) bool { return !r.OK })
	if over < 0 {
		return nil, nil
	}
	var back []Count
	for i, r := range results {
		if counted := counts[i]; r.OK && counted.Do == CountTake {
			counted.Do = CountDrop
			back = append(back, counted)
		}
	}
	if len(back) > 0 {
		c.s.limiter.count(ctx, back...)
	}
	name, why := tooMany(counts[over].Key)
	c.s.observer.Limited(c.tenant.Name, name)
	return nil, &normalize.Error{
		Code: normalize.RateLimited, Outcome: normalize.NotSent, Op: "create",
		Msg: why, RetryAfter: max(results[over].Wait, time.Second),
	}
}

const (
	declinesPrefix = "span/declines/"
	customerSpan   = "span/customer/"
	addressSpan    = "span/address/"
)

// counts are what a create counts towards, the narrowest first. One that only adopts
// what is stored already tries no card, and counts nothing.
func (c *creation) counts(ctx context.Context, id string) []Count {
	l := c.tenant.Limits
	if !slices.ContainsFunc(c.in.Sources, func(s normalize.Source) bool { return s.ProviderReference == nil }) {
		return nil
	}
	var out []Count
	if l.DeclinesPerCustomer.limits() {
		out = append(out, Count{Key: c.declines(), Span: l.DeclinesPerCustomer})
	}
	if l.CreatesPerCustomer.limits() {
		out = append(out, Count{Key: customerSpan + c.tenant.Name + "/" + c.in.CustomerID, Span: l.CreatesPerCustomer, Name: id, Do: CountTake})
	}
	if address := addressOf(ctx); address != "" && l.CreatesPerAddress.limits() {
		out = append(out, Count{Key: c.s.addressCount(c.tenant.Name, address), Span: l.CreatesPerAddress, Name: id, Do: CountTake})
	}
	return out
}

// addressCount is where the creates from an address are counted. The store has a keyed
// hash of it: from where somebody came is nobody's business who has the store.
func (s *Service) addressCount(tenant, address string) string {
	return addressSpan + tenant + "/" + hex.EncodeToString(s.current().mac("address", tenant, address)[:16])
}

func (c *creation) declines() string { return declinesPrefix + c.tenant.Name + "/" + c.in.CustomerID }

// tooMany says which limit was reached.
func tooMany(key string) (name LimitName, why string) {
	switch {
	case strings.HasPrefix(key, declinesPrefix):
		return LimitDeclinesPerCustomer, "too many of this customer's cards were declined"
	case strings.HasPrefix(key, customerSpan):
		return LimitCreatesPerCustomer, "too many instruments are being created for this customer"
	default:
		return LimitCreatesPerAddress, "too many instruments are being created from this address"
	}
}

// noteDecline counts a create that ended with a declined card. It counts once, however
// often its answer is replayed.
func (c *creation) noteDecline(ctx context.Context, id string, err error) {
	l := c.tenant.Limits.DeclinesPerCustomer
	f, ok := errors.AsType[*Failure](err)
	if !ok || !l.limits() || f.Replayed || f.Err.Code != normalize.CardDeclined {
		return
	}
	c.s.limiter.count(ctx, Count{Key: c.declines(), Span: l, Name: id, Do: CountNote})
}

// count asks the store, and this gateway's own counts if that cannot answer.
func (l *limiter) count(ctx context.Context, counts ...Count) []Counted {
	ctx = context.WithoutCancel(ctx)
	bounded, cancel := context.WithTimeout(ctx, drawTimeout)
	defer cancel()
	out, err := l.shared.Count(bounded, counts...)
	l.heard(err)
	if err == nil && len(out) == len(counts) {
		return out
	}
	if out, err = l.own.Count(ctx, counts...); err == nil {
		return out
	}
	l.log.Error("limits cannot be kept", zap.Error(err)) // of names that no store takes
	out = make([]Counted, len(counts))
	for i := range out {
		out[i].OK = true
	}
	return out
}
