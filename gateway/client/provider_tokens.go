package client

import (
	"context"
	"net/http"
)

// ProviderTokens reads where an instrument lives: the primary first, then the
// mirrors, with what has not reached a provider yet.
func (c *Client) ProviderTokens(ctx context.Context, id string) ([]ProviderToken, error) {
	a, err := call[ProviderTokenList](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.ListProviderTokens(ctx, id)
	})
	return a.body.Data, err
}

// AddProviderToken mirrors an instrument at a further provider: the named one, or
// with "" the first that accepts a source and has none of the instrument.
func (c *Client) AddProviderToken(ctx context.Context, id string, sources []Source, provider string, options ...ChangeOption) (ProviderToken, error) {
	o := changeOptionsOf(options)
	a, err := call[ProviderToken](ctx, c, o.key(), func(ctx context.Context) (*http.Response, error) {
		return c.raw.AddProviderToken(ctx, id, &AddProviderTokenParams{IdempotencyKey: o.idempotencyKey},
			AddProviderToken{Sources: sources, Provider: provider})
	})
	return a.body, err
}

// RemoveProviderToken removes an instrument from one of its providers. gone is false
// while that provider cannot be reached: it is removed there once it is back.
func (c *Client) RemoveProviderToken(ctx context.Context, id, provider string, options ...ChangeOption) (gone bool, err error) {
	o := changeOptionsOf(options)
	a, err := call[ProviderToken](ctx, c, o.key(), func(ctx context.Context) (*http.Response, error) {
		return c.raw.RemoveProviderToken(ctx, id, provider, &RemoveProviderTokenParams{IdempotencyKey: o.idempotencyKey})
	})
	return err == nil && a.status == http.StatusNoContent, err
}
