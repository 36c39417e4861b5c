package groupcommit_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/internal/groupcommit"
)

// slow keeps what was carried, and holds the first batch until it is let go.
type slow struct {
	held, release chan struct{}
	first         sync.Once
	batches       [][]int
	fails         error
	panics        bool
}

func newSlow() *slow { return &slow{held: make(chan struct{}), release: make(chan struct{})} }

func (s *slow) carry(batch []int) error {
	s.first.Do(func() {
		close(s.held)
		<-s.release
	})
	s.batches = append(s.batches, slices.Clone(batch))
	if s.panics && len(s.batches) == 2 {
		panic("in the middle")
	}
	return s.fails
}

// during runs items in one committer; all but the first wait while the first is carried.
func (s *slow) during(t *testing.T, ctx func(i int) context.Context, items int, meanwhile func()) []error {
	t.Helper()
	c := groupcommit.New(3, s.carry)
	errs := make([]error, items)
	var wg sync.WaitGroup
	do := func(i int) {
		defer func() {
			if r := recover(); r != nil {
				errs[i] = errors.New("panicked")
			}
		}()
		errs[i] = c.Do(ctx(i), i)
	}
	wg.Go(func() { do(0) })
	<-s.held
	for i := 1; i < items; i++ {
		wg.Go(func() { do(i) })
		synctest.Wait() // one after the other, so that their order is known
	}
	require.Equal(t, items-1, c.Waiting())
	meanwhile()
	close(s.release)
	wg.Wait()
	require.Zero(t, c.Waiting())
	return errs
}

func TestWhatWaitsSharesABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		errs := s.during(t, func(int) context.Context { return t.Context() }, 6, func() {})
		require.NoError(t, errors.Join(errs...))
		require.Equal(t, [][]int{{0}, {1, 2, 3}, {4, 5}}, s.batches)
	})
}

func TestWhatIsGivenUpIsLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		ctx, cancel := context.WithCancel(t.Context())
		errs := s.during(t, func(i int) context.Context {
			if i == 2 {
				return ctx
			}
			return t.Context()
		}, 4, cancel)
		require.ErrorIs(t, errs[2], context.Canceled)
		require.NoError(t, errors.Join(errs[0], errs[1], errs[3]))
		require.Equal(t, [][]int{{0}, {1, 3}}, s.batches)
	})
}

func TestABatchFailsAsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		s.fails = errors.New("broken")
		for _, err := range s.during(t, func(int) context.Context { return t.Context() }, 3, func() {}) {
			require.ErrorIs(t, err, s.fails)
		}
	})
}

func TestAPanicLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		s.panics = true
		errs := s.during(t, func(int) context.Context { return t.Context() }, 4, func() {})
		require.NoError(t, errs[0])
		for _, err := range errs[1:] {
			require.Error(t, err)
		}
	})
}
