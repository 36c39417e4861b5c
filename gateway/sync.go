package gateway

import "context"

// Sync compares.
func (s *Service) Sync(ctx context.Context, tenant string, in SyncInput) (DriftPage, error) {
	return DriftPage{}, ctx.Err()
}
