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
	clock      clock
	recent     recent
	drained    *drainBoard
	events     *eventBus
	backlog    atomic.Pointer[Backlog] // as the last sweep saw it; nil before the first

	reloading sync.Mutex              // one reload at a time: each is made from the one before
	latest    atomic.Pointer[Service] // the generation in force
}

func newEngine(c Config) (*engine, error) {
	if c.Store == nil || c.Owner == "" {
		return nil, errors.New("gateway: Store and Owner are required")
	}
	e := &engine{
		store: bounded{c.Store}, owner: c.Owner, now: c.Now, log: c.Log, recorder: c.Recorder, recent: newRecent(), drained: &drainBoard{},
		events: newEventBus(),
	}
	e.forgetful, _ = c.Store.(Forgetful)
	if e.now == nil {
		e.now = time.Now
	}
	if e.log == nil {
		e.log = zap.NewNop()
	}
	return e, nil
}
