// Package canaries sends card numbers through every endpoint and every way to fail of
// the built binary, and looks for them wherever the gateway leaves something behind.
package canaries

import (
	"os"
	"testing"

	"github.com/polyvault/polyvault/tests/harness"
)

// programs builds the binary once, and starts it.
var programs = harness.New()

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }
