package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/polyvault/polyvault/gateway"
)

// dumpPage is how many keys are asked for at a time.
const dumpPage = 256

// Dump implements [gateway.Store] with SCAN, which gives every key that is there
// all the time, on every master. It holds one page in memory. A cursor belongs to
// one process's hash table: if a server is replaced or restarted meanwhile, or if
// a Cluster's slots move, keys may have been passed over, and the dump fails.
func (s *Store) Dump(ctx context.Context, fn func(key string, e gateway.Entry) error) error {
	const op = "dump"
	before, err := s.servers(ctx)
	if err != nil {
		return failed(op, err)
	}
	d := &dump{store: s, fn: fn}
	err = s.eachMaster(ctx, d.server)
	if d.refused != nil {
		return d.refused
	}
	if err != nil {
		return failed(op, err)
	}
	after, err := s.servers(ctx)
	if err != nil {
		return failed(op, err)
	}
	if !maps.Equal(before, after) {
		return failed(op, errMoved)
	}
	return nil
}

var errMoved = errors.New("a server was restarted or replaced, or slots were moved, while its keys were read: what was read may be incomplete, so begin again")

// dump is one Dump in the making; a Cluster's masters are read at the same time.
type dump struct {
	store *Store
	mu    sync.Mutex // serialises pages, and so the calls of fn
	fn    func(key string, e gateway.Entry) error
	// refused is fn's error, which must come back as it is; guarded by mu.
	refused error
}

// server gives all entries of one master.
func (d *dump) server(ctx context.Context, master *redis.Client) error {
	match := globEscape(d.store.prefix) + "{*}"
	for cursor := uint64(0); ; {
		keys, next, err := master.Scan(ctx, cursor, match, dumpPage).Result()
		if err != nil {
			return err
		}
		if err := d.page(ctx, keys); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// page reads and gives the entries under Redis keys.
func (d *dump) page(ctx context.Context, keys []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.refused, ctx.Err()); err != nil || len(keys) == 0 {
		return err
	}
	// Through the store's own client, which follows a key to the node that has it.
	p := d.store.client.Pipeline()
	lives := make([]*redis.DurationCmd, len(keys))
	reads := make([]*redis.SliceCmd, len(keys))
	for i, key := range keys {
		lives[i] = p.PTTL(ctx, key)
		reads[i] = p.HMGet(ctx, key, "v", "d")
	}
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	entries, err := loaded(reads)
	if err != nil {
		return err
	}
	for i, e := range entries {
		forEver := lives[i].Val() == time.Duration(-1)
		if e.Version == 0 || !forEver {
			continue // it is gone, or it will be
		}
		name := strings.TrimSuffix(strings.TrimPrefix(keys[i], d.store.prefix+"{"), "}")
		if d.refused = d.fn(name, e); d.refused != nil {
			return d.refused
		}
	}
	return nil
}

// servers tells which process serves each master's slots. It fails while slots are
// on the move.
func (s *Store) servers(ctx context.Context) (map[string]string, error) {
	var mu sync.Mutex
	out := map[string]string{}
	err := s.eachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		text, err := master.Info(ctx, "server").Result()
		if redis.IsPermissionError(err) {
			return fmt.Errorf("the user must be allowed to call INFO: %w", err)
		}
		if err != nil {
			return err
		}
		slots := ""
		if s.cluster {
			if slots, err = ownSlots(ctx, master); err != nil {
				return err
			}
		}
		mu.Lock()
		out[parseInfo(text)["run_id"]] = slots
		mu.Unlock()
		return nil
	})
	return out, err
}

// ownSlots are the slot ranges that a node of a Cluster has by its own account.
func ownSlots(ctx context.Context, node *redis.Client) (string, error) {
	text, err := node.ClusterNodes(ctx).Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.Contains(fields[2], "myself") {
			continue
		}
		// Before the slots: id, address, flags, master, ping, pong, epoch, link.
		slots := fields[8:]
		if slices.ContainsFunc(slots, func(s string) bool { return strings.HasPrefix(s, "[") }) {
			return "", errors.New("slots of the Cluster are being moved: begin again when that is done")
		}
		return strings.Join(slots, " "), nil
	}
	return "", errReply
}

// globEscape takes the special meaning from what MATCH would read as a pattern.
func globEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(s)
}
