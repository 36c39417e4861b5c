package httpapi

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
)

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// exchange names the request and sets the headers that every answer has.
func (a *API) exchange(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		// The filter form separates its clauses by ";". Callers write it as it is,
		// and net/url refuses a query that has one.
		c.Request().URL.RawQuery = strings.ReplaceAll(c.Request().URL.RawQuery, ";", "%3B")
		x := exchangeOf(c)
		if x.requestID = c.Request().Header.Get(echo.HeaderXRequestID); !requestIDPattern.MatchString(x.requestID) ||
			holdsSecret(x.requestID) {
			x.requestID = strings.ToLower(rand.Text())
		}
		h := c.Response().Header()
		h.Set(echo.HeaderXRequestID, x.requestID)
		if len(c.Request().TransferEncoding) > 0 {
			// A length beside the chunks may have meant something else to a proxy in front.
			// net/http goes by the chunks and hides the length, so that what is behind a
			// chunked request is never read as another one (RFC 9112, 6.1).
			h.Set(echo.HeaderConnection, "close")
		}
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		return next(c)
	}
}

// logged writes one line for each request. It holds the route and not the path,
// and no query, body or header: those are where card numbers would be.
func (a *API) logged(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		x := exchangeOf(c)
		x.begin = a.now()
		a.inFlight.Add(1)
		defer a.inFlight.Add(-1)
		err := next(c)
		if err != nil {
			c.Error(err) // renders the problem, so that its status is known here
		}
		took := a.now().Sub(x.begin)
		a.observed(c, x, took)
		fields := append(a.fields(c, x),
			zap.String("method", knownMethod(c.Request().Method)), zap.Int("status", c.Response().Status),
			zap.Duration("took", took), zap.String("address", c.RealIP()), zap.Int64("bytes", c.Response().Size))
		if x.err != nil {
			fields = append(fields, zap.String("error", withoutSecrets(x.err.Error())))
		}
		if x.writeErr != nil {
			fields = append(fields, zap.String("write_error", x.writeErr.Error()))
		}
		switch status := c.Response().Status; {
		case status == http.StatusInternalServerError:
			a.log.Error("request", fields...)
		case status > http.StatusInternalServerError:
			a.log.Warn("request", fields...)
		default:
			a.log.Info("request", fields...)
		}
		return nil // rendered
	}
}

// knownMethod keeps words that a caller made up out of the log.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "other"
	}
}

// errPanic is what a caller's problem is made of after a panic.
var errPanic = errors.New("panic")

// recovered turns a panic into a problem. What was thrown may hold anything, so
// only its type is logged, and its text if the runtime threw it.
func (a *API) recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			thrown := recover()
			if thrown == nil {
				return
			}
			if thrown == http.ErrAbortHandler { //nolint:errorlint // net/http compares this value itself
				panic(thrown)
			}
			text := fmt.Sprintf("%T", thrown)
			if fault, ok := thrown.(runtime.Error); ok {
				text = fault.Error()
			}
			a.log.Error("panic", zap.String("request_id", exchangeOf(c).requestID),
				zap.String("thrown", withoutSecrets(text)), zap.ByteString("stack", debug.Stack()))
			err = errPanic
		}()
		return next(c)
	}
}

// refuseOptions keeps Echo from answering OPTIONS by itself: the API is not for browsers.
func refuseOptions(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if allow, ok := c.Get(echo.ContextKeyHeaderAllow).(string); ok && allow != "" {
			c.Response().Header().Set(echo.HeaderAllow, strings.TrimPrefix(allow, "OPTIONS, "))
			return echo.ErrMethodNotAllowed
		}
		return next(c)
	}
}
