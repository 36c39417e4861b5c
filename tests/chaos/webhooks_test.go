package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// The secrets of the webhooks, of these tests only.
const (
	hookKeyID    = "c3a1f5e0-0000-4000-8000-000000000001"
	hookKey      = "d2ViaG9vay1rZXktZm9yLXVuaXQtdGVzdHMtMzJieXQ="
	hookUser     = "hooks"
	hookPassword = "chaos-webhook-password"
	hookSecret   = "chaos-webhook-client-secret"
)

// notice is one webhook as it is delivered.
type notice struct {
	provider string
	header   http.Header
	body     []byte
}

// vaulted is an instrument as the gateway and its provider know it.
type vaulted struct {
	id, provider string
	refs         map[string]string
	revision     int // at Rebilly
}

// place is the instrument's id at its provider.
func (v vaulted) place() string {
	return v.refs[map[string]string{cybersource: "payment_instrument", rebilly: "instrument", bigcommerce: "token"}[v.provider]]
}

// C22: notices of all providers, delivered twice, out of order and again, over two
// gateways, between forged ones. Forged ones are all refused, and change nothing
// anywhere. Each event is acted upon once: providers are asked no more often than events
// concern instruments, and not at all for what is delivered again. In the end every
// record is what its provider has.
func TestC22Webhooks(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]func(*testing.T) (store string, gateways int, keys func() any){
		"redis": func(t *testing.T) (string, int, func() any) {
			t.Helper()
			redis := redistest.StartServer(t)
			return fmt.Sprintf(`redis: {url: "redis://%s/0", durability: dev}`, redis.Addr), 2, func() any { return redis.Do(t, "DBSIZE") }
		},
		"bolt": func(t *testing.T) (string, int, func() any) {
			t.Helper()
			return fmt.Sprintf("bolt: {path: %q}", filepath.Join(t.TempDir(), "polyvault.db")), 1, func() any { return nil } // nobody else can read it
		},
		"cluster": func(t *testing.T) (string, int, func() any) {
			t.Helper()
			onlyFull(t)
			set := redistest.StartClusterSet(t, 3, 0, "--cluster-node-timeout", "5000")
			return fmt.Sprintf(`redis: {addrs: [%s], cluster: true, durability: dev}`, quoted(set.Addrs())), 2, func() any {
				var sizes []any
				for _, s := range set.Masters {
					sizes = append(sizes, s.Do(t, "DBSIZE"))
				}
				return sizes
			}
		},
		"sentinels": func(t *testing.T) (string, int, func() any) {
			t.Helper()
			onlyFull(t)
			set := redistest.StartSentinelSet(t, guarded()...)
			return fmt.Sprintf(`redis: {addrs: [%s], master_name: %s, durability: strict}`, quoted(set.Addrs()), set.Name), 2, func() any {
				return set.Master(t).Do(t, "DBSIZE")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, gateways, keys := over(t)
			w := newWorldIn(t, 0, store)
			hooks := map[string]string{
				cybersource: fmt.Sprintf(", webhook_keys: [{key_id: older, key: b25lLXRoYXQtaXMtcmVwbGFjZWQ=}, {key_id: %s, key: %q}]", hookKeyID, hookKey),
				rebilly:     fmt.Sprintf(", webhook_credentials: [{username: %s, password: %s}]", hookUser, hookPassword),
				bigcommerce: fmt.Sprintf(", webhook_secrets: [%s]", hookSecret),
			}
			for range gateways {
				w.gateways = append(w.gateways, w.newGatewayAs(t, settings{hooks: hooks}))
			}
			w.takesNotices(t, keys)
		})
	}
}

func (w *world) takesNotices(t *testing.T, keysStored func() any) {
	t.Helper()
	n := size(120, 1000)
	stored := w.vaultSome(t, size(6, 12))
	time.Sleep(600 * time.Millisecond) // what was stored just now may not be shown yet

	// Forged ones: refused, and nothing happens.
	keys, asked := keysStored(), w.reads(t)
	forged := make([]notice, 0, n/4)
	for i := range n / 4 {
		forged = append(forged, forge(i, stored[i%len(stored)]))
	}
	for i, a := range w.deliver(t, forged) {
		require.Equal(t, http.StatusUnauthorized, a.status, "%d: %s", i, a.raw)
		require.Equal(t, "invalid_webhook", a.str("code"))
	}
	require.Equal(t, keys, keysStored())
	require.Equal(t, asked, w.reads(t))

	// Changes at the providers, each with its event, delivered twice and out of order.
	var events []notice
	looks := map[string]int{}
	for i := range n / 4 {
		v := &stored[i%len(stored)]
		c := w.changeOf(i, *v)
		c.Quiet = true
		w.change(t, v, c)
		looks[v.provider]++
		events = append(events, v.notice(i, time.Now()))
	}
	both := append(slices.Clone(events), events...)
	rand.Shuffle(len(both), func(i, j int) { both[i], both[j] = both[j], both[i] })
	for i, a := range w.deliver(t, both) {
		require.Equal(t, http.StatusOK, a.status, "%s: %s", both[i].provider, a.raw)
		require.Empty(t, a.raw)
	}
	w.awaitTruth(t, stored)
	time.Sleep(2 * time.Second) // whatever still goes on
	after := w.reads(t)
	again := w.logged("could not be asked") // on a machine that is too busy for the timeouts
	for _, p := range providers() {
		t.Logf("C22: %s: %d events, %d reads", p, looks[p], after[p]-asked[p])
		require.Positive(t, after[p]-asked[p])
		require.LessOrEqual(t, after[p]-asked[p], looks[p]+again, "%s was asked more often than events were", p)
	}

	// Replayed: heard, and nothing happens.
	for i, a := range w.deliver(t, events) {
		require.Equal(t, http.StatusOK, a.status, "%d: %s", i, a.raw)
	}
	time.Sleep(time.Second)
	require.Equal(t, after, w.reads(t))
	w.awaitTruth(t, stored)
	w.deliverByThemselves(t, stored)
	t.Logf("C22: %d notices: %d forged, %d delivered twice, %d replayed", len(forged)+len(both)+len(events), len(forged), len(events), len(events))
}

// deliverByThemselves has the stand-ins send webhooks of the changes that are made there.
func (w *world) deliverByThemselves(t *testing.T, stored []vaulted) {
	t.Helper()
	for i, p := range providers() {
		raw, err := json.Marshal(standin.Webhooks{
			URL: w.gateways[i%len(w.gateways)].url + "/v1/webhooks/" + p, Variant: cybersourcetest.SignsBody,
			KeyID: hookKeyID, Key: hookKey, Username: hookUser, Password: hookPassword, Secret: hookSecret,
		})
		require.NoError(t, err)
		require.NoError(t, w.sandbox(t.Context(), http.MethodPut, p, "webhooks", raw, nil))
	}
	for i := range stored {
		w.change(t, &stored[i], w.changeOf(99+i, stored[i]))
	}
	w.awaitTruth(t, stored)
}

// logged counts the gateways' log lines that hold a text.
func (w *world) logged(text string) int {
	n := 0
	for _, g := range w.gateways {
		n += strings.Count(g.Log.String(), text)
	}
	return n
}

// vaultSome stores instruments at each provider, no two of one card.
func (w *world) vaultSome(t *testing.T, each int) []vaulted {
	t.Helper()
	var out []vaulted
	for i := range each {
		customer := fmt.Sprintf("cus-%d", 1+i/2)
		w.know(t, 1+i/2)
		for _, p := range providers() {
			country := map[string]string{cybersource: "US", rebilly: "GB", bigcommerce: "CA"}[p]
			raw := request(customer, country, published()[i%len(published())], i, 2031, p == bigcommerce)
			a := w.gateways[i%len(w.gateways)].create(t.Context(), fmt.Sprintf("c22-%s-%d", p, i), raw)
			require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
			var ins struct {
				Tokens []struct {
					Provider   string            `json:"provider"`
					References map[string]string `json:"references"`
				} `json:"provider_tokens"`
			}
			require.NoError(t, json.Unmarshal(a.raw, &ins))
			require.Equal(t, p, ins.Tokens[0].Provider)
			out = append(out, vaulted{a.str("id"), p, ins.Tokens[0].References, 1})
		}
	}
	return out
}

// changeOf is a change of which the provider gives notice.
func (w *world) changeOf(i int, v vaulted) standin.Change {
	if v.provider == bigcommerce {
		return standin.Change{Instrument: v.place(), Default: true}
	}
	return standin.Change{Instrument: v.place(), ExpMonth: 1 + i%12, ExpYear: 2032 + i%40}
}

// change changes an instrument at its provider.
func (w *world) change(t *testing.T, v *vaulted, c standin.Change) {
	t.Helper()
	v.revision++
	raw, err := json.Marshal(c)
	require.NoError(t, err)
	resp, err := http.Post("http://"+w.stands[v.provider]+"/_sandbox/change", "application/json", bytes.NewReader(raw)) //nolint:noctx // a test's own stand-in
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
}

// notice is the provider's own about an instrument, as event i.
func (v *vaulted) notice(i int, at time.Time) notice {
	switch v.provider {
	case cybersource:
		body, signed := cybersourcetest.WebhookBody(v.refs["instrument_identifier"], fmt.Sprintf("%032X", i+1))
		if i%2 == 0 {
			signed = body
		}
		h, _ := cybersourcetest.WebhookHeader(hookKeyID, hookKey, signed, at)
		return notice{v.provider, h, body}
	case rebilly:
		return notice{v.provider, rebillytest.WebhookHeader(hookUser, hookPassword), rebillytest.WebhookBody(v.place(), v.revision)}
	default:
		n, _ := strconv.Atoi(v.refs["customer"])
		body := bigcommercetest.WebhookBody(bigcommercetest.DefaultStoreHash, n, at)
		return notice{v.provider, bigcommercetest.WebhookHeader(hookSecret, fmt.Sprint("msg_", i), body, at), body}
	}
}

// forge is a notice that its provider did not send, or long ago.
func forge(i int, v vaulted) notice {
	n, at := v.notice(i+1_000_000, time.Now()), time.Now()
	way := i / 3 % 4
	if way == 2 {
		at = at.Add(-10 * time.Minute)
	}
	other := []string{"YW5vdGhlci1rZXk=", hookSecret, hookPassword}[i%3]
	switch {
	case way == 3:
		n.header = http.Header{}
	case v.provider == cybersource && way == 0:
		n.header, _ = cybersourcetest.WebhookHeader(hookKeyID, "Y2hhb3Mtd2ViaG9vay1jbGllbnQtc2VjcmV0", n.body, at) // BigCommerce's, in base64
	case v.provider == cybersource && way == 2:
		n.header, _ = cybersourcetest.WebhookHeader(hookKeyID, hookKey, n.body, at)
	case v.provider == rebilly:
		n.header = rebillytest.WebhookHeader(hookUser, other+fmt.Sprint(way)) // nothing is signed, and it has no time
	case v.provider == bigcommerce && way == 0:
		n.header = bigcommercetest.WebhookHeader(hookPassword, "msg", n.body, at)
	case v.provider == bigcommerce && way == 2:
		n.header = bigcommercetest.WebhookHeader(hookSecret, "msg", n.body, at)
	default:
		n.body = bytes.Replace(n.body, []byte(`":"`), []byte(`": "`), 20) // another body, that means the same
	}
	return n
}

// deliver sends notices, eight at a time, to the gateways in turn, as providers do: what
// was not heard comes again.
func (w *world) deliver(t *testing.T, all []notice) []answer {
	t.Helper()
	out := make([]answer, len(all))
	inParallel(len(all), func(i int) {
		for try := range 20 {
			out[i] = w.gateways[(i+try)%len(w.gateways)].hear(t.Context(), all[i])
			if out[i].status != 0 && out[i].status != http.StatusServiceUnavailable {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
	return out
}

func (g *gateway) hear(ctx context.Context, n notice) answer {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/webhooks/"+n.provider, bytes.NewReader(n.body))
	if err != nil {
		return answer{}
	}
	req.Header = n.header.Clone()
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
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

// reads counts what each provider was asked.
func (w *world) reads(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, p := range providers() {
		for _, r := range w.state(t, p).Requests {
			if r.Method == http.MethodGet {
				out[p]++
			}
		}
	}
	return out
}

// awaitTruth waits until every record is what its provider has.
func (w *world) awaitTruth(t *testing.T, all []vaulted) {
	t.Helper()
	eventually(t, 2*time.Minute, "the records are what the providers have", func() bool {
		truth, defaults := map[string]standin.Instrument{}, map[string]bool{}
		for _, p := range providers() {
			state := w.state(t, p)
			for _, i := range state.Instruments {
				truth[p+i.ID] = i
			}
			for _, c := range state.Customers {
				defaults[p+c.Default] = true
			}
		}
		for i, v := range all {
			a := w.ask(t.Context(), i, "/v1/instruments/"+v.id+"?read=stored")
			card, _ := a.body["card"].(map[string]any)
			is := truth[v.provider+v.place()]
			if card["exp_month"] != float64(is.ExpMonth) || card["exp_year"] != float64(is.ExpYear) {
				return false
			}
			if v.provider == bigcommerce && a.body["default"] != defaults[v.provider+v.place()] {
				return false
			}
		}
		return true
	})
}
