package gateway

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/polyvault/polyvault/normalize"
)

// bulkAtOnce is how many items of a bulk request are worked on at the same time.
const bulkAtOnce = 8

// Import creates each item by itself, under its own idempotency key, and answers
// in their order. An item that fails changes nothing about the others, and the
// whole import may be sent again.
func (s *Service) Import(ctx context.Context, tenant string, items []ImportItem) []ItemResult {
	return inParallel(items, func(item ImportItem) ItemResult {
		if len(item.Fields) > 0 {
			return ItemResult{Err: normalize.Invalid(item.Fields...)}
		}
		for try := 0; ; try++ {
			created, err := s.Create(ctx, tenant, item.Input, item.Key)
			// Two items of one customer can meet at making it: the later one waits.
			if normalize.CodeOf(err) == normalize.Conflict && try < 3 && pause(ctx, 100*time.Millisecond) == nil {
				continue
			}
			return ItemResult{Created: created, Err: err}
		}
	})
}

// BulkDelete deletes each instrument by itself and answers in their order.
func (s *Service) BulkDelete(ctx context.Context, tenant string, ids []string, scope DeleteScope) []ItemResult {
	return inParallel(ids, func(id string) ItemResult {
		return ItemResult{Err: s.Delete(ctx, tenant, id, scope)}
	})
}

func inParallel[T any](items []T, do func(T) ItemResult) []ItemResult {
	out := make([]ItemResult, len(items))
	var g errgroup.Group
	g.SetLimit(bulkAtOnce)
	for i, item := range items {
		g.Go(func() error {
			out[i] = do(item)
			return nil
		})
	}
	_ = g.Wait() // no item returns an error: each has its own result
	return out
}
