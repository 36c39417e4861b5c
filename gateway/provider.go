package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// maxTimeout bounds a call, so that an attempt always ends well inside its lease.
const maxTimeout = 10 * time.Second

// BreakerConfig shapes a provider's circuit breakers. Zero values have defaults.
type BreakerConfig struct {
	Window              time.Duration // what the rates are measured over; default 60 s
	MinRequests         int           // fewer in the window never trip it by rate; default 20
	FailureRatio        float64       // 0–1; default 0.5
	ConsecutiveFailures int           // default 5
	OpenFor             time.Duration // how long it stays open; default 15 s
	Probes              int           // calls let through while half open; default 1
}

func (c BreakerConfig) withDefaults() BreakerConfig {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Window, time.Minute)
	def(&c.OpenFor, 15*time.Second)
	for field, v := range map[*int]int{&c.MinRequests: 20, &c.ConsecutiveFailures: 5, &c.Probes: 1} {
		if *field == 0 {
			*field = v
		}
	}
	if c.FailureRatio == 0 {
		c.FailureRatio = 0.5
	}
	return c
}

// Provider is a configured adapter: the only way out to it, with a deadline, a
// bulkhead and a breaker for reads and for writes. Optional operations are
// asserted here, before the breaker, so that a missing one costs nothing.
type Provider struct {
	name    string
	adapter adapters.Adapter
	made    ProviderConfig // what it was made from, with defaults
	timeout time.Duration
	read    *class
	write   *class
	share   share // of the reconciler
	syncs   share // of comparisons that somebody asked for
}

// withDefaults fills in what was left out.
func (c ProviderConfig) withDefaults() ProviderConfig {
	if c.Timeout <= 0 || c.Timeout > maxTimeout {
		c.Timeout = maxTimeout
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 64
	}
	c.Breaker = c.Breaker.withDefaults()
	return c
}

func newProvider(c ProviderConfig, lookUpsPerSecond float64, log *zap.Logger) *Provider {
	c = c.withDefaults()
	return &Provider{
		name: c.Name, adapter: c.Adapter, made: c, timeout: c.Timeout,
		read:  newClass(c.Name, "read", c.MaxInFlight, c.Breaker, log),
		write: newClass(c.Name, "write", c.MaxInFlight, c.Breaker, log),
		share: newShare(lookUpsPerSecond), syncs: newShare(lookUpsPerSecond),
	}
}

// Name is the configured name.
func (p *Provider) Name() string { return p.name }

// Type is the adapter's.
func (p *Provider) Type() string { return p.adapter.Type() }

// locate names the place at the provider that references point to.
func (p *Provider) locate(refs normalize.References) string {
	if l, ok := p.adapter.(adapters.Locator); ok {
		return l.Locate(refs)
	}
	return referenceText(refs, slices.Sorted(maps.Keys(refs)))
}

// class is one kind of calls to a provider, with its own capacity and breaker, so
// that slow writes do not stop reads.
type class struct {
	slots    chan struct{}
	breaker  *gobreaker.TwoStepCircuitBreaker[any]
	slow     slowRate
	openFor  time.Duration
	inFlight atomic.Int64
}

func newClass(provider, name string, limit int, c BreakerConfig, log *zap.Logger) *class {
	cl := &class{slots: make(chan struct{}, limit), openFor: c.OpenFor, slow: slowRate{window: c.Window}}
	cl.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:         provider + "/" + name,
		MaxRequests:  uint32(c.Probes), //nolint:gosec // a small configured number
		Interval:     c.Window,
		BucketPeriod: c.Window / 10,
		Timeout:      c.OpenFor,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			// Requests counts excluded ones too: a burst of rejected cards must not dilute the rate.
			judged := n.Requests - n.TotalExclusions
			return int(n.ConsecutiveFailures) >= c.ConsecutiveFailures ||
				int(judged) >= c.MinRequests && float64(n.TotalFailures) >= c.FailureRatio*float64(judged)
		},
		IsSuccessful: healthy,
		IsExcluded:   excluded,
		// It runs under the breaker's lock: zap's write is all that may happen here.
		OnStateChange: func(_ string, from, to gobreaker.State) {
			log.Warn("circuit breaker changed", zap.String("provider", provider), zap.String("class", name),
				zap.String("from", breakerState(from)), zap.String("to", breakerState(to)))
		},
	})
	return cl
}

// healthy says which results speak for the provider: successes, and definitive
// answers about the request itself.
func healthy(err error) bool {
	return err == nil || normalize.OutcomeOf(err) == normalize.Rejected
}

// excluded says which results say nothing about the provider's health: callers
// that hung up, our own credentials, its rate limit, and all that was refused
// before it was sent, be it by the adapter, the store or the gateway itself.
func excluded(err error) bool {
	if errors.Is(err, context.Canceled) {
		return true
	}
	switch normalize.CodeOf(err) {
	case normalize.ProviderMisconfigured, normalize.ProviderRateLimited:
		return true
	case normalize.ProviderUnavailable, normalize.ProviderTimeout, normalize.ProviderError, normalize.ProviderBadResponse, normalize.OutcomeUnknown:
		return false
	default:
		return normalize.OutcomeOf(err) == normalize.NotSent
	}
}

func breakerState(s gobreaker.State) string {
	switch s {
	case gobreaker.StateOpen:
		return "open"
	case gobreaker.StateHalfOpen:
		return "half_open"
	default:
		return "closed"
	}
}

// permit is an admitted call that has not been made yet. It must be ended, by run
// or by release, and is ended once: by whichever comes first.
type permit struct {
	p    *Provider
	c    *class
	done func(error)
	over bool
}

// admit takes a place in the bulkhead and asks the breaker, without waiting. It
// fails with ProviderUnavailable and NotSent.
func (p *Provider) admit(c *class) (*permit, error) {
	select {
	case c.slots <- struct{}{}:
	default:
		return nil, p.unavailable("too many calls to the provider are in flight", time.Second)
	}
	done, err := c.breaker.Allow()
	if err != nil {
		<-c.slots
		return nil, p.unavailable("the provider's circuit breaker is open: it was not called", c.openFor)
	}
	c.inFlight.Add(1)
	return &permit{p: p, c: c, done: done}, nil
}

func (p *Provider) unavailable(msg string, retry time.Duration) *normalize.Error {
	return &normalize.Error{
		Code: normalize.ProviderUnavailable, Outcome: normalize.NotSent, Msg: msg, Provider: p.name, RetryAfter: retry,
	}
}

// release gives the place back without a call; it does nothing after the call.
func (m *permit) release() { m.end(context.Canceled) }

func (m *permit) end(err error) {
	if m.over {
		return
	}
	m.over = true
	m.done(err)
	m.c.inFlight.Add(-1)
	<-m.c.slots
}

// run makes the admitted call within the provider's deadline. An adapter that
// panics has failed like any other: its place is given back, the breaker learns of
// it, and nothing is known of the effect.
func run[T any](ctx context.Context, m *permit, fn func(context.Context) (T, error)) (out T, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.p.timeout)
	defer cancel()
	start := time.Now()
	defer func() {
		if v := recover(); v != nil {
			err = named(m.p.name, panicked(v))
		}
		m.c.slow.add(time.Now(), time.Since(start) > m.p.timeout/2)
		m.end(err)
	}()
	out, err = fn(ctx)
	return out, named(m.p.name, err)
}

// panicked makes a panic an error. Its text may hold what a caller sent, so only
// the runtime's own is kept.
func panicked(v any) error {
	text := fmt.Sprintf("%T", v)
	if e, ok := v.(runtime.Error); ok {
		text = e.Error()
	}
	return &normalize.Error{
		Code: normalize.InternalError, Outcome: normalize.Unknown, Msg: "the provider's adapter failed",
		Err: fmt.Errorf("panic: %s\n%s", text, debug.Stack()),
	}
}

// call admits and runs: the way of every operation that needs no record before it.
func call[T any](ctx context.Context, p *Provider, c *class, fn func(context.Context) (T, error)) (T, error) {
	m, err := p.admit(c)
	if err != nil {
		var none T
		return none, err
	}
	return run(ctx, m, fn)
}

// named puts the provider's name on an error, once. What is not a
// [*normalize.Error] is an adapter's defect, and proves nothing.
func named(provider string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*normalize.Error](err)
	if !ok {
		return &normalize.Error{
			Code: normalize.ProviderError, Outcome: normalize.Unknown, Provider: provider, Msg: "the provider call failed", Err: err,
		}
	}
	withName := *e
	withName.Provider = provider
	return &withName
}

// as finds an optional operation of the provider's adapter.
func as[T any](p *Provider, op string) (T, error) {
	t, ok := p.adapter.(T)
	if !ok {
		return t, &normalize.Error{
			Code: normalize.UnsupportedOperation, Outcome: normalize.NotSent, Op: op, Provider: p.name,
			Msg: "the provider has no such operation",
		}
	}
	return t, nil
}

// status reports the provider's state to an operator.
func (p *Provider) status(disabled bool) ProviderStatus {
	out := ProviderStatus{
		Object: "provider", Name: p.name, Type: p.Type(), Capabilities: adapters.Capabilities(p.adapter),
		SourceTypes: []normalize.SourceType{normalize.SourceProviderReference}, Drained: disabled,
		Classes: map[string]ClassStatus{"read": p.read.status(), "write": p.write.status()},
	}
	if c, ok := p.adapter.(adapters.Creator); ok {
		out.SourceTypes = append(c.SourceTypes(), out.SourceTypes...)
	}
	return out
}

func (c *class) status() ClassStatus {
	n := c.breaker.Counts()
	out := ClassStatus{
		Breaker: breakerState(c.breaker.State()), InFlight: int(c.inFlight.Load()), Limit: cap(c.slots), Requests: n.Requests,
	}
	if judged := n.Requests - n.TotalExclusions; judged > 0 {
		out.ErrorRate = float64(n.TotalFailures) / float64(judged)
	}
	out.SlowRate = c.slow.share(time.Now())
	return out
}
