// Package chaos kills, stops and starves the built binary while it stores
// instruments, and asks the stand-in providers afterwards what there is.
package chaos

import (
	"flag"
	"os"
	"testing"

	"github.com/polyvault/polyvault/tests/harness"
)

// programs builds the binary once, and starts it.
var programs = harness.New()

// full is set by `make chaos`. Without it the tests are small, for every day.
var full = flag.Bool("full", false, "all tests, at the sizes of make chaos")

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

// size is how much of something a test makes, every day and in `make chaos`.
func size(daily, inFull int) int {
	if *full {
		return inFull
	}
	return daily
}

// onlyFull skips a test that every day can do without.
func onlyFull(t *testing.T) {
	t.Helper()
	if !*full {
		t.Skip("run by make chaos")
	}
}
