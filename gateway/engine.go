package gateway

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// engine is what lives as long as the process: what the generations of a Service,
// one for each configuration that was in force, have in common.
type engine struct {
	store      Store
	owner      string
	now        func() time.Time
	log        *zap.Logger
	noShare    share        // of records whose provider is not configured
	forgetful  Forgetful    // the store, if it is; nil otherwise
	vanishedAt atomic.Int64 // when a record was found to be gone, Unix microseconds
	recorder   Recorder     // nil for none
	observer   Observer
	limiter    *limiter
	clock      clock
	recent     recent
	sealer     atomic.Pointer[Sealer] // of the newest generation: all seal under its first key
	drained    *drainBoard
	events     *eventBus
	backlog    atomic.Pointer[Backlog] // as the last sweep saw it; nil before the first
	noticed    chan noticed            // what Reconcile need not wait for a sweep to see

	rotating         rotating
	unreadable       atomic.Int64 // stored values that did not open
	unreadableLogged atomic.Int64 // when one was last told of, Unix nanoseconds

	reloading sync.Mutex              // one reload at a time: each is made from the one before
	latest    atomic.Pointer[Service] // the generation in force
}

func newEngine(c Config) (*engine, error) {
	if c.Store == nil || c.Owner == "" {
		return nil, errors.New("gateway: Store and Owner are required")
	}
	e := &engine{
		owner: c.Owner, now: c.Now, log: c.Log, recorder: c.Recorder, observer: c.Observer, recent: newRecent(), drained: &drainBoard{},
		noticed: make(chan noticed, maxNoticed), events: newEventBus(),
	}
	if e.observer == nil {
		e.observer = unobserved{}
	}
	e.store = bounded{c.Store, e.observer}
	e.forgetful, _ = c.Store.(Forgetful)
	if e.now == nil {
		e.now = time.Now
	}
	if e.log == nil {
		e.log = zap.NewNop()
	}
	e.limiter = newLimiter(c.Store, e.log)
	return e, nil
}
