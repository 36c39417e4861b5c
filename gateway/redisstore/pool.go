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

// Pool reads the state of the connections. It asks no server.
func (s *Store) Pool() Pool {
	p := s.client.PoolStats()
	return Pool{
		Total: int(p.TotalConns), Idle: int(p.IdleConns), Limit: s.poolLimit(),
		Hits: uint64(p.Hits), Misses: uint64(p.Misses), Timeouts: uint64(p.Timeouts), Stale: uint64(p.StaleConns),
	}
}

// poolLimit is how many connections the client may have to one server, with its defaults.
func (s *Store) poolLimit() int {
	switch client := s.client.(type) {
	case *redis.ClusterClient:
		return client.Options().PoolSize
	case *redis.Client:
		return client.Options().PoolSize
	default:
		return 0
	}
}
