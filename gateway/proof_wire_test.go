package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"syscall"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

// The providers of a proof, in the order of its route.
const (
	cyb = "cybersource"
	reb = "rebilly"
	big = "bigcommerce"
)

func providers() []string { return []string{cyb, reb, big} }

// placeOf is the reference that alone names a place at a provider, as its stand-in does.
func placeOf(provider string, refs normalize.References) string {
	return refs[map[string]string{cyb: "payment_instrument", reb: "instrument", big: "token"}[provider]]
}

// newStandins makes the three providers. CyberSource's refuses a signature whose
// date is five minutes off, which would keep a gateway with a wrong clock from
// getting anywhere: here it may be hours off.
func newStandins() map[string]*standin.Server {
	return map[string]*standin.Server{
		cyb: cybersourcetest.New(cybersourcetest.Options{ClockSkew: 12 * time.Hour}),
		reb: rebillytest.New(rebillytest.Options{}),
		big: bigcommercetest.New(bigcommercetest.Options{}),
	}
}

// adapterConfigs are the real adapters' configurations for the stand-ins.
func adapterConfigs() map[string]adapters.Config {
	return map[string]adapters.Config{
		cyb: cybersource.Config{
			URL: "http://cybersource.test", MerchantID: cybersourcetest.DefaultMerchantID, KeyID: cybersourcetest.DefaultKeyID,
			SharedSecret: normalize.NewSecret(cybersourcetest.DefaultSharedSecret),
		},
		reb: rebilly.Config{Base: "http://rebilly.test", APIKey: normalize.NewSecret(rebillytest.SecretKey)},
		big: bigcommerce.Config{
			URL: "http://bigcommerce.test", StoreHash: bigcommercetest.DefaultStoreHash,
			AccessToken: normalize.NewSecret(bigcommercetest.DefaultAccessToken),
		},
	}
}

// wire is one gateway's way to one provider: its stand-in's handler is called
// directly, and every request passes two points.
type wire struct {
	provider string
	standin  *standin.Server
	gw       *gate
}

func (w wire) client() *http.Client {
	return adapters.NewHTTPClient(adapters.ClientOptions{Wrap: func(http.RoundTripper) http.RoundTripper { return w }})
}

var errBroken = errors.New("connection reset by peer")

// RoundTrip implements [http.RoundTripper].
func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		_ = req.Body.Close()
	}
	ctx, at := req.Context(), point{what: w.provider + " " + req.Method + " " + shape(req.URL.Path), http: true}
	f := w.gw.pass(ctx, at)
	if f == refused {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if t := httptrace.ContextClientTrace(ctx); t != nil && t.GotConn != nil {
		t.GotConn(httptrace.GotConnInfo{})
	}
	switch f {
	case reset:
		return nil, errBroken
	case timeout:
		<-ctx.Done()
		return nil, ctx.Err()
	case broken:
		return badGateway(req), nil
	case limited:
		w.standin.Faults.Add(fault.Rule{Fault: fault.RateLimited, Times: 1})
	case latecomer:
		w.later(ctx, req, body)
		<-ctx.Done()
		return nil, ctx.Err()
	case freezeLost:
		_ = w.serve(req, body).Body.Close()
		return nil, errBroken
	default:
	}
	resp := w.serve(req, body)
	at.after = true
	switch w.gw.pass(ctx, at) {
	case reset, freezeLost:
		return nil, errBroken
	case timeout:
		<-ctx.Done()
		return nil, ctx.Err()
	case broken:
		return badGateway(req), nil
	case truncated:
		resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, 20), failing{}))
	case garbled:
		resp.Body = io.NopCloser(strings.NewReader(`{"id":"brok`))
	default:
	}
	return resp, nil
}

// later has the provider execute a request which its client has given up, well
// within the time that a provider is given to show what it stored.
func (w wire) later(ctx context.Context, req *http.Request, body []byte) {
	world := w.gw.w
	world.underWay.Add(1)
	go func() {
		defer world.underWay.Add(-1)
		<-ctx.Done()
		time.Sleep(time.Second)
		_ = w.serve(req, body).Body.Close()
	}()
}

// serve has the stand-in execute a request, whatever has become of its client.
func (w wire) serve(req *http.Request, body []byte) *http.Response {
	in, err := http.NewRequestWithContext(context.Background(), req.Method, req.URL.String(), bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	in.Header, in.Host, in.RequestURI = req.Header.Clone(), req.URL.Host, req.URL.RequestURI()
	rec := httptest.NewRecorder()
	w.standin.ServeHTTP(rec, in)
	return rec.Result()
}

func badGateway(req *http.Request) *http.Response {
	return &http.Response{
		StatusCode: http.StatusBadGateway, Header: http.Header{"Content-Type": {"text/html"}}, Request: req,
		Body: io.NopCloser(strings.NewReader("<html>bad gateway</html>")),
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// shape is a path without the provider's own ids, which differ from run to run.
func shape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if len(p) >= 16 && strings.ContainsAny(p, "0123456789") && p != "instrumentidentifiers" {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}
