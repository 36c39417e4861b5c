package bigcommerce_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

const clientSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff0" // an API account's, of these tests

// noticed opens the adapter with webhooks.
func noticed(tb testing.TB, change func(*bigcommerce.Config)) adapters.Notifier {
	tb.Helper()
	c := bigcommerce.Config{
		StoreHash: bigcommercetest.DefaultStoreHash, AccessToken: normalize.NewSecret("x"),
		WebhookSecrets: []normalize.Secret{normalize.NewSecret("one-that-is-replaced"), normalize.NewSecret(clientSecret)},
	}
	if change != nil {
		change(&c)
	}
	a, err := c.Open(adapters.Env{})
	require.NoError(tb, err)
	n, ok := a.(adapters.Notifier)
	require.True(tb, ok)
	return n
}

func webhooks() *adaptertest.Webhooks {
	return &adaptertest.Webhooks{
		Open: func(tb testing.TB) adapters.Adapter {
			tb.Helper()
			a, ok := noticed(tb, nil).(adapters.Adapter)
			require.True(tb, ok)
			return a
		},
		Make: func(tb testing.TB, ins adapters.Instrument, at time.Time) (http.Header, []byte) {
			tb.Helper()
			n, err := strconv.Atoi(ins.References["customer"])
			require.NoError(tb, err)
			body := bigcommercetest.WebhookBody(bigcommercetest.DefaultStoreHash, n, at)
			return bigcommercetest.WebhookHeader(clientSecret, "msg_1", body, at), body
		},
		Covers: func(body []byte) []byte { return body },
	}
}

// The example of the Standard Webhooks specification, version 1: the vector of its
// reference implementations.
func TestTheSignatureOfTheStandard(t *testing.T) {
	t.Parallel()
	// whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, decoded.
	const secret = "1\xf2\x90\xf6\xbf\x06)\x8a\xabO\x08\xd4<?\b,\xf6H\xa3b\xda-\xa4\xb0"
	at := time.Unix(1614265330, 0)
	body := []byte(`{"test": 2432232314}`)
	h := bigcommercetest.WebhookHeader(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", body, at)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", h.Get("Webhook-Signature"))
}

func TestAWebhookOfAnotherKind(t *testing.T) {
	t.Parallel()
	n, now := noticed(t, nil), time.Now()
	of := func(body string) ([]adapters.Notice, error) {
		return n.Notices(bigcommercetest.WebhookHeader(clientSecret, "m", []byte(body), now), []byte(body), now)
	}
	got, err := of(`{"scope":"store/customer/payment/instrument/default/updated","producer":"stores/sandbox","data":{"type":"customer","id":42}}`)
	require.NoError(t, err)
	require.Equal(t, []adapters.Notice{{ID: "m", NoticeNames: adapters.NoticeNames{Customer: "42"}}}, got)
	got, err = of(`{"scope":"store/order/created","producer":"stores/sandbox","data":{"type":"order","id":42}}`)
	require.NoError(t, err)
	require.Empty(t, got, "of no instrument")
	_, err = of(`{"scope":"store/customer/payment/instrument/default/updated","producer":"stores/another","data":{"type":"customer","id":42}}`)
	require.Equal(t, adapters.NotAuthentic(), err, "an account signs for all its stores with one secret")
	for _, body := range []string{
		"", "{", "[]",
		`{"scope":"store/customer/payment/instrument/default/updated","producer":"stores/sandbox","data":{"type":"customer","id":"4111/x"}}`,
		`{"scope":"store/customer/payment/instrument/default/updated","producer":"stores/sandbox","data":{"type":"customer","id":4.5}}`,
		`{"scope":"store/customer/payment/instrument/default/updated","producer":"stores/sandbox","data":{"type":"order","id":4}}`,
	} {
		_, err = of(body)
		require.Equal(t, adapters.UnreadableNotice(), err, body)
	}
}

func TestAWebhookByAHeader(t *testing.T) {
	t.Parallel()
	now := time.Now()
	body := bigcommercetest.WebhookBody(bigcommercetest.DefaultStoreHash, 7, now)
	only := noticed(t, func(c *bigcommerce.Config) {
		c.WebhookSecrets, c.WebhookHeaders = nil, []rest.WebhookHeader{{Name: "X-Hook", Value: normalize.NewSecret("a")}, {Name: "X-Hook", Value: normalize.NewSecret("b")}}
	})
	first, err := only.Notices(http.Header{"X-Hook": {"b"}}, body, now)
	require.NoError(t, err)
	require.Regexp(t, `^[0-9a-f]{40}$`, first[0].ID, "the hash tells deliveries of one event")
	for _, h := range []http.Header{{}, {"X-Hook": {"c"}}, {"X-Hook": {"a", "b"}}, {"X-Hook": {""}}} {
		_, err := only.Notices(h, body, now)
		require.Equal(t, adapters.NotAuthentic(), err)
	}
	both := noticed(t, func(c *bigcommerce.Config) {
		c.WebhookHeaders = []rest.WebhookHeader{{Name: "X-Hook", Value: normalize.NewSecret("a")}}
	})
	h := bigcommercetest.WebhookHeader(clientSecret, "m", body, now)
	_, err = both.Notices(h, body, now)
	require.Equal(t, adapters.NotAuthentic(), err, "the header is missing")
	h.Set("X-Hook", "a")
	_, err = both.Notices(h, body, now)
	require.NoError(t, err)
	_, err = both.Notices(http.Header{"X-Hook": {"a"}}, body, now)
	require.Equal(t, adapters.NotAuthentic(), err, "the signature is missing")
}

// FuzzNotification: nothing is taken without the secret, whatever it looks like.
func FuzzNotification(f *testing.F) {
	at := time.Unix(1_760_000_000, 0)
	body := bigcommercetest.WebhookBody(bigcommercetest.DefaultStoreHash, 7, at)
	h := bigcommercetest.WebhookHeader("another", "m", body, at)
	f.Add(h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), h.Get("Webhook-Signature"), body)
	f.Add("m", "1760000000", "v1, v1,= v2,AAAA", []byte(`{"data":{"id":1e99}}`))
	n := noticed(f, nil)
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		_, err := n.Notices(http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}, body, at)
		require.Equal(t, adapters.NotAuthentic(), err)
		_, err = n.Notices(bigcommercetest.WebhookHeader(clientSecret, "m", body, at), body, at)
		if err != nil {
			require.Contains(t, []error{adapters.UnreadableNotice(), adapters.NotAuthentic()}, err)
		}
	})
}
