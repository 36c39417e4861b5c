package client

import (
	"context"
	"net/http"
)

// Resolve says where an instrument can be charged now, best first, and what each
// provider's payment call needs. The zero ResolveInput is any charge. A candidate's
// ProviderType says which of Charge's methods reads it.
func (c *Client) Resolve(ctx context.Context, id string, in ResolveInput) (Resolution, error) {
	a, err := call[Resolution](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.ResolveInstrument(ctx, id, in)
	})
	return a.body, err
}

// SyncPage compares up to in.Limit instruments with what their providers have. Go on
// with the page's NextCursor while it HasMore. A repair may be repeated.
func (c *Client) SyncPage(ctx context.Context, in SyncInput) (DriftPage, error) {
	a, err := call[DriftPage](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.SyncInstruments(ctx, in)
	})
	return a.body, err
}
