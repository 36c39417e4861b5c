package client

import (
	"context"
	"crypto/rand"
	"iter"
	"net/http"
	"slices"
	"time"
)

// ListPage reads one page of stored instruments.
func (c *Client) ListPage(ctx context.Context, params ListInstrumentsParams) (InstrumentPage, error) {
	a, err := call[InstrumentPage](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.ListInstruments(ctx, &params)
	})
	return a.body, err
}

// List goes through stored instruments, page by page. It ends with the first error.
func (c *Client) List(ctx context.Context, params ListInstrumentsParams) iter.Seq2[Instrument, error] {
	return pages(func(cursor *string) ([]Instrument, string, error) {
		if cursor != nil {
			params.Cursor = cursor
		}
		page, err := c.ListPage(ctx, params)
		return page.Data, page.NextCursor, err
	})
}

// CustomerPage reads one page of a customer's instruments, as their providers show them.
func (c *Client) CustomerPage(ctx context.Context, customerID string, params ListCustomerInstrumentsParams) (CustomerInstrumentPage, error) {
	a, err := call[CustomerInstrumentPage](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.ListCustomerInstruments(ctx, customerID, &params)
	})
	return a.body, err
}

// CustomerInstruments goes through a customer's instruments. Use CustomerPage to
// know whether every provider could be asked.
func (c *Client) CustomerInstruments(ctx context.Context, customerID string) iter.Seq2[Instrument, error] {
	return pages(func(cursor *string) ([]Instrument, string, error) {
		page, err := c.CustomerPage(ctx, customerID, ListCustomerInstrumentsParams{Cursor: cursor})
		return page.Data, page.NextCursor, err
	})
}

func pages[T any](next func(cursor *string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var cursor *string
		for {
			data, more, err := next(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range data {
				if !yield(item, nil) {
					return
				}
			}
			if more == "" {
				return
			}
			cursor = &more
		}
	}
}

// Import stores up to 100 instruments. Items without an idempotency key get a
// random one, as in Create.
func (c *Client) Import(ctx context.Context, items []ImportItem) (BulkResult, error) {
	items = slices.Clone(items)
	for i := range items {
		if items[i].IdempotencyKey == "" {
			items[i].IdempotencyKey = rand.Text()
		}
	}
	a, err := call[BulkResult](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.ImportInstruments(ctx, ImportInstruments{Items: items})
	})
	return a.body, err
}

// BulkDelete deletes up to 100 instruments. An empty scope deletes them at their providers.
func (c *Client) BulkDelete(ctx context.Context, ids []string, scope DeleteScope) (BulkResult, error) {
	a, err := call[BulkResult](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.BulkDeleteInstruments(ctx, BulkDelete{Ids: ids, Scope: scope})
	})
	return a.body, err
}

// PutCustomer says where a customer is known: names of providers to the customer's references there.
func (c *Client) PutCustomer(ctx context.Context, id string, references map[string]string, options ...ChangeOption) (Customer, error) {
	o := changeOptionsOf(options)
	a, err := call[Customer](ctx, c, o.key(), func(ctx context.Context) (*http.Response, error) {
		return c.raw.PutCustomer(ctx, id, &PutCustomerParams{IdempotencyKey: o.idempotencyKey}, PutCustomer{ProviderReferences: references})
	})
	return a.body, err
}

// GetCustomer reads where a customer is known.
func (c *Client) GetCustomer(ctx context.Context, id string) (Customer, error) {
	a, err := call[Customer](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.GetCustomer(ctx, id)
	})
	return a.body, err
}

// Operation reads what became of a create.
func (c *Client) Operation(ctx context.Context, id string) (Operation, error) {
	a, err := call[Operation](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.GetOperation(ctx, id)
	})
	return a.body, err
}

// OperationByKey reads what became of the create with an idempotency key.
func (c *Client) OperationByKey(ctx context.Context, idempotencyKey string) (Operation, error) {
	a, err := call[Operation](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.FindOperations(ctx, &FindOperationsParams{IdempotencyKey: &idempotencyKey})
	})
	return a.body, err
}

// Operations goes through the creates of which nobody knows yet what became of
// them, the oldest first: those that the gateway still asks about
// (UndecidedStateUnknown), or those that wait for an operator (UndecidedStateManual).
func (c *Client) Operations(ctx context.Context, state UndecidedState) iter.Seq2[Operation, error] {
	return pages(func(cursor *string) ([]Operation, string, error) {
		a, err := call[OperationPage](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
			return c.raw.FindOperations(ctx, &FindOperationsParams{State: &state, Cursor: cursor})
		})
		return a.body.Data, a.body.NextCursor, err
	})
}

// RetryOperation has an operation of unknown outcome looked at again now.
func (c *Client) RetryOperation(ctx context.Context, id string) (Operation, error) {
	a, err := call[Operation](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.RetryOperation(ctx, id)
	})
	return a.body, err
}

// FailOperation asserts that what an operation in state manual was to store is not
// at its provider. The same idempotency key may then try again.
func (c *Client) FailOperation(ctx context.Context, id string) (Operation, error) {
	a, err := call[Operation](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.FailOperation(ctx, id)
	})
	return a.body, err
}

// pollEvery is how often Wait asks.
const pollEvery = time.Second

// Wait reads an operation until it is completed, failed, or left to an operator.
// It fails with ctx's error if that takes too long.
func (c *Client) Wait(ctx context.Context, id string) (Operation, error) {
	for {
		op, err := c.Operation(ctx, id)
		if err != nil {
			return op, err
		}
		switch op.State {
		case OperationStateCompleted, OperationStateFailed, OperationStateManual:
			return op, nil
		case OperationStateReserved, OperationStateSending, OperationStateUnknown:
		}
		if !sleep(ctx, pollEvery) {
			return op, ctx.Err()
		}
	}
}

// Providers reads every configured provider's capabilities and health.
func (c *Client) Providers(ctx context.Context) ([]Provider, error) {
	a, err := call[ProviderList](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.ListProviders(ctx)
	})
	return a.body.Data, err
}

// Provider reads one provider's capabilities and health.
func (c *Client) Provider(ctx context.Context, name string) (Provider, error) {
	a, err := call[Provider](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.GetProvider(ctx, name)
	})
	return a.body, err
}

// ExplainRoutes asks which providers a create would go to, and why. Nothing is sent to
// them.
func (c *Client) ExplainRoutes(ctx context.Context, in ExplainRoutes) (RouteDecision, error) {
	a, err := call[RouteDecision](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.ExplainRoutes(ctx, in)
	})
	return a.body, err
}

// DrainProvider takes a provider out of every gateway's routes until UndrainProvider:
// once it has returned no create begins there. The reason, for people, may be empty.
func (c *Client) DrainProvider(ctx context.Context, name, reason string) (Provider, error) {
	a, err := call[Provider](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.DrainProvider(ctx, name, DrainProvider{Reason: reason})
	})
	return a.body, err
}

// UndrainProvider gives a provider its place in the routes back. The reason may be empty.
func (c *Client) UndrainProvider(ctx context.Context, name, reason string) (Provider, error) {
	a, err := call[Provider](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.UndrainProvider(ctx, name, DrainProvider{Reason: reason})
	})
	return a.body, err
}
