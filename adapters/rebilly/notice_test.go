package rebilly_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/normalize"
)

const webhookPassword = "correct horse battery staple"

// noticed opens the adapter with webhooks.
func noticed(tb testing.TB, change func(*rebilly.Config)) adapters.Notifier {
	tb.Helper()
	c := rebilly.Config{
		Base: "https://api-sandbox.rebilly.com", APIKey: normalize.NewSecret(rebillytest.SecretKey),
		WebhookCredentials: []rebilly.WebhookCredential{
			{Username: "older", Password: normalize.NewSecret("one-that-is-replaced")}, {Username: "hooks", Password: normalize.NewSecret(webhookPassword)},
		},
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
		Make: func(_ testing.TB, ins adapters.Instrument, _ time.Time) (http.Header, []byte) {
			return rebillytest.WebhookHeader("hooks", webhookPassword), rebillytest.WebhookBody(ins.References["instrument"], 3)
		},
	}
}

func TestWhatAWebhookNames(t *testing.T) {
	t.Parallel()
	n := noticed(t, nil)
	instrument := func(id string, revision int64, event string) []adapters.Notice {
		return []adapters.Notice{{ID: event, Revision: revision, References: normalize.References{"instrument": id}, NoticeNames: adapters.NoticeNames{Instrument: id}}}
	}
	for body, want := range map[string][]adapters.Notice{
		`{"eventType":"payment-instrument-modified","paymentInstrumentId":"inst_1"}`:                                              instrument("inst_1", 0, ""),
		`{"eventType":"payment-card-created","paymentCardId":"inst_2","_embedded":{"paymentCard":{"revision":7,"last4":"1111"}}}`: instrument("inst_2", 7, "inst_2/7"),
		`{"paymentInstrumentId":"inst_3","_embedded":{"paymentInstrument":{"revision":2}},"_links":[]}`:                           instrument("inst_3", 2, "inst_3/2"),
		`{"paymentInstrumentId":"inst_3","_embedded":{"paymentInstrument":null}}`:                                                 instrument("inst_3", 0, ""),
		`{"eventType":"customer-updated","customerId":"cus_1"}`:                                                                   {{NoticeNames: adapters.NoticeNames{Customer: "cus_1"}}},
		`{"eventType":"invoice-paid","invoiceId":"x"}`:                                                                            nil,
	} {
		got, err := n.Notices(rebillytest.WebhookHeader("hooks", webhookPassword), []byte(body), time.Time{})
		require.NoError(t, err, body)
		require.Equal(t, want, got, body)
	}
	for _, body := range []string{"", "{", `"x"`, `{"paymentInstrumentId":"../x"}`, `{"paymentInstrumentId":4111111111111111}`, `{"paymentInstrumentId":"x","_embedded":[]}`} {
		_, err := n.Notices(rebillytest.WebhookHeader("hooks", webhookPassword), []byte(body), time.Time{})
		require.Equal(t, adapters.UnreadableNotice(), err, body)
	}
}

func TestWhoseWebhookItIs(t *testing.T) {
	t.Parallel()
	body := rebillytest.WebhookBody("inst_1", 1)
	marked := func(h http.Header, value string) http.Header {
		h.Set("X-Hook", value)
		return h
	}
	header := func(c *rebilly.Config) {
		c.WebhookHeaders = []rest.WebhookHeader{{Name: "X-Hook", Value: normalize.NewSecret("secret")}}
	}
	onlyHeader := func(c *rebilly.Config) {
		header(c)
		c.WebhookCredentials = nil
	}
	for name, c := range map[string]struct {
		change func(*rebilly.Config)
		header http.Header
		ok     bool
	}{
		"the credentials":                 {nil, rebillytest.WebhookHeader("hooks", webhookPassword), true},
		"those that are replaced":         {nil, rebillytest.WebhookHeader("older", "one-that-is-replaced"), true},
		"the one's name, another's word":  {nil, rebillytest.WebhookHeader("older", webhookPassword), false},
		"a header beside the credentials": {header, marked(rebillytest.WebhookHeader("hooks", webhookPassword), "secret"), true},
		"the credentials alone":           {header, rebillytest.WebhookHeader("hooks", webhookPassword), false},
		"the header alone":                {header, marked(http.Header{}, "secret"), false},
		"a header":                        {onlyHeader, marked(http.Header{}, "secret"), true},
		"another header":                  {onlyHeader, marked(http.Header{}, "secrets"), false},
	} {
		_, err := noticed(t, c.change).Notices(c.header, body, time.Time{})
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
	}
}

// FuzzNotification: nothing is taken without the credentials, whatever it looks like.
func FuzzNotification(f *testing.F) {
	f.Add("Basic aG9va3M6", []byte(`{"paymentInstrumentId":"inst_1"}`))
	f.Add("Bearer x", []byte(`{"paymentCardId":"inst_1","_embedded":{"paymentCard":{"revision":-1}}}`))
	f.Add("", []byte(`{"customerId":"\u0000"}`))
	n := noticed(f, nil)
	f.Fuzz(func(t *testing.T, authorization string, body []byte) {
		good := rebillytest.WebhookHeader("hooks", webhookPassword)
		if _, err := n.Notices(http.Header{"Authorization": {authorization}}, body, time.Time{}); authorization != good.Get("Authorization") {
			require.Equal(t, adapters.NotAuthentic(), err)
		}
		if _, err := n.Notices(good, body, time.Time{}); err != nil {
			require.Equal(t, adapters.UnreadableNotice(), err)
		}
	})
}
