// Package rest makes one bounded JSON-over-HTTP call to a provider. It is the
// only place where a transport's error gets its outcome: what is proved not to
// have been sent, and what may have happened.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/polyvault/polyvault/normalize"
)

// MaxBody is how many bytes of an answer, after decompression, are read: 1 MiB.
const MaxBody = 1 << 20

// Client calls one provider.
type Client struct {
	HTTP *http.Client // must not follow redirects; see [CheckRedirect]
	Base *url.URL     // scheme, host and an optional path prefix
	// Authorize adds credentials and other headers once the request is complete.
	// body is what will be sent, nil if nothing. Its failure means not sent.
	Authorize func(req *http.Request, body []byte) error
}

// CheckRedirect refuses every redirect. A provider's HTTP client must have it: a
// followed 307 would post the body, and custom credential headers, to another host.
func CheckRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Request is one call.
type Request struct {
	Op     string // for errors: "create", "get", …
	Method string
	Path   string      // below Base, each segment escaped with [url.PathEscape]
	Query  string      // encoded, without "?"
	Header http.Header // additional headers
	Body   any         // marshalled as JSON; nil sends none
}

// Response is an answer that was read to its end. Any status is a response, not an error.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK reports whether the status is 2xx.
func (r Response) OK() bool { return r.Status >= 200 && r.Status <= 299 }

// Do sends the request and reads the answer. It fails with a [*normalize.Error]:
// NotSent if no usable connection was got, Unknown once one was.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return Response{}, notSent(r.Op, "the request could not be built", err)
		}
	}
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	ctx = context.WithValue(ctx, operationKey{}, r.Op)
	req, err := c.build(httptrace.WithClientTrace(ctx, trace), r, body)
	if err != nil {
		return Response{}, notSent(r.Op, "the request could not be built", err)
	}
	if err := ctx.Err(); err != nil {
		return Response{}, transportError(r.Op, err, false)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Response{}, transportError(r.Op, err, connected.Load())
	}
	defer func() { _ = resp.Body.Close() }()
	out := Response{Status: resp.StatusCode, Header: resp.Header}
	out.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		e := transportError(r.Op, err, true)
		e.HTTPStatus = out.Status
		return out, e
	}
	if len(out.Body) > MaxBody {
		return out, BadResponse(r.Op, out, "the provider's answer is larger than 1 MiB", nil)
	}
	return out, nil
}

func (c *Client) build(ctx context.Context, r Request, body []byte) (*http.Request, error) {
	u := *c.Base
	u.Path, u.RawPath = "", ""
	target := strings.TrimSuffix(u.String(), "/") + strings.TrimSuffix(c.Base.EscapedPath(), "/") + r.Path
	if r.Query != "" {
		target += "?" + r.Query
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, reader)
	if err != nil {
		return nil, err
	}
	if r.Method != http.MethodGet {
		// With GetBody, net/http sends a request again on a fresh connection when a
		// reused one dies, even if the server has read the first. A mutation must not be.
		req.GetBody = nil
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, r.Header)
	if c.Authorize != nil {
		if err := c.Authorize(req, body); err != nil {
			return nil, err
		}
	}
	return req, nil
}

func notSent(op, msg string, err error) *normalize.Error {
	return &normalize.Error{Code: normalize.ProviderError, Outcome: normalize.NotSent, Op: op, Msg: msg, Err: strip(err)}
}

// transportError gives an error from net/http its code and outcome. connected
// says that a usable connection was got, after which anything may have happened.
func transportError(op string, err error, connected bool) *normalize.Error {
	e := &normalize.Error{Op: op, Outcome: normalize.NotSent, Err: strip(err)}
	if connected {
		e.Outcome = normalize.Unknown
	}
	var netErr net.Error
	timeout := errors.Is(err, context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout()
	switch {
	case timeout && connected:
		e.Code, e.Msg = normalize.ProviderTimeout, "the provider did not answer in time"
	case timeout:
		e.Code, e.Msg = normalize.ProviderUnavailable, "the provider could not be reached in time"
	case connected:
		e.Code, e.Msg = normalize.ProviderBadResponse, "the connection to the provider broke before its answer was complete"
	default:
		e.Code, e.Msg = normalize.ProviderUnavailable, "the provider could not be reached"
	}
	return e
}

// strip removes the URL that net/http puts in its errors: a path or a query may
// hold a customer's reference.
func strip(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// Decode reads the answer's JSON into v. On a 2xx that cannot be read the
// mutation HAPPENED but its result is lost, so the outcome is Unknown.
func Decode(op string, r Response, v any) error {
	if err := Unmarshal(r.Body, v); err != nil {
		// The decoder's own error may quote the body, so only its kind is kept.
		return BadResponse(op, r, "the provider's answer is not the JSON that it should be", nil)
	}
	return nil
}

// Unmarshal reads JSON with encoding/json's tolerance (case, duplicates, bad
// UTF-8) in a faster decoder: providers are read leniently, and often.
func Unmarshal(b []byte, v any) error { return jsonv1.Unmarshal(b, v) }

// BadResponse makes the error for an answer that cannot be understood.
func BadResponse(op string, r Response, msg string, err error) *normalize.Error {
	return &normalize.Error{
		Code: normalize.ProviderBadResponse, Outcome: normalize.Unknown, Op: op, Msg: msg, HTTPStatus: r.Status, Err: err,
	}
}
