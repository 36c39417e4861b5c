package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// The recovery is hit, too: whatever befalls the request that stores a card, a second
// fault at every point that any gateway passes afterwards.
func TestTheRecoverySurvivesEveryFault(t *testing.T) {
	t.Parallel()
	for _, provider := range providers() {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			sc := scenes()[1]
			begin, all, runs, failures := time.Now(), 0, 0, 0
			for _, comeBack := range []bool{true, false} {
				plain := perform(t, sc, provider, comeBack)
				n := slices.IndexFunc(plain.points, stores)
				require.GreaterOrEqual(t, n, 0, "a request stores the card")
				first := []hit{{n, timeout}, {n, latecomer}, {n, freeze}, {n, freezeLost}, {n + 1, crash}, {n + 1, freeze}, {n + 1, reset}}
				for _, h := range first {
					recovery := perform(t, sc, provider, comeBack, h)
					for m := h.n + 1; m < len(recovery.points); m++ {
						for _, f := range second(recovery.points[m]) {
							if all++; all%oneIn != 0 {
								continue
							}
							runs++
							got := perform(t, sc, provider, comeBack, h, hit{m, f})
							if len(got.wrong) == 0 {
								continue
							}
							t.Errorf("the client comes back: %v; %s at point %d, then %s at point %d, %s:\n%s\n%s", comeBack, h.mishap, h.n, f, m,
								recovery.points[m], strings.Join(got.wrong, "\n"), tail(got.trace, false))
							if failures++; failures == enough {
								t.Fatal("and perhaps more: stopped here")
							}
						}
					}
				}
			}
			t.Logf("%s: %d runs, %v", provider, runs, time.Since(begin).Round(time.Millisecond))
		})
	}
}

// stores says that a point is before the request which stores a card.
func stores(p point) bool {
	path := strings.TrimSuffix(p.what, "/*")
	return p.http && !p.after && strings.Contains(path, " POST ") &&
		(strings.HasSuffix(path, "/payment-instruments") || strings.HasSuffix(path, "/stored-instruments"))
}

// second are the faults of a recovery.
func second(p point) []mishap {
	if p.http {
		return []mishap{crash, freeze, broken}
	}
	return []mishap{crash, freeze, storeFails}
}

// One gateway's clock is an hour off, to either side. While its request runs nobody
// takes its record, and it takes nobody's: leases are measured on the store's clock.
func TestAClockThatIsAnHourOffStealsNoLease(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{anHour, -anHour} {
		for _, provider := range providers() {
			for busy := range 2 { // the gateway with the wrong clock is the first
				t.Run(fmt.Sprintf("%v at %s, gateway %d is at work", skew, provider, busy+1), func(t *testing.T) {
					t.Parallel()
					wrong, codes := contend(t, skew, provider, busy)
					require.Empty(t, wrong)
					for _, code := range codes {
						require.Equal(t, normalize.IdempotencyKeyInUse, code)
					}
				})
			}
		}
	}
}

// contend lets one gateway work on a create for as long as a call may take, while
// the other is asked for the same all the time.
func contend(t *testing.T, skew time.Duration, provider string, busy int) (wrong []string, codes []normalize.Code) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w := newGalaxy(2, skew)
		defer w.close()
		p := play{w: w, provider: provider}
		w.clients.script("setup", func(ctx context.Context) { known(ctx, p) })
		w.run(inTime, w.quiet)
		w.meet = func(at *waiting) mishap {
			if stores(at.point) && at.gw == w.gate(busy) {
				return timeout
			}
			return none
		}
		var mu sync.Mutex
		w.clients.script("first", func(ctx context.Context) { w.clients.ask(ctx, w.gate(busy), p.creates("key", 2)) })
		w.clients.script("second", func(ctx context.Context) {
			for range 9 {
				w.clients.sleep(time.Second)
				a := w.clients.ask(ctx, w.gate(1-busy), p.creates("key", 2))
				mu.Lock()
				codes = append(codes, normalize.CodeOf(a.err))
				mu.Unlock()
			}
		})
		w.run(inTime, w.clients.idle)
		wrong = w.rest()
		if len(wrong) == 0 {
			wrong = w.resolved()
		}
	})
	return wrong, codes
}
