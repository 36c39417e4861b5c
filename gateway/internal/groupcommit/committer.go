// Package groupcommit makes concurrent writers share the cost of making their
// writes durable.
package groupcommit

import (
	"context"
	"errors"
	"sync"
)

// errAborted is what the others of a batch get if the leader panics.
var errAborted = errors.New("the commit was aborted")

// Committer carries out writes in batches. There is no goroutine of its own: of
// the waiting writers one leads, commits for all that wait by then, and lets the
// next lead. So a lone writer never waits for company.
type Committer[T any] struct {
	carry func(batch []T) error
	most  int
	lead  chan struct{} // holds a token while a writer leads

	mu    sync.Mutex
	queue []*request[T] // guarded by mu
}

// request is a write that waits.
type request[T any] struct {
	givenUp func() error // the caller's ctx.Err
	item    T
	done    chan struct{} // closed once err is set
	err     error
}

// New makes a committer. carry makes up to most items durable, all or none; it is
// never called twice at the same time.
func New[T any](most int, carry func(batch []T) error) *Committer[T] {
	return &Committer[T]{carry: carry, most: most, lead: make(chan struct{}, 1)}
}

// Do returns once item is carried. If ctx ends first the item is left out, or, if
// its batch has begun, finished.
func (c *Committer[T]) Do(ctx context.Context, item T) error {
	r := &request[T]{givenUp: ctx.Err, item: item, done: make(chan struct{})}
	c.mu.Lock()
	c.queue = append(c.queue, r)
	c.mu.Unlock()
	for { // again, if there were more than a batch before this one
		select {
		case <-r.done:
			return r.err
		case <-ctx.Done():
			return ctx.Err()
		case c.lead <- struct{}{}:
			c.commit()
		}
		select {
		case <-r.done: // do not lead for others without need
			return r.err
		default:
		}
	}
}

// Waiting is how many items no batch has taken yet.
func (c *Committer[T]) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// commit takes what waits and carries it out. The caller leads.
func (c *Committer[T]) commit() {
	defer func() { <-c.lead }()
	batch := c.take()
	if len(batch) == 0 {
		return
	}
	err := errAborted
	defer func() {
		for _, r := range batch {
			r.err = err
			close(r.done)
		}
	}()
	items := make([]T, len(batch))
	for i, r := range batch {
		items[i] = r.item
	}
	err = c.carry(items)
}

// take removes a batch from the queue and drops the requests that nobody waits
// for any more.
func (c *Committer[T]) take() []*request[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.queue), c.most)
	batch := make([]*request[T], 0, n)
	for _, r := range c.queue[:n] {
		if r.err = r.givenUp(); r.err != nil {
			close(r.done)
			continue
		}
		batch = append(batch, r)
	}
	c.queue = append([]*request[T](nil), c.queue[n:]...) // a new array, so that the old requests are freed
	return batch
}
