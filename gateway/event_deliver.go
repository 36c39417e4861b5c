package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/zap"
)

// deliveryPage is how many waiting events are read at a time: they are held in memory.
const deliveryPage = 16

// maxAnswer is how much of an endpoint's answer is read, in bytes, so that its
// connection can be used again. Nobody looks at it.
const maxAnswer = 16 << 10

// pump begins to deliver what an endpoint waits for and is due, unless it is at it
// already. It does not wait for the endpoint.
func (s *Service) pump(ctx context.Context, work *sync.WaitGroup, e *endpoint) {
	if e.config.Disabled || e.gone.Load() || !e.pumping.CompareAndSwap(false, true) {
		return
	}
	work.Go(func() {
		defer e.pumping.Store(false)
		if err := s.pumpAll(ctx, work, e); err != nil && ctx.Err() == nil {
			s.log.Warn("events that wait could not be looked for", zap.String("tenant", e.tenant), zap.String("host", e.host), zap.Error(err))
		}
	})
}

// pumpAll delivers page after page, as fast as the endpoint's slots allow.
func (s *Service) pumpAll(ctx context.Context, work *sync.WaitGroup, e *endpoint) error {
	index, after := indexDeliveries(e.tenant, e.id), ""
	for ctx.Err() == nil && !e.gone.Load() {
		members, err := s.store.Scan(ctx, index, after, deliveryPage, false)
		if err != nil {
			return storeError("events", err)
		}
		var keys []string
		until := timeKey(s.clock.at(s.now())) + "~"
		for i, m := range members {
			if m > until {
				members = members[:i]
				break
			}
			keys = append(keys, eventKey(e.tenant, memberID(m)))
		}
		if len(keys) == 0 {
			return nil
		}
		loaded, err := s.loadEntries(ctx, keys...)
		if err != nil {
			return storeError("events", err)
		}
		for i, entry := range loaded.Entries {
			select {
			case e.slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			claimed, ok, err := s.claimDelivery(ctx, e, entry, Member{index, members[i]})
			if err != nil || !ok {
				e.end()
			}
			switch {
			case errors.Is(err, ErrUnreadable):
				after = members[i] // it stays where it is, and holds up no other one
				continue
			case err != nil:
				return err
			case !ok:
				continue
			}
			work.Go(func() {
				defer e.end()
				s.deliver(ctx, e, claimed)
			})
		}
	}
	return nil
}

// claimDelivery keeps other gateways from delivering the same event meanwhile. ok is
// false if there is nothing to deliver.
func (s *Service) claimDelivery(ctx context.Context, e *endpoint, entry Entry, found Member) (claimed storedEvent, ok bool, err error) {
	if entry.Version == 0 {
		return claimed, false, s.dropEventMembers(ctx, []Member{found})
	}
	cur, err := s.decodeEvent(eventKey(e.tenant, memberID(found.Member)), entry)
	if err != nil {
		return claimed, false, err
	}
	next, i := cur.event, cur.at(e.id)
	now := s.clock.at(s.now())
	due := i >= 0 && cur.Deliveries[i].State == DeliveryPending && !cur.Deliveries[i].Next.After(now)
	if due {
		d := cur.Deliveries[i]
		d.Next = now.Add(claimedFor)
		next = cur.with(d)
	}
	w := s.eventWrite(cur, next)
	w.Remove = append(w.Remove, found) // a crash between two round trips leaves one behind
	res, err := s.write(ctx, w)
	if err != nil {
		return claimed, false, storeError("events", err)
	}
	return storedEvent{next, res.Current.Version}, due && res.Applied, nil
}

// deliver sends a claimed event, and writes down what became of it.
func (s *Service) deliver(ctx context.Context, e *endpoint, cur storedEvent) {
	o := e.send(ctx, cur.event, s.now())
	stopping := ctx.Err() != nil && o.err != ""
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	now := s.clock.at(s.now())
	chance := rand.Float64() //nolint:gosec // it spreads retries
	claimed := cur.Deliveries[cur.at(e.id)].Next
	after, err := s.changeDelivery(ctx, e, cur, func(d delivery) delivery {
		if d.Next.Before(claimed) {
			return d // somebody asked for it once more meanwhile
		}
		if stopping {
			d.Next = now // it was ours to end, and is another's to begin anew
			return d
		}
		return d.ended(o, now, chance)
	})
	if err != nil {
		s.log.Warn("what became of an event could not be noted: it is delivered once more", zap.String("event", cur.ID), zap.Error(err))
	}
	if !stopping {
		s.told(e, cur.event, after, o)
	}
}

// changeDelivery applies fn, again from the start when somebody else was faster.
func (s *Service) changeDelivery(ctx context.Context, e *endpoint, cur storedEvent, fn func(delivery) delivery) (delivery, error) {
	for range 10 {
		i := cur.at(e.id)
		if i < 0 {
			return delivery{}, nil
		}
		d := fn(cur.Deliveries[i])
		next := cur.with(d)
		res, err := s.write(ctx, s.eventWrite(cur, next))
		if err != nil || res.Applied {
			return d, err
		}
		if res.Current.Version == 0 {
			return d, nil // its time is over
		}
		if cur, err = s.decodeEvent(eventKey(cur.Tenant, cur.ID), res.Current); err != nil {
			return d, err
		}
	}
	return delivery{}, errChanged
}

// told counts and logs what became of a try.
func (s *Service) told(e *endpoint, ev event, d delivery, o outcome) {
	if o.err == "" {
		e.counts.delivered.Add(1)
		return
	}
	e.counts.failedTries.Add(1)
	fields := []zap.Field{
		zap.String("event", ev.ID), zap.String("type", string(ev.Type)), zap.String("tenant", e.tenant), zap.String("host", e.host),
		zap.Int("status", o.status), zap.String("why", o.err), zap.Int("tries", d.Tries),
	}
	if o.status == http.StatusGone && e.gone.CompareAndSwap(false, true) {
		s.log.Error("an endpoint says that it is gone: it is sent nothing until its configuration changes", fields...)
	}
	if d.State == DeliveryFailed {
		e.counts.givenUp.Add(1)
		s.log.Error("an event was given up: a replay tries it again", fields...)
		return
	}
	s.log.Info("an event was not delivered yet", append(fields, zap.Time("next", d.Next))...)
}

// send makes one try. What goes wrong is told without any part of the answer or of the
// URL, which may hold a secret of the receiver.
func (e *endpoint) send(ctx context.Context, ev event, now time.Time) outcome {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.config.URL, strings.NewReader(ev.Body))
	if err != nil {
		return outcome{err: "the request could not be made", final: true}
	}
	signature, err := e.sign(ev, now)
	if err != nil {
		return outcome{err: "the event could not be signed", final: true}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "polyvault")
	req.Header.Set(standardwebhooks.HeaderWebhookID, ev.ID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	resp, err := e.client.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return outcome{err: "timeout"}
	case err != nil:
		return outcome{err: "connection"}
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	out := outcome{status: resp.StatusCode, final: resp.StatusCode == http.StatusGone}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		out.err = "status"
	}
	return out
}

// sign makes the signatures of all secrets, separated by spaces.
func (e *endpoint) sign(ev event, now time.Time) (string, error) {
	var out bytes.Buffer
	for i, signer := range e.signers {
		signature, err := signer.Sign(ev.ID, now, []byte(ev.Body))
		if err != nil {
			return "", err
		}
		if i > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(signature)
	}
	return out.String(), nil
}
