package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// casSource replaces an entry if its version is the expected one, and changes
// indexes only then. A write that finds its own nonce at the version it was to
// make has been applied before and its reply was lost: go-redis sends a request
// again in that case, and so may the gateway. It is reported as applied, and its
// index changes are made once more, which completes them if they are missing.
//
// What waits for replicas must write, whatever it finds: since Redis 7.2 WAIT only
// waits for what its own connection wrote. So in strict each script writes what is
// there already, where it would change nothing: what it found may be as new.
//
// The new version is an argument and not computed here: Lua's numbers are
// doubles. All fields go in one HSET, so that a server that is out of memory
// refuses the whole write.
//
// KEYS: the entry; the index of each change; the claim of each release.
// ARGV: expected version, next version, nonce, life in ms or 0, data, number of
// removals, number of additions; the member of each change, removals first; the
// owner of each release; and last, 1 in strict.
// Returns {applied, version, seconds, microseconds, data if not applied}.
const casSource = `
local now = redis.call('TIME')
local entry = redis.call('HMGET', KEYS[1], 'v', 'n')
local version = entry[1] or '0'
if version == ARGV[1] then
  redis.call('HSET', KEYS[1], 'v', ARGV[2], 'n', ARGV[3], 'd', ARGV[5])
  if ARGV[4] == '0' then
    redis.call('PERSIST', KEYS[1])
  else
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
  end
elseif version ~= ARGV[2] or entry[2] ~= ARGV[3] then
  if ARGV[#ARGV] == '1' and entry[1] then
    redis.call('HSET', KEYS[1], 'v', entry[1])
  end
  return {0, version, now[1], now[2], redis.call('HGET', KEYS[1], 'd')}
else
  redis.call('HSET', KEYS[1], 'n', ARGV[3])
end
local removals = tonumber(ARGV[6])
local changes = removals + tonumber(ARGV[7])
for i = 2, #KEYS do
  if i - 1 <= removals then
    redis.call('ZREM', KEYS[i], ARGV[i + 6])
  elseif i - 1 <= changes then
    redis.call('ZADD', KEYS[i], 0, ARGV[i + 6])
  elseif redis.call('GET', KEYS[i]) == ARGV[i + 6] then
    redis.call('DEL', KEYS[i])
  end
end
return {1, ARGV[2], now[1], now[2]}
`

// claimSource is SET NX GET, which Redis has only since 7.0.
const claimSource = `
if redis.call('SETNX', KEYS[1], ARGV[1]) == 1 then
  return ARGV[1]
end
local owner = redis.call('GET', KEYS[1])
if ARGV[2] == '1' then
  redis.call('SET', KEYS[1], owner)
end
return owner
`

// releaseSource gives a claim up if its owner still holds it.
const releaseSource = `
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
if ARGV[2] == '1' then
  redis.call('SET', KEYS[1], owner or '')
  if not owner then
    redis.call('DEL', KEYS[1])
  end
end
return 0
`

// indexSource adds a member to an index (ARGV[2] is 1) or takes it away (0).
const indexSource = `
local function change(add)
  if add then
    return redis.call('ZADD', KEYS[1], 0, ARGV[1])
  end
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
local add = ARGV[2] == '1'
local changed = change(add)
if changed == 0 and ARGV[3] == '1' then
  change(not add)
  change(add)
end
return changed
`

// clockSource runs on the node that owns KEYS[1], where a bare TIME would go to
// any node of a Cluster: an entry's lease is measured by its own node's clock.
// It is shorter than its hash, so it is always sent in full.
const clockSource = `return redis.call('TIME')`

type scripts struct{ cas, claim, release, index, draw, count *redis.Script }

func newScripts() scripts {
	return scripts{
		cas: redis.NewScript(casSource), claim: redis.NewScript(claimSource),
		release: redis.NewScript(releaseSource), index: redis.NewScript(indexSource),
		draw: redis.NewScript(drawSource), count: redis.NewScript(countSource),
	}
}

// load puts the scripts into one server's cache.
func (s scripts) load(ctx context.Context, client redis.Scripter) error {
	for _, script := range []*redis.Script{s.cas, s.claim, s.release, s.index, s.draw, s.count} {
		if err := script.Load(ctx, client).Err(); err != nil {
			return err
		}
	}
	return nil
}

// run queues a script: by its hash, or in full for a server that does not know
// it, which then keeps it.
func run(ctx context.Context, p redis.Pipeliner, script *redis.Script, full bool, keys []string, args ...any) *redis.Cmd {
	if full {
		return script.Eval(ctx, p, keys, args...)
	}
	return script.EvalSha(ctx, p, keys, args...)
}

// pipelined fills a pipeline with queue and sends it. A server forgets its
// scripts when it restarts, fails over or is flushed; the pipeline is then sent
// once more with the scripts in full. All that a pipeline does is idempotent, so
// it does no harm that its other commands run twice.
func (s *Store) pipelined(ctx context.Context, queue func(p redis.Pipeliner, full bool)) error {
	for _, full := range []bool{false, true} {
		p := s.client.Pipeline()
		queue(p, full)
		cmds, err := p.Exec(ctx)
		if err == nil {
			s.noteLineage(ctx)
			return nil
		}
		if full || !anyNoScript(cmds) {
			return err
		}
	}
	return nil
}

func anyNoScript(cmds []redis.Cmder) bool {
	for _, cmd := range cmds {
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			return true
		}
	}
	return false
}
