package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// forgot reports whether the store may have lost a record so recently that a key
// which looks new may be one that a provider has served already.
func (s *Service) forgot() bool {
	at := time.UnixMicro(s.vanishedAt.Load())
	if s.forgetful != nil && s.forgetful.ForgotAt().After(at) {
		at = s.forgetful.ForgotAt()
	}
	return s.now().Sub(at) < s.lease+s.settleTime
}

// vanished notes that the store has lost a record which this gateway has written: it
// may have lost others too.
func (s *Service) vanished(id string) error {
	s.vanishedAt.Store(s.now().UnixMicro())
	s.log.Error("THE STORE HAS LOST A RECORD: restore it from a backup and the journals", zap.String("instrument", id))
	return errVanished
}

var errVanished = fmt.Errorf("%w: a record that was written is gone", ErrStore)

// recall looks at the provider before a create is sent there, since the store may
// have forgotten that it was sent before. If what the request wants to store is there
// and no record has it, done is set, and created and err are the answer.
func (c *creation) recall(ctx context.Context, p *Provider, cur stored) (next stored, done bool, created Created, err error) {
	if _, ok := p.adapter.(adapters.Lister); !ok || cur.Want.ReadOnly {
		return cur, false, Created{}, nil
	}
	last := cur.Attempts[len(cur.Attempts)-1]
	seen, err := c.s.look(ctx, cur.Record, p.name)
	if err != nil {
		created, err = c.notDone(ctx, cur, &normalize.Error{
			Code: normalize.ProviderUnavailable, Outcome: normalize.NotSent, Op: "create", Provider: p.name, RetryAfter: firstBackoff, Err: err,
			Msg: "the store has just been restored or replaced, and the provider could not be asked whether the request was served before",
		})
		return cur, true, created, err
	}
	for {
		ins, found, err := seen.pick(cur.Want, last.At)
		if err != nil || !found || cur.Want.compare(ins, last.At) != alike {
			return cur, false, Created{}, nil //nolint:nilerr // nothing there is surely this request's
		}
		after, err := c.s.adoptFound(ctx, cur, p, ins, true, cur.Want, nil)
		switch {
		case errors.Is(err, errTaken) && after.State == StateSending:
			seen, cur = seen.without(ins, errors.Is(err, errTakenByOpen)), after
			continue
		case err != nil || after.Answer == nil:
			created, err = c.undecided(ctx, after, err)
		default:
			c.s.log.Warn("the store had forgotten a create that the provider has served", zap.String("instrument", after.ID), zap.String("provider", p.name))
			created, err = c.replayMirrored(ctx, after)
			created.Replayed = false
		}
		return after, true, created, err
	}
}
