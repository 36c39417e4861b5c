package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	bigcommerceapi "github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	cybersourceapi "github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/fault"
	rebillyapi "github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
	"github.com/polyvault/polyvault/normalize"
)

// tripsAfter is how many calls in a row must fail to open a breaker in these tests.
const tripsAfter = 3

// pair is where an instrument lives, and which store remembers it.
type pair struct{ primary, mirror, store string }

func (p pair) String() string { return p.primary + " mirrored at " + p.mirror + " on " + p.store }

// pairs are two of the three providers each, every day two of them.
func pairs() (out []pair) {
	if !*full {
		return []pair{{cybersource, rebilly, "redis"}, {rebilly, bigcommerce, "bolt"}}
	}
	for _, store := range []string{"redis", "bolt"} {
		for _, primary := range providers() {
			for _, mirror := range providers() {
				if mirror != primary {
					out = append(out, pair{primary, mirror, store})
				}
			}
		}
	}
	return out
}

// mirrored is a world of one gateway whose instruments live at two providers, with a
// door in front of each.
type mirrored struct {
	*world
	pair
	g     *gateway
	doors map[string]*door
	id    string
	path  string // of the instrument
	exp   []int  // month and year that it has
}

func newMirrored(t *testing.T, p pair) *mirrored {
	t.Helper()
	store := fmt.Sprintf("bolt: {path: %s}", filepath.Join(t.TempDir(), "polyvault.db"))
	if p.store == "redis" {
		store = fmt.Sprintf(`redis: {url: "redis://%s/0", durability: dev}`, redistest.Start(t))
	}
	return newMirroredOver(t, p, store)
}

func newMirroredOver(t *testing.T, p pair, store string) *mirrored {
	t.Helper()
	w := &mirrored{world: newWorldIn(t, 0, store), pair: p, doors: map[string]*door{}}
	shape := fmt.Sprintf("timeout: 500ms\n    breaker: {consecutive_failures: %d, min_requests: 1000, open_for: 500ms, open_for_max: 500ms}", tripsAfter)
	own := settings{
		urls: map[string]string{}, shapes: map[string]string{},
		routes: fmt.Sprintf("[{name: all, providers: [%s], mirrors: [%s]}]", p.primary, p.mirror),
	}
	for _, name := range []string{p.primary, p.mirror} {
		w.doors[name] = newDoor(t, w.stands[name])
		own.urls[name], own.shapes[name] = "http://"+w.doors[name].addr, shape
	}
	w.g = w.newGatewayAs(t, own)
	w.gateways = append(w.gateways, w.g)
	w.know(t, 1)
	return w
}

// stores makes the one instrument of the test.
func (w *mirrored) stores(t *testing.T) {
	t.Helper()
	a := w.g.create(t.Context(), "mirrored", create(1, w.primary))
	require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
	w.id, w.path, w.exp = a.str("id"), "/v1/instruments/"+a.str("id"), []int{12, 2031}
	for i, token := range w.tokens(t) {
		require.Equal(t, []string{w.primary, w.mirror}[i], token.Provider)
		require.Equal(t, []string{"primary", "mirror"}[i], string(token.Role))
		require.Equal(t, normalize.StatusActive, token.Status)
	}
}

func (w *mirrored) tokens(t *testing.T) []normalize.ProviderToken {
	t.Helper()
	a := w.g.send(t.Context(), "acme0000", http.MethodGet, w.path+"/provider-tokens", "", nil)
	require.Equal(t, http.StatusOK, a.status, "%s", a.raw)
	var list struct{ Data []normalize.ProviderToken }
	require.NoError(t, json.Unmarshal(a.raw, &list))
	require.Len(t, list.Data, 2, "%s", a.raw)
	return list.Data
}

// behind is what has not reached a provider yet; nil if all has.
func (w *mirrored) behind(t *testing.T, provider string) *normalize.Behind {
	t.Helper()
	for _, token := range w.tokens(t) {
		if token.Provider == provider {
			return token.Behind
		}
	}
	require.Fail(t, "there is no token", provider)
	return nil
}

// resolved are the providers at which the instrument can be charged, the best first.
func (w *mirrored) resolved(t *testing.T) []string {
	t.Helper()
	a := w.g.send(t.Context(), "acme0000", http.MethodPost, w.path+"/resolve", "", nil)
	require.Equal(t, http.StatusOK, a.status, "%s", a.raw)
	var out struct{ Candidates []struct{ Provider string } }
	require.NoError(t, json.Unmarshal(a.raw, &out))
	var names []string
	for _, c := range out.Candidates {
		names = append(names, c.Provider)
	}
	return names
}

// drift runs `polyvault sync` for the customer, and returns what it found, and whether
// it said by its exit code that all is in step.
func (w *mirrored) drift(t *testing.T) (found []string, ok bool) {
	t.Helper()
	stdout, stderr, err := programs.Run(t, []string{"POLYVAULT_API_KEY=" + apiKey("acme0000")},
		"sync", "--url", w.g.url, "--json", "--customer", "cus-1")
	require.Contains(t, stderr, "in step", "it did not come to its end")
	dec := json.NewDecoder(strings.NewReader(stdout))
	for dec.More() {
		var d struct {
			Provider, State string
			ErrorCode       string `json:"error_code"`
			Differences     []struct{ Field string }
		}
		require.NoError(t, dec.Decode(&d))
		s := d.Provider + " " + d.State
		for _, diff := range d.Differences {
			s += " " + diff.Field
		}
		found = append(found, s+" "+d.ErrorCode)
	}
	return found, err == nil
}

// direct are clients of the providers' own APIs, past the gateway and its doors.
func (w *world) direct(t *testing.T, provider string) adapters.Adapter {
	t.Helper()
	url := "http://" + w.stands[provider]
	a, err := map[string]adapters.Config{
		cybersource: cybersourceapi.Config{
			URL: url, MerchantID: cybersourcetest.DefaultMerchantID, KeyID: cybersourcetest.DefaultKeyID,
			SharedSecret: normalize.NewSecret(cybersourcetest.DefaultSharedSecret),
		},
		rebilly: rebillyapi.Config{Base: url, APIKey: normalize.NewSecret(rebillytest.SecretKey)},
		bigcommerce: bigcommerceapi.Config{
			URL: url, StoreHash: bigcommercetest.DefaultStoreHash, AccessToken: normalize.NewSecret(bigcommercetest.DefaultAccessToken),
		},
	}[provider].Open(adapters.Env{HTTP: http.DefaultClient})
	require.NoError(t, err)
	return a
}

// has is the city and the expiry date that a provider itself shows.
func (w *mirrored) has(t *testing.T, provider string) (city string, month, year int) {
	t.Helper()
	for _, token := range w.tokens(t) {
		if token.Provider == provider {
			ins, err := w.direct(t, provider).Get(t.Context(), token.References)
			require.NoError(t, err)
			require.NotNil(t, ins.BillingAddress, "the provider shows the address")
			return ins.BillingAddress.City, ins.Card.ExpMonth, ins.Card.ExpYear
		}
	}
	require.Fail(t, "there is no token", provider)
	return "", 0, 0
}

func (p pair) other(provider string) string {
	if provider == p.primary {
		return p.mirror
	}
	return p.primary
}

// goneSilent and goneAway are how a provider is away: it takes requests and never
// answers, or nobody is there.
const (
	goneSilent = "hangs"
	goneAway   = "is refused"
)

func (w *mirrored) takeDown(t *testing.T, provider, how string) {
	t.Helper()
	if how == goneAway {
		w.doors[provider].shut()
		return
	}
	require.NoError(t, w.putFaults(t.Context(), provider, []fault.Rule{{Fault: fault.Hang}}))
}

func (w *mirrored) bringBack(t *testing.T, provider, how string) {
	t.Helper()
	if how == goneAway {
		w.doors[provider].open(t)
		return
	}
	require.NoError(t, w.putFaults(t.Context(), provider, []fault.Rule{}))
}

// An instrument lives at two providers. Each of them goes away once, for the
// instrument's primary and for its mirror, while the address and the expiry date are
// changed. The other one is what callers are told to charge, after no more calls than
// open one breaker; and once it is back both have what was changed, by themselves.
func TestAnInstrumentOutlivesEachOfItsProviders(t *testing.T) {
	t.Parallel()
	for n, p := range pairs() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			w := newMirrored(t, p)
			w.stores(t)
			require.Equal(t, []string{p.primary, p.mirror}, w.resolved(t))
			_, ok := w.drift(t)
			require.True(t, ok, "they begin in step")

			ways := []string{goneSilent, goneAway}
			w.outage(t, p.mirror, ways[n%2], change{city: "Graz", month: 3, year: 2035})
			w.outage(t, p.primary, ways[(n+1)%2], change{city: "Linz", month: 4, year: 2036})

			a := w.g.send(t.Context(), "acme0000", http.MethodDelete, w.path, "", nil)
			require.Equal(t, http.StatusNoContent, a.status, "%s", a.raw)
			for _, name := range []string{p.primary, p.mirror} {
				eventually(t, 15*time.Second, "it is gone at "+name, func() bool { return len(w.live(t, name)) == 0 })
			}
		})
	}
}

// change is what is changed while a provider is away.
type change struct {
	city        string
	month, year int
}

// follows reports whether a provider can be told of an expiry date.
func follows(provider string) bool { return provider != bigcommerce }

func (w *mirrored) outage(t *testing.T, down, how string, c change) {
	t.Helper()
	up := w.other(down)
	asked := len(w.state(t, down).Requests)
	w.takeDown(t, down, how)
	begun := time.Now()
	changes := w.changes(t, c, up)
	looks := 0
	for ; !slices.Equal(w.resolved(t), []string{up}); looks++ {
		require.Less(t, looks, tripsAfter, "the breaker is still closed: %v", w.resolved(t))
		w.g.send(t.Context(), "acme0000", http.MethodPost, "/v1/sync", "", object{"customer_id": "cus-1", "provider": down})
	}
	took := time.Since(begun)
	got := len(w.state(t, down).Requests) - asked
	// Both breakers may be closed until the last: that of the reads and that of the writes.
	require.Less(t, got, 2*tripsAfter)
	t.Logf("%s: %s %s: resolve names %s alone after %d changes and %d looks (%d requests arrived there), in %s",
		w.pair, down, how, up, changes, looks, got, took.Round(time.Millisecond))

	require.NotNil(t, w.behind(t, down), "what it does not have is shown")
	found, ok := w.drift(t)
	require.False(t, ok)
	require.Contains(t, found[len(found)-1]+found[0], down+" unreachable")
	read := w.g.send(t.Context(), "acme0000", http.MethodGet, w.path, "", nil)
	require.Equal(t, http.StatusOK, read.status, "%s", read.raw)
	require.Equal(t, up, read.header.Get("Gateway-Provider"))
	require.Empty(t, read.header.Get("Gateway-Stale"), "it was asked now")
	require.Contains(t, string(read.raw), c.city)

	w.bringBack(t, down, how)
	w.agree(t, down, c, read.header.Get("ETag"))
}

// changes sends the change until it is made, and returns how often that was. What
// a provider cannot change is not asked of it.
func (w *mirrored) changes(t *testing.T, c change, up string) int {
	t.Helper()
	patch := object{"billing_address": object{"city": c.city}}
	if follows(up) && follows(w.primary) {
		patch["card"] = object{"exp_month": c.month, "exp_year": c.year}
		w.exp = []int{c.month, c.year}
	}
	for n := 1; ; n++ {
		a := w.g.send(t.Context(), "acme0000", http.MethodPatch, w.path, "", patch)
		if a.status == http.StatusOK {
			return n
		}
		require.LessOrEqual(t, n, tripsAfter, "%s", a.raw)
	}
}

// agree waits until both providers have the change, of which the gateway is not
// reminded by any call that would have it ask them. What a provider cannot do stays
// visible, and nothing else does.
func (w *mirrored) agree(t *testing.T, back string, c change, etag string) {
	t.Helper()
	eventually(t, 20*time.Second, back+" is brought in step", func() bool {
		b := w.behind(t, back)
		return b == nil || b.NextAt.IsZero() && slices.Equal(b.Changes, []string{"card.exp"})
	})
	var left []string
	for _, name := range []string{w.primary, w.mirror} {
		city, month, year := w.has(t, name)
		require.Equal(t, c.city, city, name)
		want := w.exp
		if !follows(name) {
			want = []int{12, 2031}
		}
		require.Equal(t, want, []int{month, year}, name)
		if b := w.behind(t, name); b != nil {
			require.Equal(t, []any{false, "unsupported_operation"}, []any{follows(name), string(b.Code)})
			left = append(left, name+" present card.exp_month card.exp_year unsupported_operation")
		}
	}
	both := []string{w.primary, w.mirror}
	eventually(t, 20*time.Second, "both can be charged again", func() bool {
		return slices.Equal(slices.Sorted(slices.Values(w.resolved(t))), slices.Sorted(slices.Values(both)))
	})
	found, ok := w.drift(t)
	require.Equal(t, left, found)
	require.Equal(t, len(left) == 0, ok)
	require.Equal(t, both, w.resolved(t), "what was on probation is not, once it has answered a read")
	again := w.g.send(t.Context(), "acme0000", http.MethodGet, w.path+"?read=stored", "", nil)
	require.Equal(t, etag, again.header.Get("ETag"), "that a provider caught up is no change of the instrument")
}

// The gateway is killed after the mirror's provider has stored the mirror, and before
// it said so. The next one finds it: it is neither lost nor stored twice.
func TestAMirrorWhoseGatewayIsKilled(t *testing.T) {
	t.Parallel()
	for _, p := range pairs() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			w := newMirrored(t, p)
			w.fail(t, p.mirror, fault.Rule{Fault: fault.CommitThenHang, Times: 1})
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); w.g.create(ctx, "killed", create(1, p.primary)) }()
			eventually(t, 10*time.Second, "the mirror is stored", func() bool { return len(w.live(t, p.mirror)) == 1 })
			require.Len(t, w.live(t, p.primary), 1, "the primary comes first")
			w.g.Kill()
			stop()
			<-done
			w.run(t, w.g)

			op := w.g.operation(t, "killed")
			w.id = op.str("id")
			w.path = "/v1/instruments/" + w.id
			status := func() normalize.Status { return w.tokens(t)[1].Status }
			a := w.until(t.Context(), 20*time.Second, "killed", create(1, p.primary))
			require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
			require.Equal(t, w.id, a.str("id"))
			eventually(t, 20*time.Second, "the mirror is found", func() bool { return status() == normalize.StatusActive })
			eventually(t, 10*time.Second, "both can be charged", func() bool { return len(w.resolved(t)) == 2 })
			for _, name := range []string{p.primary, p.mirror} {
				require.Len(t, w.live(t, name), 1, name)
			}
			eventually(t, 10*time.Second, "they are in step", func() bool { _, ok := w.drift(t); return ok })
			t.Logf("%s: killed after the mirror was stored: one live instrument at each", p)
		})
	}
}

// A store that lost everything is rebuilt from a backup: the mirrors are where they
// were, and what one of them was behind by reaches it then.
func TestABackupKeepsMirrors(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	p := pair{cybersource, rebilly, "redis"}
	w := newMirroredOver(t, p, fmt.Sprintf(`redis: {url: "redis://%s/0", durability: dev}`, redis))
	w.stores(t)
	w.takeDown(t, p.mirror, goneAway)
	c := change{city: "Graz", month: 3, year: 2035}
	require.Equal(t, 1, w.changes(t, c, p.primary))
	before := w.tokens(t)
	require.NotNil(t, before[1].Behind)
	backup := filepath.Join(t.TempDir(), "backup.pvb")
	w.command(t, w.g, "backup", "--out", backup)
	w.g.Kill()
	onBolt := fmt.Sprintf("bolt: {path: %s}", filepath.Join(t.TempDir(), "polyvault.db"))
	raw, err := os.ReadFile(w.g.config)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.g.config, bytes.Replace(raw, []byte(w.world.store), []byte(onBolt), 1), 0o600))
	w.command(t, w.g, "restore", backup)
	w.run(t, w.g)

	for i, token := range w.tokens(t) {
		require.Equal(t, []any{before[i].Provider, before[i].Role, before[i].Status, before[i].References},
			[]any{token.Provider, token.Role, token.Status, token.References})
	}
	require.NotNil(t, w.behind(t, p.mirror))
	etag := w.g.send(t.Context(), "acme0000", http.MethodGet, w.path+"?read=stored", "", nil).header.Get("ETag")
	w.bringBack(t, p.mirror, goneAway)
	w.agree(t, p.mirror, c, etag)
	again := w.g.create(t.Context(), "mirrored", create(1, p.primary))
	require.Equal(t, []any{http.StatusCreated, w.id}, []any{again.status, again.str("id")}, "%s", again.raw)
	for _, name := range []string{p.primary, p.mirror} {
		require.Len(t, w.live(t, name), 1, name)
	}
}
