// Package adaptertest is the conformance suite that every adapter passes: what
// the interfaces of package adapters promise, checked against the provider's
// stand-in and against answers that no provider should give.
package adaptertest

import (
	"net/http"
	"testing"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

// Harness is one provider, ready to be tested. Each subtest makes its own.
type Harness struct {
	// Standin is the provider's stand-in, empty but for Customer.
	Standin *standin.Server
	// Open opens the adapter against base, an http URL, with valid credentials
	// and the default test client.
	Open func(tb testing.TB, base string) adapters.Adapter
	// OpenWith opens it with valid credentials and the client hc, whose transport
	// the suite watches: the adapter must make every call with hc as it is.
	OpenWith func(tb testing.TB, base string, hc *http.Client) adapters.Adapter
	// OpenBadCredentials opens it with credentials that the stand-in refuses.
	OpenBadCredentials func(tb testing.TB, base string) adapters.Adapter
	// Customer is the reference of a customer that exists at the stand-in.
	Customer string
	// Source returns the n-th distinct source (a card unless the provider takes
	// none), 0 ≤ n < 200; the same n gives the same card. One-time tokens are
	// minted at the stand-in.
	Source func(tb testing.TB, n int) normalize.Source
	// Missing are well-formed references to an instrument that never existed.
	Missing normalize.References
	// CreateMethod and CreatePath match the request that stores the instrument
	// (not those that prepare it), in the form of fault.Rule.
	CreateMethod, CreatePath string
	// ErrorBody returns an error body in the provider's own form for the status.
	ErrorBody func(status int) string
	// Odd answers any request for a single instrument or a list with a valid one
	// that has unknown members, and unknown words wherever the API has an
	// enumeration (status, brand, type).
	Odd http.HandlerFunc
	// Secrets must never appear in an error: credentials, and parts of them.
	Secrets []string
	// HiddenReferences are the names of references that no list shows: they are
	// known from the create only, and a list's items are without them.
	HiddenReferences []string
	// ReadsByList says that the provider cannot read one instrument, so that Get
	// lists the customer's, and an empty JSON array from it means that there is none.
	ReadsByList bool
	// DedupesCreate says that storing the same card for the same customer again
	// answers with the instrument that was there.
	DedupesCreate bool
	// Webhooks says how the provider's webhooks are made, if it sends any.
	Webhooks *Webhooks
	// LimitsBeforeExecution says that the provider documents that a 429 is not executed.
	LimitsBeforeExecution bool
}

// Webhooks are a provider's webhooks, as its stand-in makes them.
type Webhooks struct {
	// Open opens the adapter with webhooks configured. The other ways open it without.
	Open func(tb testing.TB) adapters.Adapter
	// Make makes a webhook about an instrument, as Open's configuration expects it.
	Make func(tb testing.TB, ins adapters.Instrument, at time.Time) (http.Header, []byte)
	// Covers is what of the body the signature covers; nil if nothing is signed, and the
	// webhook has no time.
	Covers func(body []byte) []byte
}

// New makes a harness.
type New func(tb testing.TB) Harness
