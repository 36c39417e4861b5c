package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	maxAnswer  = 16 << 20
	maxBackoff = 5 * time.Second
)

// send makes one request. It is called again for each retry.
type send func(ctx context.Context) (*http.Response, error)

// answer is what came back: a 2xx or 304, with the body decoded if there was one.
type answer[T any] struct {
	status int
	header http.Header
	body   T
}

// call sends until there is an answer, retrying what may be retried. key is the
// request's idempotency key, "" if it has none: the operations without one are
// harmless to repeat.
func call[T any](ctx context.Context, c *Client, key string, do send) (answer[T], error) {
	for try := 0; ; try++ {
		out, err := once[T](ctx, key, do)
		if err == nil {
			return out, nil
		}
		again := err.Retry == RetrySafe || err.Retry == RetrySafeWithSameKey
		if !again || try >= c.opts.Retries || ctx.Err() != nil || !sleep(ctx, c.wait(try, err.RetryAfter)) {
			return out, err
		}
	}
}

func once[T any](ctx context.Context, key string, do send) (out answer[T], failure *Error) {
	resp, err := do(ctx)
	if err != nil {
		return out, noAnswer(err, key)
	}
	defer func() {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxProblem)) // so that the connection is used again
		_ = resp.Body.Close()
	}()
	if resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode != http.StatusNotModified {
		return out, problemError(resp, key)
	}
	out.status, out.header = resp.StatusCode, resp.Header
	if resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		return out, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return out, noAnswer(err, key)
	}
	if err := json.Unmarshal(body, &out.body); err != nil {
		return out, noAnswer(fmt.Errorf("the answer cannot be read: %w", err), key)
	}
	return out, nil
}

// wait is what the gateway asks for, or else a random part of the backoff, so that
// many clients do not come back at the same time.
func (c *Client) wait(try int, retryAfter time.Duration) time.Duration {
	if retryAfter > 0 {
		return retryAfter
	}
	limit := min(maxBackoff, c.opts.Backoff<<min(try, 10))
	return time.Duration(rand.Int64N(int64(limit) + 1)) //nolint:gosec // spreads retries, protects nothing
}

// sleep waits; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
