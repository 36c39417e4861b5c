package chaos

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// C24, the keys that others hold: a tenant's API key and every provider's credentials
// are exchanged while two gateways serve. Each is there twice for a while; no request
// fails, the old one's uses end, and then it is taken away.
func TestC24KeysAreExchangedUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, 0, fmt.Sprintf(`redis: {url: "redis://%s/0", durability: dev}`, redistest.Start(t)))
	for range 2 {
		own := patient()
		own.admin = programs.FreePort(t)
		w.gateways = append(w.gateways, w.newGatewayAs(t, own))
	}
	r := newRotation(t, w)
	w.knowAs(t, "other000", 1)
	y := newTraffic(newBalancer(t, w.gateways), "c24", mix{live: 60, stored: 10, creates: 25})
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() { y.run(ctx, size(60, 300)) })
	defer load.Wait()
	defer cancel()
	time.Sleep(time.Second)

	used := r.apiKey(t, y)
	told := r.providers(t)
	time.Sleep(r.pause)
	cancel()
	load.Wait()
	require.Empty(t, y.faults, "%d requests failed", len(y.faults))
	t.Logf("C24: an API key and the credentials of %d providers exchanged under %v: 0 failed; the old API key was used %d times, and never after; %s",
		len(told), y.counts, used, strings.Join(told, ", "))
}

// rotation changes the configuration of all gateways.
type rotation struct {
	*world
	secrets string        // the folder of the providers' secrets
	pause   time.Duration // how long nothing may use what is old
}

// newRotation has the providers' secrets read from files, since an environment cannot
// change.
func newRotation(t *testing.T, w *world) *rotation {
	t.Helper()
	r := &rotation{w, t.TempDir(), time.Duration(size(1, 10)) * time.Second}
	for name, value := range map[string]string{
		cybersource: "dW5pdC10ZXN0LXNoYXJlZC1zZWNyZXQtMzJieXRlcyE=", rebilly: "sk_sandbox_polyvault", bigcommerce: "sandbox-token",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(r.secrets, name), []byte(value), 0o600))
	}
	r.configure(t, func(text string) string {
		return strings.NewReplacer("env:CHAOS_CYBERSOURCE_SECRET", r.file(cybersource), "env:CHAOS_REBILLY_KEY", r.file(rebilly),
			"env:CHAOS_BIGCOMMERCE_TOKEN", r.file(bigcommerce)).Replace(text)
	})
	return r
}

func (r *rotation) file(name string) string { return "file:" + filepath.Join(r.secrets, name) }

// configure changes each gateway's configuration file, and waits until it is in force.
func (r *rotation) configure(t *testing.T, edit func(string) string) {
	t.Helper()
	r.change(t, func() {
		for _, g := range r.gateways {
			text, err := os.ReadFile(g.config)
			require.NoError(t, err)
			edited := edit(string(text))
			require.NotEqual(t, string(text), edited, "it changes something")
			require.NoError(t, os.WriteFile(g.config+".new", []byte(edited), 0o600))
			require.NoError(t, os.Rename(g.config+".new", g.config))
		}
	})
}

// change does something that makes another configuration, and waits until every gateway has it.
func (r *rotation) change(t *testing.T, do func()) {
	t.Helper()
	before := make([]float64, len(r.gateways))
	for i, g := range r.gateways {
		before[i] = g.generation(t)
	}
	do()
	for i, g := range r.gateways {
		eventually(t, 30*time.Second, "the configuration is in force", func() bool { return g.generation(t) > before[i] })
	}
}

func (g *gateway) generation(t *testing.T) float64 {
	t.Helper()
	a := g.send(t.Context(), "acme0000", http.MethodGet, "/readyz", "", nil)
	require.Nil(t, a.body["config_error"])
	n, _ := a.body["generation"].(float64)
	return n
}

// apiKey gives the tenant another key, has the clients use it, and takes the old one
// away. It returns how often that was used.
func (r *rotation) apiKey(t *testing.T, y *traffic) int {
	t.Helper()
	old := fmt.Sprintf("{name: checkout, sha256: %q,", digest(apiKey("acme0000")))
	next := fmt.Sprintf("{name: checkout-2, sha256: %q,", digest(apiKey("acme2222")))
	r.configure(t, func(text string) string {
		head, tail, found := strings.Cut(text, "["+old)
		require.True(t, found)
		scopes, tail, _ := strings.Cut(tail, "}]")
		return head + "[" + old + scopes + "}, " + next + scopes + "}]" + tail
	})
	key := apiKey("acme2222")
	y.key.Store(&key)
	time.Sleep(500 * time.Millisecond) // what was sent with the old one has been answered
	before := r.usesOf(t, "checkout")
	time.Sleep(r.pause)
	require.Equal(t, before, r.usesOf(t, "checkout"), "nobody uses the old key any more")
	require.NotZero(t, before)
	require.NotZero(t, r.usesOf(t, "checkout-2"))
	r.configure(t, func(text string) string {
		head, tail, _ := strings.Cut(text, "["+old)
		_, tail, found := strings.Cut(tail, "}, "+next)
		require.True(t, found)
		return head + "[" + next + tail
	})
	for _, g := range r.gateways {
		a := g.send(t.Context(), "acme0000", http.MethodGet, "/v1/instruments?limit=1", "", nil)
		require.Equal(t, http.StatusUnauthorized, a.status, "the old key is nobody's")
	}
	return before
}

// usesOf is how many requests of the tenant came with a key, by the metrics of all gateways.
func (r *rotation) usesOf(t *testing.T, key string) int {
	t.Helper()
	n := 0
	for _, g := range r.gateways {
		n += int(g.metrics(t)[fmt.Sprintf(`polyvault_api_key_requests_total{key=%q,tenant="acme"}`, key)])
	}
	return n
}

// providers exchanges the credentials of every provider: it accepts both, the gateways
// use the new ones, nobody uses the old ones any more, and it accepts them no more.
func (r *rotation) providers(t *testing.T) (told []string) {
	t.Helper()
	newSecret := base64.StdEncoding.EncodeToString([]byte("another-shared-secret-of-32-byte"))
	const keyID, newKeyID = "08c94330-f618-42a3-b09d-e1e43be5efda", "5f2d1a90-0000-4000-8000-c24c24c24c24"
	for _, p := range []struct{ name, old, accepted, value string }{
		{cybersource, keyID + ":dW5pdC10ZXN0LXNoYXJlZC1zZWNyZXQtMzJieXRlcyE=", newKeyID + ":" + newSecret, newSecret},
		{rebilly, "sk_sandbox_polyvault", "sk_sandbox_another", "sk_sandbox_another"},
		{bigcommerce, "sandbox-token", "another-token", "another-token"},
	} {
		r.vaulted(t, "old")
		r.accept(t, p.name, p.old, p.accepted)
		if p.name == cybersource { // the key's id and its secret change together: another file, named in the same write
			require.NoError(t, os.WriteFile(filepath.Join(r.secrets, "another"), []byte(p.value), 0o600))
			r.configure(t, func(text string) string {
				return strings.NewReplacer(keyID, newKeyID, r.file(cybersource), r.file("another")).Replace(text)
			})
		} else {
			r.change(t, func() {
				file := filepath.Join(r.secrets, p.name)
				require.NoError(t, os.WriteFile(file+".new", []byte(p.value), 0o600))
				require.NoError(t, os.Rename(file+".new", file))
			})
		}
		time.Sleep(500 * time.Millisecond) // calls that began with the old ones have ended
		before := r.uses(t, p.name)
		time.Sleep(r.pause)
		r.vaulted(t, "new")
		after := r.uses(t, p.name)
		require.Equal(t, before[0], after[0], "%s: nobody uses the old credentials any more", p.name)
		require.NotZero(t, before[0])
		require.Greater(t, after[1], before[1], "%s: the new ones are used", p.name)
		r.accept(t, p.name, p.accepted)
		told = append(told, fmt.Sprintf("%s: %d calls with the old credentials, %d with the new", p.name, after[0], after[1]))
	}
	return told
}

// vaulted stores an instrument at the provider to which the load sends nothing.
func (r *rotation) vaulted(t *testing.T, when string) {
	t.Helper()
	name := fmt.Sprintf("cus-1-%s-%d", when, time.Now().UnixNano())
	body := request("cus-1", "CA", published()[0], 0, 2031, true)
	body = []byte(strings.Replace(string(body), `"vault_token":"`, `"vault_token":"`+name+"-", 1))
	raw := []byte(strings.Replace(string(body), `"customer_id"`, `"provider":"`+bigcommerce+`","customer_id"`, 1))
	a := r.gateways[0].send(t.Context(), "other000", http.MethodPost, "/v1/instruments", name, raw)
	require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
}

func (r *rotation) accept(t *testing.T, provider string, secrets ...string) {
	t.Helper()
	raw, err := json.Marshal(standin.Accepted{Secrets: secrets})
	require.NoError(t, err)
	require.NoError(t, r.sandbox(t.Context(), http.MethodPut, provider, "secrets", raw, nil))
}

func (r *rotation) uses(t *testing.T, provider string) []int {
	t.Helper()
	var out standin.Accepted
	require.NoError(t, r.sandbox(t.Context(), http.MethodGet, provider, "secrets", nil, &out))
	require.Len(t, out.Uses, 2)
	return out.Uses
}
