package main

import (
	"fmt"
	"net/http"
	"reflect"
	"sync/atomic"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/config"
)

// openedProvider is a provider's adapter and its HTTP client.
type openedProvider struct {
	adapter   adapters.Adapter
	transport *retirable
	from      openedFrom
}

// openedFrom is what an adapter and its client are made of. While it is the same they
// are kept, with the connections to the provider.
type openedFrom struct {
	config      adapters.Config // secrets included
	maxInFlight int
	insecure    bool
}

// openProviders makes the adapters of a configuration, by provider name, or takes them
// from those that are had. Their requests are shown to tel. It makes no network call.
func openProviders(c *config.Config, have map[string]openedProvider, tel *telemetry) (map[string]openedProvider, error) {
	out := map[string]openedProvider{}
	for _, p := range c.Providers {
		from := openedFrom{p.Adapter, p.MaxInFlight, c.InsecureProviders}
		if had, ok := have[p.Name]; ok && reflect.DeepEqual(had.from, from) {
			out[p.Name] = had
			continue
		}
		transport := &retirable{}
		adapter, err := p.Adapter.Open(adapters.Env{HTTP: adapters.NewHTTPClient(clientOptions(c, p, tel.around(p.Name, transport.wrap)))})
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", p.Name, err)
		}
		out[p.Name] = openedProvider{adapter, transport, from}
	}
	return out, nil
}

// retire lets the connections go of those that are no longer had.
func retire(before, now map[string]openedProvider) {
	for name, was := range before {
		if now[name].transport != was.transport {
			was.transport.retire()
		}
	}
}

// retirable is a transport that can be retired: requests of the configuration before
// still use it, and none of its connections outlives them.
type retirable struct {
	http.RoundTripper
	retired atomic.Bool
}

// wrap puts it around a client's transport. It is called once, before the first request.
func (r *retirable) wrap(next http.RoundTripper) http.RoundTripper {
	r.RoundTripper = next
	return r
}

// RoundTrip implements [http.RoundTripper].
func (r *retirable) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if r.retired.Load() {
		// A transport that was told so closes connections as they come back, until it is
		// asked for one again: so the last request tells it for all.
		r.CloseIdleConnections()
	}
	return resp, err
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (r *retirable) CloseIdleConnections() {
	if c, ok := r.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (r *retirable) retire() {
	r.retired.Store(true)
	r.CloseIdleConnections()
}

// clientOptions allow as many connections as there can be calls: reads and writes
// have max_in_flight each.
func clientOptions(c *config.Config, p config.Provider, wrap func(http.RoundTripper) http.RoundTripper) adapters.ClientOptions {
	o := adapters.ClientOptions{MaxConns: 2 * p.MaxInFlight, Wrap: wrap}
	if !c.InsecureProviders {
		o.Control = adapters.RefusePrivate
	}
	return o
}
