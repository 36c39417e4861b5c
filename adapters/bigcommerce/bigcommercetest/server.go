// Package bigcommercetest is a stateful stand-in for BigCommerce's stored
// instruments API: the endpoints of one store, with its authentication, forms,
// partial results and rate headers. What the provider does not document is an
// option ([Options]), so that no adapter comes to depend on a guess.
package bigcommercetest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

const (
	window  = 30 * time.Second
	maxBody = 1 << 20
)

// New makes a stand-in for one store.
func New(o Options) *standin.Server {
	o = o.withDefaults()
	s := &server{opts: o, secrets: standin.NewSecrets(o.AccessToken)}
	s.Reset()
	return standin.New(s)
}

// Secrets implements [standin.Rotator].
func (s *server) Secrets() *standin.Secrets { return s.secrets }

// server is the store. Its fields below mu are guarded by it.
type server struct {
	opts    Options
	secrets *standin.Secrets // that the access token may be

	mu          sync.Mutex
	key         []byte // of the identities in snapshots
	instruments []*instrument
	byCustomer  map[int][]*instrument
	seeded      int // customers beyond those of the options
	sequence    int
	pats        map[string]*access
	windowStart time.Time
	used        int // requests in the window
}

// instrument is a stored instrument, live until it is deleted.
type instrument struct {
	seq      int // its cursor, rising
	customer int
	token    string // 64 hex digits
	kind     string // the management word
	isDef    bool
	brand    string
	month    int
	year     int
	iin      string
	last4    string
	email    string
	issuer   string
	masked   string
	address  address
	method   string // payment_method_id
	identity string // keyed hash of method, vault token
	created  time.Time
	deleted  time.Time // zero while it lives
}

func (i *instrument) live() bool { return i.deleted.IsZero() }

// Reset implements [standin.Provider].
func (s *server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = make([]byte, 32)
	_, _ = rand.Read(s.key)
	s.instruments, s.seeded, s.sequence, s.used, s.windowStart = nil, 0, 0, 0, time.Time{}
	s.pats, s.byCustomer = map[string]*access{}, map[int][]*instrument{}
}

// Snapshot implements [standin.Provider].
func (s *server) Snapshot() ([]standin.Customer, []standin.Instrument) {
	s.mu.Lock()
	defer s.mu.Unlock()
	customers := make([]standin.Customer, s.customers())
	for i := range customers {
		customers[i].ID = strconv.Itoa(i + 1)
	}
	instruments := make([]standin.Instrument, 0, len(s.instruments))
	for _, i := range s.instruments {
		if i.live() && i.isDef {
			customers[i.customer-1].Default = i.token
		}
		instruments = append(instruments, standin.Instrument{
			ID: i.token, Customer: strconv.Itoa(i.customer), Live: i.live(), Type: i.kind,
			Last4: i.last4, ExpMonth: i.month, ExpYear: i.year, Identity: i.identity,
		})
	}
	return customers, instruments
}

// ServeHTTP implements [standin.Provider].
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", randomHex(16))
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return // the client is gone
	}
	if len(body) > maxBody {
		writeError(w, http.StatusRequestEntityTooLarge, "Payload too large", nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count(w) {
		s.limited(w)
		return
	}
	s.route(w, r, body)
}

// call is one authenticated request.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	body []byte
}

// route finds the endpoint. The order of the refusals is the edge's: address, credentials, headers.
func (s *server) route(w http.ResponseWriter, r *http.Request, body []byte) {
	c := call{w: w, r: r, body: body}
	rest, ok := strings.CutPrefix(r.URL.Path, "/stores/"+s.opts.StoreHash+"/")
	if !ok {
		s.denied(w, http.StatusForbidden) // a wrong store hash answers 403, not 404
		return
	}
	if rest == "payments" {
		s.serveCharge(c)
		return
	}
	given := r.Header.Get("X-Auth-Token")
	if !s.secrets.Match(func(token string) bool { return subtle.ConstantTimeCompare([]byte(given), []byte(token)) == 1 }) {
		s.denied(w, http.StatusUnauthorized)
		return
	}
	if a := r.Header.Get("Accept"); !strings.Contains(a, "application/json") && !strings.Contains(a, "*/*") {
		writeError(w, http.StatusNotAcceptable, "Not Acceptable", nil)
		return
	}
	if len(body) > 0 && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		writeError(w, http.StatusUnsupportedMediaType, "Unsupported Media Type", nil)
		return
	}
	s.endpoint(c, rest)
}

func (s *server) endpoint(c call, rest string) {
	parts := strings.Split(rest, "/")
	switch {
	case rest == "v3/payments/stored-instruments":
		s.only(c, methods{
			http.MethodGet: s.listAll, http.MethodPost: s.importMany, http.MethodPut: s.update, http.MethodDelete: s.deleteMany,
		})
	case rest == "v3/payments/stored-instruments/methods":
		s.only(c, methods{http.MethodGet: s.storeMethods})
	case rest == "v3/payments/stored-instruments/access-tokens":
		s.only(c, methods{http.MethodPost: s.instrumentAccess})
	case rest == "v3/payments/access_tokens":
		s.only(c, methods{http.MethodPost: s.paymentAccess})
	case rest == "v3/payments/methods":
		s.only(c, methods{http.MethodGet: s.orderMethods})
	case strings.HasPrefix(rest, "v3/payments/stored-instruments/") && len(parts) == 4:
		s.only(c, methods{
			http.MethodDelete: func(c call) { s.deleteOne(c, parts[3]) },
			http.MethodPut:    func(c call) { writeError(c.w, s.opts.ItemPutStatus, "Not Found", nil) },
		})
	case len(parts) == 4 && parts[0] == "v3" && parts[1] == "customers" && parts[3] == "stored-instruments":
		s.only(c, methods{http.MethodGet: func(c call) { s.listCustomer(c, parts[2]) }})
	default:
		writeError(c.w, http.StatusNotFound, "Not Found", nil)
	}
}

type methods map[string]func(call)

func (*server) only(c call, m methods) {
	serve, ok := m[c.r.Method]
	if !ok {
		var allow []string
		for name := range m {
			allow = append(allow, name)
		}
		slices.Sort(allow)
		c.w.Header().Set("Allow", strings.Join(allow, ", "))
		writeError(c.w, http.StatusMethodNotAllowed, "Method Not Allowed", nil)
		return
	}
	serve(c)
}

// committed records a change of state.
func (c call) committed() { standin.Committed(c.r) }

func (s *server) find(token string) *instrument {
	for _, i := range s.instruments {
		if i.token == token && i.live() {
			return i
		}
	}
	return nil
}

// visible reports whether a list shows the instrument, which the lag delays.
func (s *server) visible(i *instrument) bool {
	now := s.opts.Now()
	born := !now.Before(i.created.Add(s.opts.Lag))
	return born && (i.live() || now.Before(i.deleted.Add(s.opts.Lag)))
}

// customers is how many there are: 1 to this exist.
func (s *server) customers() int { return s.opts.Customers + s.seeded }

// add stores an instrument.
func (s *server) add(ins *instrument) {
	s.sequence++
	ins.seq, ins.token, ins.created = s.sequence, randomHex(32), s.opts.Now()
	s.instruments = append(s.instruments, ins)
	s.byCustomer[ins.customer] = append(s.byCustomer[ins.customer], ins)
}

// makeDefault moves the default of the instrument's customer, over all types.
func (s *server) makeDefault(target *instrument) {
	for _, i := range s.byCustomer[target.customer] {
		i.isDef = i == target
	}
}

func (s *server) identityOf(parts ...string) string {
	mac := hmac.New(sha256.New, s.key)
	_, _ = io.WriteString(mac, strings.Join(parts, "\x00"))
	return hex.EncodeToString(mac.Sum(nil)[:12])
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
