package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hit is one fault of a run: what happens at the n-th point.
type hit struct {
	n int
	mishap
}

// run is one run of a scene.
type run struct {
	points []point // that the first gateway passed, and what could have happened there
	wrong  []string
	trace  []string
}

// perform runs a scene once, with faults at some of the points that gateways pass
// from the moment that the act begins.
func perform(t *testing.T, sc scene, provider string, comeBack bool, hits ...hit) (out run) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w := newGalaxy(2, 0)
		defer w.close()
		p := play{w: w, provider: provider, comeBack: comeBack}
		w.clients.script("setup", func(ctx context.Context) { sc.before(ctx, p) })
		if !w.run(inTime, w.quiet) {
			out.wrong = append(out.wrong, "the scene cannot be set")
			return
		}
		w.meet = func(at *waiting) mishap {
			if len(at.mishaps()) == 0 || at.what == idleScan {
				return none
			}
			out.points = append(out.points, at.point)
			for _, h := range hits {
				if h.n == len(out.points)-1 {
					return h.mishap
				}
			}
			return none
		}
		w.clients.script("client", func(ctx context.Context) { sc.act(ctx, p) })
		if !w.run(inTime, w.clients.idle) {
			out.wrong = append(out.wrong, "W: the clients get no answers")
		}
		out.wrong = append(out.wrong, w.rest()...)
		if len(out.wrong) == 0 {
			out.wrong = w.resolved()
		}
		out.trace = w.trace
	})
	return out
}

// enough failures are shown.
const enough = 3

// idleScan is what a reconciler does all the time; a fault there is one of the next thing it does.
const idleScan = "scan due"

// Every point at which a gateway can be hit, one fault after the other, at every
// provider, with a client that comes back and with one that never does.
func TestEveryPointSurvivesEveryFault(t *testing.T) {
	t.Parallel()
	for _, provider := range append(providers(), "") {
		t.Run(name(provider), func(t *testing.T) {
			t.Parallel()
			begin, points, runs := time.Now(), 0, 0
			for _, sc := range scenes() {
				if sc.at != nil && !slices.Contains(sc.at, provider) {
					continue
				}
				t.Run(sc.name, func(t *testing.T) {
					for _, comeBack := range []bool{true, false} {
						p, r := everyPoint(t, sc, provider, comeBack)
						points, runs = points+p, runs+r
					}
				})
			}
			t.Logf("%s: %d points, %d runs, %v", name(provider), points, runs, time.Since(begin).Round(time.Millisecond))
		})
	}
}

// everyPoint runs a scene once without a fault, to see its points, and then once for
// every fault at every point.
func everyPoint(t *testing.T, sc scene, provider string, comeBack bool) (points, runs int) {
	t.Helper()
	failures, all := 0, 0
	report := func(got run, what string) {
		if len(got.wrong) == 0 {
			return
		}
		t.Errorf("%s; the client comes back: %v; %s:\n%s\n%s", sc.name, comeBack, what, strings.Join(got.wrong, "\n"), tail(got.trace, false))
		if failures++; failures == enough {
			t.Fatal("and perhaps more: stopped here")
		}
	}
	plain := perform(t, sc, provider, comeBack)
	report(plain, "no fault")
	for n, at := range plain.points {
		for _, f := range at.mishaps() {
			if all++; all%oneIn != 0 {
				continue
			}
			runs++
			report(perform(t, sc, provider, comeBack, hit{n, f}), fmt.Sprintf("%s at point %d, %s", f, n, at))
		}
	}
	return len(plain.points), runs
}

func name(provider string) string {
	if provider == "" {
		return "route of three"
	}
	return provider
}

// tail is the end of a trace that a reader can take in, or all of it.
func tail(trace []string, all bool) string {
	if n := len(trace) - 60; n > 0 && !all {
		trace = append([]string{fmt.Sprintf("(%d lines before)", n)}, trace[n:]...)
	}
	return strings.Join(trace, "\n")
}
