package canaries

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
)

// The secrets of the webhooks, of these tests only.
const (
	hookKeyID    = "c3a1f5e0-0000-4000-8000-000000000001"
	hookKey      = "d2ViaG9vay1rZXktZm9yLXVuaXQtdGVzdHMtMzJieXQ="
	hookUser     = "hooks"
	hookPassword = "canary-webhook-password"
	hookSecret   = "canary-webhook-client-secret"
	eventSecret  = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
)

// notices sends what providers might: webhooks that are theirs, as the signature or the
// credentials say, and have a card number in one place after the other, and such that
// are nobody's.
func (w *world) notices(t *testing.T, c *next) {
	t.Helper()
	heard := 0
	for range canaries() {
		n := c.number()
		at := time.Now()
		cyber, payload := cybersourcetest.WebhookBody(n, "event-"+n)
		signed, err := cybersourcetest.WebhookHeader(hookKeyID, hookKey, payload, at)
		require.NoError(t, err)
		badKey, err := cybersourcetest.WebhookHeader(n, hookKey, cyber, at)
		require.NoError(t, err)
		big := bigcommercetest.WebhookBody(bigcommercetest.DefaultStoreHash, 1, at)
		odd := fmt.Appendf(nil, `{"data":{"type":"customer","id":%s},"%s":"%s","scope":"store/%s","producer":"stores/%s","card":{"number":"%s","cvc":"%s"}}`, n, n, n, n, n, n, securityCode)
		for _, hook := range []struct {
			provider string
			header   http.Header
			body     []byte
		}{
			{cybersource, signed, cyber},
			{cybersource, badKey, cyber},
			{cybersource, must(cybersourcetest.WebhookHeader(hookKeyID, hookKey, odd, at)), odd},
			{rebilly, rebillytest.WebhookHeader(hookUser, hookPassword), rebillytest.WebhookBody(n, 1)},
			{rebilly, rebillytest.WebhookHeader(hookUser, hookPassword), rebillytest.WebhookBody(grouped(n, "-"), 1)},
			{rebilly, rebillytest.WebhookHeader(hookUser, hookPassword), odd},
			{rebilly, rebillytest.WebhookHeader(hookUser, hookPassword), []byte(`{"customerId":"` + n + `"}`)},
			{rebilly, rebillytest.WebhookHeader(n, n), rebillytest.WebhookBody(n, 1)},
			{bigcommerce, bigcommercetest.WebhookHeader(hookSecret, "msg_"+n, big, at), big},
			{bigcommerce, bigcommercetest.WebhookHeader(hookSecret, n, odd, at), odd},
			{bigcommerce, bigcommercetest.WebhookHeader(n, n, odd, at), odd},
			{n, http.Header{"Authorization": {n}}, odd},
		} {
			if w.hook(t, hook.provider, hook.header, hook.body) == http.StatusOK {
				heard++
			}
		}
	}
	require.GreaterOrEqual(t, heard, 2*len(canaries()), "webhooks were heard: %v", w.status)
}

// told has a provider give notice of an instrument that is there.
func (w *world) told(t *testing.T, id string) {
	t.Helper()
	a := w.send(t, http.MethodGet, "/v1/instruments/"+id, "", nil)
	raw, err := json.Marshal(a.body["provider_tokens"])
	require.NoError(t, err)
	var tokens []struct {
		Provider   string
		References map[string]string
	}
	require.NoError(t, json.Unmarshal(raw, &tokens))
	for _, token := range tokens {
		if token.Provider == rebilly {
			require.Equal(t, http.StatusOK, w.hook(t, rebilly, rebillytest.WebhookHeader(hookUser, hookPassword), rebillytest.WebhookBody(token.References["instrument"], 0)))
		}
	}
}

func (w *world) hook(t *testing.T, provider string, header http.Header, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/v1/webhooks/"+provider, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header = header
	a, err := w.do(req)
	require.NoError(t, err)
	return a.status
}

func must(h http.Header, err error) http.Header {
	if err != nil {
		panic(err)
	}
	return h
}
