package adaptertest

import "testing"

// Check is one promise of package adapters.
type Check struct {
	Name string
	// Run checks it with harnesses of its own and fails tb if it is broken. It
	// skips tb where the adapter does not make the promise.
	Run func(tb testing.TB, newHarness New)
}

// Run checks every promise. Call it first in an adapter's tests:
//
//	func TestConformance(t *testing.T) {
//		t.Parallel()
//		adaptertest.Run(t, newHarness)
//	}
func Run(t *testing.T, newHarness New) {
	t.Helper()
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, newHarness)
		})
	}
}
