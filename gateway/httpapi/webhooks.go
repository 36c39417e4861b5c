package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/normalize"
)

// maxWebhook bounds a webhook's body in bytes.
const maxWebhook = 64 << 10

// ReceiveWebhook takes what a provider tells by itself. It needs no API key: the
// provider's own signature or credentials are checked, over the bytes as they came.
// Those that are not its own are counted by address like API keys that are not valid.
func (a *API) ReceiveWebhook(c echo.Context, name string) error {
	r := c.Request()
	if err := a.service(c).TakesNotices(name); err != nil {
		return err
	}
	body, err := readLimited(c, maxWebhook)
	if err != nil {
		return err
	}
	switch err := a.service(c).Notice(r.Context(), name, r.Header, body); {
	case normalize.CodeOf(err) == normalize.InvalidWebhook:
		return a.refusedWebhook(c, err)
	case err != nil:
		return err
	}
	return c.NoContent(http.StatusOK)
}

func (a *API) refusedWebhook(c echo.Context, err error) error {
	if wait := a.failures.count(network(c.RealIP()), exchangeOf(c).generation.door.failures()); wait > 0 {
		return &normalize.Error{
			Code: normalize.RateLimited, Outcome: normalize.NotSent, Msg: "too many webhooks that are not authentic", RetryAfter: wait, Err: err,
		}
	}
	return err
}

// CheckWebhook answers what a provider asks before it sends webhooks: whether somebody
// is there.
func (a *API) CheckWebhook(c echo.Context, name string) error {
	if err := a.service(c).TakesNotices(name); err != nil {
		return err
	}
	return c.NoContent(http.StatusOK)
}
