package adaptertest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/adaptertest/memvault"
	"github.com/polyvault/polyvault/adapters/adaptertest/memvault/memvaulttest"
)

// with makes a harness whose adapter is what wrap makes of a good one.
func with(wrap func(*memvault.Adapter) adapters.Adapter) adaptertest.New {
	return func(tb testing.TB) adaptertest.Harness {
		tb.Helper()
		h := memvaulttest.NewHarness(tb)
		openWith := h.OpenWith
		h.OpenWith = func(tb testing.TB, base string, hc *http.Client) adapters.Adapter {
			tb.Helper()
			good, ok := openWith(tb, base, hc).(*memvault.Adapter)
			require.True(tb, ok)
			return wrap(good)
		}
		return h
	}
}

// through makes a harness whose adapter calls with what wrap makes of the suite's client.
func through(wrap func(*http.Client) *http.Client) adaptertest.New {
	return func(tb testing.TB) adaptertest.Harness {
		tb.Helper()
		h := memvaulttest.NewHarness(tb)
		openWith := h.OpenWith
		h.OpenWith = func(tb testing.TB, base string, hc *http.Client) adapters.Adapter {
			tb.Helper()
			return openWith(tb, base, wrap(hc))
		}
		return h
	}
}

func TestEveryCheckHasItsOwnName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range adaptertest.Checks() {
		require.False(t, seen[c.Name], c.Name)
		seen[c.Name] = true
	}
}

// TestBrokenAdapters: the suite finds what it is there to find. Each adapter is
// memvault, which passes, with one promise broken.
func TestBrokenAdapters(t *testing.T) {
	t.Parallel()
	for name, c := range brokenAdapters() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, check := range c.checks {
				f := try(t, check, c.harness)
				require.True(t, f.failed, "the check %q passes", check)
				require.Contains(t, f.log, c.says, "the check %q fails for another reason", check)
			}
		})
	}
}

// TestMoreCapabilities: the checks that memvault alone skips pass for a good adapter.
func TestMoreCapabilities(t *testing.T) {
	t.Parallel()
	harness := with(func(a *memvault.Adapter) adapters.Adapter { return &wide{a} })
	for _, check := range []string{
		"delete many answers in order", "delete with the vault is idempotent", "charge makes no call",
		"every status answered to delete_many", "every status answered to delete_vault",
	} {
		f := try(t, check, harness)
		require.False(t, f.failed, "%s: %s", check, f.log)
		require.False(t, f.skipped, "%s: %s", check, f.log)
	}
}

// TestSmallAdapter: an adapter with nothing but Get passes, and skips the rest.
func TestSmallAdapter(t *testing.T) {
	t.Parallel()
	harness := with(func(a *memvault.Adapter) adapters.Adapter { return struct{ adapters.Adapter }{a} })
	skipped := 0
	for _, c := range adaptertest.Checks() {
		f := try(t, c.Name, harness)
		require.False(t, f.failed, "%s: %s", c.Name, f.log)
		if f.skipped {
			skipped++
		}
	}
	require.Greater(t, skipped, 20)
	require.Less(t, skipped, len(adaptertest.Checks())-8)
}
