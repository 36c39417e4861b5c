package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// balancer does what a load balancer does: it asks each gateway whether it is ready,
// sends requests to those that are, in turn, and sends one whose connection was refused
// to another. It repeats nothing that may have been received.
type balancer struct {
	backends []*backend
	turn     atomic.Int64
	client   *http.Client
	refused  atomic.Int64 // requests that were sent on to another gateway
}

type backend struct {
	url   string
	ready atomic.Bool
}

// pollEvery is how often a gateway is asked whether it is ready.
const pollEvery = 50 * time.Millisecond

// newBalancer is in front of the gateways until the test ends.
func newBalancer(t *testing.T, gateways []*gateway) *balancer {
	t.Helper()
	b := &balancer{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 20 * time.Second}}
	ctx, cancel := context.WithCancel(t.Context())
	var polling sync.WaitGroup
	for _, g := range gateways {
		one := &backend{url: g.url}
		one.ready.Store(true)
		b.backends = append(b.backends, one)
		polling.Go(func() { one.poll(ctx) })
	}
	t.Cleanup(func() { cancel(); polling.Wait(); b.client.CloseIdleConnections() })
	return b
}

func (k *backend) poll(ctx context.Context) {
	silent := 0
	probe := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url+"/readyz", http.NoBody)
		if err != nil {
			return
		}
		resp, err := probe.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if u := (*url.Error)(nil); errors.As(err, &u) && u.Timeout() {
			if silent++; silent < 3 { // one late answer is no reason to give a gateway up
				continue
			}
		}
		silent = 0
		k.ready.Store(err == nil && resp.StatusCode == http.StatusOK)
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

// send sends one request, and fails the way a load balancer's client would see it.
func (b *balancer) send(ctx context.Context, key, method, path, idempotencyKey string, body []byte) (status int, raw []byte, err error) {
	first := b.turn.Add(1)
	for i := range len(b.backends) {
		k := b.backends[(int(first)+i)%len(b.backends)]
		if !k.ready.Load() {
			continue
		}
		status, raw, err = b.sendTo(ctx, k, key, method, path, idempotencyKey, body)
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			b.refused.Add(1)
			continue
		}
		return status, raw, err
	}
	if err == nil {
		err = errors.New("no gateway is ready")
	}
	return 0, nil, err
}

func (b *balancer) sendTo(ctx context.Context, k *backend, key, method, path, idempotencyKey string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, k.url+path, strings.NewReader(string(body)))
	if err != nil {
		return 0, nil, err
	}
	req.GetBody = nil
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, raw, err
}

// mix is how much of a load is what, in percent; the rest is lists.
type mix struct{ live, stored, creates, changes int }

// traffic is a load of a steady rate, whoever answers.
type traffic struct {
	b    *balancer
	name string
	mix  mix
	key  atomic.Pointer[string] // the API key that clients use now

	mu     sync.Mutex
	ids    []string
	next   int // which of ids is changed next: each once at most, so that no two changes meet
	counts map[string]int
	faults []string // requests that were not answered as they should be
	worst  time.Duration
}

func newTraffic(b *balancer, name string, m mix) *traffic {
	y := &traffic{b: b, name: name, mix: m, counts: map[string]int{}}
	key := apiKey("acme0000")
	y.key.Store(&key)
	return y
}

// run sends that many requests a second until ctx is done, and then waits for the answers.
// A machine that is late makes up for it, so that the rate is kept.
func (y *traffic) run(ctx context.Context, rate int) {
	var sent sync.WaitGroup
	defer sent.Wait()
	whole := context.WithoutCancel(ctx) // a request that was sent gets its answer
	begun := time.Now()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := int(time.Since(begun).Seconds() * float64(rate))
		for i := n; i < due; i++ {
			sent.Go(func() { y.one(whole, i) })
		}
		n = due
	}
}

func (y *traffic) one(ctx context.Context, n int) {
	y.mu.Lock()
	kind, id := y.kind(n), ""
	if len(y.ids) > 0 {
		id = y.ids[n*7919%len(y.ids)]
	}
	if kind == "change" {
		id = y.ids[y.next]
		y.next++
	}
	y.mu.Unlock()
	begun := time.Now()
	name := fmt.Sprintf("%s-%d", y.name, n)
	var status int
	var raw []byte
	var err error
	switch kind {
	case "create":
		body := request(name, []string{"US", "GB"}[n%2], published()[n%len(published())], 0, 2031, false)
		status, raw, err = y.b.send(ctx, *y.key.Load(), http.MethodPost, "/v1/instruments", name, body)
	case "change":
		body := fmt.Appendf(nil, `{"metadata":{"changed":%q},"card":{"exp_month":%d,"exp_year":2032}}`, name, 1+n%12)
		status, raw, err = y.b.send(ctx, *y.key.Load(), http.MethodPatch, "/v1/instruments/"+id, name, body)
	case "live":
		status, raw, err = y.b.send(ctx, *y.key.Load(), http.MethodGet, "/v1/instruments/"+id, "", nil)
	case "stored":
		status, raw, err = y.b.send(ctx, *y.key.Load(), http.MethodGet, "/v1/instruments/"+id+"?read=stored", "", nil)
	default:
		status, raw, err = y.b.send(ctx, *y.key.Load(), http.MethodGet, "/v1/instruments?limit=5", "", nil)
	}
	y.note(kind, name, status, raw, err, time.Since(begun))
}

// sent is how many requests were answered, or not.
func (y *traffic) sent() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	sent := 0
	for _, n := range y.counts {
		sent += n
	}
	return sent
}

// kind is what the n-th request is; a create as long as there is nothing to read.
func (y *traffic) kind(n int) string {
	switch at := n * 37 % 100; {
	case len(y.ids) == 0 || at < y.mix.creates:
		return "create"
	case at < y.mix.creates+y.mix.changes && y.next < len(y.ids):
		return "change"
	case at < y.mix.creates+y.mix.changes+y.mix.live:
		return "live"
	case at < y.mix.creates+y.mix.changes+y.mix.live+y.mix.stored:
		return "stored"
	default:
		return "list"
	}
}

func (y *traffic) note(kind, name string, status int, raw []byte, err error, took time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[kind]++
	y.worst = max(y.worst, took)
	want := http.StatusOK
	if kind == "create" {
		want = http.StatusCreated
	}
	if err != nil || status != want {
		y.faults = append(y.faults, fmt.Sprintf("%s %s after %s: %d %v %.300s", kind, name, took.Round(time.Millisecond), status, err, raw))
		return
	}
	if _, rest, ok := strings.Cut(string(raw), `"id":"`); ok && kind == "create" {
		id, _, _ := strings.Cut(rest, `"`)
		y.ids = append(y.ids, id)
	}
}
