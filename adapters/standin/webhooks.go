package standin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Webhooks says where a stand-in sends its webhooks, and with what it signs them or
// authenticates itself: each provider uses its own members.
type Webhooks struct {
	URL      string            `json:"url"`
	Variant  string            `json:"variant,omitempty"`  // CyberSource: member (default) or body, which is what is signed
	KeyID    string            `json:"key_id,omitempty"`   // CyberSource
	Key      string            `json:"key,omitempty"`      // CyberSource, base64
	Username string            `json:"username,omitempty"` // Rebilly
	Password string            `json:"password,omitempty"` // Rebilly
	Secret   string            `json:"secret,omitempty"`   // BigCommerce
	Headers  map[string]string `json:"headers,omitempty"`  // sent with each
}

// Change is a change of one instrument at the provider.
type Change struct {
	Instrument string `json:"instrument"`
	ExpMonth   int    `json:"exp_month,omitempty"` // with ExpYear
	ExpYear    int    `json:"exp_year,omitempty"`
	Default    bool   `json:"default,omitempty"` // it becomes its customer's default
	Gone       bool   `json:"gone,omitempty"`    // it is deleted, or deactivated where that is how it goes
	Quiet      bool   `json:"quiet,omitempty"`   // no webhook is sent
}

// Webhook is one delivery.
type Webhook struct {
	Header http.Header
	Body   []byte
}

// Webhooker is a [Provider] that sends webhooks.
type Webhooker interface {
	// Change changes an instrument as the provider does by itself. It fails if there is
	// no such instrument, or the provider has no such change.
	Change(c Change) error
	// Webhook makes what the provider sends of a change that was made; nil if it sends nothing.
	Webhook(conf Webhooks, c Change, at time.Time) *Webhook
}

// hooks is what a stand-in delivers.
type hooks struct {
	mu                sync.Mutex
	conf              *Webhooks // nil sends none
	delivered, failed int
}

func (h *hooks) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conf, h.delivered, h.failed = nil, 0, 0
}

// Changed has a webhook sent of a change that a request made.
func Changed(r *http.Request, c Change) {
	if l, ok := r.Context().Value(lineKey{}).(*line); ok {
		l.mu.Lock()
		l.changes = append(l.changes, c)
		l.mu.Unlock()
	}
}

// serveWebhooks sets where webhooks go: GET, PUT and DELETE /_sandbox/webhooks.
func (s *Server) serveWebhooks(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.provider.(Webhooker); !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "this stand-in sends no webhooks"})
		return
	}
	h := &s.hooks
	h.mu.Lock()
	defer h.mu.Unlock()
	switch r.Method {
	case http.MethodGet:
	case http.MethodDelete:
		h.conf = nil
	case http.MethodPut:
		conf := &Webhooks{}
		if err := decodeStrictly(w, r, conf); err != nil || conf.URL == "" {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("url is required, and what the provider signs with: %v", err)})
			return
		}
		h.conf = conf
	default:
		methodNotAllowed(w, "GET, PUT, DELETE")
		return
	}
	out := map[string]any{"url": nil, "delivered": h.delivered, "failed": h.failed}
	if h.conf != nil {
		out["url"] = h.conf.URL
	}
	writeJSON(w, http.StatusOK, out)
}

// serveChange changes an instrument behind its clients' backs: POST /_sandbox/change.
func (s *Server) serveChange(w http.ResponseWriter, r *http.Request) {
	p, ok := s.provider.(Webhooker)
	switch {
	case r.Method != http.MethodPost:
		methodNotAllowed(w, "POST")
		return
	case !ok:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "this stand-in cannot be changed so"})
		return
	}
	var c Change
	err := decodeStrictly(w, r, &c)
	if err == nil {
		err = p.Change(c)
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	s.tell(c)
	w.WriteHeader(http.StatusNoContent)
}

func decodeStrictly(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// tell sends the webhook of a change in the background, as often as it takes within
// reason. Two may overtake each other, as they do at providers.
func (s *Server) tell(c Change) {
	p, ok := s.provider.(Webhooker)
	s.hooks.mu.Lock()
	conf := s.hooks.conf
	s.hooks.mu.Unlock()
	if !ok || conf == nil || c.Quiet {
		return
	}
	go func() {
		done := false
		for try := range webhookTries {
			hook := p.Webhook(*conf, c, time.Now())
			if hook == nil {
				return
			}
			if done = deliver(*conf, *hook); done {
				break
			}
			time.Sleep(firstRetry << try)
		}
		s.hooks.mu.Lock()
		defer s.hooks.mu.Unlock()
		if done {
			s.hooks.delivered++
		} else {
			s.hooks.failed++
		}
	}()
}

const (
	webhookTries = 7
	firstRetry   = 100 * time.Millisecond
)

func deliver(conf Webhooks, hook Webhook) bool {
	req, err := http.NewRequest(http.MethodPost, conf.URL, bytes.NewReader(hook.Body)) //nolint:noctx // the client has a timeout
	if err != nil {
		return false
	}
	maps.Copy(req.Header, hook.Header)
	for name, value := range conf.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode < 300
}
