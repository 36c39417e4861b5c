package bigcommercetest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

const docsType = "https://developer.bigcommerce.com/api-docs/getting-started/api-status-codes"

const notValid = "JSON data is missing or invalid"

// apiError is the error form of V3, and an element of a batch's errors.
type apiError struct {
	Status int               `json:"status,omitempty"`
	Title  string            `json:"title"`
	Type   string            `json:"type"`
	Detail string            `json:"detail,omitempty"`
	Code   int               `json:"code,omitempty"`
	Errors map[string]string `json:"errors,omitempty"`
}

func newError(status int, title string, fields map[string]string) apiError {
	return apiError{Status: status, Title: title, Type: docsType, Errors: fields}
}

func writeError(w http.ResponseWriter, status int, title string, fields map[string]string) {
	writeJSON(w, status, newError(status, title, fields))
}

// unprocessable answers 422 with one field.
func unprocessable(w http.ResponseWriter, field, message string) {
	writeError(w, http.StatusUnprocessableEntity, notValid, map[string]string{field: message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// denied answers 401 or 403 in one of the two documented forms.
func (s *server) denied(w http.ResponseWriter, status int) {
	if s.opts.EdgeErrors || status == http.StatusForbidden {
		message := "Unauthorized"
		if status == http.StatusForbidden {
			message = "Missing scope"
		}
		writeJSON(w, status, map[string]any{"code": status, "message": message})
		return
	}
	writeError(w, status, http.StatusText(status), nil)
}

// count counts the request, writes the rate headers and reports whether it is over the quota.
func (s *server) count(w http.ResponseWriter) bool {
	now := s.opts.Now()
	if now.Sub(s.windowStart) >= window {
		s.windowStart, s.used = now, 0
	}
	s.used++
	quota := s.opts.Quota
	if quota == 0 {
		quota = 150 // the Standard plan's
	}
	h := w.Header()
	h.Set("X-Rate-Limit-Requests-Quota", strconv.Itoa(quota))
	h.Set("X-Rate-Limit-Requests-Left", strconv.Itoa(max(0, quota-s.used)))
	h.Set("X-Rate-Limit-Time-Window-Ms", strconv.FormatInt(window.Milliseconds(), 10))
	left := max(s.windowStart.Add(window).Sub(now), time.Millisecond)
	h.Set("X-Rate-Limit-Time-Reset-Ms", strconv.FormatInt(left.Milliseconds(), 10))
	return s.opts.Quota > 0 && s.used > s.opts.Quota
}

func (*server) limited(w http.ResponseWriter) {
	writeError(w, http.StatusTooManyRequests, "Too many requests", nil)
}

// RateLimited implements [standin.Provider].
func (s *server) RateLimited(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(w)
	w.Header().Set("X-Rate-Limit-Requests-Left", "0")
	w.Header().Set("X-Request-Id", randomHex(16))
	s.limited(w)
}

// managementRow is an instrument as the management API shows it.
func (s *server) managementRow(i *instrument) map[string]any {
	row := map[string]any{"customer_id": s.integer(i.customer), "token": i.token, "type": i.kind, "is_default": i.isDef}
	switch i.kind {
	case kindCard:
		row["brand"], row["iin"], row["last_4"] = i.brand, i.iin, i.last4
		row["expiry_month"], row["expiry_year"] = s.integer(i.month), s.integer(i.year)
		row["billing_address"] = i.address.answer()
	case kindPayPal:
		row["email"] = i.email
	case kindBank:
		row["issuer"], row["masked_account_number"] = i.issuer, i.masked
	}
	return row
}

// customerRow is an instrument as the customer and methods APIs show it: other
// words for type and brand, another name for the BIN, and no customer.
func (s *server) customerRow(i *instrument) map[string]any {
	row := s.managementRow(i)
	delete(row, "customer_id")
	row["type"] = chargeWord(i.kind)
	if i.kind == kindCard {
		delete(row, "iin")
		row["brand"], row["issuer_identification_number"] = upperBrand(i.brand), i.iin
	}
	return row
}

func (s *server) integer(n int) any {
	if s.opts.StringNumbers {
		return strconv.Itoa(n)
	}
	return n
}
