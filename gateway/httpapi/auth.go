package httpapi

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/normalize"
)

// admit stands in front of one operation: who calls, whether they may, and
// whether the query is one that the operation knows.
func (a *API) admit(id string, op operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			// Echo lets the last parameter of a path match everything behind it.
			if slices.ContainsFunc(c.ParamValues(), func(v string) bool { return strings.Contains(v, "/") }) {
				return echo.ErrNotFound
			}
			x := exchangeOf(c)
			x.generation = a.current.Load()
			x.operation, x.changes, x.keyed = id, op.keyHeader, op.keyed || op.keyHeader && len(c.Request().Header.Values(idempotencyHeader)) > 0
			a.audit.watch(c, x, op)
			if op.scope == public {
				return next(c)
			}
			if err := refuseKeyInQuery(c.Request().URL.RawQuery); err != nil {
				return err
			}
			if err := a.authenticate(c, x); err != nil {
				return err
			}
			if err := a.limit(c, x); err != nil {
				return err
			}
			if !x.caller.may(op.scope) {
				return &normalize.Error{
					Code: normalize.InsufficientScope, Outcome: normalize.NotSent,
					Msg: "the API key needs the scope " + string(op.scope),
				}
			}
			if errs := checkQuery(c.Request().URL, op); len(errs) > 0 {
				return normalize.Invalid(errs...)
			}
			if err := checkHeaders(c.Request().Header, op); err != nil {
				return err
			}
			if err := a.audit.ready(id); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// authenticate sets the caller. All failures answer the same.
func (a *API) authenticate(c echo.Context, x *exchange) error {
	switch k := x.generation.keys.find(bearer(c.Request().Header["Authorization"])); {
	case k == nil:
	case k.ended(x.begin):
		k.uses.afterEnd.Add(1)
		x.ended = k
	default:
		k.uses.note(x.begin)
		x.caller = k
		return nil
	}
	if wait := a.failures.count(network(c.RealIP()), x.generation.door.failures()); wait > 0 {
		return &normalize.Error{
			Code: normalize.RateLimited, Outcome: normalize.NotSent,
			Msg: "too many requests with an API key that is not valid", RetryAfter: wait,
		}
	}
	return &normalize.Error{
		Code: normalize.InvalidAPIKey, Outcome: normalize.NotSent,
		Msg: "send a valid API key in the Authorization header, as a bearer token",
	}
}

// bearer returns the token of the one Authorization header; "" if it is not one.
// The scheme's name has no case (RFC 9110, 11.1).
func bearer(headers []string) string {
	const scheme = "bearer "
	if len(headers) != 1 || len(headers[0]) <= len(scheme) || !strings.EqualFold(headers[0][:len(scheme)], scheme) {
		return ""
	}
	return headers[0][len(scheme):]
}

// maxAddresses bounds what failures remembers in one minute.
const maxAddresses = 10_000

// failures counts failed authentications by address, minute by minute.
type failures struct {
	now func() time.Time

	mu     sync.Mutex
	minute time.Time
	counts map[string]int
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, counts: map[string]int{}}
}

// count adds a failure. It returns how long to wait if there were more than limit in
// this minute; else 0. A negative limit is none.
func (f *failures) count(address string, limit int) time.Duration {
	if limit < 0 {
		return 0
	}
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(f.minute) || len(f.counts) >= maxAddresses {
		f.minute, f.counts = minute, map[string]int{}
	}
	if f.counts[address]++; f.counts[address] <= limit {
		return 0
	}
	return f.minute.Add(time.Minute).Sub(now)
}
