package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// prober asks a provider with the cheapest of its reads whether it answers, before
// customers' calls find out. Both classes of calls share one that is under way.
type prober struct {
	call       func() error // the adapter's, with a deadline
	stop       func()       // ends one that is under way, and lets no other succeed
	timeout    time.Duration
	ok, failed atomic.Int64

	mu      sync.Mutex
	running *probe // nil if none is under way
}

// probe is one question. It has no more than one at a time: while an adapter hangs
// that ignores its context, no other is asked.
type probe struct {
	done chan struct{} // closed when err is set
	err  error
}

//nolint:contextcheck,nolintlint // probes belong to the provider, not to a caller; it shows in other packages only
func newProber(a adapters.Prober, timeout time.Duration) *prober {
	life, stop := context.WithCancel(context.Background())
	return &prober{timeout: timeout, stop: stop, call: func() error {
		ctx, cancel := context.WithTimeout(life, timeout)
		defer cancel()
		return a.Probe(ctx)
	}}
}

// ask returns nil if the provider answers as it should, within the deadline of a
// call.
func (p *prober) ask() error {
	q := p.begin()
	limit := time.NewTimer(p.timeout + hangGrace)
	defer limit.Stop()
	select {
	case <-q.done:
	case <-limit.C:
		p.failed.Add(1)
		return &normalize.Error{Code: normalize.ProviderTimeout, Outcome: normalize.NotSent, Op: "probe", Msg: "the provider's adapter hangs"}
	}
	if q.err != nil {
		p.failed.Add(1)
	} else {
		p.ok.Add(1)
	}
	return q.err
}

func (p *prober) begin() *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		p.running = &probe{done: make(chan struct{})}
		go p.run(p.running)
	}
	return p.running
}

func (p *prober) run(q *probe) {
	defer func() {
		if v := recover(); v != nil {
			q.err = panicked(v)
		}
		p.mu.Lock()
		p.running = nil
		p.mu.Unlock()
		close(q.done)
	}()
	q.err = p.call()
}

// afterOpen is called when a class's breaker has been open for its time. Without a
// probe a class becomes half open by time alone, and a customer's call finds out.
func (p *Provider) afterOpen(c *class) {
	if p.prober != nil {
		if err := p.prober.ask(); err != nil {
			c.alarm.note(err)
			c.breaker.reopen("probe failed: " + string(normalize.CodeOf(err)))
			return
		}
	}
	c.breaker.halfOpen()
}
