// Package gateway is the middle of polyvault: the use cases of the API over
// providers and a store. It names no provider and no database.
package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Config is what a Service is made of.
type Config struct {
	Store Store
	Keys  Keys
	// Encryption is the ring that stored values are sealed under; without one the keys
	// are derived from Keys. See EncryptionKeys.
	Encryption EncryptionKeys
	Providers  []ProviderConfig
	Routes     []Route
	Tenants    []Tenant
	Owner      string           // names this gateway in leases; must differ between gateways
	Now        func() time.Time // default time.Now
	Log        *zap.Logger      // default none
	// StaleIfError is how old a stored view may be to be served while its provider
	// is down. Default 24 h; negative serves none.
	StaleIfError time.Duration
	Lease        time.Duration // how long an attempt is left alone; default 30 s
	// ReconcileEvery is how often Reconcile looks for work; default 1 s.
	ReconcileEvery time.Duration
	// ReconcileRate bounds how many records a second this gateway's Reconcile settles
	// at each provider; default 20.
	ReconcileRate float64
	// Settle is how long a provider may take to show what it stored: absence is
	// proved by two look-ups this far apart. Default 2 s.
	Settle time.Duration
	// PromoteDefault lets a delete of a customer's default instrument make another
	// one the default first. False refuses such a delete.
	PromoteDefault bool
	Recorder       Recorder // takes down what is decided; default none
	Observer       Observer // is told what is done, for metrics; default none
	Events         EventConfig
}

// ProviderConfig is one configured provider.
type ProviderConfig struct {
	Name        string
	Adapter     adapters.Adapter
	Timeout     time.Duration // per call; default 10 s, which is also the most
	MaxInFlight int           // calls at the same time, each for reads and for writes; default 64
	Breaker     BreakerConfig
	Disabled    bool // never chosen for new instruments; those it has stay readable
	Charges     Charges
	// RetryBudget is how many creates a second may come here after they were tried at
	// another provider. Default 100.
	RetryBudget float64
}

// Tenant is one merchant behind the gateway.
type Tenant struct {
	Name          string
	AcceptRawCard bool
	Duplicates    Duplicates // default DuplicatesUpdate
	Limits        Limits
	Events        []EventEndpoint
}

// Duplicates says what storing the same card for the same customer again does.
type Duplicates string

// The duplicate rules.
const (
	DuplicatesUpdate Duplicates = "update" // the instrument that was there is updated and answered
	DuplicatesAllow  Duplicates = "allow"  // another instrument is stored, where the provider does that
)

// Service is the gateway's use cases under one configuration: a generation. It never
// changes; Reload makes the next one. It is safe for concurrent use.
type Service struct {
	*engine
	keys           Keys
	providers      map[string]*Provider
	order          []string        // provider names as configured
	disabled       map[string]bool // provider names
	charges        map[string]Charges
	routes         []Route
	tenants        map[string]Tenant
	gates          map[string]*gate // of tenants that have rates
	staleIfError   time.Duration
	lease          time.Duration
	promoteDefault bool
	reconcileEvery time.Duration
	reconcileRate  float64
	settleTime     time.Duration
	endpoints      map[string][]*endpoint // by tenant; nil where nobody wants events
	expiringBefore time.Duration
	eventsEvery    time.Duration
}

// New makes a Service, the first generation. It makes no network call.
func New(c Config) (*Service, error) {
	e, err := newEngine(c)
	if err != nil {
		return nil, err
	}
	s, err := e.generation(c, nil)
	if err != nil {
		return nil, err
	}
	sealer, err := NewSealer(c.Keys, c.Encryption)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	e.sealer.Store(sealer)
	e.rotating.from(e.now())
	e.latest.Store(s)
	return s, nil
}

// generation makes the Service of a configuration. What of the one before can go on
// does; before is nil for the first.
func (e *engine) generation(c Config, before *Service) (*Service, error) {
	if err := c.Keys.Validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s := &Service{
		engine: e, keys: c.Keys, routes: c.Routes, staleIfError: c.StaleIfError, promoteDefault: c.PromoteDefault,
		lease: cmp.Or(c.Lease, 30*time.Second), reconcileRate: cmp.Or(c.ReconcileRate, 20),
		providers: map[string]*Provider{}, disabled: map[string]bool{}, charges: map[string]Charges{}, tenants: map[string]Tenant{},
	}
	if s.staleIfError == 0 {
		s.staleIfError = 24 * time.Hour
	}
	if s.reconcileEvery = c.ReconcileEvery; s.reconcileEvery <= 0 {
		s.reconcileEvery = time.Second
	}
	if s.settleTime = c.Settle; s.settleTime <= 0 {
		s.settleTime = 2 * time.Second
	}
	if err := s.addProviders(c.Providers, before); err != nil {
		return nil, err
	}
	for _, t := range c.Tenants {
		if t.Duplicates == "" {
			t.Duplicates = DuplicatesUpdate
		}
		s.tenants[t.Name] = t
	}
	s.gates = s.limiter.gates(s.tenants)
	if err := s.addEndpoints(c, before); err != nil {
		return nil, err
	}
	for _, r := range c.Routes {
		if err := r.check(func(name string) bool { return s.providers[name] != nil }); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// addProviders takes over from the generation before what has not changed, and makes
// the others.
func (s *Service) addProviders(configs []ProviderConfig, before *Service) error {
	for _, pc := range configs {
		if _, dup := s.providers[pc.Name]; dup || pc.Name == "" || pc.Adapter == nil {
			return fmt.Errorf("gateway: provider %q must have a name of its own and an adapter", pc.Name)
		}
		var p *Provider
		if before != nil {
			p = before.providers[pc.Name]
		}
		if p == nil || !p.madeFrom(pc) {
			p = newProvider(pc, s.reconcileRate, s.observer, s.log)
		}
		if s.lease < p.timeout+leaseMargin {
			return fmt.Errorf("gateway: a lease of %v is too short for provider %q, whose calls take up to %v", s.lease, p.name, p.timeout)
		}
		s.providers[pc.Name], s.disabled[pc.Name], s.charges[pc.Name] = p, pc.Disabled, pc.Charges
		s.order = append(s.order, pc.Name)
	}
	return nil
}

// Close ends what the service does by itself, Reconcile aside. Requests that are
// under way go on.
func (s *Service) Close() {
	for _, p := range s.latest.Load().providers {
		p.close()
	}
}

// leaseMargin is how much longer than a provider's call a lease is at least.
const leaseMargin = time.Second

// tenant returns a tenant's rules; one that is not configured gets the strictest.
func (s *Service) tenant(name string) Tenant {
	if t, ok := s.tenants[name]; ok {
		return t
	}
	return Tenant{Name: name, Duplicates: DuplicatesUpdate}
}

// current is the reference key that new ids are made with.
func (s *Service) current() ReferenceKey { return s.keys[0] }

// storeError turns a store's failure into the caller's: nothing was sent.
func storeError(op string, err error) *normalize.Error {
	msg := "the gateway's store cannot answer: nothing was sent to a provider"
	if errors.Is(err, ErrUnreadable) {
		msg = "what the gateway's store holds cannot be opened: nothing was sent to a provider"
	}
	return &normalize.Error{
		Code: normalize.StoreUnavailable, Outcome: normalize.NotSent, Op: op, Msg: msg, RetryAfter: time.Second, Err: err,
	}
}

// afterEffect is a failure to record what the provider has done: it must not read as
// if nothing had happened.
func afterEffect(err error) error {
	gone := normalize.CodeOf(err) == normalize.InstrumentDeleted
	if err == nil || normalize.OutcomeOf(err) != normalize.NotSent && !gone {
		return err
	}
	out := *asError(err)
	out.Outcome, out.Msg = normalize.Applied, "the provider did it, but the gateway could not record that: send the request again"
	if gone {
		out.Msg = "the provider did it, but the instrument was deleted meanwhile"
	}
	return &out
}

func notFound(op string) *normalize.Error {
	return &normalize.Error{Code: normalize.NotFound, Outcome: normalize.Rejected, Op: op, Msg: "there is no such resource"}
}
