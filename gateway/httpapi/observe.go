package httpapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// Observation is what is known of a request once it was answered. Everything in it
// comes from a bounded set, so that it can be a metric's label.
type Observation struct {
	Operation string // the document's operationId; "" if no route matched
	Method    string // "other" for a word that a caller made up
	Tenant    string // "" unless authenticated
	Status    int
	Code      normalize.Code // of the problem that was answered; "" for none
	Provider  string         // whose answer it is; "" for none
	Took      time.Duration
}

// observed tells whoever wants to know that a request was answered.
func (a *API) observed(c echo.Context, x *exchange, took time.Duration) {
	if a.observe == nil {
		return
	}
	a.observe(c.Request().Context(), Observation{
		Operation: x.operation, Method: knownMethod(c.Request().Method), Tenant: x.tenant(), Status: c.Response().Status,
		Code: x.code, Provider: c.Response().Header().Get("Gateway-Provider"), Took: took,
	})
}

// InFlight is how many requests are being served.
func (a *API) InFlight() int64 { return a.inFlight.Load() }

func (x *exchange) tenant() string {
	if x.caller == nil {
		return ""
	}
	return x.caller.Tenant
}

// fields are what the log line of a request says, once it was answered. What callers
// made up comes in only if it has the form of one of our own ids.
func (a *API) fields(c echo.Context, x *exchange) []zap.Field {
	f := make([]zap.Field, 0, 18)
	f = append(f, zap.String("request_id", x.requestID), zap.String("operation", x.operation))
	add := func(name, value string) {
		if value != "" {
			f = append(f, zap.String(name, value))
		}
	}
	if a.traceID != nil {
		add("trace_id", a.traceID(c.Request().Context()))
	}
	if x.caller != nil {
		f = append(f, zap.String("tenant", x.caller.Tenant), zap.String("api_key", x.caller.Name))
	}
	if x.ended != nil {
		f = append(f, zap.String("tenant", x.ended.Tenant), zap.String("ended_api_key", x.ended.Name))
	}
	h := c.Response().Header()
	add("instrument", x.instrumentID(c))
	add("provider", h.Get("Gateway-Provider"))
	add("outcome", x.outcome(c))
	if len(x.attempts) > 0 {
		f = append(f, zap.Strings("attempts", attemptTexts(x.attempts)))
	}
	for _, flag := range []struct{ field, header string }{
		{"replayed", "Idempotent-Replayed"}, {"deduplicated", "Gateway-Deduplicated"}, {"stale", "Gateway-Stale"},
	} {
		if h.Get(flag.header) != "" {
			f = append(f, zap.Bool(flag.field, true))
		}
	}
	add("code", string(x.code))
	return f
}

// instrumentID is that of the instrument, or of the operation, that the request was
// about; "" if it was about none, or about many.
func (x *exchange) instrumentID(c echo.Context) string {
	if x.instrument != "" {
		return x.instrument
	}
	for _, name := range []string{"instrument_id", "operation_id"} {
		if id := c.Param(name); gateway.ValidInstrumentID(id) {
			return withoutSecrets(id)
		}
	}
	return ""
}

// outcome is what is known of the effect of a request that could have one; "" for reads.
func (x *exchange) outcome(c echo.Context) string {
	said := c.Response().Header().Get("Gateway-Outcome")
	if status := c.Response().Status; said == "" && x.changes && status < http.StatusMultipleChoices && status != http.StatusAccepted {
		return string(normalize.Applied)
	}
	return said
}

// attemptTexts make of each attempt its provider, its outcome and its code, such as
// "rebilly-main not_sent breaker_open".
func attemptTexts(all []gateway.AttemptView) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = v.Provider + " " + string(v.Outcome)
		if v.Code != "" {
			out[i] += " " + string(v.Code)
		}
	}
	return out
}
