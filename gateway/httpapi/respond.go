package httpapi

import (
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// writeJSON answers with v. It encodes before it writes, so that a fault cannot
// leave half an answer. Nil slices become [], and members have a fixed order.
func writeJSON(c echo.Context, status int, mediaType string, v any) {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		exchangeOf(c).err = err
		status, mediaType = http.StatusInternalServerError, "application/problem+json"
		b = []byte(`{"type":"` + problemBase + string(normalize.InternalError) + `"}`)
	}
	if err := c.Blob(status, mediaType, append(b, '\n')); err != nil {
		exchangeOf(c).writeErr = err // the caller is gone
	}
}

func ok(c echo.Context, v any) error {
	writeJSON(c, http.StatusOK, echo.MIMEApplicationJSON, v)
	return nil
}

// shown is the instrument as this caller may see it.
func shown(c echo.Context, ins normalize.Instrument) normalize.Instrument {
	toldInstrument(exchangeOf(c), &ins)
	if exchangeOf(c).caller.may(ReferencesRead) {
		return ins
	}
	ins.ProviderTokens = shownTokens(c, ins.ProviderTokens)
	return ins
}

// shownTokens are provider tokens as this caller may see them.
func shownTokens(c echo.Context, all []normalize.ProviderToken) []normalize.ProviderToken {
	if exchangeOf(c).caller.may(ReferencesRead) {
		return all
	}
	tokens := make([]normalize.ProviderToken, len(all))
	for i, t := range all {
		t.References = nil
		tokens[i] = t
	}
	return tokens
}

func shownAll(c echo.Context, all []normalize.Instrument) []normalize.Instrument {
	out := make([]normalize.Instrument, len(all))
	for i, ins := range all {
		out[i] = shown(c, ins)
	}
	return out
}

// exchange is what the layers of one request tell each other. It lives in Echo's context.
type exchange struct {
	requestID  string
	begin      time.Time   // when it came in
	generation *generation // the configuration that the request is served under, to its end; nil until admitted
	caller     *APIKey     // nil until authenticated
	ended      *APIKey     // the key that was presented, if its time is over
	operation  string      // the document's operationId; "" if no route matched
	keyed      bool        // the operation takes an idempotency key
	changes    bool        // the operation changes what exists, one thing at a time
	instrument string      // the id of what a create made or will make; "" for what the path names
	attempts   []gateway.AttemptView
	code       normalize.Code // of the problem that was answered
	err        error          // behind that problem
	writeErr   error          // the answer could not be delivered
	told       *told          // for the audit log; nil if nothing is
}

const exchangeKey = "polyvault.exchange"

func exchangeOf(c echo.Context) *exchange {
	if x, ok := c.Get(exchangeKey).(*exchange); ok {
		return x
	}
	x := &exchange{}
	c.Set(exchangeKey, x)
	return x
}
