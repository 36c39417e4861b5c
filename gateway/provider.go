package gateway

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// maxTimeout bounds a call, so that an attempt always ends well inside its lease.
const maxTimeout = 10 * time.Second

// Provider is a configured adapter: the only way out to it, with a deadline, a
// bulkhead and a breaker for reads and for writes. Optional operations are
// asserted here, before the breaker, so that a missing one costs nothing.
type Provider struct {
	name     string
	adapter  adapters.Adapter
	made     ProviderConfig // what it was made from, with defaults
	timeout  time.Duration
	observer Observer
	read     *class
	write    *class
	prober   *prober // nil if the adapter has no probe
	budget   budget  // of creates that come from another provider
	share    share   // of the reconciler
	syncs    share   // of comparisons that somebody asked for
	notices  share   // of looks at what the provider gave notice of
}

// withDefaults fills in what was left out.
func (c ProviderConfig) withDefaults() ProviderConfig {
	if c.Timeout <= 0 || c.Timeout > maxTimeout {
		c.Timeout = maxTimeout
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 64
	}
	c.RetryBudget = cmp.Or(c.RetryBudget, defaultRetryBudget)
	c.Breaker = c.Breaker.withDefaults(c.Timeout)
	return c
}

func newProvider(c ProviderConfig, lookUpsPerSecond float64, observer Observer, log *zap.Logger) *Provider {
	c = c.withDefaults()
	p := &Provider{
		name: c.Name, adapter: c.Adapter, made: c, timeout: c.Timeout, observer: observer,
		budget: newBudget(c.RetryBudget), share: newShare(lookUpsPerSecond), syncs: newShare(lookUpsPerSecond), notices: newShare(lookUpsPerSecond),
	}
	if a, ok := c.Adapter.(adapters.Prober); ok {
		p.prober = newProber(a, c.Timeout)
	}
	p.read = newClass(p, "read", c.MaxInFlight, c.Breaker, log)
	p.write = newClass(p, "write", c.MaxInFlight, c.Breaker, log)
	return p
}

// close ends what the provider does by itself: it asks no more whether the
// provider has recovered. Calls that are admitted already go on.
func (p *Provider) close() {
	for _, c := range p.classes() {
		c.breaker.stop()
	}
	if p.prober != nil {
		p.prober.stop()
	}
}

func (p *Provider) classes() []*class { return []*class{p.read, p.write} }

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
