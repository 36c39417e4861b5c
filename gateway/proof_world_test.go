package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/gateway"
)

// galaxy is some gateways over one store and three providers, in a synctest bubble.
type galaxy struct {
	*schedule
	store    *model
	standins map[string]*standin.Server
	gates    []*gate // where clients go
	all      []*gate // and the dead ones
	made     int
	log      *logged
	underWay atomic.Int32 // requests that nobody waits for
	minted   atomic.Int32 // one-time tokens
	limited  bool         // the run ended in the known limit
	clients  *clients
}

// gate is one gateway process.
type gate struct {
	w      *galaxy
	name   string
	svc    *gateway.Service
	dead   bool
	gone   chan struct{} // closed once it is dead
	frozen time.Time     // until then
	stop   context.CancelFunc
}

// The tenants: one updates duplicates, one allows them.
const (
	updating = "updating"
	allowing = "allowing"
)

const (
	proofLease  = 30 * time.Second
	proofSettle = 2 * time.Second
	anHour      = time.Hour
)

// newGalaxy makes n gateways; skew is how far the first one's clock is off.
func newGalaxy(n int, skew time.Duration) *galaxy {
	w := &galaxy{schedule: newSchedule(), store: newModel(), standins: newStandins(), log: &logged{}}
	w.clients = newClients(w)
	w.crashed = func(dead *gate) {
		close(dead.gone)
		next := w.start(0)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.gates[slices.Index(w.gates, dead)] = next
	}
	for i := range n {
		if i > 0 {
			skew = 0
		}
		w.gates = append(w.gates, w.start(skew))
	}
	return w
}

// start starts a gateway under a name that none had before.
func (w *galaxy) start(skew time.Duration) *gate {
	w.made++
	g := &gate{w: w, name: fmt.Sprintf("gateway-%d", w.made), gone: make(chan struct{})}
	w.all = append(w.all, g)
	now := func() time.Time { return time.Now().Add(skew) }
	c := gateway.Config{
		Store: door{m: w.store, gw: g}, Owner: g.name, Now: now, Log: w.log.logger(), PromoteDefault: true,
		Keys: proofKeys(),
		Routes: []gateway.Route{
			{Name: "mirrored", Match: gateway.Match{Metadata: mirrored()}, Providers: []string{cyb, big}, Mirrors: []string{reb, big}},
			{Name: "all", Providers: providers()},
		},
		Tenants: []gateway.Tenant{
			{Name: updating, AcceptRawCard: true, Events: endpoints()},
			{Name: allowing, AcceptRawCard: true, Duplicates: gateway.DuplicatesAllow, Events: endpoints()},
		},
		Lease: proofLease, Settle: proofSettle, ReconcileEvery: 2 * time.Second,
	}
	for _, name := range providers() {
		hc := wire{provider: name, standin: w.standins[name], gw: g}.client()
		a, err := adapterConfigs()[name].Open(adapters.Env{HTTP: hc, Now: now})
		if err != nil {
			panic(err)
		}
		c.Providers = append(c.Providers, gateway.ProviderConfig{Name: name, Adapter: a})
	}
	svc, err := gateway.New(c)
	if err != nil {
		panic(err)
	}
	g.svc = svc
	ctx, stop := context.WithCancel(acting(context.Background(), g.name+" reconciler"))
	g.stop = stop
	go svc.Reconcile(ctx)
	return g
}

// mirrored is the metadata of what is stored with mirrors.
func mirrored() map[string][]string { return map[string][]string{"mirrored": {"yes"}} }

// gate is the i-th gateway that lives, counted around.
func (w *galaxy) gate(i int) *gate {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gates[i%len(w.gates)]
}

// close ends every goroutine of the galaxy, so that its bubble can end.
func (w *galaxy) close() {
	for _, g := range w.all {
		g.stop()
	}
	w.end()
	time.Sleep(time.Minute) // longer than anything waits on its way to the next point
}

// logged is what the gateways log, for a search.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements [io.Writer].
func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// Sync implements [zapcore.WriteSyncer].
func (l *logged) Sync() error { return nil }

func (l *logged) logger() *zap.Logger {
	conf := zap.NewProductionEncoderConfig()
	conf.EncodeTime = zapcore.ISO8601TimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(conf), l, zapcore.DebugLevel))
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func proofKeys() gateway.Keys {
	return gateway.Keys{{ID: "k1", Secret: []byte("not a secret, but 32 bytes of it")}}
}
