package gateway

import (
	"fmt"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// keyUse is the durable state of one idempotency key that was sent with a change of
// what exists already. A create needs none: its key names its record. Like a
// record it is changed only by pure functions, and written by compare-and-swap.
type keyUse struct {
	Schema    int               `json:"schema"`
	State     keyState          `json:"state"`
	Fence     uint64            `json:"fence"` // grows with every owner
	Owner     string            `json:"owner,omitempty"`
	LeaseEnd  time.Time         `json:"lease_end,omitzero"` // on the store's clock
	DigestKey string            `json:"digest_key"`
	Digest    map[string]string `json:"digest"`           // of the request; see changeDigest
	Doubt     bool              `json:"doubt,omitempty"`  // an earlier attempt may have made the change
	Answer    *keyAnswer        `json:"answer,omitempty"` // final, replayed from then on
	CreatedAt time.Time         `json:"created_at"`
}

// keyState is where a keyUse is on its way to an answer.
type keyState string

const (
	keyRunning keyState = "running" // the change was begun and may be at the provider
	keyOpen    keyState = "open"    // it ended without a final answer: the key may try again
	keyDone    keyState = "done"    // Answer is final
	keyRefused keyState = "refused" // the key is a create's: nothing was done under it here
)

// keyAnswer is the final answer to a change.
type keyAnswer struct {
	Instrument *normalize.Instrument    `json:"instrument,omitempty"`
	Provider   string                   `json:"provider,omitempty"`
	Customer   *normalize.Customer      `json:"customer,omitempty"`
	Token      *normalize.ProviderToken `json:"token,omitempty"`
	Created    bool                     `json:"created,omitempty"`
	Error      *SavedError              `json:"error,omitempty"`
}

// keyKept is how long a change's key is remembered after it was last written.
const keyKept = 24 * time.Hour

func newKeyUse(key ReferenceKey, digest map[string]string, now time.Time) keyUse {
	return keyUse{Schema: schemaVersion, State: keyOpen, DigestKey: key.ID, Digest: digest, CreatedAt: now}
}

// begin gives the key to an owner who makes the change now: OPEN or REFUSED, or
// RUNNING whose lease is over -> RUNNING. Of an owner that was lost nobody knows
// how far it came.
func (k keyUse) begin(owner string, now time.Time, lease time.Duration) (keyUse, error) {
	if k.State == keyDone || k.State == keyRunning && now.Before(k.LeaseEnd) {
		return k, fmt.Errorf("a key in state %s: begin: %w", k.State, errTransition)
	}
	k.Doubt = k.Doubt || k.State == keyRunning
	k.State, k.Owner, k.Fence, k.LeaseEnd = keyRunning, owner, k.Fence+1, now.Add(lease)
	return k, nil
}

// ended writes down what the change was answered: RUNNING -> DONE for a success or
// a definitive rejection, else OPEN.
func (k keyUse) ended(out Changed, err error) (keyUse, error) {
	if k.State != keyRunning {
		return k, fmt.Errorf("a key in state %s: end: %w", k.State, errTransition)
	}
	k.Owner, k.LeaseEnd = "", time.Time{}
	switch outcome := normalize.OutcomeOf(err); {
	case err == nil:
		k.State = keyDone
		k.Answer = &keyAnswer{Instrument: out.Instrument, Provider: out.Provider, Customer: out.Customer, Token: out.Token, Created: out.Created}
	case outcome == normalize.Rejected:
		k.State, k.Answer = keyDone, &keyAnswer{Error: savedError(asError(err))}
	default:
		k.State, k.Doubt = keyOpen, k.Doubt || outcome != normalize.NotSent
	}
	return k, nil
}

// refused gives the key back to the create that has it: RUNNING -> REFUSED.
func (k keyUse) refused() (keyUse, error) {
	if k.State != keyRunning {
		return k, fmt.Errorf("a key in state %s: refuse: %w", k.State, errTransition)
	}
	k.State, k.Owner, k.LeaseEnd = keyRefused, "", time.Time{}
	return k, nil
}

// replay is the answer that was saved.
func (a keyAnswer) replay() (Changed, error) {
	if a.Error != nil {
		e := a.Error.err()
		e.Op = "replay"
		return Changed{}, &Failure{Err: e, Replayed: true}
	}
	return Changed{Instrument: a.Instrument, Provider: a.Provider, Customer: a.Customer, Token: a.Token, Created: a.Created, Replayed: true}, nil
}

// storedKeyUse is a keyUse with its place in the store, and the version there; 0 if
// it was not written yet.
type storedKeyUse struct {
	keyUse
	entry   string
	version uint64
}
