// Command bench measures what the gateway costs: throughput and latency of a live
// read, a stored read, a resolution and a create, each beside a plain httputil.ReverseProxy in
// front of the same stand-in provider and beside the same call made directly, in
// the same run. It prints ratios, since only those carry over to other machines.
//
// It starts everything itself, on loopback, in processes of their own: the
// stand-ins (polyvault sandbox), the gateway (polyvault serve) over a real
// redis-server, and the proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

type options struct {
	duration    time.Duration // of one measurement
	rounds      int
	connections int
	proxy       string // set in the process that is the proxy: "listen=target"
	check       bool
	only        string
	cost        bool
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", time.Second, "length of one measurement")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each measurement is made, interleaved; medians are printed")
	flag.IntVar(&o.connections, "connections", 32, "connections for throughput")
	flag.BoolVar(&o.check, "check", false, "exit 1 if a ratio is worse than the README promises")
	flag.StringVar(&o.only, "only", "", "measure only the operations whose name begins with this")
	flag.BoolVar(&o.cost, "cost", false, "measure a live read with all on that makes the gateway safe to run, against none of it")
	flag.StringVar(&o.proxy, "proxy", "", "internal: be the reverse proxy, LISTEN=TARGET")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	if o.proxy != "" {
		return serveProxy(ctx, o.proxy)
	}
	w, err := startWorld(ctx, o.cost)
	if err != nil {
		return err
	}
	defer w.stop()
	if o.cost {
		return w.cost(ctx, o, out)
	}
	ok := true
	for _, c := range w.comparisons() {
		if !strings.HasPrefix(c.name, o.only) {
			continue
		}
		good, err := c.measure(ctx, o, out)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		ok = ok && good
	}
	if o.check && !ok {
		return errors.New("a figure is worse than promised")
	}
	return nil
}

// comparison is one operation, three ways.
type comparison struct {
	name                   string
	direct, proxy, gateway target
	minRatio               float64       // of the proxy's throughput
	maxAdded               time.Duration // p50 over the direct call at one connection; 0: none promised
	maxOverProxy           time.Duration // p50 over the proxied call at one connection; 0: none promised
}

func (c comparison) measure(ctx context.Context, o options, out io.Writer) (bool, error) {
	type sample struct{ rate, p50, p99, lone []float64 }
	samples := make([]sample, 3)
	ways := []target{c.direct, c.proxy, c.gateway}
	for range o.rounds { // interleaved, so that a slow moment hits all three
		for i, t := range ways {
			many, err := load(ctx, t, o.connections, o.duration)
			if err != nil {
				return false, fmt.Errorf("%s: %w", t.name, err)
			}
			one, err := load(ctx, t, 1, o.duration/2)
			if err != nil {
				return false, fmt.Errorf("%s: %w", t.name, err)
			}
			s := &samples[i]
			s.rate, s.p50, s.p99 = append(s.rate, many.rate), append(s.p50, many.p50), append(s.p99, many.p99)
			s.lone = append(s.lone, one.p50)
		}
	}
	_, _ = fmt.Fprintf(out, "%s\n", c.name)
	for i, t := range ways {
		s := samples[i]
		_, _ = fmt.Fprintf(out, "  %-8s %8.0f requests/s   p50 %6.2f ms   p99 %6.2f ms   one connection: p50 %6.3f ms\n",
			t.name, median(s.rate), median(s.p50), median(s.p99), median(s.lone))
	}
	var ratios []float64
	for i := range o.rounds {
		ratios = append(ratios, samples[2].rate[i]/samples[1].rate[i])
	}
	ratio, added := median(ratios), median(samples[2].lone)-median(samples[0].lone)
	overProxy := median(samples[2].lone) - median(samples[1].lone)
	good := ratio >= c.minRatio && (c.maxAdded == 0 || added < ms(c.maxAdded)) && (c.maxOverProxy == 0 || overProxy < ms(c.maxOverProxy))
	_, _ = fmt.Fprintf(out, "  gateway / proxy throughput: %.2f   added p50 at one connection: %+.3f ms over direct, %+.3f ms over the proxy\n\n", ratio, added, overProxy)
	return good, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
