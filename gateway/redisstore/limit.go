package redisstore

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/polyvault/polyvault/gateway"
)

var _ gateway.Buckets = (*Store)(nil)

// drawSource takes tokens from a bucket, on the server's clock. A bucket that is full
// again is not kept.
//
// KEYS: the bucket. ARGV: tokens a second, burst, tokens wanted.
// Returns {tokens granted, tokens left, seconds until there is one}.
const drawSource = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local was = redis.call('HMGET', KEYS[1], 'l', 't')
local level = burst
if was[1] and was[2] then
  local filled = math.max(0, now - tonumber(was[2])) * rate / 1000000
  level = math.min(burst, tonumber(was[1]) + filled)
end
local granted = math.min(wanted, math.floor(level + 1e-9))
level = level - granted
if granted == 0 then
  return {0, string.format('%.17g', math.max(0, level)), string.format('%.17g', (1 - level) / rate)}
end
redis.call('HSET', KEYS[1], 'l', string.format('%.17g', level), 't', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - level) / rate * 1000) + 1)
return {granted, string.format('%.17g', math.max(0, level)), '0'}
`

// countSource counts a name towards a span: a sorted set of names by when they came.
//
// KEYS: the span. ARGV: its limit, its length in microseconds, the name, and look,
// take, note or drop.
// Returns {1 if it fits in, microseconds until another one will}.
const countSource = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local limit, per, name, action = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - per))
local function add()
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), name)
  redis.call('PEXPIRE', KEYS[1], math.ceil(per / 1000) + 1)
end
if action == 'drop' then
  redis.call('ZREM', KEYS[1], name)
  return {1, '0'}
end
if action ~= 'look' and redis.call('ZSCORE', KEYS[1], name) then
  return {1, '0'}
end
if action == 'note' then
  add()
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -limit - 1)
  return {1, '0'}
end
local count = redis.call('ZCARD', KEYS[1])
if count >= limit then
  local first = redis.call('ZRANGE', KEYS[1], count - limit, count - limit, 'WITHSCORES')
  return {0, string.format('%.0f', tonumber(first[2]) + per - now)}
end
if action == 'take' then
  add()
end
return {1, '0'}
`

func (s *Store) limitKey(key string) string { return s.prefix + "limit:{" + key + "}" }

// Draw implements [gateway.Buckets]. It waits for no replica: a bucket that is lost
// begins anew.
func (s *Store) Draw(ctx context.Context, key string, r gateway.Rate, want int) (gateway.Drawn, error) {
	const op = "draw"
	if err := ctx.Err(); err != nil {
		return gateway.Drawn{}, failed(op, err)
	}
	if err := gateway.ValidateDraw(key, r, want); err != nil {
		return gateway.Drawn{}, failed(op, err)
	}
	var reply *redis.Cmd
	err := s.pipelined(ctx, func(p redis.Pipeliner, full bool) {
		reply = run(ctx, p, s.scripts.draw, full, []string{s.limitKey(key)}, r.PerSecond, r.Burst, want)
	})
	if err != nil {
		return gateway.Drawn{}, failed(op, err)
	}
	granted, rest, err := numbers(reply)
	if err != nil || len(rest) != 2 {
		return gateway.Drawn{}, failed(op, errReply)
	}
	return gateway.Drawn{Granted: granted, Left: rest[0], Wait: roundedUp(rest[1] * 1e9)}, nil
}

// Count implements [gateway.Buckets].
func (s *Store) Count(ctx context.Context, counts ...gateway.Count) ([]gateway.Counted, error) {
	const op = "count"
	if err := ctx.Err(); err != nil {
		return nil, failed(op, err)
	}
	for _, c := range counts {
		if err := c.Validate(); err != nil {
			return nil, failed(op, err)
		}
	}
	if len(counts) == 0 {
		return nil, nil
	}
	replies := make([]*redis.Cmd, len(counts))
	err := s.pipelined(ctx, func(p redis.Pipeliner, full bool) {
		for i, c := range counts {
			replies[i] = run(ctx, p, s.scripts.count, full, []string{s.limitKey(c.Key)}, c.Span.Limit, c.Span.Per.Microseconds(), c.Name, action(c.Do))
		}
	})
	if err != nil {
		return nil, failed(op, err)
	}
	out := make([]gateway.Counted, len(counts))
	for i, reply := range replies {
		fits, rest, err := numbers(reply)
		if err != nil || len(rest) != 1 {
			return nil, failed(op, errReply)
		}
		out[i] = gateway.Counted{OK: fits == 1, Wait: roundedUp(rest[0] * 1e3)}
	}
	return out, nil
}

func action(a gateway.CountAction) string {
	switch a {
	case gateway.CountTake:
		return "take"
	case gateway.CountNote:
		return "note"
	case gateway.CountDrop:
		return "drop"
	default:
		return "look"
	}
}

// numbers reads an integer and the texts of numbers behind it.
func numbers(reply *redis.Cmd) (first int, rest []float64, err error) {
	fields, err := reply.Slice()
	if err != nil || len(fields) == 0 {
		return 0, nil, errReply
	}
	n, ok := fields[0].(int64)
	if !ok {
		return 0, nil, errReply
	}
	for _, f := range fields[1:] {
		text, _ := f.(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, nil, errReply
		}
		rest = append(rest, v)
	}
	return int(n), rest, nil
}

// roundedUp makes a duration of nanoseconds; nothing above 0 becomes 0.
func roundedUp(ns float64) time.Duration {
	d := time.Duration(ns)
	if float64(d) < ns {
		d++
	}
	return d
}
