package fault

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
)

// echoedWithout is what is told where a request has no card number: a read has none, and
// a provider that tells too much may tell it all the same. A published test number.
const echoedWithout = "4111111111111111"

// cardNumber is what a request's card number looks like.
var cardNumber = regexp.MustCompile(`[0-9]{13,19}`)

// echo answers as a provider would that quotes what it was sent, wherever its answers
// have room for text: in the forms of errors that providers have, in the members of an
// instrument, and in the headers that callers write down.
func (r Rule) echo(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	said := string(cardNumber.Find(body))
	id := said
	if said == "" {
		// What a provider has of its own in place of ids is not known to be a card number.
		said, id = echoedWithout, "an-id"
	}
	quoted := "refused " + said + " in " + string(bytes.ToValidUTF8(body, nil))
	field := map[string]any{
		"field": said, "message": quoted, "location": said, "reason": said, "name": said, "code": said, "type": said, "details": []any{map[string]any{"name": said, "location": said}},
	}
	card := map[string]any{"number": said, "pan": said, "brand": said, "type": said, "bin": said, "last4": said, "prefix": said, "suffix": said, "expirationMonth": said}
	answer := map[string]any{
		"id": id, "token": id, "type": said, "title": quoted, "detail": quoted, "error": quoted, "message": quoted, "reason": said, "code": said, "state": said,
		"submitTimeUtc": said, "correlationId": said, "errors": []any{field}, "details": []any{field}, "invalidFields": []any{field},
		"responseStatus": map[string]any{"status": said, "reason": said, "message": quoted, "correlationId": said, "details": []any{field}},
		"card":           card, "instrument": card, "instrumentIdentifier": map[string]any{"id": id, "card": card}, "customerId": id,
		"data": []any{map[string]any{"id": id, "token": id, "card": card, "instrument": card}}, "metadata": map[string]any{said: said},
	}
	for _, name := range []string{
		"X-Request-Id", "V-C-Correlation-Id", "V-C-Response-Time", "X-Correlation-Id", "Etag", "Location", "Retry-After", "X-Bc-Request-Id", "X-Rebilly-Request-Id", "Request-Id",
		"Traceparent", "Set-Cookie", "Link",
	} {
		w.Header().Set(name, said)
	}
	w.Header().Set("Content-Type", "application/json")
	status := r.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}
