package gateway_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// Random requests of several clients at several gateways, in a random order, with
// random faults. A seed gives the same run again: POLYVAULT_SEED runs that one
// alone, POLYVAULT_SCHEDULES says how many there are.
func TestRandomSchedulesKeepEveryPromise(t *testing.T) {
	t.Parallel()
	first, n := setting(t, "POLYVAULT_SEED", 0), setting(t, "POLYVAULT_SCHEDULES", 2000/oneIn)
	if first != 0 {
		n = 1
	}
	const shards = 4
	for shard := range min(shards, n) {
		t.Run(fmt.Sprintf("shard %d", shard), func(t *testing.T) {
			t.Parallel()
			begin, met := time.Now(), map[mishap]int{}
			runs, answered, limited := 0, 0, 0
			for i := shard; i < n; i += shards {
				seed := max(1, first) + i
				got := random(t, uint64(seed), met)
				if runs, answered = runs+1, answered+got.answered; got.limited {
					limited++
				}
				if len(got.wrong) > 0 {
					t.Errorf("POLYVAULT_SEED=%d:\n%s\n%s", seed, strings.Join(got.wrong, "\n"), tail(got.trace, first != 0))
				}
			}
			require.LessOrEqual(t, 100*limited, max(runs, 100), "the known limit is rare")
			t.Logf("%d schedules, %d in the known limit, %d answers, faults %v, %v", runs, limited, answered, met, time.Since(begin).Round(time.Millisecond))
		})
	}
}

func setting(t *testing.T, name string, def int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// randomRun is what a random schedule gave.
type randomRun struct {
	run
	answered int
	limited  bool
}

// dice are one client's, or the schedule's.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice { return dice{rand.New(rand.NewPCG(seed, stream))} }

func (d dice) chance(p float64) bool { return d.Float64() < p }

func one[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

func random(t *testing.T, seed uint64, met map[mishap]int) (out randomRun) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		d := newDice(seed, 0)
		skew := one(d, 0, 0, anHour, -anHour)
		w := newGalaxy(2+d.IntN(2), skew)
		defer w.close()
		w.verbose = os.Getenv("POLYVAULT_SEED") != ""
		w.clients.script("setup", func(ctx context.Context) { play{w: w}.tells(ctx) })
		if !w.run(inTime, w.clients.idle) {
			out.wrong = append(out.wrong, "the customers cannot be told")
			return
		}
		odds, left := one(d, 0.02, 0.05, 0.1, 0.2), 12
		w.pick = d.IntN
		w.meet = func(at *waiting) mishap {
			fits, likely := at.mishaps(), odds
			if at.http {
				likely *= 2 // most round trips go to the store
			}
			if left == 0 || len(fits) == 0 || at.what == idleScan && !d.chance(0.1) || !d.chance(likely) {
				return none
			}
			f := one(d, fits...)
			left--
			met[f]++
			return f
		}
		for i := range 2 + d.IntN(3) {
			own := newDice(seed, uint64(i+1))
			w.clients.script(fmt.Sprintf("client-%d", i+1), func(ctx context.Context) { wander(ctx, w, own) })
		}
		if !w.run(2*time.Hour, w.clients.idle) {
			out.wrong = append(out.wrong, "W: the clients get no answers")
		}
		out.wrong = append(out.wrong, w.rest()...)
		if out.limited = w.limited; len(out.wrong) == 0 && !w.limited {
			out.wrong = w.resolved()
		}
		out.answered = w.clients.answered()
		out.trace = w.trace
	})
	return out
}

// wander does a few things that clients do.
func wander(ctx context.Context, w *galaxy, d dice) {
	c := w.clients
	for range 2 + d.IntN(3) {
		c.sleep(time.Duration(d.IntN(4)) * time.Second)
		r, ok := anything(c, d)
		if !ok {
			continue
		}
		if d.chance(0.2) {
			c.ask(ctx, w.gate(d.IntN(3)), r) // and never again
			continue
		}
		c.insist(ctx, d.IntN(3), r)
	}
}

// anything is a create, or something with an instrument that was shown.
func anything(c *clients, d dice) (request, bool) {
	what := one(d, create, create, create, create, get, list, update, remove, deactivate, operation)
	tenant := one(d, updating, allowing)
	if what == create || what == operation {
		return randomCreate(c.w, what, tenant, d), true
	}
	if what == list {
		return request{verb: list, tenant: tenant, customer: shopper}, true
	}
	c.mu.Lock()
	ids := slices.Sorted(maps.Keys(c.shown))
	c.mu.Unlock()
	if len(ids) == 0 {
		return request{}, false
	}
	r := request{verb: what, target: one(d, ids...)}
	c.mu.Lock()
	r.tenant = c.shown[r.target]
	c.mu.Unlock()
	text := strconv.Itoa(d.IntN(100))
	r.patch.Metadata = map[string]*string{"m": &text}
	if d.chance(0.5) {
		r.patch.BillingAddress = normalize.AddressPatch{"line1": &text}
	}
	return r, true
}

// randomCreate brings one of three cards under one of four keys. A key has a card
// and a place of its own, but for one time in ten.
func randomCreate(w *galaxy, what verb, tenant string, d dice) request {
	n := d.IntN(4)
	number, place := 1+n/2, one(d, append(providers(), "")...)
	if n < 3 {
		place = append(providers(), "")[n]
	}
	if d.chance(0.1) {
		number = 3
	}
	p, key := play{w: w, provider: place}, fmt.Sprintf("key-%d", n)
	if what == create && (place == cyb || place == reb) && d.chance(0.2) {
		r := p.tokens(key, number)
		r.tenant = tenant
		return r
	}
	r := p.creates(key, number)
	if place == "" && number < 3 {
		r = p.mirrors(key, number)
	}
	r.verb, r.tenant, r.body = what, tenant, fmt.Sprintf("card %d at %s", number, place)
	return r
}
