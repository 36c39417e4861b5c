package gateway_test

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// verb is what a client asks for.
type verb string

const (
	create     verb = "create"
	get        verb = "get"
	list       verb = "list"
	update     verb = "update"
	remove     verb = "delete"
	deactivate verb = "deactivate"
	operation  verb = "operation"
)

// request is one request of a client; a retry is the same one again.
type request struct {
	verb             verb
	tenant, customer string
	key              string // of a create
	target           string // an instrument's id
	in               normalize.CreateInput
	body             string // names in, to tell one body from another
	number           int    // of the card that a create brings
	patch            normalize.UpdateInput
}

func (r request) String() string {
	return fmt.Sprintf("%s %s%s %s", r.verb, r.key, r.target, r.body)
}

// answer is what a gateway answered to a request.
type answer struct {
	request
	gw   *gate
	done chan struct{} // closed with the answer
	id   string        // of the instrument
	ids  []string      // of a list
	op   *gateway.Operation
	ins  normalize.Instrument
	err  error
}

func (a *answer) finished() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// final says that the request has its answer, and asking again would only repeat it.
func (a *answer) final() bool {
	return a.finished() && a.op == nil && (a.err == nil || normalize.OutcomeOf(a.err) == normalize.Rejected ||
		normalize.CodeOf(a.err) == normalize.IdempotencyKeyReused)
}

// clients are everybody who talks to the gateways, and what they were told.
type clients struct {
	w       *galaxy
	outside *gate // where no fault happens
	running int
	open    chan struct{} // closed at the end
	mu      sync.Mutex
	answers []*answer
	sent    map[string]map[string]bool // key to the bodies that were sent with it
	cards   map[string]map[string]bool // a card's last four digits to the keys that brought it
	acked   map[string]*answer         // key to the first success
	shown   map[string]string          // instruments that were ever shown, to their tenants
	going   map[string]bool            // whose deletion was asked for
	gone    map[string]bool            // whose deletion was answered
	planted map[string]int             // a card's last four digits to how often it was stored behind the gateways' backs
	found   normalize.References       // where the last of those is
	wrong   []string                   // promises broken while running
}

const clientPoint = "client"

// patience is how long a client waits: longer than a lease and two look-ups take, and
// not as long as a gateway is frozen, so that it goes to another one meanwhile.
const patience = 40 * time.Second

func newClients(w *galaxy) *clients {
	return &clients{
		w: w, outside: &gate{w: w, name: clientPoint}, open: make(chan struct{}),
		sent: map[string]map[string]bool{}, cards: map[string]map[string]bool{}, acked: map[string]*answer{},
		shown: map[string]string{}, going: map[string]bool{}, gone: map[string]bool{}, planted: map[string]int{},
	}
}

func keyOf(r request) string { return r.tenant + "/" + r.key }

// script runs a client that does steps; the schedule decides when it goes on.
func (c *clients) script(name string, steps func(ctx context.Context)) {
	c.mu.Lock()
	c.running++
	c.mu.Unlock()
	ctx := acting(context.Background(), name)
	go func() {
		defer func() {
			c.mu.Lock()
			c.running--
			c.mu.Unlock()
			c.w.nudge()
		}()
		steps(ctx)
	}()
}

func (c *clients) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running == 0
}

// answered counts the answers.
func (c *clients) answered() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.answers {
		if a.final() {
			n++
		}
	}
	return n
}

// ask sends a request to a gateway and waits for its answer, for as long as a
// client does. The answer is not finished if the gateway died, or took too long.
func (c *clients) ask(ctx context.Context, g *gate, r request) *answer {
	c.outside.pass(ctx, point{what: clientPoint})
	a := &answer{request: r, gw: g, done: make(chan struct{})}
	c.began(a)
	name, _ := ctx.Value(actorKey{}).(string)
	go func() {
		finished := false
		defer func() {
			if finished {
				c.learned(a)
				close(a.done)
				c.w.nudge()
			}
		}()
		a.do(acting(context.Background(), name+" at "+g.name))
		finished = true
	}()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-a.done:
	case <-g.gone:
		c.w.note("%s: %v: the connection to %s broke", name, r, g.name)
	case <-t.C:
		c.w.note("%s: %v: gave up", name, r)
	case <-c.open:
	}
	return a
}

// insist sends a request until it has its answer, each time to the next gateway;
// nil if it never gets one.
func (c *clients) insist(ctx context.Context, first int, r request) *answer {
	wait := 250 * time.Millisecond
	for i := range 14 {
		if a := c.ask(ctx, c.w.gate(first+i), r); a.final() {
			return a
		}
		c.sleep(wait)
		wait = min(2*wait, proofLease)
	}
	return nil
}

func (c *clients) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.open:
	}
}

func (a *answer) do(ctx context.Context) {
	s := a.gw.svc
	switch r := a.request; r.verb {
	case create:
		var out gateway.Created
		if out, a.err = s.Create(ctx, r.tenant, r.in, r.key); a.err == nil {
			a.op, a.ins, a.id = out.Operation, out.Instrument, out.Instrument.ID
		}
	case get:
		var out gateway.Read
		out, a.err = s.Get(ctx, r.tenant, r.target, false)
		a.ins, a.id = out.Instrument, out.Instrument.ID
	case list:
		var out gateway.CustomerPage
		out, a.err = s.ListCustomer(ctx, r.tenant, r.customer, 100, "")
		for _, ins := range out.Data {
			a.ids = append(a.ids, ins.ID)
		}
	case update:
		var out gateway.Read
		out, a.err = s.Update(ctx, r.tenant, r.target, r.patch)
		a.ins, a.id = out.Instrument, out.Instrument.ID
	case deactivate:
		_, a.err = s.Deactivate(ctx, r.tenant, r.target)
	case remove:
		a.err = s.Delete(ctx, r.tenant, r.target, gateway.ScopeProvider)
	case operation:
		_, a.err = s.OperationByKey(ctx, r.tenant, r.key)
	}
}

// began notes what is sent, before it is.
func (c *clients) began(a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = append(c.answers, a)
	put := func(m map[string]map[string]bool, k, v string) {
		if m[k] == nil {
			m[k] = map[string]bool{}
		}
		m[k][v] = true
	}
	switch a.verb {
	case create:
		put(c.sent, keyOf(a.request), a.body)
		put(c.cards, last4(a.number), keyOf(a.request))
	case remove:
		c.going[a.target] = true
	default:
	}
}

// learned notes what was answered, and what it breaks.
func (c *clients) learned(a *answer) {
	c.w.note("%v at %s: id=%s op=%v err=%v", a.request, a.gw.name, a.id, a.op != nil, a.err)
	c.mu.Lock()
	defer c.mu.Unlock()
	wrong := func(format string, args ...any) { c.wrong = append(c.wrong, fmt.Sprintf(format, args...)) }
	code := normalize.CodeOf(a.err)
	switch a.verb {
	case create:
		if a.err != nil || a.op != nil {
			return
		}
		first := c.acked[keyOf(a.request)]
		switch {
		case first == nil:
			c.acked[keyOf(a.request)] = a
		case first.body != a.body:
			wrong("M: key %s was accepted with body %s and with body %s", a.key, first.body, a.body)
		case first.id != a.id:
			wrong("X: key %s was answered with %s and with %s", a.key, first.id, a.id)
		case !reflect.DeepEqual(first.ins, a.ins):
			wrong("M: key %s was answered with %+v and with %+v", a.key, first.ins, a.ins)
		}
		c.shown[a.id] = a.tenant
	case get, update, deactivate:
		asked := a.target
		if a.err == nil {
			c.shown[asked] = a.tenant
			return
		}
		if (code == normalize.NotFound || code == normalize.InstrumentDeleted) && !c.going[asked] {
			wrong("L: %s of %s, which nobody deleted: %v", a.verb, asked, a.err)
		}
	case list:
		for _, id := range a.ids {
			c.shown[id] = a.tenant
		}
	case remove:
		if a.err == nil {
			c.gone[a.target] = true
		}
	case operation:
	}
}

// last4 are the last digits of card n.
func last4(n int) string { return normalize.Last4Of(adaptertest.CardNumber(n)) }
