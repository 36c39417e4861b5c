package adaptertest

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

// prompt is how soon a call must return once its context is done.
const prompt = 3 * time.Second

// bench is one adapter on the bench: its stand-in behind a real server, a
// transport that is watched, and every error and secret that was seen.
type bench struct {
	tb      testing.TB
	h       Harness
	adapter adapters.Adapter
	base    string
	wire    *wire

	front atomic.Pointer[front]

	mu      sync.Mutex
	idle    *sync.Cond
	serving int      // requests that are being answered
	sources int      // how many were taken
	errs    []error  // every error that a call gave
	hidden  []string // what must not show up in any of them
}

// front answers the requests that match in the stand-in's place.
type front struct {
	match   func(*http.Request) bool
	handler http.HandlerFunc
}

// on makes a check of a function over a fresh bench. What holds for every call
// is verified at its end.
func on(f func(b *bench)) func(testing.TB, New) {
	return func(tb testing.TB, newHarness New) {
		tb.Helper()
		b := newBench(tb, newHarness(tb))
		f(b)
		b.settle()
		b.verifyErrors()
		b.wire.verify(tb, b.hiddenStrings())
	}
}

func newBench(tb testing.TB, h Harness) *bench {
	tb.Helper()
	require.NotNil(tb, h.OpenWith, "Harness.OpenWith is required")
	b := &bench{tb: tb, h: h, hidden: slices.Clone(h.Secrets)}
	b.idle = sync.NewCond(&b.mu)
	b.base = b.serve(http.HandlerFunc(b.ServeHTTP))
	b.wire = &wire{next: newTransport(tb)}
	b.adapter = h.OpenWith(tb, b.base, b.client(b.wire))
	return b
}

// serve starts a server that lives as long as the check.
func (b *bench) serve(h http.Handler) string {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // faults break connections on purpose
	srv.Start()
	b.tb.Cleanup(srv.Close)
	return srv.URL
}

func newTransport(tb testing.TB) *http.Transport {
	t := &http.Transport{MaxIdleConnsPerHost: 32}
	tb.Cleanup(t.CloseIdleConnections)
	return t
}

// client makes a client like [adapters.NewHTTPClient]'s around rt.
func (b *bench) client(rt http.RoundTripper) *http.Client {
	return adapters.NewHTTPClient(adapters.ClientOptions{Wrap: func(http.RoundTripper) http.RoundTripper { return rt }})
}

// ServeHTTP answers with the front, if it matches, else with the stand-in.
func (b *bench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.serves(1)
	defer b.serves(-1)
	if f := b.front.Load(); f != nil && f.match(r) {
		f.handler(w, r)
		return
	}
	b.h.Standin.ServeHTTP(w, r)
}

func (b *bench) answer(match func(*http.Request) bool, h http.HandlerFunc) {
	b.front.Store(&front{match: match, handler: h})
}

func (b *bench) serves(delta int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serving += delta
	b.idle.Broadcast()
}

// settle waits for every handler, so that the ledger is complete.
func (b *bench) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.serving > 0 {
		b.idle.Wait()
	}
}

// isCreate matches the request that stores the instrument.
func (b *bench) isCreate(r *http.Request) bool { return b.matchesCreate(r.Method, r.URL.Path) }

func (b *bench) matchesCreate(method, urlPath string) bool {
	ok, err := path.Match(b.h.CreatePath, urlPath)
	require.NoError(b.tb, err, "Harness.CreatePath")
	return ok && strings.EqualFold(method, b.h.CreateMethod)
}

func anyRequest(*http.Request) bool   { return true }
func isMutation(r *http.Request) bool { return r.Method != http.MethodGet }
func mutates(r standin.Request) bool  { return r.Method != http.MethodGet }

func is[T any](a adapters.Adapter) bool {
	_, ok := a.(T)
	return ok
}

func (b *bench) ctx() context.Context { return b.tb.Context() }

// state returns the stand-in's state once every request has been answered.
func (b *bench) state() standin.State {
	b.settle()
	return b.h.Standin.State()
}

// requests returns how many requests the stand-in has seen.
func (b *bench) requests() int { return len(b.state().Requests) }

// hide adds strings that no error, instrument or address may hold.
func (b *bench) hide(secrets ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hidden = append(b.hidden, secrets...)
}

func (b *bench) hiddenStrings() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := slices.Clone(b.hidden)
	slices.Sort(out)
	return slices.Compact(out)
}

// must returns the adapter as T, and skips the check if it is not one.
func must[T any](b *bench) T {
	b.tb.Helper()
	t, ok := b.adapter.(T)
	if !ok {
		b.tb.Skipf("the adapter has no %T", (*T)(nil))
	}
	return t
}

// live returns how many of the customer's instruments are live at the stand-in.
func (b *bench) live() int {
	n := 0
	for _, i := range b.state().Instruments {
		if i.Live {
			n++
		}
	}
	return n
}

// source takes the next source that no call has used.
func (b *bench) source() normalize.Source {
	b.tb.Helper()
	b.mu.Lock()
	n := b.sources
	b.sources++
	b.mu.Unlock()
	return b.sourceAt(n)
}

func (b *bench) sourceAt(n int) normalize.Source {
	b.tb.Helper()
	s := b.h.Source(b.tb, n)
	b.hide(secretsOf(s)...)
	return s
}

// address is one that every provider accepts, José and O'Brien included.
func address() *normalize.Address {
	return &normalize.Address{
		FirstName: "José", LastName: "O'Brien-Smith", Company: "Ñandú Ltd", Line1: "1 Main Street", Line2: "Floor 2",
		City: "Austin", Region: "TX", PostalCode: "78701", Country: "US", Email: "jose@example.com", Phone: "+15125550100",
	}
}

func (b *bench) createInput(s normalize.Source) adapters.CreateInput {
	return adapters.CreateInput{Customer: b.h.Customer, Source: s, BillingAddress: address()}
}

// create stores the next source, which must work.
func (b *bench) create() adapters.Instrument {
	b.tb.Helper()
	c := must[adapters.Creator](b)
	ins, err := c.Create(b.ctx(), b.createInput(b.source()))
	b.requireNoError(err, "create")
	require.NotEmpty(b.tb, ins.References, "a created instrument has references")
	return ins
}

// get reads an instrument, which must work.
func (b *bench) get(ref normalize.References) adapters.Instrument {
	b.tb.Helper()
	ins, err := b.adapter.Get(b.ctx(), ref)
	b.requireNoError(err, "get")
	return ins
}
