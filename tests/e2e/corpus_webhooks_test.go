package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the corpus' gateway knows providers by, and signs its events with. None may be in
// an answer or in the log.
const (
	hookKeyID    = "hooks-1"
	hookKey      = "Y2FuYXJ5LWN5YmVyc291cmNlLWhvb2tzLWtleQ==" // base64, as CyberSource gives keys out
	hookPassword = "canary-rebilly-hooks"
	hookSecret   = "canary-bigcommerce-hooks"
)

// corpusEdits give the gateway of the corpus webhooks, a provider without any, events,
// keys that end, and no limit on failed authentications, of which there are hundreds.
func corpusEdits(t *testing.T) []string {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	events := fmt.Sprintf("    events: {endpoints: [{url: %q, secrets: [%q]}]}\n", receiver.URL, "env:E2E_EVENT_SECRET")
	_, ended := apiKey("ended000")
	_, endless := apiKey("endless0")
	keys := fmt.Sprintf("      - {name: ended, sha256: %q, scopes: [%s], not_after: \"2020-02-29T12:00:00Z\"}\n"+
		"      - {name: endless, sha256: %q, scopes: [instruments:read], not_after: 2999-12-31T23:59:59+14:00}\n", ended, allScopes, endless)
	return []string{
		"  - name: acme\n", "  - name: acme\n" + events,
		"  - name: other\n    api_keys:\n", "  - name: other\n" + events + "    api_keys:\n" + keys,
		"shared_secret: env:E2E_CYBERSOURCE_SECRET", fmt.Sprintf("shared_secret: env:E2E_CYBERSOURCE_SECRET, webhook_keys: [{key_id: %s, key: %q}]", hookKeyID, hookKey),
		"api_key: env:E2E_REBILLY_KEY}\n", fmt.Sprintf("api_key: env:E2E_REBILLY_KEY, webhook_credentials: [{username: hooks, password: %q}]}\n", hookPassword),
		"access_token: env:E2E_BIGCOMMERCE_TOKEN}\n", fmt.Sprintf("access_token: env:E2E_BIGCOMMERCE_TOKEN, webhook_secrets: [%q]}\n", hookSecret) +
			"  - {name: rebilly-deaf, type: rebilly, config: {base_url: \"http://127.0.0.1:1\", organization_id: org_sandbox, api_key: env:E2E_REBILLY_KEY}}\n",
		"insecure_providers: true\n", "insecure_providers: true\nlimits: {auth_failures_per_minute: 100000}\n",
	}
}

// seededEvents waits until the events of what was seeded are delivered, after which
// nothing writes to the store by itself. It returns one of each tenant, and a cursor.
func (w *corpusWorld) seededEvents(t *testing.T) (own, foreign, cursor string) {
	t.Helper()
	other := w.gateway
	other.key = w.tokensKey
	for _, tenant := range []struct {
		gateway
		id   *string
		want int
	}{{w.gateway, &own, 2}, {other, &foreign, 1}} {
		require.Eventually(t, func() bool {
			page := tenant.call(t, http.StatusOK, "GET", "/v1/events", nil, nil)
			events, _ := page.body["data"].([]any)
			for _, e := range events {
				event, _ := e.(map[string]any)
				if event["state"] != "delivered" {
					return false
				}
				*tenant.id, _ = event["id"].(string)
			}
			return len(events) == tenant.want
		}, 20*time.Second, 50*time.Millisecond)
	}
	return own, foreign, w.call(t, http.StatusOK, "GET", "/v1/events?limit=1", nil, nil).str(t, "next_cursor")
}

// signing is how a webhook is signed when the case runs. In the case's headers $TIME
// stands for the time and $SIG for the signature, so that all else is written there.
type signing struct {
	Provider string  `json:"provider"` // cybersource-us or bigcommerce-main
	Age      string  `json:"age"`      // how long ago; default 0s
	Time     string  `json:"time"`     // in place of the time, as it is written and signed
	ID       string  `json:"id"`       // BigCommerce: of the event
	Key      string  `json:"key"`      // another key or secret than the gateway knows
	Over     *string `json:"over"`     // what is signed, in place of the body
}

// signed fills in the case's headers.
func (c badCase) signed(t *testing.T, body []byte) badCase {
	t.Helper()
	if c.Sign == nil {
		return c
	}
	at, sum := c.Sign.sum(t, body)
	words := strings.NewReplacer("$TIME", at, "$SIG", sum)
	headers := map[string]any{}
	for name, v := range c.Headers {
		switch v := v.(type) {
		case string:
			headers[name] = words.Replace(v)
		case []any:
			var all []any
			for _, one := range v {
				all = append(all, words.Replace(fmt.Sprint(one)))
			}
			headers[name] = all
		default:
			headers[name] = v
		}
	}
	c.Headers = headers
	return c
}

func (s signing) sum(t *testing.T, body []byte) (at, sum string) {
	t.Helper()
	when := time.Now()
	if s.Age != "" {
		age, err := time.ParseDuration(s.Age)
		require.NoError(t, err)
		when = when.Add(-age)
	}
	text := string(body)
	if s.Over != nil {
		text = expand(t, *s.Over)
	}
	var key []byte
	switch s.Provider {
	case "cybersource-us":
		at = strconv.FormatInt(when.UnixMilli(), 10)
		var err error
		key, err = base64.StdEncoding.DecodeString(hookKey)
		require.NoError(t, err)
	case "bigcommerce-main":
		at, key = strconv.FormatInt(when.Unix(), 10), []byte(hookSecret)
	default:
		require.Failf(t, "signs nothing", "%q", s.Provider)
	}
	if s.Key != "" {
		key = []byte(s.Key)
	}
	if s.Time != "" {
		at = s.Time
	}
	text = at + "." + text
	if s.Provider == "bigcommerce-main" {
		text = s.ID + "." + text
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text))
	return at, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
