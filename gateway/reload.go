package gateway

import (
	"bytes"
	"fmt"
	"reflect"
)

// Reload makes the Service of another configuration and puts it in force for
// Reconcile. It makes no network call. If the configuration cannot be used it fails,
// and nothing has changed. Of c the Store, Owner, Now, Log, Recorder and Observer are those of the
// process and are not looked at.
//
// Requests that hold an older Service end in it. A provider whose adapter is the same
// instance and whose limits and breaker are set as before goes on as it is, with its
// breakers, its calls in flight and the reconciler's share; being disabled or not, and
// what it charges, are the configuration's and no part of it.
func (s *Service) Reload(c Config) (*Service, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.latest.Load()
	if err := before.keys.mayBecome(c.Keys); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	sealer, err := NewSealer(c.Keys, c.Encryption)
	if err == nil {
		err = s.maySealWith(sealer)
	}
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	next, err := s.generation(c, before)
	if err != nil {
		return nil, err
	}
	s.sealWith(sealer)
	s.latest.Store(next)
	for name, p := range before.providers {
		if next.providers[name] != p {
			p.close()
		}
	}
	for _, p := range next.providers {
		p.share.adjust(next.reconcileRate)
		p.syncs.adjust(next.reconcileRate)
		p.notices.adjust(next.reconcileRate)
	}
	return next, nil
}

// mayBecome says why the ring may not be exchanged for another one while requests are
// being served. A create that is under way looks for its idempotency key only under the
// keys that it knows, and so does one that comes after it: each must know the other's.
func (k Keys) mayBecome(next Keys) error {
	if len(next) == 0 {
		return nil // refused for that
	}
	for _, key := range next {
		if had, ok := k.byID(key.ID); ok && !bytes.Equal(had.Secret, key.Secret) {
			return fmt.Errorf("reference key %q has another secret than before: add a new key beside it, with an id of its own", key.ID)
		}
	}
	if _, ok := k.byID(next[0].ID); !ok {
		return fmt.Errorf("reference key %q is new and cannot be the first one yet: add it behind the others first, everywhere", next[0].ID)
	}
	if _, ok := next.byID(k[0].ID); !ok {
		return fmt.Errorf("reference key %q is the one in use and cannot be left out: put another one before it first, everywhere", k[0].ID)
	}
	return nil
}

// madeFrom reports whether the provider is what newProvider would make of c, so that
// it can go on as it is.
func (p *Provider) madeFrom(c ProviderConfig) bool {
	if !reflect.ValueOf(c.Adapter).Comparable() || p.adapter != c.Adapter {
		return false
	}
	had, want := p.made, c.withDefaults()
	had.Adapter, want.Adapter = nil, nil
	had.Disabled, want.Disabled = false, false
	had.Charges, want.Charges = Charges{}, Charges{}
	return reflect.DeepEqual(had, want)
}
