package redisstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/polyvault/polyvault/gateway"
)

var _ gateway.Store = (*Store)(nil)

func (s *Store) entryKey(key string) string   { return s.prefix + "{" + key + "}" }
func (s *Store) claimKey(key string) string   { return s.prefix + "claim:{" + key + "}" }
func (s *Store) indexKey(index string) string { return s.prefix + "idx:{" + index + "}" }

// Load implements [gateway.Store]. On a Cluster the time is that of the node
// with the first key.
func (s *Store) Load(ctx context.Context, keys ...string) (gateway.Loaded, error) {
	const op = "load"
	if err := ctx.Err(); err != nil {
		return gateway.Loaded{}, failed(op, err)
	}
	p := s.client.Pipeline()
	reads := s.queueLoads(ctx, p, keys)
	clock := s.queueClock(ctx, p, keys)
	if _, err := p.Exec(ctx); err != nil {
		return gateway.Loaded{}, failed(op, err)
	}
	s.noteLineage(ctx)
	entries, err := loaded(reads)
	if err != nil {
		return gateway.Loaded{}, failed(op, err)
	}
	now, err := clock()
	if err != nil {
		return gateway.Loaded{}, failed(op, err)
	}
	return gateway.Loaded{Entries: entries, Now: now}, nil
}

// queueClock asks for the server's time; read it after Exec.
func (s *Store) queueClock(ctx context.Context, p redis.Pipeliner, keys []string) func() (time.Time, error) {
	if !s.cluster {
		cmd := p.Time(ctx)
		return cmd.Result
	}
	var on []string
	if len(keys) > 0 {
		on = []string{s.entryKey(keys[0])}
	}
	cmd := p.Eval(ctx, clockSource, on)
	return func() (time.Time, error) {
		parts, err := cmd.StringSlice()
		if err != nil || len(parts) != 2 {
			return time.Time{}, errReply
		}
		return parseTime(parts[0], parts[1])
	}
}

// Scan implements [gateway.Store].
func (s *Store) Scan(ctx context.Context, index, after string, limit int, reverse bool) ([]string, error) {
	const op = "scan"
	if err := ctx.Err(); err != nil {
		return nil, failed(op, err)
	}
	if limit <= 0 { // a negative count would mean all of them to Redis
		return nil, nil
	}
	start, stop := "-", "+"
	if reverse { // ZRANGE REV takes the upper end first
		start, stop = stop, start
	}
	if after != "" {
		start = "(" + after
	}
	members, err := s.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: s.indexKey(index), Start: start, Stop: stop, ByLex: true, Rev: reverse, Count: int64(limit),
	}).Result()
	if err != nil {
		return nil, failed(op, err)
	}
	return members, nil
}

// Ping implements [gateway.Store]. On a Cluster every master must answer: the
// records are spread over all of them.
func (s *Store) Ping(ctx context.Context) error {
	err := s.eachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		return master.Ping(ctx).Err()
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return failed("ping", err)
	}
	return nil
}

// Close implements [gateway.Store]. Closing twice is harmless.
func (s *Store) Close() error {
	if err := s.close(); err != nil {
		return failed("close", err)
	}
	return nil
}

func (s *Store) queueLoads(ctx context.Context, p redis.Pipeliner, keys []string) []*redis.SliceCmd {
	reads := make([]*redis.SliceCmd, len(keys))
	for i, key := range keys {
		reads[i] = p.HMGet(ctx, s.entryKey(key), "v", "d")
	}
	return reads
}

func loaded(reads []*redis.SliceCmd) ([]gateway.Entry, error) {
	entries := make([]gateway.Entry, len(reads))
	for i, read := range reads {
		fields := read.Val()
		if len(fields) != 2 {
			return nil, errReply
		}
		if fields[0] == nil {
			continue
		}
		entry, err := parseEntry(fields[0], fields[1])
		if err != nil {
			return nil, err
		}
		entries[i] = entry
	}
	return entries, nil
}

func parseEntry(version, data any) (gateway.Entry, error) {
	v, okV := version.(string)
	d, okD := data.(string)
	if !okV || !okD {
		return gateway.Entry{}, errReply
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return gateway.Entry{}, errReply
	}
	return gateway.Entry{Value: []byte(d), Version: n}, nil
}

func parseTime(seconds, micros any) (time.Time, error) {
	s, okS := seconds.(string)
	us, okUS := micros.(string)
	if !okS || !okUS {
		return time.Time{}, errReply
	}
	sec, errS := strconv.ParseInt(s, 10, 64)
	usec, errUS := strconv.ParseInt(us, 10, 64)
	if errors.Join(errS, errUS) != nil {
		return time.Time{}, errReply
	}
	return time.Unix(sec, usec*int64(time.Microsecond)), nil
}
