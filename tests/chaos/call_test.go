package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/adapters/standin"
)

// answer is what an HTTP call gave; status 0 says that there was none.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (a answer) str(name string) string {
	s, _ := a.body[name].(string)
	return s
}

// final reports whether the client need not ask again.
func (a answer) final() bool {
	switch a.status {
	case 0, http.StatusAccepted, http.StatusConflict, http.StatusTooManyRequests:
		return false
	}
	return a.status < 500
}

// client keeps a connection for each of the many workers.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// send makes one request as a tenant. It never fails the test: gateways die here.
func (g *gateway) send(ctx context.Context, tenant, method, path, key string, body any) answer {
	raw, ok := body.([]byte)
	if !ok && body != nil {
		raw, _ = json.Marshal(body)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, bytes.NewReader(raw))
	if err != nil {
		return answer{}
	}
	// No GetBody: net/http must not send twice by itself.
	req.GetBody = nil
	req.Header.Set("Authorization", "Bearer "+apiKey(tenant))
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.raw, err = io.ReadAll(resp.Body); err != nil {
		return answer{}
	}
	_ = json.Unmarshal(a.raw, &a.body)
	return a
}

func (g *gateway) create(ctx context.Context, key string, body any) answer {
	return g.send(ctx, "acme0000", http.MethodPost, "/v1/instruments", key, body)
}

// until repeats a create with one key, over the gateways in turn, until the answer is final or time is up.
func (w *world) until(ctx context.Context, limit time.Duration, key string, body any) answer {
	return w.untilAs(ctx, "acme0000", limit, key, body)
}

func (w *world) untilAs(ctx context.Context, tenant string, limit time.Duration, key string, body any) answer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last answer
	for i := 0; ; i++ {
		if a := w.gateways[i%len(w.gateways)].send(ctx, tenant, http.MethodPost, "/v1/instruments", key, body); a.status != 0 {
			last = a
		}
		if last.final() {
			return last
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pauseAfter(last)):
		}
	}
}

// pauseAfter is how long a client waits before it asks again: as told, but it is an
// impatient one.
func pauseAfter(a answer) time.Duration {
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return 50 * time.Millisecond
	}
	return min(time.Duration(seconds)*time.Second, 250*time.Millisecond)
}

// know tells the gateway who customer n is at BigCommerce, which cannot be asked to make one.
func (w *world) know(t *testing.T, n int) {
	t.Helper()
	w.knowAs(t, "acme0000", n)
}

func (w *world) knowAs(t *testing.T, tenant string, n int) {
	t.Helper()
	a := w.gateways[0].send(t.Context(), tenant, http.MethodPut, fmt.Sprintf("/v1/customers/cus-%d", n), "",
		object{"provider_references": object{bigcommerce: fmt.Sprint(n)}})
	require.Contains(t, []int{http.StatusOK, http.StatusCreated}, a.status, "%s", a.raw)
}

// fail makes the next requests that store at a provider fail; without rules all is well again.
func (w *world) fail(t *testing.T, provider string, rules ...fault.Rule) {
	t.Helper()
	for i := range rules {
		rules[i].Method, rules[i].Path = http.MethodPost, storePath(provider)
	}
	require.NoError(t, w.putFaults(t.Context(), provider, append([]fault.Rule{}, rules...)))
}

func (w *world) putFaults(ctx context.Context, provider string, rules []fault.Rule) error {
	raw, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	return w.sandbox(ctx, http.MethodPut, provider, "faults", raw, nil)
}

// rules are the faults that no request has met yet.
func (w *world) rules(t *testing.T, provider string) []fault.Rule {
	t.Helper()
	var rules []fault.Rule
	require.NoError(t, w.sandbox(t.Context(), http.MethodGet, provider, "faults", nil, &rules))
	return rules
}

func (w *world) sandbox(ctx context.Context, method, provider, what string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+w.stands[provider]+"/_sandbox/"+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, what, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// live returns the instruments at a provider that are neither deleted nor deactivated.
func (w *world) live(t *testing.T, provider string) []standin.Instrument {
	t.Helper()
	var out []standin.Instrument
	for _, ins := range w.state(t, provider).Instruments {
		if ins.Live {
			out = append(out, ins)
		}
	}
	return out
}

func (w *world) state(t *testing.T, provider string) standin.State {
	t.Helper()
	var s standin.State
	require.NoError(t, w.sandbox(t.Context(), http.MethodGet, provider, "state", nil, &s))
	return s
}

// eventually is require.Eventually on the test's own goroutine, where a helper may end the test.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); {
		require.True(t, time.Now().Before(end), "%s: not within %s", what, limit)
		time.Sleep(20 * time.Millisecond)
	}
}

// resolves checks that an instrument is there for a client, from the record alone.
func (w *world) resolves(t *testing.T, g *gateway, id string) {
	t.Helper()
	a := g.send(t.Context(), "acme0000", http.MethodGet, "/v1/instruments/"+id+"?read=stored", "", nil)
	require.Equal(t, http.StatusOK, a.status, "%s", a.raw)
}

// operation reads what became of a key.
func (g *gateway) operation(t *testing.T, key string) answer {
	t.Helper()
	return g.send(t.Context(), "acme0000", http.MethodGet, "/v1/operations?idempotency_key="+key, "", nil)
}
