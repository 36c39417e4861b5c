// Package client is the typed Go client of the gateway. Models and requests are
// generated from the same document as the server; this layer adds idempotency
// keys, retries by what the gateway says about them, typed errors, iterators, and
// waiting for an operation whose outcome is not known yet.
package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Options are the client's settings. The zero value is ready to use.
type Options struct {
	// HTTP sends the requests. Default: a client with a timeout of 60 s a request,
	// which is more than the gateway takes.
	HTTP *http.Client
	// Retries is how many times a request is sent again when that is safe. Default 4; negative: never.
	Retries int
	// Backoff is the longest wait before the first retry; it doubles with each one, up to
	// 5 s, and a random part of it is waited. What the gateway asks for in
	// Retry-After is waited in full. Default 200 ms.
	Backoff time.Duration
	// WaitForOperation is how long Create waits while the outcome is not known.
	// Default 0: it answers with the operation at once.
	WaitForOperation time.Duration
}

// Client calls one gateway with one API key. It is safe for concurrent use.
type Client struct {
	raw  *RawClient
	opts Options
}

// New makes a Client for the gateway at baseURL. It makes no network call.
func New(baseURL, apiKey string, o Options) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("client: baseURL must be the http or https address of a gateway")
	}
	if apiKey == "" {
		return nil, errors.New("client: apiKey is required")
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: time.Minute}
	}
	if o.Retries == 0 {
		o.Retries = 4
	}
	if o.Backoff == 0 {
		o.Backoff = 200 * time.Millisecond
	}
	raw, err := NewClient(baseURL, WithHTTPClient(o.HTTP), WithRequestEditorFn(func(_ context.Context, req *http.Request) error {
		req.Header.Set("Authorization", "Bearer "+apiKey)
		req.Header.Set("Accept", "application/json, application/problem+json")
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return &Client{raw: raw, opts: o}, nil
}
