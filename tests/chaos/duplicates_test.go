package chaos

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One card of one customer, stored under 50 keys at the same time over three
// gateways: one live instrument, whose id everybody is told in the end.
func TestOneCardUnderManyKeys(t *testing.T) {
	t.Parallel()
	for _, provider := range providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3)
			w.know(t, 1)
			ids := map[string]int{}
			for _, a := range w.rush(t, "acme0000", 50, provider) {
				require.Contains(t, []int{http.StatusCreated, http.StatusOK}, a.status, "%s", a.raw)
				ids[a.str("id")]++
			}
			live := 0
			for _, p := range providers() {
				live += len(w.live(t, p))
			}
			t.Logf("%s: 50 creates under 50 keys: %d ids, %d live instruments, %d calls", provider, len(ids), live, len(w.state(t, provider).Requests))
			require.Len(t, ids, 1, "%v", ids)
			require.Equal(t, 1, live)
		})
	}
}

// A tenant that allows duplicates gets what the provider makes of them: an
// instrument for each key where the provider stores each, one where it recognises
// the card. No two ids share a live instrument.
func TestOneCardUnderManyKeysWhereDuplicatesAreAllowed(t *testing.T) {
	t.Parallel()
	for _, provider := range providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			onlyFull(t)
			w := newWorld(t, 3)
			w.knowAs(t, "lax00000", 1)
			ids := map[string]int{}
			for _, a := range w.rush(t, "lax00000", 50, provider) {
				require.Contains(t, []int{http.StatusCreated, http.StatusOK}, a.status, "%s", a.raw)
				ids[a.str("id")]++
			}
			live := len(w.live(t, provider))
			t.Logf("%s, duplicates allowed: 50 creates under 50 keys: %d ids, %d live instruments", provider, len(ids), live)
			require.Len(t, ids, live, "an id for each instrument")
		})
	}
}

// rush stores one card of one customer under n keys at the same time.
func (w *world) rush(t *testing.T, tenant string, n int, provider string) []answer {
	t.Helper()
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range answers {
		turned := &world{gateways: append(append([]*gateway{}, w.gateways[i%3:]...), w.gateways[:i%3]...)}
		wg.Go(func() {
			answers[i] = turned.untilAs(t.Context(), tenant, time.Minute, fmt.Sprintf("k-%d", i), create(1, provider))
		})
	}
	wg.Wait()
	return answers
}
