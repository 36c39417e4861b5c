package boltstore

import (
	"context"
	"errors"
	"sync"

	"go.etcd.io/bbolt"
)

// maxBatch bounds what one transaction holds in memory: each request up to 1 MiB.
const maxBatch = 64

// errAborted is what the others of a batch get if the leader panics.
var errAborted = errors.New("the transaction was aborted")

// committer makes concurrent writes share transactions, and so the disk's sync.
// There is no goroutine of its own: of the waiting writers one leads, commits
// for all that wait by then, and lets the next lead. bbolt's Batch would do the
// like, but makes a lone writer wait for its delay first.
type committer struct {
	lead chan struct{} // holds a token while a writer leads

	mu    sync.Mutex
	queue []*request // guarded by mu
}

// request is a write that waits.
type request struct {
	givenUp func() error             // the caller's ctx.Err
	apply   func(tx *bbolt.Tx) error // an error fails the whole transaction
	done    chan struct{}            // closed once err is set
	err     error
}

func newCommitter() *committer { return &committer{lead: make(chan struct{}, 1)} }

// do runs apply in a transaction and returns once it is on the disk. If ctx ends
// first the write is left out, or, if its transaction has begun, finished.
func (c *committer) do(ctx context.Context, db *bbolt.DB, apply func(tx *bbolt.Tx) error) error {
	r := &request{givenUp: ctx.Err, apply: apply, done: make(chan struct{})}
	c.mu.Lock()
	c.queue = append(c.queue, r)
	c.mu.Unlock()
	for { // again, if there were more than maxBatch before this one
		select {
		case <-r.done:
			return r.err
		case <-ctx.Done():
			return ctx.Err()
		case c.lead <- struct{}{}:
			c.commit(db)
		}
		select {
		case <-r.done: // do not lead for others without need
			return r.err
		default:
		}
	}
}

// commit takes what waits and carries it out. The caller leads.
func (c *committer) commit(db *bbolt.DB) {
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
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, r := range batch {
			if err := r.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// take removes up to maxBatch requests from the queue and drops those that
// nobody waits for any more.
func (c *committer) take() []*request {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.queue), maxBatch)
	batch := make([]*request, 0, n)
	for _, r := range c.queue[:n] {
		if r.err = r.givenUp(); r.err != nil {
			close(r.done)
			continue
		}
		batch = append(batch, r)
	}
	c.queue = append([]*request(nil), c.queue[n:]...) // a new array, so that the old requests are freed
	return batch
}
