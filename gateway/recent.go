package gateway

import (
	"bytes"
	"context"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/polyvault/polyvault/adapters"
)

// recentSize is how many decoded records a gateway remembers, a few kilobytes each.
const recentSize = 4096

// recent remembers decoded records, so that one which is read again need not be
// decoded again. It is never believed: a record is used only if the store has just
// returned the very same bytes. Records are not changed in place, so one copy
// serves all readers.
type recent struct {
	cache *lru.Cache[string, remembered]
}

type remembered struct {
	value []byte
	rec   Record
}

func newRecent() recent {
	cache, err := lru.New[string, remembered](recentSize)
	if err != nil {
		panic("gateway: the size is a positive constant: " + err.Error())
	}
	return recent{cache}
}

// decode reads an entry's value, from memory if it is what was read before.
func (r recent) decode(s *Sealer, id string, value []byte) (Record, error) {
	if m, ok := r.cache.Get(id); ok && bytes.Equal(m.value, value) {
		return m.rec, nil
	}
	rec, err := s.decode(id, value)
	if err == nil {
		r.cache.Add(id, remembered{value, rec})
	}
	return rec, err
}

// guess returns what a record was when it was last read; ok is false if it was not.
func (r recent) guess(id string) (Record, bool) {
	m, ok := r.cache.Get(id)
	return m.rec, ok
}

// early is a provider call that was begun on a guess, while the store is asked for
// the record. A read changes nothing, so a wrong guess costs one call and no more.
type early struct {
	provider *Provider
	location string
	cancel   context.CancelFunc
	done     chan struct{}
	ins      adapters.Instrument
	err      error
}

// earlyLimit is how many reads of a provider may be under way for another to be
// begun early. Beyond it the processors have other work than to wait, and a
// goroutine more costs more than the store's answer takes.
const earlyLimit = 4

// askEarly begins the call for an instrument that this gateway has read lately;
// nil if it has not.
func (s *Service) askEarly(ctx context.Context, tenant, id string) *early {
	rec, ok := s.recent.guess(id)
	if !ok || rec.Tenant != tenant || !rec.live() {
		return nil
	}
	p := s.providers[rec.primary().Provider]
	if p == nil || p.read.inFlight.Load() >= earlyLimit {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &early{provider: p, location: p.locate(rec.primary().References), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		e.ins, e.err = getAt(ctx, p, rec.primary())
	}()
	return e
}

// drop ends a call whose answer is not wanted. It may be called more than once.
func (e *early) drop() {
	if e != nil {
		e.cancel()
	}
}

// answer returns the call's result if it was about the record's place; ok is false
// if there was no such call.
func (e *early) answer(rec Record) (ins adapters.Instrument, ok bool, err error) {
	t := rec.primary()
	if e == nil || e.provider.name != t.Provider || e.location != e.provider.locate(t.References) {
		return ins, false, nil
	}
	<-e.done
	return e.ins, true, e.err
}

// getAt asks a provider for the instrument that a token names.
func getAt(ctx context.Context, p *Provider, t Token) (adapters.Instrument, error) {
	return call(ctx, p, p.read, "get", func(ctx context.Context) (adapters.Instrument, error) {
		return p.adapter.Get(ctx, t.References)
	})
}
