package gateway

import (
	"sync/atomic"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// ProviderStatus is a provider as an operator sees it.
type ProviderStatus struct {
	Object       string                 `json:"object"` // always "provider"
	Name         string                 `json:"name"`
	Type         string                 `json:"type"`
	Capabilities []adapters.Capability  `json:"capabilities"`
	SourceTypes  []normalize.SourceType `json:"source_types"`
	Disabled     bool                   `json:"disabled"` // by the configuration
	Drained      bool                   `json:"drained"`  // by an operator, at all gateways
	DrainedSince time.Time              `json:"drained_since,omitzero"`
	DrainedBy    string                 `json:"drained_by,omitempty"`     // the API key's name
	DrainReason  string                 `json:"drained_reason,omitempty"` // the operator's words
	Alarm        *Alarm                 `json:"alarm,omitempty"`          // what needs a person; nil while all is well
	Classes      map[string]ClassStatus `json:"classes"`                  // "read" and "write"
	Counters     ProviderCounters       `json:"-"`
}

// ClassStatus is the state of one class of calls to a provider.
type ClassStatus struct {
	Breaker   string        `json:"breaker"`           // closed, half_open or open
	Since     time.Time     `json:"since"`             // when the breaker came into this state
	Reason    string        `json:"reason,omitempty"`  // why it opened; "" while it is closed
	RetryAt   time.Time     `json:"retry_at,omitzero"` // while it is open: when it may become half open
	InFlight  int           `json:"in_flight"`
	Limit     int           `json:"limit"`
	Requests  uint32        `json:"requests"`   // in the breaker's window
	ErrorRate float64       `json:"error_rate"` // 0–1, in the breaker's window
	SlowRate  float64       `json:"slow_rate"`  // 0–1: the share that was slower than slow_call, in the breaker's window
	Counters  ClassCounters `json:"-"`
}

// ProviderCounters count since the gateway started.
type ProviderCounters struct {
	ProbesOK, ProbesFailed int64
	RefusedBudget          int64 // creates over the retry budget
}

// ClassCounters count since the gateway started.
type ClassCounters struct {
	Calls           map[normalize.Outcome]int64 // that were made, by what is known of their effect
	Trips           int64                       // of the breaker: out of closed or half open
	RefusedBreaker  int64                       // calls that were not made
	RefusedBulkhead int64
	Alarms          int64 // how often an alarm began
}

// counters are a class's own, as plain numbers for whoever wants to show them.
type counters struct {
	applied, rejected, notSent, unknown atomic.Int64
	refusedBreaker, refusedBulkhead     atomic.Int64
}

// called counts a call's end.
func (c *counters) called(err error) {
	switch normalize.OutcomeOf(err) {
	case normalize.Applied:
		c.applied.Add(1)
	case normalize.Rejected:
		c.rejected.Add(1)
	case normalize.NotSent:
		c.notSent.Add(1)
	default:
		c.unknown.Add(1)
	}
}

// status reports the provider's state to an operator.
func (p *Provider) status(disabled bool, drained map[string]Drained) ProviderStatus {
	out := ProviderStatus{
		Object: "provider", Name: p.name, Type: p.Type(), Capabilities: adapters.Capabilities(p.adapter),
		SourceTypes: []normalize.SourceType{normalize.SourceProviderReference}, Disabled: disabled,
		Alarm:    both(p.write.alarm.current(), p.read.alarm.current()),
		Classes:  map[string]ClassStatus{"read": p.read.status(), "write": p.write.status()},
		Counters: ProviderCounters{RefusedBudget: p.budget.refused.Load()},
	}
	if c, ok := p.adapter.(adapters.Creator); ok {
		out.SourceTypes = append(c.SourceTypes(), out.SourceTypes...)
	}
	if d, ok := drained[p.name]; ok {
		out.Drained, out.DrainedSince, out.DrainedBy, out.DrainReason = true, d.Since, d.By, d.Reason
	}
	if p.prober != nil {
		out.Counters.ProbesOK, out.Counters.ProbesFailed = p.prober.ok.Load(), p.prober.failed.Load()
	}
	return out
}

func (c *class) status() ClassStatus {
	out := c.breaker.status()
	out.InFlight, out.Limit = int(c.inFlight.Load()), cap(c.slots)
	out.Counters = ClassCounters{
		Calls: map[normalize.Outcome]int64{
			normalize.Applied: c.counters.applied.Load(), normalize.Rejected: c.counters.rejected.Load(),
			normalize.NotSent: c.counters.notSent.Load(), normalize.Unknown: c.counters.unknown.Load(),
		},
		Trips: c.breaker.trips.Load(), RefusedBreaker: c.counters.refusedBreaker.Load(),
		RefusedBulkhead: c.counters.refusedBulkhead.Load(), Alarms: c.alarm.raised.Load(),
	}
	return out
}
