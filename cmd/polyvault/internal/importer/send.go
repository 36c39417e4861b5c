package importer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/polyvault/polyvault/gateway/client"
)

const (
	firstWait  = 250 * time.Millisecond
	longest    = 15 * time.Second
	retryNever = string(client.RetryNever)
	maxDetail  = 500 // characters
)

// shipment is a batch on its way.
type shipment struct {
	*run
	b       *batch
	pending []int     // slots without a result
	since   time.Time // when something last went forward
	why     string    // what is waited for
}

// send gives the batch's slots their results. A slot gets none if the import ends before.
func (r *run) send(b *batch) {
	s := &shipment{run: r, b: b, since: time.Now()}
	for i := range b.slots {
		if b.slots[i].send {
			s.pending = append(s.pending, i)
		}
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = firstWait, longest
	_, err := backoff.Retry(r.ctx, s.once, backoff.WithBackOff(waits), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(error, time.Duration) {
			if r.Notice != nil {
				r.Notice(s.why)
			}
		}))
	if fatal, ok := errors.AsType[*fatalError](err); ok {
		r.stop(fatal)
	}
}

// errAgain says that there is something to send again.
var errAgain = errors.New("not everything has a result yet")

// fatalError ends the import: another line would fare no better.
type fatalError struct{ text string }

func (e *fatalError) Error() string { return e.text }

func fatalf(format string, args ...any) error {
	return backoff.Permanent(&fatalError{fmt.Sprintf(format, args...)})
}

// once makes one request with all that has no result. The request is not cut short when
// the import is asked to stop: what is under way is finished.
func (s *shipment) once() (none struct{}, err error) {
	if s.ctx.Err() != nil {
		return none, backoff.Permanent(ErrInterrupted)
	}
	items := make([]client.ImportItem, len(s.pending))
	for i, n := range s.pending {
		items[i] = s.b.slots[n].item()
	}
	out, err := s.Gateway.Import(context.WithoutCancel(s.ctx), items)
	if err != nil {
		return none, s.unanswered(err)
	}
	return none, s.answered(out.Data)
}

func (s slot) item() client.ImportItem {
	return client.ImportItem{
		IdempotencyKey: s.key, CustomerID: s.entry.CustomerID, Provider: s.entry.Provider, Metadata: s.entry.Metadata,
		Sources: []client.Source{client.FromProviderReference(s.entry.Provider, s.entry.References)},
	}
}

// unanswered says what a request that failed as a whole means.
func (s *shipment) unanswered(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return fatalf("the gateway cannot be asked: %v", err)
	}
	s.why = e.Error()
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return fatalf("the gateway refuses the API key: %s", e.Detail)
	case e.Status == http.StatusTooManyRequests:
		s.since = time.Now() // we are too fast; nothing is broken
	case e.Status != 0 && e.Status < http.StatusInternalServerError:
		return fatalf("the gateway does not take the request: %s", e.Error())
	case time.Since(s.since) > s.Patience:
		return fatalf("the gateway has not answered for %s: %s", s.Patience, e.Error())
	}
	if e.RetryAfter > 0 {
		return &backoff.RetryAfterError{Duration: e.RetryAfter}
	}
	return err
}

// answered gives slots their results. What may pass is tried again while there is patience.
func (s *shipment) answered(data []client.BulkItem) error {
	var again []int
	byPlace := map[int]client.BulkItem{}
	for _, item := range data {
		byPlace[item.Index] = item
	}
	var fatal error
	problems := map[int]problem{}
	for place, n := range s.pending {
		item, there := byPlace[place]
		slot := &s.b.slots[n]
		switch p := problemOf(item, there); {
		case p == nil:
			slot.stored(item)
			s.down.set(slot.entry.Provider, false)
			s.since = time.Now()
		case p.retry == retryNever:
			slot.failed(*p)
			s.since = time.Now()
		default:
			again, problems[n] = append(again, n), *p
		}
	}
	s.pending = s.pending[:0]
	for _, n := range again {
		slot, p := &s.b.slots[n], problems[n]
		s.why = p.code + ": " + p.detail
		if p.status == http.StatusTooManyRequests {
			s.since = time.Now() // too fast; nothing is broken
		}
		out := time.Since(s.since) > s.Patience
		switch {
		case p.ofProvider() && (out || s.down.is(slot.entry.Provider)):
			s.down.set(slot.entry.Provider, true)
			slot.failed(p)
		case out && p.ofLine():
			slot.failed(p)
		case out:
			fatal = fatalf("the gateway could not work for %s: %s", s.Patience, s.why)
			s.pending = append(s.pending, n)
		default:
			s.pending = append(s.pending, n)
		}
	}
	switch {
	case fatal != nil:
		return fatal
	case len(s.pending) > 0:
		return errAgain
	default:
		return nil
	}
}

func (s *slot) stored(item client.BulkItem) {
	s.send = false
	s.result.Status, s.result.Instrument = Stored, item.Instrument.ID
	if item.Replayed || item.Deduplicated {
		s.result.Status = Existing
	}
}

func (s *slot) failed(p problem) {
	s.send = false
	s.result.Status, s.result.Code, s.result.Detail, s.result.Retry = Failed, p.code, p.detail, p.retry
}

// problem is why an item has no instrument.
type problem struct {
	status              int
	code, detail, retry string
}

// problemOf returns nil for an item that has an instrument.
func problemOf(item client.BulkItem, there bool) *problem {
	switch {
	case !there:
		return &problem{code: "internal_error", detail: "the gateway has not answered for the line", retry: string(client.RetrySafeWithSameKey)}
	case item.Problem != nil:
		p := item.Problem
		detail := p.Detail
		for _, f := range p.Errors {
			detail += "; " + f.Pointer + ": " + f.Message
		}
		if cut := []rune(detail); len(cut) > maxDetail {
			detail = string(cut[:maxDetail])
		}
		return &problem{status: item.Status, code: string(p.Code), detail: detail, retry: string(p.Retry)}
	case item.Instrument == nil:
		return &problem{
			status: item.Status, code: "outcome_unknown", detail: "the gateway is still finding out what became of it",
			retry: string(client.RetrySafeWithSameKey),
		}
	default:
		return nil
	}
}

// ofProvider reports whether a provider is to blame, and other providers' lines may fare better.
func (p problem) ofProvider() bool {
	return p.status != http.StatusTooManyRequests && (strings.HasPrefix(p.code, "provider_") || p.code == "no_eligible_provider")
}

// ofLine reports whether another line may fare better.
func (p problem) ofLine() bool {
	return p.status == http.StatusConflict || p.code == "outcome_unknown" || p.code == "internal_error"
}

// down are the providers that nobody waits for any more: each line of theirs is tried
// once, until one of them goes well.
type down struct {
	mu    sync.Mutex
	names map[string]bool
}

func (d *down) set(provider string, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil {
		d.names = map[string]bool{}
	}
	d.names[provider] = is
}

func (d *down) is(provider string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[provider]
}
