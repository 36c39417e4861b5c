package redisstore

import "github.com/redis/go-redis/v9"

// Pool says how the store's connections are, over all servers of a Cluster.
type Pool struct {
	Total, Idle int    // connections that are open, and that nobody uses
	Limit       int    // connections that may be open, for each server
	Hits        uint64 // requests that found a free connection, since the start
	Misses      uint64 // requests that had to open one
	Timeouts    uint64 // requests that got none in time
	Stale       uint64 // connections that were closed since they were broken or old
}

// Pool reads the state of the connections. It asks no server. The client has two sets of
// them, one for batches, from which it turns to the other one at once if all are in use:
// a request has got no connection in time only if that one had none.
func (s *Store) Pool() Pool {
	all := s.client.PoolStats()
	p := Pool{
		Total: int(all.TotalConns), Idle: int(all.IdleConns), Limit: s.poolLimit(),
		Hits: uint64(all.Hits), Misses: uint64(all.Misses), Timeouts: uint64(all.Timeouts), Stale: uint64(all.StaleConns),
	}
	if batches := all.PipelineStats; batches != nil {
		p.Total, p.Idle = p.Total+int(batches.TotalConns), p.Idle+int(batches.IdleConns)
		p.Hits, p.Misses, p.Stale = p.Hits+uint64(batches.Hits), p.Misses+uint64(batches.Misses), p.Stale+uint64(batches.StaleConns)
	}
	return p
}

// poolLimit is how many connections the client may have to one server, with its defaults.
func (s *Store) poolLimit() int {
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		o := client.Options()
		return o.PoolSize + batchPool(o.PipelinePoolSize)
	case *redis.Client:
		o := client.Options()
		return o.PoolSize + batchPool(o.PipelinePoolSize)
	default:
		return 0
	}
}

// batchPool is what the client makes of the option of that name.
func batchPool(size int) int {
	if size == 0 {
		return redis.DefaultPipelinePoolSize
	}
	return max(size, 0)
}
