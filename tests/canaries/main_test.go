// Package canaries sends card numbers through every endpoint and every way to fail of
// the built binary, and looks for them wherever the gateway leaves something behind.
package canaries

import (
	"flag"
	"os"
	"testing"

	"github.com/polyvault/polyvault/tests/harness"
)

// full sends every form of everything; otherwise the forms of headers take turns.
var full = flag.Bool("full", false, "send every form of everything")

// programs builds the binary once, and starts it.
var programs = harness.New()

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }
