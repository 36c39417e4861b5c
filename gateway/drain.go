package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/normalize"
)

// drainedKey is the entry that names the drained providers. All gateways share it:
// a create loads it with its own first write, so that one which begins after a
// drain was answered never goes to that provider.
const drainedKey = "ops/drained"

// Drained is why a provider takes no new instruments.
type Drained struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by,omitempty"`     // the API key's name
	Reason string    `json:"reason,omitempty"` // the operator's words
}

// drains is the entry. Providers that are not configured (any more) may be in it.
type drains struct {
	Schema    int                `json:"schema"`
	Providers map[string]Drained `json:"providers"`
	CreatedAt time.Time          `json:"created_at"` // tells two lives of the entry apart, as of a record
	UpdatedAt time.Time          `json:"updated_at"`
}

func decodeDrains(e Entry) (drains, error) {
	d := drains{Schema: clearSchema}
	if e.Version == 0 {
		return d, nil
	}
	if err := json.Unmarshal(e.Value, &d); err != nil || d.Schema != clearSchema {
		return d, fmt.Errorf("%w: the entry of the drained providers cannot be read (schema %d)", ErrStore, d.Schema)
	}
	return d, nil
}

// drainBoard is what a gateway last saw of the entry. It decides whom nothing need
// be asked about; a create looks at the store all the same.
type drainBoard struct {
	mu      sync.Mutex
	seen    map[string]Drained // never changed in place
	badSeen uint64             // the version of the last entry that could not be read
}

// see takes note of an entry and returns the drained providers. One that cannot be
// read changes nothing: a provider too many is no reason to stop all of them.
func (b *drainBoard) see(e Entry, log *zap.Logger) map[string]Drained {
	d, err := decodeDrains(e)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.seen = d.Providers
	} else if b.badSeen != e.Version {
		b.badSeen = e.Version
		log.Error("it is not known which providers are drained: those known before stay so", zap.Error(err))
	}
	return b.seen
}

func (b *drainBoard) all() map[string]Drained {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen
}

func (s *Service) isDrained(name string) bool {
	_, drained := s.drained.all()[name]
	return drained
}

// readDrains brings the board up to date.
func (s *Service) readDrains(ctx context.Context) error {
	res, err := s.loadEntries(ctx, drainedKey)
	if err != nil {
		return storeError("drained", err)
	}
	s.drained.see(res.Entries[0], s.log)
	return nil
}

// Drain takes a provider out of every gateway's routes until [Service.Undrain]. Once
// it has answered no create begins there; those under way go on, and so does all that
// is done with the instruments that the provider has. by is the API key's name.
func (s *Service) Drain(ctx context.Context, name, by string, in normalize.DrainInput) (ProviderStatus, error) {
	return s.changeDrains(ctx, "drain", name, by, in, func(d map[string]Drained, now time.Time) bool {
		next := Drained{Since: now, By: by, Reason: in.Reason}
		was, already := d[name]
		if already {
			next.Since = was.Since
		}
		d[name] = next
		return !already || was != next
	})
}

// Undrain gives a provider its place in the routes back. Other gateways notice
// within the interval of their reconciler.
func (s *Service) Undrain(ctx context.Context, name, by string, in normalize.DrainInput) (ProviderStatus, error) {
	return s.changeDrains(ctx, "undrain", name, by, in, func(d map[string]Drained, _ time.Time) bool {
		_, drained := d[name]
		delete(d, name)
		return drained
	})
}

// changeDrains applies fn and writes, again from the start when another gateway was
// faster. fn reports whether it changed anything.
func (s *Service) changeDrains(ctx context.Context, op, name, by string, in normalize.DrainInput, fn func(map[string]Drained, time.Time) bool) (ProviderStatus, error) {
	if s.providers[name] == nil {
		return ProviderStatus{}, notFound(op)
	}
	if errs := in.Validate(); len(errs) > 0 {
		return ProviderStatus{}, normalize.Invalid(errs...)
	}
	ctx = context.WithoutCancel(ctx)
	res, err := s.loadEntries(ctx, drainedKey)
	if err != nil {
		return ProviderStatus{}, storeError(op, err)
	}
	for cur, tries := res.Entries[0], 0; tries < 20; tries++ {
		d, err := decodeDrains(cur)
		if err != nil {
			return ProviderStatus{}, storeError(op, err)
		}
		now := s.clock.at(s.now())
		next := maps.Clone(d.Providers)
		if next == nil {
			next = map[string]Drained{}
		}
		if !fn(next, now) {
			s.drained.see(cur, s.log)
			return s.Provider(name)
		}
		d.Providers, d.UpdatedAt = next, now
		if d.CreatedAt.IsZero() {
			d.CreatedAt = now
		}
		value, err := json.Marshal(d)
		if err != nil {
			return ProviderStatus{}, storeError(op, err)
		}
		written, err := s.write(ctx, Write{Key: drainedKey, Expect: cur.Version, Value: value, Nonce: nonce()})
		if err != nil {
			return ProviderStatus{}, storeError(op, err)
		}
		if cur = written.Current; written.Applied {
			s.drained.see(cur, s.log)
			s.log.Warn("operator: "+op, zap.String("provider", name), zap.String("by", by), zap.String("reason", in.Reason))
			return s.Provider(name)
		}
	}
	return ProviderStatus{}, &normalize.Error{
		Code: normalize.Conflict, Outcome: normalize.NotSent, Op: op,
		Msg: "too many requests change which providers are drained", RetryAfter: time.Second,
	}
}

// drainedNow ends an attempt at a provider that turns out to be drained. Nothing was
// sent: the next candidate may be tried.
func (c *creation) drainedNow(p *Provider, cur stored) (next stored, err error) {
	e := p.unavailable(ReasonDrained, 0)
	ended, err := cur.ended(e, c.s.clock.at(c.s.now()))
	if err != nil {
		return cur, internalError("create", err)
	}
	c.noteNotSent(e)
	c.s.observer.PassedOver(p.name, ReasonDrained)
	cur.Record = ended
	return cur, nil
}

// mergedDrains is what the store should hold after the entry was found in a file.
// Of one life the later state stays. Of two, the store having lost the first, what
// either drained stays drained: an operator's word is not taken back by a loss.
func mergedDrains(have, from Entry) (next Entry, changed bool, err error) {
	if have.Version == 0 {
		return from, true, nil
	}
	a, err := decodeDrains(have)
	if err != nil {
		return have, false, err
	}
	b, err := decodeDrains(from)
	if err != nil {
		return have, false, err
	}
	if a.CreatedAt.Equal(b.CreatedAt) {
		return from, from.Version > have.Version, nil
	}
	all := maps.Clone(b.Providers)
	if all == nil {
		all = map[string]Drained{}
	}
	maps.Copy(all, a.Providers)
	if maps.Equal(all, a.Providers) && a.CreatedAt.Before(b.CreatedAt) {
		return have, false, nil
	}
	if a.Providers = all; b.CreatedAt.Before(a.CreatedAt) {
		a.CreatedAt = b.CreatedAt // so that to restore the same file again changes nothing
	}
	value, err := json.Marshal(a)
	return Entry{Value: value, Version: max(have.Version, from.Version) + 1}, true, err
}
