package redisstore

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"
)

// hook adds to what goes to one server. A Cluster's client has one for each node,
// which sees what goes to this node after every redirection: a barrier that was
// queued along with the rest would go to a node by chance.
type hook struct {
	store *Store
	node  string // distinguishes the nodes of a Cluster
}

// addHooks must be called before the first command.
func (s *Store) addHooks() {
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		client.OnNewNode(func(node *redis.Client) { s.addHook(node, node.Options().Addr) })
	case *redis.Client:
		s.addHook(client, "")
	}
}

// addHook adds what is to be around everything that goes to a server. What is traced is
// what is sent, with what was added.
func (s *Store) addHook(server *redis.Client, node string) {
	server.AddHook(hook{store: s, node: node})
	if s.trace != nil {
		server.AddHook(traced{s.trace})
	}
}

// DialHook implements [redis.Hook].
func (h hook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements [redis.Hook].
func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		batch := slices.Clip(cmds) // so that what is added does not reach the caller's
		var info *redis.StringCmd
		if h.store.lineage.due(h.node) {
			info = redis.NewStringCmd(ctx, "info", "replication")
			batch = append(batch, info)
		}
		wait := h.store.barrier.command(ctx, cmds)
		if wait != nil {
			batch = append(batch, wait)
		}
		err := next(ctx, batch)
		if info != nil {
			h.store.lineage.told(h.node, info)
		}
		short := h.store.barrier.check(wait)
		failed := false
		for _, cmd := range cmds {
			switch {
			case cmd.Err() != nil:
				failed = true
			case short != nil:
				cmd.SetErr(short)
			}
		}
		if failed {
			return err
		}
		return short // err can only be that of what was added
	}
}
