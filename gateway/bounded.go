package gateway

import (
	"context"
	"time"
)

// storeTimeout bounds one round trip to the store. Requests that have an effect
// are detached from their caller's deadline, so without it a store that hangs
// would hold them for ever.
const storeTimeout = 5 * time.Second

// bounded is a store whose every answer comes in time, and is told to an observer.
type bounded struct {
	Store
	observer Observer
}

func (b bounded) Load(ctx context.Context, keys ...string) (Loaded, error) {
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	start := time.Now()
	out, err := b.Store.Load(limited, keys...)
	b.observer.StoreCall(StoreCall{StoreLoad, storeResult(ctx, err), time.Since(start)})
	return out, err
}

func (b bounded) Write(ctx context.Context, w Write) (Written, error) {
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	start := time.Now()
	out, err := b.Store.Write(limited, w)
	result := storeResult(ctx, err)
	if err == nil && !out.Applied {
		result = StoreConflict
	}
	b.observer.StoreCall(StoreCall{StoreWrite, result, time.Since(start)})
	return out, err
}

func (b bounded) Scan(ctx context.Context, index, after string, limit int, reverse bool) ([]string, error) {
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	start := time.Now()
	out, err := b.Store.Scan(limited, index, after, limit, reverse)
	b.observer.StoreCall(StoreCall{StoreScan, storeResult(ctx, err), time.Since(start)})
	return out, err
}

func (b bounded) Ping(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	start := time.Now()
	err := b.Store.Ping(limited)
	b.observer.StoreCall(StoreCall{StorePing, storeResult(ctx, err), time.Since(start)})
	return err
}
