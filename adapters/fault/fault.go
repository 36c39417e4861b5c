// Package fault makes any HTTP handler misbehave on request, in the ways that
// networks and providers do: commit and then drop the connection, hang, answer
// slowly, hugely or not in JSON. The stand-in providers are wrapped in it.
package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
)

// Kind names a fault.
type Kind string

// The faults. "Commit" means that the handler has run and changed its state.
const (
	Refuse            Kind = "refuse"              // no connection is accepted for delay_ms (default 1000): see standin.Serve
	Reset             Kind = "reset"               // the connection is reset; nothing was executed
	Hang              Kind = "hang"                // no answer; nothing was executed; the connection closes after delay_ms (default 60000)
	Delay             Kind = "delay"               // delay_ms pass before the request is executed as usual
	Status            Kind = "status"              // the answer is status (default 500); nothing was executed
	StatusAfterCommit Kind = "status_after_commit" // executed, but the answer is status (default 500)
	CommitThenDrop    Kind = "commit_then_drop"    // executed, then the connection is reset without an answer
	CommitThenHang    Kind = "commit_then_hang"    // executed, then no answer; closes after delay_ms (default 60000)
	Truncate          Kind = "truncate"            // executed; half of the answer's body, then the connection closes
	SlowBody          Kind = "slow_body"           // executed; the body comes one byte each delay_ms (default 1000)
	HugeBody          Kind = "huge_body"           // executed; the body is followed by 100 MB of padding
	GzipBomb          Kind = "gzip_bomb"           // executed; the body is followed by padding that unpacks to 100 MB, compressed
	MalformedJSON     Kind = "malformed_json"      // executed; the body breaks off inside a string
	HTML              Kind = "html"                // executed; the body is an HTML page
	RateLimited       Kind = "rate_limited"        // the provider's own 429; nothing was executed
	Echo              Kind = "echo"                // the answer is status (default 400) and tells the request's card number in every member and header; nothing was executed
)

// Kinds returns every fault.
func Kinds() []Kind {
	return []Kind{
		Refuse, Reset, Hang, Delay, Status, StatusAfterCommit, CommitThenDrop, CommitThenHang,
		Truncate, SlowBody, HugeBody, GzipBomb, MalformedJSON, HTML, RateLimited, Echo,
	}
}

// Rule makes the requests that match it fail in one way.
type Rule struct {
	Method  string `json:"method"`   // "" matches every method
	Path    string `json:"path"`     // "*" matches within one segment; "" and a lone "*" match every path
	Fault   Kind   `json:"fault"`    //
	Times   int    `json:"times"`    // how many requests are hit; 0 means until the rule is cleared
	DelayMS int    `json:"delay_ms"` // 0–600000; what it means is at each fault
	Status  int    `json:"status"`   // 200–599, for status, status_after_commit and echo
	// Probability is the chance that a request which matches is hit, above 0 and up to
	// 1; 0, which is left out, is 1. A request that is spared may meet a later rule,
	// and is not counted in Times.
	Probability float64 `json:"probability,omitempty"`
}

func (r Rule) validate() error {
	switch {
	case !slices.Contains(Kinds(), r.Fault):
		return fmt.Errorf("fault %q is not known", r.Fault)
	case r.Times < 0:
		return errors.New("times must not be negative")
	case r.DelayMS < 0 || r.DelayMS > 600_000:
		return errors.New("delay_ms must be 0 to 600000")
	case r.Status != 0 && (r.Status < 200 || r.Status > 599):
		return errors.New("status must be 200 to 599")
	case !(r.Probability >= 0 && r.Probability <= 1):
		return errors.New("probability must be 0 to 1")
	}
	if _, err := path.Match(r.Path, ""); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return nil
}

func (r Rule) matches(method, urlPath string) bool {
	if r.Method != "" && !strings.EqualFold(r.Method, method) {
		return false
	}
	if r.Path == "" || r.Path == "*" {
		return true
	}
	ok, _ := path.Match(r.Path, urlPath)
	return ok
}

// Set holds the rules of one handler. The zero value has none. Safe for concurrent use.
type Set struct {
	mu    sync.Mutex
	rules []Rule
}

// Put replaces all rules; on an error none is replaced.
func (s *Set) Put(rules []Rule) error {
	for i, r := range rules {
		if err := r.validate(); err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = slices.Clone(rules)
	return nil
}

// Add appends a rule. It panics on a rule that is not valid: rules in tests are literals.
func (s *Set) Add(r Rule) {
	if err := r.validate(); err != nil {
		panic("fault: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, r)
}

// Clear removes all rules.
func (s *Set) Clear() { _ = s.Put(nil) }

// hits draws whether a request that matches is hit.
func (r Rule) hits() bool {
	return r.Probability == 0 || rand.Float64() < r.Probability //nolint:gosec // chance, no secret
}

// Rules returns the rules that are in force, with the Times that they have left.
func (s *Set) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Rule{}, s.rules...)
}

// Take returns the first rule that matches and hits, and counts it as used.
func (s *Set) Take(method, urlPath string) (Rule, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.rules {
		if !r.matches(method, urlPath) || !r.hits() {
			continue
		}
		switch r.Times {
		case 0:
		case 1:
			s.rules = slices.Delete(s.rules, i, i+1)
		default:
			s.rules[i].Times--
		}
		return r, true
	}
	return Rule{}, false
}
