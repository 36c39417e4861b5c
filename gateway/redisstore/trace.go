package redisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// Trace is told that commands go to a server: operation is the command's name, or
// "pipeline". What is sent belongs to the context that it returns, and done is called
// with the result.
type Trace func(ctx context.Context, operation string, commands int) (inside context.Context, done func(error))

// traced is a hook that tells of what goes to a server. What makes a connection is not
// told of: it belongs to whichever request happens to need one.
type traced struct{ trace Trace }

// DialHook implements [redis.Hook].
func (h traced) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (h traced) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if ofConnection(cmd) {
			return next(ctx, cmd)
		}
		ctx, done := h.trace(ctx, cmd.Name(), 1)
		err := next(ctx, cmd)
		done(failure(err))
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (h traced) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if len(cmds) > 0 && ofConnection(cmds[0]) {
			return next(ctx, cmds)
		}
		ctx, done := h.trace(ctx, "pipeline", len(cmds))
		err := next(ctx, cmds)
		done(failure(err))
		return err
	}
}

// ofConnection reports whether a command is one of those that a new connection begins with.
func ofConnection(cmd redis.Cmder) bool {
	switch cmd.Name() {
	case "hello", "auth", "client", "select", "readonly", "info":
		return true
	default:
		return false
	}
}

// failure leaves out that something was not found.
func failure(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}
