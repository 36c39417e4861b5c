// Package rebillytest is a stateful stand-in for Rebilly's API: payment
// instruments, tokens and customers, with the limits, errors and headers that
// the provider documents. It keeps no card or account number, only a keyed hash
// and a mask.
//
// What Rebilly does not document is a member of [Options]. The stand-in shares no
// code with the adapter, so that a wrong belief is not shared either.
package rebillytest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

// The default credentials.
const (
	Organization   = "org_sandbox"
	SecretKey      = "sk_sandbox_polyvault" //nolint:gosec // the stand-in's own
	PublishableKey = "pk_sandbox_polyvault" //nolint:gosec // the stand-in's own
)

// Headers says which generation of rate-limit headers is sent.
type Headers string

// The generations.
const (
	CurrentHeaders Headers = "current" // X-RateLimit-Limit and -Remaining on changes, X-RateLimit-Retry-After on 429
	LegacyHeaders  Headers = "legacy"  // Rate-Limit-Limit, -Remaining and -Reset, until 2021
	BothHeaders    Headers = "both"
	NoHeaders      Headers = "none" // as documented between 2021 and 2024
)

// Options shape the stand-in. The zero value is Rebilly as it is documented today.
type Options struct {
	Organization   string           // default "org_sandbox"; also the key's own, for calls that name none
	SecretKey      string           // default "sk_sandbox_polyvault"
	PublishableKey string           // default "pk_sandbox_polyvault"
	Now            func() time.Time // default time.Now

	// RateLimit is how many changes are allowed in 10 minutes; 0 means any number.
	RateLimit int
	// RateHeaders is the generation of the headers; default CurrentHeaders.
	RateHeaders Headers
	// OffsetLimit is the largest offset; 0 means 1000, negative none (2021).
	OffsetLimit int
	// CustomFields are the declared keys of customFields; others are refused.
	CustomFields []string

	// The rest chooses among what is not documented.

	// NoExpand ignores expand on everything but collections.
	NoExpand bool
	// EmbeddedList sends _embedded as a list of objects, as in 2021.
	EmbeddedList bool
	// DefaultAsObject is a server from before 2026-08: the default is written as
	// an object, and defaultPaymentInstrumentId is ignored.
	DefaultAsObject bool
	// EmptySeeOther answers 303 without a body.
	EmptySeeOther bool
	// EmptyDeactivation answers a deactivation with 204 and no body.
	EmptyDeactivation bool
	// AllowRepeatedDeactivation answers 201 for an instrument that is deactivated already; default 409.
	AllowRepeatedDeactivation bool
	// ProtectDefault refuses to deactivate the customer's default with 409; default: the customer has none afterwards.
	ProtectDefault bool
	// MergeAddress merges billingAddress in a PATCH; default: it replaces.
	MergeAddress bool
	// InvalidFieldsMap sends invalidFields as an object of lists.
	InvalidFieldsMap bool
}

// provider is the state. One mutex guards all of it.
type provider struct {
	opts    Options
	secrets *standin.Secrets // that the API key may be

	mu          sync.Mutex
	key         []byte        // for hashes of card and account numbers
	instruments []*instrument // in the order in which they were made
	byID        map[string]*instrument
	byCustomer  map[string][]*instrument
	customers   map[string]*customer
	tokens      []*token
	tokenByID   map[string]*token
	sequence    int // of customers, for a stable order
	changes     int // in the current rate window
	windowEnd   time.Time
}

// New makes a stand-in with nothing in it.
func New(o Options) *standin.Server {
	if o.Organization == "" {
		o.Organization = Organization
	}
	if o.SecretKey == "" {
		o.SecretKey = SecretKey
	}
	if o.PublishableKey == "" {
		o.PublishableKey = PublishableKey
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.RateHeaders == "" {
		o.RateHeaders = CurrentHeaders
	}
	if o.OffsetLimit == 0 {
		o.OffsetLimit = 1000
	}
	p := &provider{opts: o, secrets: standin.NewSecrets(o.SecretKey)}
	p.Reset()
	return standin.New(p)
}

// Secrets implements [standin.Rotator].
func (p *provider) Secrets() *standin.Secrets { return p.secrets }

// Reset implements [standin.Provider].
func (p *provider) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = make([]byte, 32)
	_, _ = rand.Read(p.key) // never fails, see crypto/rand
	p.instruments, p.byID, p.byCustomer = nil, map[string]*instrument{}, map[string][]*instrument{}
	p.tokens, p.tokenByID, p.customers = nil, map[string]*token{}, map[string]*customer{}
	p.sequence, p.changes, p.windowEnd = 0, 0, time.Time{}
}

// Snapshot implements [standin.Provider].
func (p *provider) Snapshot() (customers []standin.Customer, instruments []standin.Instrument) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.sortedCustomers() {
		customers = append(customers, standin.Customer{ID: c.id, Default: c.defaultID})
	}
	for _, i := range p.instruments {
		instruments = append(instruments, standin.Instrument{
			ID: i.id, Customer: i.customer, Live: !i.deactivated, Type: i.method, Last4: i.number.last4,
			ExpMonth: i.expMonth, ExpYear: i.expYear, Identity: i.number.identity,
		})
	}
	return customers, instruments
}

// hash stands for a secret number: equal for equal ones, and of no use to anyone
// once this stand-in is gone.
func (p *provider) hash(kind, number string) string {
	m := hmac.New(sha256.New, p.key)
	_, _ = m.Write([]byte(kind + "\x00" + number))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// crockford is the alphabet of Rebilly's ids.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newID makes an id of Rebilly's form: a prefix and 26 base32 characters.
func newID(prefix string) string {
	b := make([]byte, 26)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	for i := range b {
		b[i] = crockford[b[i]%32]
	}
	return prefix + string(b)
}

// access is what a request's credentials allow.
type access int

const (
	noAccess access = iota
	tokenAccess
	fullAccess
)

// authenticate accepts either credential when both are there, as the official
// JavaScript client sends them.
func (p *provider) authenticate(r *http.Request) access {
	switch {
	case p.secrets.Match(func(key string) bool { return hmac.Equal([]byte(r.Header.Get("Reb-Apikey")), []byte(key)) }):
		return fullAccess
	case hmac.Equal([]byte(r.Header.Get("Authorization")), []byte(p.opts.PublishableKey)):
		return tokenAccess
	}
	return noAccess
}

// ServeHTTP implements [http.Handler]: authentication, the organization (in the
// path, in the header of 2021, or the key's own), the rate limit, then the resource.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(w, r)
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &call{p: p, w: w, r: r, org: r.Header.Get("Organization-Id"), raw: body}
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/organizations/"); ok {
		c.org, path, _ = strings.Cut(rest, "/")
		c.prefix, path = "/organizations/"+c.org, "/"+path
	}
	allowed := p.authenticate(r)
	switch {
	case allowed == noAccess:
		c.problem(http.StatusUnauthorized, "Unauthorized", "Invalid credentials.")
		return
	case c.org != "" && c.org != p.opts.Organization:
		c.problem(http.StatusForbidden, "Forbidden", "The API key has no access to this organization.")
		return
	case err != nil:
		c.problem(http.StatusRequestEntityTooLarge, "Payload Too Large", "The body is too large.")
		return
	case r.Method != http.MethodGet && p.overLimit():
		c.tooMany()
		return
	}
	c.route(strings.Split(strings.Trim(path, "/"), "/"), allowed)
}

// route finds the operation for the path's segments.
func (c *call) route(segments []string, allowed access) {
	resource, id, action := segments[0], "", ""
	if len(segments) > 1 {
		id = segments[1]
	}
	if len(segments) > 2 {
		action = segments[2]
	}
	if allowed == tokenAccess && resource != "tokens" {
		c.problem(http.StatusForbidden, "Forbidden", "The API key has no permission for this operation.")
		return
	}
	pattern := resource
	if id != "" {
		if !validID(id) {
			c.invalid(field("id", "The identifier is not valid."))
			return
		}
		pattern += "/{id}"
	}
	if action != "" {
		pattern += "/" + action
	}
	if len(segments) > 3 {
		pattern = ""
	}
	operations := map[string]map[string]func(string){
		"payment-instruments":                   {"GET": c.listInstruments, "POST": c.createInstrument},
		"payment-instruments/{id}":              {"GET": c.getInstrument, "PATCH": c.patchInstrument},
		"payment-instruments/{id}/deactivation": {"POST": c.deactivateInstrument},
		"tokens":                                {"GET": c.listTokens, "POST": c.createToken},
		"tokens/{id}":                           {"GET": c.getToken},
		"customers":                             {"GET": c.listCustomers, "POST": c.createCustomer},
		"customers/{id}":                        {"GET": c.getCustomer, "PUT": c.putCustomer, "DELETE": c.mergeCustomer},
	}
	methods, ok := operations[pattern]
	if !ok {
		c.problem(http.StatusNotFound, "Not Found", "There is no such resource.")
		return
	}
	serve, ok := methods[c.r.Method]
	if !ok {
		c.problem(http.StatusMethodNotAllowed, "Method Not Allowed", "The resource does not support the method.")
		return
	}
	serve(id)
}
