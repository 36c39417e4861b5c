package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// run makes the admitted call, which op names, within the provider's deadline. An adapter that
// panics has failed like any other: its place is given back, the breaker learns of
// it, and nothing is known of the effect.
func run[T any](ctx context.Context, m *permit, op string, fn func(context.Context) (T, error)) (out T, err error) {
	if !m.begin() {
		m.release()
		return out, m.p.unavailable(ReasonBreakerOpen, soon)
	}
	ctx, cancel := context.WithTimeout(ctx, m.p.timeout)
	defer cancel()
	watch := time.AfterFunc(m.p.timeout+hangGrace, m.hung)
	start := time.Now()
	defer func() {
		if v := recover(); v != nil {
			err = named(m.p.name, panicked(v))
		}
		watch.Stop()
		took := time.Since(start)
		m.c.counters.called(err)
		m.p.observer.ProviderCall(ProviderCall{m.p.name, op, normalize.OutcomeOf(err), normalize.CodeOf(err), took})
		m.c.alarm.note(err)
		m.end(err, took)
	}()
	out, err = fn(ctx)
	scrub(&out)
	return out, named(m.p.name, err)
}

// call admits and runs: the way of every operation that needs no record before it.
func call[T any](ctx context.Context, p *Provider, c *class, op string, fn func(context.Context) (T, error)) (T, error) {
	m, err := p.admit(c)
	if err != nil {
		var none T
		return none, err
	}
	return run(ctx, m, op, fn)
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

// named puts the provider's name on an error, once, and takes out of it what looks
// like a card number. What is not a
// [*normalize.Error] is an adapter's defect, and proves nothing.
func named(provider string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*normalize.Error](err)
	if !ok {
		e = &normalize.Error{Code: normalize.ProviderError, Outcome: normalize.Unknown, Msg: "the provider call failed", Err: err}
	}
	withName := *e
	withName.Provider = provider
	scrubError(&withName)
	return &withName
}
