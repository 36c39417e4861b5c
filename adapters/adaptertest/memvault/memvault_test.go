package memvault_test

import (
	"testing"

	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/adaptertest/memvault/memvaulttest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	adaptertest.Run(t, memvaulttest.NewHarness)
}
