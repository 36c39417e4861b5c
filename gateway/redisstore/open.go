package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// clusterAge is for how long the roles of a Cluster's nodes are taken to be what they
// were. The client asks again by itself when a node sends it elsewhere, but not when
// a node is gone: by its default it would keep to a dead master for a minute.
const clusterAge = time.Second

// Store is a [gateway.Store] in Redis.
type Store struct {
	client     redis.UniversalClient
	cluster    bool
	prefix     string
	durability Durability
	scripts    scripts
	barrier    barrier
	alone      bool
	lineage    *lineage
	warnings   []string
	trace      Trace // nil for none
	close      func() error
}

// Open connects to Redis and checks that it can hold records. The error says
// what to do. ctx bounds the checks and is not kept.
func Open(ctx context.Context, c Config) (*Store, error) {
	o, err := c.options()
	if err != nil {
		return nil, failed("configuration", err)
	}
	s := &Store{
		cluster: c.Cluster, prefix: c.KeyPrefix, durability: c.Durability, scripts: newScripts(),
		barrier: c.barrier(), alone: c.alone(), lineage: newLineage(), trace: c.Trace,
	}
	o.OnConnect = s.connected
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	if s.durability == "" {
		s.durability = Standard
	}
	switch {
	case c.Cluster:
		cluster := o.Cluster()
		cluster.ClusterStateReloadInterval = clusterAge
		s.client = redis.NewClusterClient(cluster)
	case c.MasterName != "":
		s.client = redis.NewFailoverClient(o.Failover())
	default:
		s.client = redis.NewClient(o.Simple())
	}
	s.addHooks()
	s.close = sync.OnceValue(s.client.Close)
	if err := s.prepare(ctx); err != nil {
		_ = s.close()
		return nil, failed("open", explain(err, where(o)))
	}
	return s, nil
}

// Warnings tells, once per kind of server setting, what does not suit records.
// Under [Strict] there are none, since Open fails instead.
func (s *Store) Warnings() []string { return slices.Clone(s.warnings) }

// Durability is what the configuration asked for.
func (s *Store) Durability() Durability { return s.durability }

// prepare checks every master and loads the scripts there.
func (s *Store) prepare(ctx context.Context) error {
	var mu sync.Mutex
	var warnings []string
	fsync := s.durability == Strict
	err := s.eachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		found, err := s.check(ctx, master)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		warnings = append(warnings, found.warnings...)
		fsync = fsync && found.fsync
		return s.scripts.load(ctx, master)
	})
	if err != nil {
		return err
	}
	slices.Sort(warnings)
	s.warnings = slices.Compact(warnings)
	if s.durability == Strict && len(s.warnings) > 0 {
		return &setupError{text: "durability strict is not possible: " + strings.Join(s.warnings, "; ")}
	}
	s.barrier.fsync = fsync
	return s.lineage.open(s.saveLineage(ctx))
}

func (s *Store) eachMaster(ctx context.Context, f func(context.Context, *redis.Client) error) error {
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		return client.ForEachMaster(ctx, f)
	case *redis.Client:
		return f(ctx, client)
	default:
		return errReply
	}
}

// setupError is a finding of Open's checks, which needs no further explanation.
type setupError struct{ text string }

func (e *setupError) Error() string { return e.text }

// explain says what to do about an error met while opening.
func explain(err error, where string) error {
	if _, ok := errors.AsType[*setupError](err); ok {
		return fmt.Errorf("%s: %w", where, err)
	}
	hint := "is it running, and are address, port and firewall right? A server that wants TLS needs rediss:// or TLS"
	switch {
	case errors.Is(err, context.Canceled):
		hint = "the caller gave up"
	case redis.HasErrorPrefix(err, "NOAUTH"), redis.IsAuthError(err),
		redis.HasErrorPrefix(err, "WRONGPASS"), redis.HasErrorPrefix(err, "ERR invalid password"):
		hint = "the server refuses the credentials: check Username and Password"
	case redis.IsPermissionError(err):
		hint = "the user lacks a permission: it needs +@read +@write +@scripting +ping +info, for strict +wait +waitaof +config|get too, and the keys of KeyPrefix"
	case strings.Contains(err.Error(), "DB index is out of range"):
		hint = "the server has no such database: choose a lower number in URL, or raise the server's databases"
	case redis.HasErrorPrefix(err, "LOADING"):
		hint = "the server is still reading its data: try again"
	case strings.Contains(err.Error(), "cluster support disabled"):
		hint = "the server is not a Redis Cluster: unset Cluster"
	case strings.Contains(err.Error(), "all sentinels"), strings.Contains(err.Error(), "redis: nil"):
		hint = "no Sentinel knows this master: check MasterName and the Sentinels' addresses"
	case strings.Contains(err.Error(), "tls:"), strings.Contains(err.Error(), "x509:"):
		hint = "TLS failed: check that the server speaks TLS on this port, and its certificate"
	}
	return fmt.Errorf("cannot use the server at %s (%s): %w", where, hint, plain(err))
}
