package redisstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/polyvault/polyvault/gateway"
)

var _ gateway.Forgetful = (*Store)(nil)

// lineageAge is for how long a server's word is taken that it is the master of the
// history that we know. A failover takes longer.
const lineageAge = time.Second

// lineage knows the histories that the masters' data have. A master gives its
// history an id, and a new one when it was restarted, or made a master: then it may
// lack what was acknowledged last. The id also changes when a master without replicas
// gets one, or has been without for an hour; that is taken for the same, which costs
// some look-ups. A known id in place of another is a former master that some still
// take for one, and lacks what was written since.
//
// The id is asked for on every new connection before it is used, and once a second
// behind what is sent anyway: a Cluster makes a replica a master and keeps its
// connections. So it is noticed before the first answer of the new master is returned.
type lineage struct {
	mu      sync.Mutex
	known   map[string]bool      // ids
	current map[string]string    // by node: the id that it had last
	checked map[string]time.Time // by node: when it last said that it is a master
	opened  bool                 // ids that are met from now on are new
	blind   bool                 // the user may not call INFO, of which Open warned
	forgot  time.Time

	unsaved []string  // ids that are not in the store yet
	tried   time.Time // when they were last to be saved
	met     bool      // the store has ids: it is not a new one
}

func newLineage() *lineage {
	return &lineage{known: make(map[string]bool), current: make(map[string]string), checked: make(map[string]time.Time)}
}

// open ends the time in which ids that are met are old. A store that cannot be
// written now may still be read, and written later; the ids are saved then.
func (l *lineage) open(err error) error {
	for _, refusal := range []string{"OOM", "NOREPLICAS", "MISCONF"} {
		if redis.HasErrorPrefix(err, refusal) {
			err = nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = true
	return err
}

// due reports whether the node is to be asked. A replica always is: it may be
// a master the next time.
func (l *lineage) due(node string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opened && !l.blind && time.Since(l.checked[node]) > lineageAge
}

// someNode is a node of a Cluster of which it is not known which. Where there is one
// master at a time, all its places are the node "".
const someNode = "?"

// saw takes in what a server says of its replication.
func (l *lineage) saw(node string, info map[string]string) {
	id := info["master_replid"]
	if info["role"] != "master" || id == "" {
		return // a replica has its master's id, and a Sentinel none
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := !l.known[id]
	if changed {
		l.known[id] = true
		l.unsaved = append(l.unsaved, id)
	}
	if node != someNode {
		l.checked[node] = time.Now()
		changed = changed || l.current[node] != "" && l.current[node] != id
		l.current[node] = id
	}
	if changed && l.opened {
		l.forgot = time.Now()
	}
}

// told takes in the reply to INFO replication.
func (l *lineage) told(node string, info *redis.StringCmd) {
	switch err := info.Err(); {
	case err == nil:
		l.saw(node, parseInfo(info.Val()))
	case redis.IsPermissionError(err):
		l.mu.Lock()
		defer l.mu.Unlock()
		l.blind = true
	}
}

// connected asks a new connection's server, before the connection is used.
func (s *Store) connected(ctx context.Context, cn *redis.Conn) error {
	text, err := cn.Info(ctx, "replication").Result()
	if _, refused := errors.AsType[redis.Error](err); refused {
		return nil // a Sentinel may refuse it, too
	}
	if err == nil {
		node := ""
		if s.cluster {
			node = someNode
		}
		s.lineage.saw(node, parseInfo(text))
	}
	return err
}

// toSave returns the ids that are to be saved now. It does so once a second, since a
// store that cannot be written would otherwise make every read wait.
func (l *lineage) toSave() (ids []string, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unsaved) == 0 || time.Since(l.tried) < lineageAge {
		return nil, false
	}
	l.tried = time.Now()
	return slices.Clone(l.unsaved), !l.met
}

// saved takes in that the store has the ids, and when the newest of them began.
func (l *lineage) saved(ids []string, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.met = true
	l.tried = time.Time{}
	l.unsaved = slices.DeleteFunc(l.unsaved, func(id string) bool { return slices.Contains(ids, id) })
	if began.After(l.forgot) {
		l.forgot = began
	}
}

// ForgotAt implements [gateway.Forgetful]. It is when a new history was noticed, here
// or by a gateway before this one. With [Strict] on one server it is always zero: the
// server had everything on disk that it acknowledged. With replicas it is not, since
// neither Sentinel nor a Cluster promises to choose the one that confirmed.
func (s *Store) ForgotAt() time.Time {
	if s.durability == Strict && s.alone {
		return time.Time{}
	}
	s.lineage.mu.Lock()
	defer s.lineage.mu.Unlock()
	return s.lineage.forgot
}

// saveSource keeps the ids of histories and when they were first met. Those that the
// first gateway of a new store meets have no such time: nothing was there to forget.
//
// KEYS: the ids' hash. ARGV: whether the store may be new; ids.
// Returns {seconds, microseconds, the time of each id in microseconds}.
const saveSource = `
local now = redis.call('TIME')
local met = now[1] .. string.format('%06d', now[2])
if ARGV[1] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then
  met = '0'
end
local reply = {now[1], now[2]}
for i = 2, #ARGV do
  redis.call('HSETNX', KEYS[1], ARGV[i], met)
  reply[i + 1] = redis.call('HGET', KEYS[1], ARGV[i])
end
return reply
`

// saveLineage writes the ids of new histories to the store, so that a gateway that
// is started later knows of them. What cannot be written now is tried again.
func (s *Store) saveLineage(ctx context.Context) error {
	ids, first := s.lineage.toSave()
	if len(ids) == 0 {
		return nil
	}
	args := []any{0}
	if first {
		args[0] = 1
	}
	for _, id := range ids {
		args = append(args, id)
	}
	reply, err := s.client.Eval(ctx, saveSource, []string{s.prefix + "replids"}, args...).StringSlice()
	if err != nil {
		return err
	}
	began, err := latest(reply, len(ids))
	if err != nil {
		return err
	}
	s.lineage.saved(ids, began)
	return nil
}

// noteLineage saves what the last answer told. A failure is nobody's concern now.
func (s *Store) noteLineage(ctx context.Context) { _ = s.saveLineage(ctx) }

// latest reads the reply of saveSource: when, on this gateway's clock, the newest
// history was first met; zero if all are as old as the store.
func latest(reply []string, ids int) (time.Time, error) {
	if len(reply) != 2+ids {
		return time.Time{}, errReply
	}
	now, err := parseTime(reply[0], reply[1])
	if err != nil {
		return time.Time{}, err
	}
	var began time.Time
	for _, text := range reply[2:] {
		micros, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return time.Time{}, errReply
		}
		if met := time.Now().Add(time.UnixMicro(micros).Sub(now)); micros != 0 && met.After(began) {
			began = met
		}
	}
	return began, nil
}
