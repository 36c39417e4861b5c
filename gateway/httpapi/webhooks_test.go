package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/gateway/audit"
	"github.com/polyvault/polyvault/normalize"
)

const webhookPath = "/v1/webhooks/rebilly-main"

func TestAWebhookNeedsNoAPIKeyAndItsBodyIsNotTouched(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const body = "{ \"a\": 1,\t\"a\":2 }\n"
	rec := r.call(t, http.MethodPost, webhookPath, body, "Authorization", "", "Content-Type", "application/json; charset=utf-8")
	require.Equal(t, http.StatusOK, rec.Code)
	require.Empty(t, rec.Body.String())
	require.Equal(t, body, string(r.noticed))
	require.Equal(t, "rebilly-main", r.id)
	require.Equal(t, http.StatusOK, r.call(t, http.MethodGet, webhookPath, "", "Authorization", "").Code)
	require.NotContains(t, r.logs.All()[0].ContextMap(), "body")
}

func TestAProviderWithoutWebhooksIsAsOneThatIsNot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		one := r.call(t, method, "/v1/webhooks/cybersource-us", "", "X-Request-ID", "x")
		other := r.call(t, method, "/v1/webhooks/nobody", "", "X-Request-ID", "x")
		requireProblem(t, one, http.StatusNotFound, normalize.NotFound)
		require.Equal(t, one.Body.String(), other.Body.String())
		require.Equal(t, one.Header(), other.Header())
	}
	require.Nil(t, r.noticed)
}

func TestAForgedWebhookIsCountedByAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxAuthFailures = 2 })
	r.err = adapters.NotAuthentic()
	for range 2 {
		p := r.call(t, http.MethodPost, webhookPath, "{}", "Authorization", "")
		requireProblem(t, p, http.StatusUnauthorized, normalize.InvalidWebhook)
		require.NotEmpty(t, p.Header().Get("WWW-Authenticate"))
	}
	requireProblem(t, r.call(t, http.MethodPost, webhookPath, "{}", "Authorization", ""), http.StatusTooManyRequests, normalize.RateLimited)
	requireProblem(t, r.call(t, http.MethodGet, "/v1/providers", "", "Authorization", "Bearer nonsense"), http.StatusTooManyRequests, normalize.RateLimited)
	r.err = nil
	require.Equal(t, http.StatusOK, r.call(t, http.MethodPost, webhookPath, "{}", "Authorization", "").Code, "an authentic one is never refused for it")
}

func TestAWebhookThatCannotBeTakenNowIsSentAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.err = &normalize.Error{Code: normalize.StoreUnavailable, Outcome: normalize.NotSent, Msg: "down"}
	rec := r.call(t, http.MethodPost, webhookPath, "{}")
	requireProblem(t, rec, http.StatusServiceUnavailable, normalize.StoreUnavailable)
	require.NotEmpty(t, rec.Header().Get("Retry-After"))
	r.err = adapters.UnreadableNotice()
	requireProblem(t, r.call(t, http.MethodPost, webhookPath, "no"), http.StatusBadRequest, normalize.InvalidJSON)
	requireProblem(t, r.call(t, http.MethodPost, webhookPath, strings.Repeat("x", maxWebhook+1)), http.StatusRequestEntityTooLarge, normalize.BodyTooLarge)
	rec = r.call(t, http.MethodPut, webhookPath, "{}")
	requireProblem(t, rec, http.StatusMethodNotAllowed, normalize.MethodNotAllowed)
}

// Who sent a webhook is known by its signature, so that all are told: of those that are
// refused no more than of other strangers.
func TestWebhooksAreAudited(t *testing.T) {
	t.Parallel()
	r, log := auditedRig(t, func(c *Config) { c.MaxAuthFailures = -1 })
	send := func() audit.Entry {
		r.call(t, http.MethodPost, webhookPath, "{}", "Authorization", "", "X-Request-ID", "req-1")
		got := log.take()
		require.Len(t, got, 1)
		return got[0]
	}
	taken := audit.Entry{Action: "webhook.receive", Provider: "rebilly-main", Status: 200, Address: "192.0.2.1", RequestID: "req-1"}
	require.Equal(t, taken, send())
	r.err = adapters.NotAuthentic()
	refused := taken
	refused.Status, refused.Code = 401, string(normalize.InvalidWebhook)
	for range maxStrangers {
		require.Equal(t, refused, send())
	}
	r.call(t, http.MethodPost, webhookPath, "{}", "Authorization", "")
	require.Empty(t, log.take(), "who knocks must not fill the disk")
	r.err = nil
	require.Equal(t, taken, send(), "those that are authentic are told all the same")
	require.Equal(t, http.StatusOK, r.call(t, http.MethodGet, webhookPath, "", "Authorization", "").Code)
	require.Empty(t, log.take(), "a question whether somebody is there")
}
