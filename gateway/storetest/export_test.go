package storetest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Rules lists the checks.
func Rules() []string {
	var rules []string
	for _, c := range checks() {
		rules = append(rules, c.rule)
	}
	return rules
}

// Failures runs the checks of the rules against the stores that open opens and
// returns what each failed one said. Nothing fails in t.
func Failures(t *testing.T, open Open, rules []string) map[string]string {
	t.Helper()
	failures := map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range checks() {
		if !slices.Contains(rules, c.rule) {
			continue
		}
		wg.Go(func() {
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() { // of its own, since FailNow ends the goroutine
				defer close(done)
				c.run(r, open)
			}()
			<-done
			if r.failed {
				mu.Lock()
				failures[c.rule] = r.said.String()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failures
}

// recorder is a testing.TB that keeps failures to itself.
type recorder struct {
	testing.TB

	mu     sync.Mutex
	failed bool
	said   strings.Builder
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	fmt.Fprintf(&r.said, format+"\n", args...)
}

func (r *recorder) Error(args ...any)                 { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fail()                             { r.Errorf("failed") }
func (r *recorder) FailNow()                          { r.Fail(); runtime.Goexit() }
func (r *recorder) Logf(string, ...any)               {}
func (r *recorder) Log(...any)                        {}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}
