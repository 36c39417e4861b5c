package redisstore

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/polyvault/polyvault/gateway"
)

// Write implements [gateway.Store]. A write is known by its nonce as long as no
// other has followed it on the same entry. A member that is both removed and
// added is added.
func (s *Store) Write(ctx context.Context, w gateway.Write) (gateway.Written, error) {
	const op = "write"
	if err := ctx.Err(); err != nil {
		return gateway.Written{}, failed(op, err)
	}
	if err := w.Validate(); err != nil {
		return gateway.Written{}, failed(op, err)
	}
	ctx = s.barrier.durable(ctx)
	var replies writeReplies
	err := s.pipelined(ctx, func(p redis.Pipeliner, full bool) {
		replies = s.queueWrite(ctx, p, w, full)
	})
	if err != nil {
		return gateway.Written{}, failed(op, err)
	}
	out, err := replies.written(w)
	if err != nil {
		return gateway.Written{}, failed(op, err)
	}
	if s.cluster && out.Applied && len(w.Add)+len(w.Remove)+len(w.Release) > 0 {
		if err := s.followUp(ctx, w, &out); err != nil {
			return gateway.Written{}, failed("write of an index", err)
		}
	}
	return out, nil
}

// writeReplies are the commands of a write in their order; read them after Exec.
type writeReplies struct {
	cas    *redis.Cmd
	claims []*redis.Cmd
	reads  []*redis.SliceCmd
}

func (s *Store) queueWrite(ctx context.Context, p redis.Pipeliner, w gateway.Write, full bool) writeReplies {
	keys := []string{s.entryKey(w.Key)}
	args := []any{
		strconv.FormatUint(w.Expect, 10), strconv.FormatUint(w.Next(), 10),
		w.Nonce, milliseconds(w.TTL), w.Value, 0, 0,
	}
	if !s.cluster {
		args[5], args[6] = len(w.Remove), len(w.Add)
		for _, m := range slices.Concat(w.Remove, w.Add) {
			keys, args = append(keys, s.indexKey(m.Index)), append(args, m.Member)
		}
		for _, c := range w.Release {
			keys, args = append(keys, s.claimKey(c.Key)), append(args, c.Owner)
		}
	}
	args = append(args, s.barrier.always())
	replies := writeReplies{
		cas:    run(ctx, p, s.scripts.cas, full, keys, args...),
		claims: make([]*redis.Cmd, len(w.Claims)),
	}
	s.queueClaims(ctx, p, replies.claims, w, full)
	replies.reads = s.queueLoads(ctx, p, w.Load)
	return replies
}

func (r writeReplies) written(w gateway.Write) (gateway.Written, error) {
	fields, err := r.cas.Slice()
	if err != nil || len(fields) < 4 {
		return gateway.Written{}, errReply
	}
	var out gateway.Written
	switch {
	case fields[0] == int64(1):
		out.Applied = true
		out.Current = gateway.Entry{Value: w.Value, Version: w.Next()}
	case fields[1] == "0": // there is none, and so no data either
	case len(fields) == 5:
		if out.Current, err = parseEntry(fields[1], fields[4]); err != nil {
			return gateway.Written{}, err
		}
	default:
		return gateway.Written{}, errReply
	}
	if out.Now, err = parseTime(fields[2], fields[3]); err != nil {
		return gateway.Written{}, err
	}
	if out.Owners, err = owners(r.claims); err != nil {
		return gateway.Written{}, err
	}
	out.Loaded, err = loaded(r.reads)
	return out, err
}

func (s *Store) queueClaims(ctx context.Context, p redis.Pipeliner, claims []*redis.Cmd, w gateway.Write, full bool) {
	for i, c := range w.Claims {
		claims[i] = run(ctx, p, s.scripts.claim, full, []string{s.claimKey(c.Key)}, c.Owner, s.barrier.always())
	}
}

func owners(claims []*redis.Cmd) ([]string, error) {
	out := make([]string, len(claims))
	for i, claim := range claims {
		var err error
		if out[i], err = claim.Text(); err != nil {
			return nil, errReply
		}
	}
	return out, nil
}

// followUp is a Cluster's second round trip, for what lives on other nodes and
// waits for the entry: indexes and releases. Names that were released are claimed
// once more, since the first claim met their old owner.
func (s *Store) followUp(ctx context.Context, w gateway.Write, out *gateway.Written) error {
	claims := make([]*redis.Cmd, len(w.Claims))
	err := s.pipelined(ctx, func(p redis.Pipeliner, full bool) {
		for _, m := range w.Remove {
			run(ctx, p, s.scripts.index, full, []string{s.indexKey(m.Index)}, m.Member, 0, s.barrier.always())
		}
		for _, m := range w.Add {
			run(ctx, p, s.scripts.index, full, []string{s.indexKey(m.Index)}, m.Member, 1, s.barrier.always())
		}
		for _, c := range w.Release {
			run(ctx, p, s.scripts.release, full, []string{s.claimKey(c.Key)}, c.Owner, s.barrier.always())
		}
		if len(w.Release) > 0 {
			s.queueClaims(ctx, p, claims, w, full)
		}
	})
	if err != nil || len(w.Release) == 0 {
		return err
	}
	out.Owners, err = owners(claims)
	return err
}

// milliseconds rounds up: 0 would mean for ever.
func milliseconds(ttl time.Duration) int64 {
	return int64((ttl + time.Millisecond - 1) / time.Millisecond)
}
