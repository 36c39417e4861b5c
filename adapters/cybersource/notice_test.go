package cybersource_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/normalize"
)

const (
	webhookKeyID = "c3a1f5e0-0000-4000-8000-000000000001"
	webhookKey   = "d2ViaG9vay1rZXktZm9yLXVuaXQtdGVzdHMtMzJieXQ=" // of the golden vector
)

// noticed opens the adapter with webhooks.
func noticed(tb testing.TB) *cybersource.Adapter {
	tb.Helper()
	return open(tb, "https://apitest.cybersource.com", func(c *cybersource.Config, _ *adapters.Env) {
		c.WebhookKeys = []cybersource.WebhookKey{
			{KeyID: "older", Key: normalize.NewSecret("b25lLXRoYXQtaXMtcmVwbGFjZWQ=")}, {KeyID: webhookKeyID, Key: normalize.NewSecret(webhookKey)},
		}
	})
}

func webhooks(variant string) *adaptertest.Webhooks {
	return &adaptertest.Webhooks{
		Open: func(tb testing.TB) adapters.Adapter {
			tb.Helper()
			return noticed(tb)
		},
		Make: func(tb testing.TB, ins adapters.Instrument, at time.Time) (http.Header, []byte) {
			tb.Helper()
			body, signed := cybersourcetest.WebhookBody(ins.References["instrument_identifier"], "2F3AC2D2450BB025E063AF598E0AF0CA")
			if variant == cybersourcetest.SignsBody {
				signed = body
			}
			h, err := cybersourcetest.WebhookHeader(webhookKeyID, webhookKey, signed, at)
			require.NoError(tb, err)
			return h, body
		},
		Covers: func(body []byte) []byte {
			if variant == cybersourcetest.SignsBody {
				return body
			}
			_, payload, _ := strings.Cut(string(body), `"payload":`)
			return []byte(payload[:len(payload)-1])
		},
	}
}

// The other variant of what is signed passes the same promises.
func TestConformanceOfTheSignedBody(t *testing.T) {
	t.Parallel()
	for _, c := range adaptertest.Checks() {
		if strings.Contains(c.Name, "webhook") {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				c.Run(t, func(tb testing.TB) adaptertest.Harness {
					tb.Helper()
					h := newHarness(tb)
					h.Webhooks = webhooks(cybersourcetest.SignsBody)
					return h
				})
			})
		}
	}
}

// The golden vector: the member's JSON under a key of 32 bytes.
func TestTheSignatureOfTheVector(t *testing.T) {
	t.Parallel()
	const member = `{"data":{"reason":"CARD_UPDATED","id":"2F3AC2D2450BB025E063AF598E0AF0CA","type":"tokenizedCardUpdates","version":"1.0"},"organizationId":"testmerchant"}`
	const header = "t=1721261883000;keyId=" + webhookKeyID + ";sig=pZpIfqIDgnOjvptzwYUU+GDaT649YUVZ9lwGFb/bCDI="
	at := time.UnixMilli(1721261883000)
	made, err := cybersourcetest.WebhookHeader(webhookKeyID, webhookKey, []byte(member), at)
	require.NoError(t, err)
	require.Equal(t, header, made.Get("v-c-signature"))
	n := noticed(t)
	for _, spelled := range []string{header, strings.ReplaceAll(header, ";", "; ")} {
		_, err = n.Notices(http.Header{"V-C-Signature": {spelled}}, []byte(`{"eventType":"x", "payload": `+member+` }`), at)
		require.NoError(t, err)
	}
	for _, spelled := range []string{
		strings.Replace(header, webhookKeyID, "older", 1), strings.TrimSuffix(header, "="), header + ";t=1", header + ";sig=AAAA",
		strings.Replace(header, "t=1721261883000;", "", 1), strings.Replace(header, "t=1", "t=+1", 1), "", "t;keyId;sig",
	} {
		_, err = n.Notices(http.Header{"V-C-Signature": {spelled}}, []byte(`{"payload":`+member+`}`), at)
		require.Equal(t, adapters.NotAuthentic(), err, spelled)
	}
}

func TestWhatAWebhookOfCyberSourceNames(t *testing.T) {
	t.Parallel()
	n, now := noticed(t), time.Now()
	of := func(body, signed string) ([]adapters.Notice, error) {
		h, err := cybersourcetest.WebhookHeader(webhookKeyID, webhookKey, []byte(signed), now)
		require.NoError(t, err)
		return n.Notices(h, []byte(body), now)
	}
	const links = `{"data":{"_links":{"instrumentIdentifiers":[{"id":"701000abc"},{"id":"7020"}]}}}`
	for _, payload := range []string{links, "[" + links + "]"} {
		body := `{"transactionTraceId":"trace","payload":` + payload + `}`
		whole, err := of(body, body)
		require.NoError(t, err)
		require.Equal(t, []adapters.Notice{
			{ID: "trace/701000ABC", NoticeNames: adapters.NoticeNames{Card: "701000ABC"}},
			{ID: "trace/7020", NoticeNames: adapters.NoticeNames{Card: "7020"}},
		}, whole)
		member, err := of(body, payload)
		require.NoError(t, err)
		require.Equal(t, whole[0].Card, member[0].Card)
		again, err := of(strings.Replace(body, "trace", "forged", 1), payload)
		require.NoError(t, err)
		require.Equal(t, member, again, "what is not signed makes no other event of it")
	}
	// Two members of one name: what is read is what was signed.
	_, err := of(`{"payload":`+links+`,"payload":{"data":{"_links":{"instrumentIdentifiers":[{"id":"EVIL"}]}}}}`, links)
	require.Equal(t, adapters.NotAuthentic(), err)
	got, err := of(`{"payload":{}}`, `{}`)
	require.NoError(t, err)
	require.Empty(t, got)
	for _, body := range []string{"x", `{"payload":"text"}`, `{"payload":{"data":{"_links":{"instrumentIdentifiers":[{"id":"../x"}]}}}}`} {
		_, err := of(body, body)
		require.Equal(t, adapters.UnreadableNotice(), err, body)
	}
}

// FuzzNotification: nothing is taken without the key, whatever it looks like.
func FuzzNotification(f *testing.F) {
	at := time.UnixMilli(1721261883000)
	body, payload := cybersourcetest.WebhookBody("7010000000016241111", "1")
	h, err := cybersourcetest.WebhookHeader(webhookKeyID, "YW5vdGhlcg==", payload, at)
	require.NoError(f, err)
	f.Add(h.Get("V-C-Signature"), body)
	f.Add("t=1721261883000;keyId="+webhookKeyID+";sig=", []byte(`{"payload":null}`))
	f.Add("t=1721261883000;keyId=;sig==;==", []byte(`{"payload":[[]]}`))
	n := noticed(f)
	f.Fuzz(func(t *testing.T, signature string, body []byte) {
		if !strings.Contains(signature, "pZpIfqID") { // the vector itself
			_, err := n.Notices(http.Header{"V-C-Signature": {signature}}, body, at)
			require.Equal(t, adapters.NotAuthentic(), err)
		}
		h, err := cybersourcetest.WebhookHeader(webhookKeyID, webhookKey, body, at)
		require.NoError(t, err)
		if _, err := n.Notices(h, body, at); err != nil {
			require.Equal(t, adapters.UnreadableNotice(), err)
		}
	})
}
