package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// limit refuses a request that is over its key's or its tenant's rate, before
// anything else is done with it, and tells what is left.
func (a *API) limit(c echo.Context, x *exchange) error {
	admission := x.generation.service.Admit(c.Request().Context(), x.caller.Tenant, x.caller.Name)
	tellQuotas(c.Response().Header(), admission.Quotas())
	if admission.Wait <= 0 {
		return nil
	}
	return &normalize.Error{
		Code: normalize.RateLimited, Outcome: normalize.NotSent,
		Msg: "the " + ofWhom(admission.Over) + " sends more requests than its limit: see the RateLimit-Policy header", RetryAfter: admission.Wait,
	}
}

// withAddress is the request's context, with what limits by address count by.
func withAddress(c echo.Context) context.Context {
	return gateway.WithAddress(c.Request().Context(), network(c.RealIP()))
}

func ofWhom(quota string) string {
	if quota == "key" {
		return "API key"
	}
	return quota
}

// tellQuotas sets RateLimit and RateLimit-Policy, both lists of structured fields with
// an item for each quota (draft-ietf-httpapi-ratelimit-headers-10): q is its burst and w
// in how many seconds that comes in, r is what is left and t when the burst is whole again.
func tellQuotas(h http.Header, quotas []gateway.Quota) {
	if len(quotas) == 0 {
		return
	}
	var policyBuf, stateBuf [96]byte
	policy, state := policyBuf[:0], stateBuf[:0]
	for i, q := range quotas {
		if i > 0 {
			policy, state = append(policy, ", "...), append(state, ", "...)
		}
		window := time.Duration(float64(q.Rate.Burst) / q.Rate.PerSecond * float64(time.Second))
		policy = item(policy, q.Name, ";q=", q.Rate.Burst, ";w=", max(1, seconds(window)))
		state = item(state, q.Name, ";r=", q.Left, ";t=", seconds(q.Full))
	}
	h["Ratelimit-Policy"] = []string{string(policy)}
	h["Ratelimit"] = []string{string(state)}
}

func item(b []byte, name, first string, v int, second string, w int) []byte {
	b = append(append(append(b, '"'), name...), '"')
	b = strconv.AppendInt(append(b, first...), int64(v), 10)
	return strconv.AppendInt(append(b, second...), int64(w), 10)
}

// seconds are whole ones, rounded up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
