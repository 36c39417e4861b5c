// Package standin gives a stand-in provider what all of them share: the faults,
// a ledger of every request, and the control paths under /_sandbox/ that tests
// and users' own CI drive it with.
package standin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/polyvault/polyvault/adapters/fault"
)

// Provider is one provider's stand-in: its API as a handler over its own state.
// It must be safe for concurrent use, and call [Committed] in a request that
// changed its state.
type Provider interface {
	http.Handler
	// Snapshot returns the state, masked: no card or account number.
	Snapshot() (customers []Customer, instruments []Instrument)
	// Reset forgets everything.
	Reset()
	// RateLimited answers in the way of the provider's own rate limit.
	RateLimited(w http.ResponseWriter, r *http.Request)
}

// Customer is a customer in a snapshot.
type Customer struct {
	ID         string `json:"id"`
	MerchantID string `json:"merchant_id,omitempty"` // what the gateway or a merchant wrote beside it
	Default    string `json:"default,omitempty"`     // the default instrument's id
}

// Instrument is an instrument in a snapshot.
type Instrument struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Live     bool   `json:"live"` // neither deleted nor deactivated
	Type     string `json:"type"`
	Last4    string `json:"last4,omitempty"`
	ExpMonth int    `json:"exp_month,omitempty"`
	ExpYear  int    `json:"exp_year,omitempty"`
	Identity string `json:"identity,omitempty"` // equal for the same card or account number; never the number
}

// Request is one line of the ledger.
type Request struct {
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Status    int       `json:"status"` // 0: no answer; the connection was dropped, or the request is still in progress
	At        time.Time `json:"at"`
	Committed bool      `json:"committed"` // the state was changed, whatever the client was told
}

// State is what GET /_sandbox/state answers.
type State struct {
	Requests    []Request    `json:"requests"`
	Forgotten   int          `json:"requests_forgotten,omitempty"` // earlier requests, beyond those that the ledger keeps
	Customers   []Customer   `json:"customers"`
	Instruments []Instrument `json:"instruments"`
}

// Server is a stand-in provider with its control paths. Make it with [New].
type Server struct {
	Faults fault.Set

	provider Provider
	faulty   http.Handler

	hooks hooks

	mu        sync.Mutex
	ledger    []*line // the last ones; up to twice as many as are kept
	forgotten int
	refuser   func(time.Duration)
}

// maxLedger is how many requests the ledger keeps: enough for every test that counts
// them, and no more than a stand-in that runs for days can hold.
const maxLedger = 100_000

// New wraps a provider's stand-in.
func New(p Provider) *Server {
	s := &Server{provider: p}
	s.faulty = s.Faults.Handler(p, fault.Options{RateLimited: p.RateLimited, Refuse: s.refuse})
	return s
}

// State returns the ledger and a snapshot.
func (s *Server) State() State {
	customers, instruments := s.provider.Snapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	old := max(0, len(s.ledger)-maxLedger)
	requests := make([]Request, 0, len(s.ledger)-old)
	for _, l := range s.ledger[old:] {
		requests = append(requests, l.now())
	}
	return State{Requests: requests, Forgotten: s.forgotten + old, Customers: customers, Instruments: instruments}
}

// Reset forgets the provider's state, the ledger, the faults and where webhooks go.
func (s *Server) Reset() {
	s.provider.Reset()
	s.Faults.Clear()
	s.hooks.clear()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger, s.forgotten = nil, 0
}

// ServeHTTP serves the provider's API and the control paths.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/_sandbox/state":
		s.serveState(w, r)
	case "/_sandbox/faults":
		s.serveFaults(w, r)
	case "/_sandbox/seed":
		s.serveSeed(w, r)
	case "/_sandbox/secrets":
		s.serveSecrets(w, r)
	case "/_sandbox/webhooks":
		s.serveWebhooks(w, r)
	case "/_sandbox/change":
		s.serveChange(w, r)
	case "/_sandbox/reset":
		if r.Method != http.MethodPost {
			methodNotAllowed(w, "POST")
			return
		}
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	default:
		if strings.HasPrefix(r.URL.Path, "/_sandbox/") {
			writeJSON(w, http.StatusNotFound, map[string]string{"error": "there is /_sandbox/state, /_sandbox/faults, /_sandbox/seed, /_sandbox/secrets, /_sandbox/webhooks, /_sandbox/change and /_sandbox/reset"})
			return
		}
		s.serveLedgered(w, r)
	}
}

// serveLedgered writes the line as the request arrives, so that the ledger has the
// order of arrival, and whoever has an answer, or a broken connection, finds it there.
func (s *Server) serveLedgered(w http.ResponseWriter, r *http.Request) {
	l := &line{request: Request{Method: r.Method, Path: r.URL.Path, At: time.Now().UTC()}}
	s.enter(l)
	defer func() {
		for _, c := range l.changed() {
			s.tell(c)
		}
	}()
	s.faulty.ServeHTTP(&statusWriter{w, l}, r.WithContext(context.WithValue(r.Context(), lineKey{}, l)))
}

func (s *Server) enter(l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ledger) >= 2*maxLedger {
		s.forgotten += len(s.ledger) - maxLedger
		s.ledger = append(make([]*line, 0, 2*maxLedger), s.ledger[len(s.ledger)-maxLedger:]...)
	}
	s.ledger = append(s.ledger, l)
}

func (s *Server) serveState(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		methodNotAllowed(w, "GET")
		return
	}
	writeJSON(w, http.StatusOK, s.State())
}

func (s *Server) serveFaults(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		writeJSON(w, http.StatusOK, s.Faults.Rules())
	case http.MethodDelete:
		s.Faults.Clear()
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPut:
		var rules []fault.Rule
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		err := d.Decode(&rules)
		if err == nil {
			err = s.Faults.Put(rules)
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, s.Faults.Rules())
	default:
		methodNotAllowed(w, "GET, PUT, DELETE")
	}
}

func methodNotAllowed(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "use " + allow})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

type lineKey struct{}

// line is a line of the ledger, which is written on while its request is served.
type line struct {
	mu      sync.Mutex
	request Request
	changes []Change
}

func (l *line) changed() []Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes
}

func (l *line) now() Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.request
}

func (l *line) answered(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.request.Status == 0 {
		l.request.Status = status
	}
}

// Committed records that the request changed the provider's state.
func Committed(r *http.Request) {
	if l, ok := r.Context().Value(lineKey{}).(*line); ok {
		l.mu.Lock()
		l.request.Committed = true
		l.mu.Unlock()
	}
}

// statusWriter remembers the status that the client was told.
type statusWriter struct {
	http.ResponseWriter
	line *line
}

func (w *statusWriter) WriteHeader(status int) {
	w.line.answered(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.line.answered(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach Flush and Hijack.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
