package gateway

import (
	"context"
	"time"
)

// storeTimeout bounds one round trip to the store. Requests that have an effect
// are detached from their caller's deadline, so without it a store that hangs
// would hold them for ever.
const storeTimeout = 5 * time.Second

// bounded is a store whose every answer comes in time.
type bounded struct{ Store }

func (b bounded) Load(ctx context.Context, keys ...string) (Loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return b.Store.Load(ctx, keys...)
}

func (b bounded) Write(ctx context.Context, w Write) (Written, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return b.Store.Write(ctx, w)
}

func (b bounded) Scan(ctx context.Context, index, after string, limit int, reverse bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return b.Store.Scan(ctx, index, after, limit, reverse)
}

func (b bounded) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return b.Store.Ping(ctx)
}
