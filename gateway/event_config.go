package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// EventConfig is what all tenants' events have in common.
type EventConfig struct {
	// ExpiringBefore is how long before the end of its expiry month a card is told of as
	// expiring. Default 30 days.
	ExpiringBefore time.Duration
	// Every is how often each gateway looks for what nobody woke it for. Default 1 s.
	Every time.Duration
	// Insecure lets endpoints be http and private: for tests and stand-ins only.
	Insecure bool
}

// EventEndpoint is where a tenant wants to be told of events.
type EventEndpoint struct {
	URL string // https, without credentials; it may be known to nobody else, so that only its host is ever logged
	// Secrets sign every delivery, each with a signature of its own, so that one can be
	// exchanged while the receiver still knows the other. "whsec_" and base64 of 24–64 bytes.
	Secrets  []normalize.Secret
	Types    []EventType // default all
	Disabled bool        // it gets nothing new, and what it waits for goes on waiting
}

// CheckEndpointURL says what is wrong with an endpoint's URL; "" if nothing is.
func CheckEndpointURL(text string, insecure bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "must be a URL such as https://shop.example/hooks"
	case u.Scheme != "https" && (!insecure || u.Scheme != "http"):
		return "must be https; insecure_providers: true allows http for tests"
	case u.User != nil:
		return "must not hold credentials: the signature tells who sends"
	case u.Fragment != "":
		return "must not have a fragment, which is never sent"
	}
	return ""
}

// CheckEndpointSecret says what is wrong with a signing secret; "" if nothing is.
func CheckEndpointSecret(secret normalize.Secret) string {
	rest, ok := strings.CutPrefix(secret.Reveal(), "whsec_")
	raw, err := base64.StdEncoding.DecodeString(rest)
	if !ok || err != nil || len(raw) < 24 || len(raw) > 64 {
		return "must resolve to whsec_ and base64 of 24 to 64 bytes: make one with echo whsec_$(openssl rand -base64 32)"
	}
	return ""
}

// endpointSlots is how many deliveries one gateway makes to one endpoint at a time.
const endpointSlots = 4

// endpoint is where a tenant wants to be told of events, under one configuration.
type endpoint struct {
	tenant, id, host string
	config           EventEndpoint
	insecure         bool
	signers          []*standardwebhooks.Webhook
	client           *http.Client
	slots            chan struct{} // held by what is under way
	pumping          atomic.Bool
	gone             atomic.Bool // it answered 410: nothing is sent until the configuration changes
	counts           *endpointCounts
}

// endpointCounts outlive the configuration.
type endpointCounts struct {
	delivered, failedTries, givenUp atomic.Int64
	pending, oldest                 atomic.Int64 // as last sampled; oldest in Unix microseconds, 0 for none
}

// endpointID names an endpoint in the store: an endpoint is its URL.
func endpointID(rawURL string) string {
	sum := sha256.Sum256([]byte(rawURL))
	return "ep_" + hex.EncodeToString(sum[:8])
}

func newEndpoint(tenant string, c EventEndpoint, insecure bool) (*endpoint, error) {
	if problem := CheckEndpointURL(c.URL, insecure); problem != "" {
		return nil, errors.New("url " + problem)
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	e := &endpoint{
		tenant: tenant, id: endpointID(c.URL), host: u.Host, config: c, insecure: insecure,
		slots: make(chan struct{}, endpointSlots), counts: &endpointCounts{},
	}
	if len(c.Secrets) == 0 {
		return nil, errors.New("at least one secret is required")
	}
	for _, secret := range c.Secrets {
		if problem := CheckEndpointSecret(secret); problem != "" {
			return nil, errors.New("a secret " + problem)
		}
		signer, err := standardwebhooks.NewWebhook(secret.Reveal())
		if err != nil {
			return nil, errors.New("a secret cannot be used") // the library's error may hold a part of it
		}
		e.signers = append(e.signers, signer)
	}
	options := adapters.ClientOptions{MaxConns: endpointSlots}
	if !insecure {
		options.Control = adapters.RefusePrivate
	}
	e.client = adapters.NewHTTPClient(options)
	return e, nil
}

// addEndpoints takes over from the generation before what has not changed, and makes
// the others. One that has changed keeps what it has counted.
func (s *Service) addEndpoints(c Config, before *Service) error {
	s.eventsEvery = cmp.Or(c.Events.Every, time.Second)
	s.expiringBefore = cmp.Or(c.Events.ExpiringBefore, 30*24*time.Hour)
	for _, t := range c.Tenants {
		for i, ec := range t.Events {
			id := endpointID(ec.URL)
			if slices.ContainsFunc(s.endpoints[t.Name], func(o *endpoint) bool { return o.id == id }) {
				return fmt.Errorf("gateway: tenant %q: event endpoint %d: url is used twice", t.Name, i)
			}
			had := before.endpoint(t.Name, id)
			if had == nil || had.insecure != c.Events.Insecure || !reflect.DeepEqual(had.config, ec) {
				next, err := newEndpoint(t.Name, ec, c.Events.Insecure)
				if err != nil {
					return fmt.Errorf("gateway: tenant %q: event endpoint %d: %w", t.Name, i, err)
				}
				if had != nil {
					next.counts = had.counts
				}
				if had != nil && had.insecure == next.insecure {
					next.client = had.client // what has changed is not whom it calls
				}
				had = next
			}
			if s.endpoints == nil {
				s.endpoints = map[string][]*endpoint{}
			}
			s.endpoints[t.Name] = append(s.endpoints[t.Name], had)
		}
	}
	return nil
}

// endpoint finds one of a tenant's; nil if there is none.
func (s *Service) endpoint(tenant, id string) *endpoint {
	if s == nil {
		return nil
	}
	for _, e := range s.endpoints[tenant] {
		if e.id == id {
			return e
		}
	}
	return nil
}

// wants reports whether events of a type go there.
func (e *endpoint) wants(t EventType) bool {
	return !e.config.Disabled && (len(e.config.Types) == 0 || slices.Contains(e.config.Types, t))
}

// begin takes a slot if there is one; it must be given back with end.
func (e *endpoint) begin() bool {
	select {
	case e.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (e *endpoint) end() { <-e.slots }
