package main

import (
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/config"
)

// openedProvider is a provider's adapter and its HTTP client.
type openedProvider struct {
	adapter adapters.Adapter
	client  *http.Client
	from    openedFrom
}

// openedFrom is what an adapter and its client are made of. While it is the same they
// are kept, with the connections to the provider.
type openedFrom struct {
	config      adapters.Config // secrets included
	maxInFlight int
	insecure    bool
}

// openProviders makes the adapters of a configuration, by provider name, or takes them
// from those that are had. It makes no network call.
func openProviders(c *config.Config, have map[string]openedProvider) (map[string]openedProvider, error) {
	out := map[string]openedProvider{}
	for _, p := range c.Providers {
		from := openedFrom{p.Adapter, p.MaxInFlight, c.InsecureProviders}
		if had, ok := have[p.Name]; ok && reflect.DeepEqual(had.from, from) {
			out[p.Name] = had
			continue
		}
		client := adapters.NewHTTPClient(clientOptions(c, p))
		adapter, err := p.Adapter.Open(adapters.Env{HTTP: client})
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", p.Name, err)
		}
		out[p.Name] = openedProvider{adapter, client, from}
	}
	return out, nil
}

// retireAfter is when every request of the configuration before has surely ended: a
// create makes one call, and its lease is over when that may take no longer.
const retireAfter = 30 * time.Second

// retire closes the connections of clients that are no longer had. Those in flight are
// closed as they end; what a request of the configuration before opens yet, later.
func retire(before, now map[string]openedProvider) {
	for name, was := range before {
		if now[name].client == was.client {
			continue
		}
		was.client.CloseIdleConnections()
		time.AfterFunc(retireAfter, was.client.CloseIdleConnections)
	}
}

// clientOptions allow as many connections as there can be calls: reads and writes
// have max_in_flight each.
func clientOptions(c *config.Config, p config.Provider) adapters.ClientOptions {
	o := adapters.ClientOptions{MaxConns: 2 * p.MaxInFlight}
	if !c.InsecureProviders {
		o.Control = adapters.RefusePrivate
	}
	return o
}
