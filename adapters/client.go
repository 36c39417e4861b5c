package adapters

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/polyvault/polyvault/adapters/internal/rest"
)

// ClientOptions shape the HTTP client of one provider.
type ClientOptions struct {
	MaxConns int                // connections to the provider's host; default 128
	DialTime time.Duration      // default 3 s
	TLS      *tls.Config        // default: system roots, TLS 1.2 or newer
	Control  func(net.IP) error // refuses addresses after DNS; nil refuses none
	Wrap     func(http.RoundTripper) http.RoundTripper
}

// NewHTTPClient makes a provider's HTTP client: its own connection pool, no
// redirects, no cookies, no environment proxy surprises for loopback, and no
// timeout of its own, since the deadline is set in one place, by the gateway.
func NewHTTPClient(o ClientOptions) *http.Client {
	if o.MaxConns == 0 {
		o.MaxConns = 128
	}
	if o.DialTime == 0 {
		o.DialTime = 3 * time.Second
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	dialer := &net.Dialer{Timeout: o.DialTime, KeepAlive: 30 * time.Second}
	if o.Control != nil {
		dialer.Control = controlAddress(o.Control)
	}
	var rt http.RoundTripper = &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        o.TLS,
		TLSHandshakeTimeout:    o.DialTime,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           o.MaxConns,
		MaxIdleConnsPerHost:    o.MaxConns,
		MaxConnsPerHost:        o.MaxConns,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if o.Wrap != nil {
		rt = o.Wrap(rt)
	}
	return &http.Client{Transport: rt, CheckRedirect: rest.CheckRedirect}
}
