package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/normalize"
)

// class is one kind of calls to a provider, with its own capacity and breaker, so
// that slow writes do not stop reads.
type class struct {
	slots    chan struct{}
	breaker  *breaker
	alarm    alarm
	inFlight atomic.Int64
	counters counters
}

func newClass(p *Provider, name string, limit int, config BreakerConfig, log *zap.Logger) *class {
	log = log.With(zap.String("provider", p.name), zap.String("class", name))
	c := &class{slots: make(chan struct{}, limit), alarm: alarm{log: log}}
	c.breaker = newBreaker(p.name+"/"+name, config, log, func() { p.afterOpen(c) })
	return c
}

// permit is an admitted call that has not been made yet. It must be ended, by run
// or by release, and is ended once: by whichever comes first.
type permit struct {
	p     *Provider
	c     *class
	tell  func(err error, took time.Duration) // the breaker
	phase atomic.Int32
	timer *time.Timer // of a trial that waits to be made; nil of another call
	over  bool
}

// The phases of a permit. The breaker gets one answer, in the step to permitTold.
const (
	permitWaiting int32 = iota // the call is not made yet
	permitCalling
	permitTold // the breaker has its answer
)

// permitWait bounds how long a half-open breaker's trial may wait for its call: the
// two store writes that can lie between. One that waits longer is not made any
// more, and makes room for another.
const permitWait = 2*storeTimeout + 2*time.Second

// hangGrace is how long after its deadline a call is taken for hung: its adapter
// ignores its context. The breaker is told so, and the place in the bulkhead stays
// taken until the call really ends.
const hangGrace = 250 * time.Millisecond

// admit takes a place in the bulkhead and asks the breaker, without waiting. It
// fails with ProviderUnavailable and NotSent.
func (p *Provider) admit(c *class) (*permit, error) {
	select {
	case c.slots <- struct{}{}:
	default:
		c.counters.refusedBulkhead.Add(1)
		return nil, p.unavailable(ReasonBulkheadFull, soon)
	}
	tell, trial, wait := c.breaker.allow()
	if tell == nil {
		<-c.slots
		c.counters.refusedBreaker.Add(1)
		return nil, p.unavailable(ReasonBreakerOpen, wait)
	}
	c.inFlight.Add(1)
	m := &permit{p: p, c: c, tell: tell}
	if trial {
		m.timer = time.AfterFunc(permitWait, func() {
			if m.phase.CompareAndSwap(permitWaiting, permitTold) {
				tell(context.Canceled, 0)
			}
		})
	}
	return m, nil
}

// begin says that the call is made now; false if it waited for too long.
func (m *permit) begin() bool {
	if m.timer != nil {
		m.timer.Stop()
	}
	return m.phase.CompareAndSwap(permitWaiting, permitCalling)
}

// hung answers the breaker for a call that is over its deadline and does not end.
func (m *permit) hung() {
	if m.phase.CompareAndSwap(permitCalling, permitTold) {
		m.tell(&normalize.Error{Code: normalize.ProviderTimeout, Outcome: normalize.Unknown, Msg: "the provider's adapter hangs"}, m.p.timeout+hangGrace)
	}
}

// release gives the place back without a call; it does nothing after the call.
func (m *permit) release() { m.end(context.Canceled, 0) }

func (m *permit) end(err error, took time.Duration) {
	if m.over {
		return
	}
	m.over = true
	if m.timer != nil {
		m.timer.Stop()
	}
	if m.phase.Swap(permitTold) != permitTold {
		m.tell(err, took)
	}
	m.c.inFlight.Add(-1)
	<-m.c.slots
}
