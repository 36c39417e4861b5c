// Package httpapi is the gateway's HTTP interface: it decodes strictly what
// openapi.yaml describes, calls the gateway's service, and renders what comes
// back, errors as RFC 9457 problems. It is the only package that knows Echo.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// service is what the handlers need of [gateway.Service].
type service interface {
	Create(ctx context.Context, tenant string, in normalize.CreateInput, idempotencyKey string) (gateway.Created, error)
	Get(ctx context.Context, tenant, id string, stored bool) (gateway.Read, error)
	List(ctx context.Context, tenant string, in gateway.ListInput) (gateway.InstrumentPage, error)
	ListCustomer(ctx context.Context, tenant, customer string, limit int, cursor string) (gateway.CustomerPage, error)
	ProviderTokens(ctx context.Context, tenant, id string) ([]normalize.ProviderToken, error)
	Change(ctx context.Context, tenant, idempotencyKey string, c gateway.Change) (gateway.Changed, error)
	Import(ctx context.Context, tenant string, items []gateway.ImportItem) []gateway.ItemResult
	BulkDelete(ctx context.Context, tenant string, ids []string, scope gateway.DeleteScope) []gateway.ItemResult
	Resolve(ctx context.Context, tenant, id string, in gateway.ResolveInput) (gateway.Resolution, error)
	Sync(ctx context.Context, tenant string, in gateway.SyncInput) (gateway.DriftPage, error)
	GetCustomer(ctx context.Context, tenant, id string) (normalize.Customer, error)
	Operation(ctx context.Context, tenant, id string) (gateway.Operation, error)
	OperationByKey(ctx context.Context, tenant, idempotencyKey string) (gateway.Operation, error)
	ListOperations(ctx context.Context, tenant string, in gateway.ListOperationsInput) (gateway.OperationPage, error)
	RetryOperation(ctx context.Context, tenant, id string) (gateway.Operation, error)
	FailOperation(ctx context.Context, tenant, id string) (gateway.Operation, error)
	Providers() []gateway.ProviderStatus
	Drain(ctx context.Context, name, by string, in normalize.DrainInput) (gateway.ProviderStatus, error)
	Undrain(ctx context.Context, name, by string, in normalize.DrainInput) (gateway.ProviderStatus, error)
	Provider(name string) (gateway.ProviderStatus, error)
	Explain(ctx context.Context, tenant string, in normalize.ExplainInput) (gateway.Explanation, error)
	TakesNotices(provider string) error
	Notice(ctx context.Context, provider string, header http.Header, body []byte) error
	ListEvents(ctx context.Context, tenant string, in gateway.EventsInput) (gateway.EventPage, error)
	Event(ctx context.Context, tenant, id string) (gateway.Event, error)
	ReplayEvent(ctx context.Context, tenant, id string) (gateway.Event, error)
	ReplayEvents(ctx context.Context, tenant string, in gateway.EventsInput) (gateway.EventReplay, error)
	Ready(ctx context.Context) error
	Admit(ctx context.Context, tenant, apiKey string) gateway.Admission
}

var _ service = (*gateway.Service)(nil)

// Config is what an API is made of.
type Config struct {
	Service service
	Keys    []APIKey
	Log     *zap.Logger      // default none
	Now     func() time.Time // default time.Now
	// MaxBody bounds a request's body in bytes. Default 64 KiB.
	MaxBody int64
	// MaxImportBody bounds an import's body in bytes. Default 1 MiB.
	MaxImportBody int64
	// MaxAuthFailures is how many failed authentications one address may have in a
	// minute before they are answered with rate_limited. Requests with a valid key
	// are never refused for it: behind a proxy, everybody has the same address.
	// Default 300; negative: no limit.
	MaxAuthFailures int
	// Audit is told who did what. Default none.
	Audit AuditLog
	// Observe is told of every request once it was answered. It is called from many
	// goroutines and must return at once. Default none.
	Observe func(context.Context, Observation)
	// TraceID names the trace that a request belongs to, for the log; "" for none.
	// Default none.
	TraceID func(context.Context) string
	// TrustedProxies are the peers whose X-Forwarded-For is believed. Default none:
	// a caller's address is its connection's.
	TrustedProxies []netip.Prefix
}

// API serves the gateway's HTTP interface, under one configuration after the other. It
// is safe for concurrent use.
type API struct {
	current       atomic.Pointer[generation]
	failures      *failures
	log           *zap.Logger
	now           func() time.Time
	maxBody       int64
	maxImportBody int64
	document      document
	draining      atomic.Bool
	audit         auditor
	inFlight      atomic.Int64
	observe       func(context.Context, Observation)
	traceID       func(context.Context) string
	echo          *echo.Echo
}

var _ ServerInterface = (*API)(nil)

// New makes an API. It fails if a key is not valid, or if an operation of the
// document has no scope.
func New(c Config) (*API, error) {
	if c.Service == nil {
		return nil, errors.New("httpapi: Service is required")
	}
	keys, err := newKeyring(c.Keys)
	if err != nil {
		return nil, err
	}
	doc, err := loadDocument()
	if err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	a := &API{
		log: c.Log, now: c.Now, document: doc, observe: c.Observe, traceID: c.TraceID, maxBody: c.MaxBody, maxImportBody: c.MaxImportBody,
	}
	if a.log == nil {
		a.log = zap.NewNop()
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.maxBody == 0 {
		a.maxBody = 64 << 10
	}
	if a.maxImportBody == 0 {
		a.maxImportBody = 1 << 20
	}
	a.failures = newFailures(a.now)
	a.audit = newAuditor(c.Audit, a.now)
	door := newDoor(Door{MaxAuthFailures: c.MaxAuthFailures, TrustedProxies: c.TrustedProxies})
	a.current.Store(&generation{c.Service, keys, door, ConfigStatus{Generation: 1, LoadedAt: a.now().UTC()}})
	if err := a.register(); err != nil {
		return nil, err
	}
	return a, nil
}

// Handler returns the handler of every path.
func (a *API) Handler() http.Handler { return a.echo }

// Drain makes /readyz answer 503, so that a load balancer sends no new requests.
// Those that come all the same are served.
func (a *API) Drain() { a.draining.Store(true) }

// register builds the router. Around everything: the exchange's id, the log line,
// panics. Around each operation: authentication, scope, query.
func (a *API) register() error {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = func(r *http.Request) string { return a.current.Load().door.address(r) }
	e.HTTPErrorHandler = a.handleError
	e.Use(a.exchange, a.logged, a.recovered, refuseOptions)
	known := operations()
	around := map[string][]echo.MiddlewareFunc{}
	for _, id := range a.document.operationIDs {
		op, ok := known[id]
		if !ok {
			return fmt.Errorf("httpapi: operation %q has no scope", id)
		}
		around[id] = []echo.MiddlewareFunc{a.admit(id, op)}
	}
	RegisterHandlersWithOptions(e, a, RegisterHandlersOptions{OperationMiddlewares: around})
	a.echo = e
	return nil
}
