package adaptertest_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/polyvault/polyvault/adapters/adaptertest"
)

// fakeTB lets a check fail without failing the test that expects it to.
type fakeTB struct {
	testing.TB
	ctx context.Context //nolint:containedctx // it stands for testing.TB's own

	mu       sync.Mutex
	failed   bool
	skipped  bool
	log      string
	cleanups []func()
}

// try runs the check and returns whether it failed or skipped, and what it said.
func try(tb testing.TB, name string, newHarness adaptertest.New) *fakeTB {
	tb.Helper()
	i := slices.IndexFunc(adaptertest.Checks(), func(c adaptertest.Check) bool { return c.Name == name })
	if i < 0 {
		tb.Fatalf("there is no check %q", name)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	f := &fakeTB{TB: tb, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		adaptertest.Checks()[i].Run(f, newHarness)
	}()
	<-done
	for _, c := range slices.Backward(f.cleanups) {
		c()
	}
	return f
}

func (f *fakeTB) Helper()                  {}
func (f *fakeTB) Context() context.Context { return f.ctx }

func (f *fakeTB) Cleanup(c func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cleanups = append(f.cleanups, c)
}

func (f *fakeTB) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = true
	f.log += fmt.Sprintf(format, args...)
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	f.FailNow()
}

func (f *fakeTB) FailNow() {
	f.mu.Lock()
	f.failed = true
	f.mu.Unlock()
	runtime.Goexit()
}

func (f *fakeTB) Skipf(format string, args ...any) {
	f.mu.Lock()
	f.skipped = true
	f.log += fmt.Sprintf(format, args...)
	f.mu.Unlock()
	runtime.Goexit()
}
