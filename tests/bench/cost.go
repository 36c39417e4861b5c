package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// maxCost is what all that makes the gateway safe to run may cost of a live read's
// throughput, as a share.
const maxCost = 0.15

// safety is the configuration of what is measured: metrics that are scraped, an audit
// log of every read that shows references, limits that are never reached. Authentication
// and encryption at rest cannot be turned off; the ring here has a former key, too.
const safety = `
admin_listen: %s
audit: {file: audit.log}
limits:
  tenant: {rate: 100000, burst: 100000}
  key: {rate: 100000, burst: 100000}
  creates_per_customer: {limit: 1000, per: 1h}
  creates_per_address: {limit: 1000, per: 1h}
  declines_per_customer: {limit: 1000, per: 1h}
`

const (
	plainKeys = "keys: {reference: env:BENCH_REFERENCE_KEY}"
	keyRing   = "keys: {reference: env:BENCH_REFERENCE_KEY, encryption: [{id: e2, value: env:BENCH_ENCRYPTION_KEY}, {id: e1, value: env:BENCH_REFERENCE_KEY}]}"
	plainKind = "    duplicates: allow\n"
	// Nobody listens there: a read makes no event, and the create that seeds it one.
	withEvents = plainKind + "    events: {endpoints: [{url: \"http://127.0.0.1:9/events\", secrets: [env:BENCH_EVENTS_SECRET]}]}\n"
)

// without takes out of the sources what cannot be turned off. The product has no switch
// that turns its safety off, so the bare gateway is built from an overlay. Each old text
// must be in its file exactly once.
func without() []edit {
	return []edit{
		{
			"gateway/httpapi/auth.go",
			"\tswitch k := x.generation.keys.find(bearer(c.Request().Header[\"Authorization\"])); {",
			"\tfor _, x.caller = range x.generation.keys.byDigest {\n\t\treturn nil\n\t}\n\tswitch k := x.caller; {",
		},
		{"gateway/seal.go", "\town, err := hkdf.Expand(", "\tif at.record != \"\" {\n\t\treturn box{place: at}, nil\n\t}\n\town, err := hkdf.Expand("},
		{"gateway/seal.go", "return b.aead.Seal(nil, nil, plain, []byte(b.bound(provider)))", "return plain"},
		{"gateway/seal.go", "plain, err := b.aead.Open(nil, nil, sealed, []byte(b.bound(provider)))", "plain, err := sealed, error(nil)"},
		{"cmd/polyvault/live.go", "Observe: tel.answered, ", ""},
		{"cmd/polyvault/live.go", "gc.Recorder, gc.Owner, gc.Observer = l.recorder, l.owner, l.telemetry.meter", "gc.Recorder, gc.Owner = l.recorder, l.owner"},
	}
}

// edit is one change of a file's text.
type edit struct{ file, old, new string }

// safe adds to a configuration what makes the gateway safe to run.
func (w *world) safe(ctx context.Context, config []byte) ([]byte, error) {
	admin, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	w.admin = admin
	text := strings.Replace(string(config), plainKeys, keyRing, 1)
	text = strings.Replace(text, plainKind, withEvents, 1)
	if !strings.Contains(text, keyRing) || !strings.Contains(text, withEvents) {
		return nil, errors.New("the configuration has moved on: mend tests/bench/cost.go")
	}
	return fmt.Appendf([]byte(text), safety, admin), nil
}

// startBare builds and starts the gateway without all that.
func (w *world) startBare(ctx context.Context) (err error) {
	if w.bare, err = freeAddr(ctx); err != nil {
		return err
	}
	overlay, err := w.overlay(without())
	if err != nil {
		return err
	}
	bin := filepath.Join(w.dir, "polyvault-bare")
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", bin, "./cmd/polyvault").CombinedOutput(); err != nil { //nolint:gosec // a folder of our own
		return fmt.Errorf("build without safety: %w: %s", err, out)
	}
	config := filepath.Join(w.dir, "bare.yaml")
	text := append(w.config(w.bare, "bare:"), "admin_listen: \"\"\n"...)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return err
	}
	if err := w.spawn(ctx, []string{bin, "serve", "--config", config}); err != nil {
		return err
	}
	if err := waitForPort(ctx, w.bare); err != nil {
		return err
	}
	return w.seed(ctx, w.bare, "bare-reader", &w.bareInstrument)
}

// overlay writes the edited files, and the list that `go build` takes.
func (w *world) overlay(edits []edit) (string, error) {
	texts := map[string]string{}
	for _, e := range edits {
		if texts[e.file] == "" {
			b, err := os.ReadFile(e.file)
			if err != nil {
				return "", fmt.Errorf("run it from the project's root: %w", err)
			}
			texts[e.file] = string(b)
		}
		if n := strings.Count(texts[e.file], e.old); n != 1 {
			return "", fmt.Errorf("%s has the text that is to be taken out %d times: the code has moved on, mend tests/bench/cost.go", e.file, n)
		}
		texts[e.file] = strings.Replace(texts[e.file], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for file, text := range texts {
		from, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		replace[from] = filepath.Join(w.dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(replace[from], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(w.dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// cost compares a live read of the two gateways, in turn and in changing order. The
// metrics of the safe one are scraped every second meanwhile.
func (w *world) cost(ctx context.Context, o options, out io.Writer) error {
	read := func(name, addr, id string) target {
		return w.target(name, addr, http.StatusOK, func(int64) []byte {
			return []byte("GET /v1/instruments/" + id + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + apiKey + "\r\n\r\n")
		})
	}
	ways := []target{read("bare", w.bare, w.bareInstrument), read("safe", w.gateway, w.instrument)}
	scraping, stop := context.WithCancel(ctx)
	defer stop()
	go w.scrape(scraping)
	rates := make([][]float64, len(ways))
	var ratios []float64
	for round := range o.rounds {
		for n := range ways {
			i := (n + round) % len(ways)
			r, err := load(ctx, ways[i], o.connections, o.duration)
			if err != nil {
				return fmt.Errorf("%s: %w", ways[i].name, err)
			}
			rates[i] = append(rates[i], r.rate)
		}
		ratios = append(ratios, rates[1][round]/rates[0][round])
	}
	cost := 1 - median(ratios)
	_, err := fmt.Fprintf(out, "live GET\n  bare     %8.0f requests/s\n  safe     %8.0f requests/s\n  authentication, limits, encryption, audit, events and metrics cost %.1f %% of its throughput (at most %.0f %%)\n",
		median(rates[0]), median(rates[1]), 100*cost, 100*maxCost)
	if err == nil && o.check && cost > maxCost {
		err = fmt.Errorf("all that makes the gateway safe costs more than %.0f %%", 100*maxCost)
	}
	return err
}

// scrape does what a Prometheus server would, more often.
func (w *world) scrape(ctx context.Context) {
	for ctx.Err() == nil {
		if req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.admin+"/metrics", http.NoBody); err == nil {
			if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}
		time.Sleep(time.Second)
	}
}
