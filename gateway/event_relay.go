package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

// eventBus is what the generations have in common of the events.
type eventBus struct {
	changed chan stored // records that this gateway has just given events; when it is full the poll finds them
	outages outages
}

func newEventBus() *eventBus {
	return &eventBus{changed: make(chan stored, 256), outages: outages{down: map[string]bool{}}}
}

// The intervals of what every gateway does about events by itself.
const (
	outagesEvery     = 5 * time.Second  // what other gateways say of providers is read
	countEventsEvery = 15 * time.Second // what waits is counted
	relayGrace       = 3 * time.Second  // what another gateway may well be relaying is left to it
	relaysAtOnce     = 8                // records
)

// withEvents is next with the events of what differs from cur. Where the tenant has no
// endpoint it costs a look into a map.
func (s *Service) withEvents(cur stored, next Record) Record {
	if len(s.endpoints[next.Tenant]) == 0 {
		return next
	}
	var before Record
	if cur.version > 0 {
		before = cur.Record
	}
	return next.withEvents(before, s.clock.at(s.now()))
}

// relaySoon has the events of a record relayed. It never waits.
func (s *Service) relaySoon(rec stored) {
	if len(rec.Events) == 0 {
		return
	}
	select {
	case s.events.changed <- rec:
	default: // it is in the outbox
	}
}

// RunEvents relays and delivers events until ctx is done, each time under the
// configuration then in force: it is run once, whichever generation it is called on. It
// runs in every gateway; duplicates are possible, losses are not.
func (s *Service) RunEvents(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	relays := make(chan struct{}, relaysAtOnce)
	every := s.latest.Load().eventsEvery
	t := time.NewTicker(every)
	defer t.Stop()
	var round eventRound
	for {
		select {
		case <-ctx.Done():
			return
		case rec := <-s.events.changed:
			select {
			case relays <- struct{}{}:
			case <-ctx.Done():
				return
			}
			work.Go(func() {
				defer func() { <-relays }()
				s.latest.Load().relay(ctx, &work, rec)
			})
		case <-t.C:
			now := s.latest.Load()
			if now.eventsEvery != every {
				every = now.eventsEvery
				t.Reset(every)
			}
			if len(now.endpoints) > 0 && round.running.TryLock() {
				work.Go(func() {
					defer round.running.Unlock()
					now.eventsRound(ctx, &work, &round)
				})
			}
		}
	}
}

// eventRound remembers when what is not done in every round was done last. One runs at
// a time.
type eventRound struct {
	running                  sync.Mutex
	outages, counted, looked time.Time
}

// over reports whether it is time again, and notes that it is done now.
func over(last *time.Time, now time.Time, every time.Duration) bool {
	if now.Sub(*last) < every {
		return false
	}
	*last = now
	return true
}

// eventsRound does all that nobody wakes it for.
func (s *Service) eventsRound(ctx context.Context, work *sync.WaitGroup, round *eventRound) {
	now, err := s.nowAtStore(ctx)
	if err != nil {
		s.log.Warn("events wait for the store", zap.Error(err))
		return
	}
	count := over(&round.counted, now, countEventsEvery)
	for tenant, endpoints := range s.endpoints {
		if err := s.sweepOutbox(ctx, work, tenant, now); err != nil && ctx.Err() == nil {
			s.log.Warn("records with events could not be looked for", zap.String("tenant", tenant), zap.Error(err))
		}
		for _, e := range endpoints {
			s.pump(ctx, work, e)
			if count {
				s.countWaiting(ctx, e)
			}
		}
	}
	s.watchProviders(ctx, work, now, over(&round.outages, now, outagesEvery))
	if over(&round.looked, now, time.Minute) {
		s.keepEvents(ctx, now)
	}
}

// sweepOutbox relays what whoever changed the record did not, since it died or had too
// much to do.
func (s *Service) sweepOutbox(ctx context.Context, work *sync.WaitGroup, tenant string, now time.Time) error {
	until, after := timeKey(now.Add(-relayGrace))+"~", ""
	for range sweepPages {
		members, err := s.store.Scan(ctx, indexOutbox(tenant), after, scanPage, false)
		if err != nil {
			return storeError("events", err)
		}
		due := members
		for i, m := range members {
			if m > until {
				due = members[:i]
				break
			}
		}
		recs, err := s.loadReadable(ctx, "events", due)
		if err != nil {
			return err
		}
		for i, rec := range recs {
			switch found := (Member{indexOutbox(tenant), due[i]}); {
			case rec == nil:
			case len(rec.Events) == 0 || rec.outboxMember() != found:
				s.dropMember(ctx, *rec, found)
			default:
				s.relay(ctx, work, *rec)
			}
		}
		if len(due) < scanPage {
			return nil
		}
		after = due[len(due)-1]
	}
	return nil
}

// relay makes an entry of each of a record's events, which it has on the store from
// then on, and then takes them from the record.
func (s *Service) relay(ctx context.Context, work *sync.WaitGroup, rec stored) {
	for range 10 {
		if len(rec.Events) == 0 || len(s.endpoints[rec.Tenant]) == 0 {
			return // without endpoints they wait for some
		}
		events, now := rec.Events, s.clock.at(s.now())
		for _, p := range events {
			if err := s.emit(ctx, work, instrumentEvent(rec.Record, p, now)); err != nil {
				s.noteEvents(ctx, "an event could not be relayed yet", rec.ID, err)
				return
			}
		}
		after, _, err := s.putAsItIs(ctx, "events", rec, rec.relayed(events))
		if !errors.Is(err, errChanged) {
			s.noteEvents(ctx, "that an event was relayed could not be noted yet", rec.ID, err)
			return
		}
		rec = after
	}
}

func (s *Service) noteEvents(ctx context.Context, what, about string, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.Info(what, zap.String("about", about), zap.Error(err))
	}
}

// emit writes the entry of an event, if there is none yet, for the endpoints that want
// it. Those that have a slot free are sent it at once.
func (s *Service) emit(ctx context.Context, work *sync.WaitGroup, e event) error {
	now := s.clock.at(s.now())
	var begun []*endpoint
	for _, ep := range s.endpoints[e.Tenant] {
		if !ep.wants(e.Type) {
			continue
		}
		d := delivery{Endpoint: ep.id, Host: ep.host, State: DeliveryPending, Next: now}
		if !ep.gone.Load() && ep.begin() {
			begun = append(begun, ep)
			d.Next = now.Add(claimedFor)
		}
		e.Deliveries = append(e.Deliveries, d)
	}
	if len(e.Deliveries) == 0 {
		return nil
	}
	res, err := s.write(ctx, s.eventWrite(storedEvent{}, e))
	if err != nil || !res.Applied {
		for _, ep := range begun {
			ep.end()
		}
		if err != nil {
			return storeError("events", err)
		}
		return s.again(ctx, eventKey(e.Tenant, e.ID), res.Current)
	}
	for _, ep := range begun {
		work.Go(func() {
			defer ep.end()
			s.deliver(ctx, ep, storedEvent{e, res.Current.Version})
		})
	}
	return nil
}

// again completes the index members of an event that is there already: whoever wrote
// it may have died between two round trips.
func (s *Service) again(ctx context.Context, key string, have Entry) error {
	e, err := s.decodeEvent(key, have)
	if err != nil {
		return err
	}
	if _, err := s.write(ctx, s.eventWrite(e, e.event)); err != nil {
		return storeError("events", err)
	}
	return nil // one that somebody else has changed meanwhile has its members from them
}
