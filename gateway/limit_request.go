package gateway

import (
	"context"
	"sync"
	"time"
)

// gate is where a tenant's requests are let through.
type gate struct {
	limiter *limiter
	name    string
	limits  Limits
	tenant  *tap     // nil: no limit
	keys    sync.Map // by the key's name: *tap
}

// gates are those of the tenants that have rates.
func (l *limiter) gates(tenants map[string]Tenant) map[string]*gate {
	out := map[string]*gate{}
	for name, t := range tenants {
		g := &gate{limiter: l, name: name, limits: t.Limits}
		if t.Limits.Tenant.limits() {
			g.tenant = l.tap("rate/tenant/"+name, t.Limits.Tenant)
		}
		if g.tenant != nil || t.Limits.Key.limits() {
			out[name] = g
		}
	}
	return out
}

func (g *gate) key(name string) *tap {
	if t, ok := g.keys.Load(name); ok {
		return t.(*tap) //nolint:forcetypeassert,errcheck // keys holds nothing else
	}
	t := g.limiter.tap("rate/key/"+g.name+"/"+name, g.limits.Key)
	g.keys.Store(name, t)
	return t
}

// Quota is a rate that applies to a request, and what is left of it.
type Quota struct {
	Name string // "key" or "tenant"
	Rate Rate
	Left int           // requests that may come at once now; an estimate
	Full time.Duration // until they are the whole burst again
}

// Admission says whether a request may be served.
type Admission struct {
	Wait   time.Duration // above 0: it may not, and may come again then
	Over   string        // the name of the quota that is used up; "" if Wait is 0
	quotas [2]Quota
	n      int
}

// Quotas are the rates that apply; none if there is no limit.
func (a *Admission) Quotas() []Quota { return a.quotas[:a.n] }

func (a *Admission) through(ctx context.Context, name string, t *tap) {
	if a.Wait == 0 {
		if a.Wait = t.take(ctx); a.Wait > 0 {
			a.Over = name
		}
	}
	q := Quota{Name: name, Rate: t.rate}
	q.Left, q.Full = t.remaining()
	if a.Over == name {
		q.Left = 0
	}
	a.quotas[a.n] = q
	a.n++
}

// Admit counts a request of an API key of a tenant towards their rates. It comes before
// anything else that the request does.
func (s *Service) Admit(ctx context.Context, tenant, apiKey string) Admission {
	var a Admission
	g := s.gates[tenant]
	if g == nil {
		return a
	}
	// The key comes first, so that one that is over its own rate uses up nothing of
	// what the tenant's other keys share.
	if g.limits.Key.limits() {
		a.through(ctx, "key", g.key(apiKey))
	}
	if g.tenant != nil {
		a.through(ctx, "tenant", g.tenant)
	}
	if a.Wait > 0 {
		s.observer.Limited(tenant, LimitName(a.Over))
	}
	return a
}
