package standin

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
)

// Secrets are the credentials that a stand-in accepts: more than one while a merchant
// exchanges them, as the providers allow. Make them with [NewSecrets].
type Secrets struct {
	mu   sync.Mutex
	list []secret
}

type secret struct {
	value string
	uses  int
}

// NewSecrets accepts one.
func NewSecrets(value string) *Secrets { return &Secrets{list: []secret{{value: value}}} }

// Match reports whether ok accepts one of the secrets, and counts its use.
func (s *Secrets) Match(ok func(value string) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.list {
		if ok(s.list[i].value) {
			s.list[i].uses++
			return true
		}
	}
	return false
}

// Accept replaces what is accepted; what stays keeps its count.
func (s *Secrets) Accept(values []string) error {
	if len(values) == 0 {
		return errors.New("secrets must not be empty")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	uses := map[string]int{}
	for _, old := range s.list {
		uses[old.value] = old.uses
	}
	s.list = nil
	for _, v := range values {
		s.list = append(s.list, secret{v, uses[v]})
	}
	return nil
}

// Uses is how often each was used, in the order in which they were given.
func (s *Secrets) Uses() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]int, len(s.list))
	for i, one := range s.list {
		out[i] = one.uses
	}
	return out
}

// Rotator is a [Provider] whose credentials can be exchanged while it runs.
type Rotator interface {
	Secrets() *Secrets
}

// Accepted is what PUT /_sandbox/secrets takes and what it answers, as GET does.
type Accepted struct {
	Secrets []string `json:"secrets,omitempty"` // that are accepted from now on; CyberSource's are a key id, a colon and the shared secret
	Uses    []int    `json:"uses,omitempty"`    // of each, in their order
}

func (s *Server) serveSecrets(w http.ResponseWriter, r *http.Request) {
	rotator, ok := s.provider.(Rotator)
	switch {
	case !ok:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "this stand-in's credentials cannot be exchanged"})
		return
	case r.Method != http.MethodGet && r.Method != http.MethodPut:
		methodNotAllowed(w, "GET, PUT")
		return
	case r.Method == http.MethodPut:
		var in Accepted
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		err := d.Decode(&in)
		if err == nil {
			err = rotator.Secrets().Accept(in.Secrets)
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
	}
	writeJSON(w, http.StatusOK, Accepted{Uses: rotator.Secrets().Uses()})
}
