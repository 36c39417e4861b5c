package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// barrier is what a write waits for before it counts as done. The zero value
// waits for nothing.
//
// The command stands behind the write in the same pipeline, on the same connection:
// Redis answers it once everything that this connection wrote before it is where it
// should be, and all that came before that. So it costs no round trip, and a write
// that met another's entry, or its own from an earlier try, waits for that one too.
type barrier struct {
	fsync    bool // WAITAOF: the master and the replicas have it on disk
	replicas int  // how many have it
	timeout  time.Duration
}

// errShort is in the error of a write that was not confirmed in time. The write may
// last all the same, and is waited for again when it is sent again.
var errShort = errors.New("the write is not durable yet")

type durably struct{}

// durable marks the pipelines of ctx as those of a write, which ends behind the
// barrier, if there is one.
func (b barrier) durable(ctx context.Context) context.Context {
	if !b.stands() {
		return ctx
	}
	return context.WithValue(ctx, durably{}, true)
}

func (b barrier) stands() bool { return b.fsync || b.replicas > 0 }

// always is what a script is told: 1 if it must write so that there is something to
// wait for.
func (b barrier) always() int {
	if b.stands() {
		return 1
	}
	return 0
}

// command returns what to queue behind the commands for one server; nil if nothing
// is written there.
func (b barrier) command(ctx context.Context, cmds []redis.Cmder) redis.Cmder {
	if ctx.Value(durably{}) == nil || !slices.ContainsFunc(cmds, writes) {
		return nil
	}
	if b.fsync {
		return redis.NewIntSliceCmd(ctx, "waitaof", 1, b.replicas, b.timeout.Milliseconds())
	}
	return redis.NewIntCmd(ctx, "wait", b.replicas, b.timeout.Milliseconds())
}

func writes(cmd redis.Cmder) bool {
	return cmd.Name() == "evalsha" || cmd.Name() == "eval"
}

// check returns what the barrier's reply lacks; nil if none was asked for.
func (b barrier) check(reply redis.Cmder) error {
	if reply == nil {
		return nil
	}
	if err := reply.Err(); err != nil {
		return fmt.Errorf("%w: %w", errShort, err)
	}
	local, replicas := int64(1), int64(0)
	switch reply := reply.(type) {
	case *redis.IntCmd:
		replicas = reply.Val()
	case *redis.IntSliceCmd:
		if len(reply.Val()) != 2 {
			return errReply
		}
		local, replicas = reply.Val()[0], reply.Val()[1]
	}
	switch {
	case local < 1:
		return fmt.Errorf("%w: it was not on disk within %s", errShort, b.timeout)
	case replicas < int64(b.replicas):
		return fmt.Errorf("%w: %d of %d replicas confirmed it within %s", errShort, replicas, b.replicas, b.timeout)
	}
	return nil
}
