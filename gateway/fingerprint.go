package gateway

import "context"

// A fingerprint is made of a number, or of a provider's own identity of a card, which
// the gateway does not keep: after the reference key has changed it can be made anew
// only when the number comes again, or when the provider shows its identity.

// underCurrentKey is a view whose fingerprint, if an older reference key made it of this
// identity, is made with the current one.
func (s *Service) underCurrentKey(v View, identity string) (out View, renewed bool) {
	if len(s.keys) < 2 || identity == "" || v.Fingerprint == "" {
		return v, false
	}
	current := s.current().fingerprint(identity)
	if v.Fingerprint == current {
		return v, false
	}
	for _, key := range s.keys[1:] {
		if v.Fingerprint == key.fingerprint(identity) {
			v.Fingerprint = current
			return v, true
		}
	}
	return v, false
}

// renewFingerprint writes the fingerprint of an instrument whose number came again under
// the current reference key.
func (s *Service) renewFingerprint(ctx context.Context, cur stored, identity string) (stored, error) {
	if _, old := s.underCurrentKey(*cur.View, identity); !old {
		return cur, nil
	}
	return s.change(ctx, "create", cur, func(r Record) (Record, error) {
		if !r.live() {
			return r.refuse("renew the fingerprint")
		}
		view, _ := s.underCurrentKey(*r.View, identity)
		return r.changed(r.primary(), view, s.clock.at(s.now()))
	})
}
