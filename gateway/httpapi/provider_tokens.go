package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// ListProviderTokens reads where an instrument lives.
func (a *API) ListProviderTokens(c echo.Context, id InstrumentID) error {
	tokens, err := a.service(c).ProviderTokens(c.Request().Context(), tenant(c), id)
	if err != nil {
		return err
	}
	return ok(c, struct {
		Data []normalize.ProviderToken `json:"data"`
	}{shownTokens(c, tokens)})
}

// AddProviderToken mirrors an instrument at a further provider.
func (a *API) AddProviderToken(c echo.Context, id InstrumentID, _ AddProviderTokenParams) error {
	n, err := readBody(c, a.maxBody, mediaJSON)
	if err != nil {
		return err
	}
	in, err := decodeMirror(n, a.now())
	if err != nil {
		return err
	}
	return a.change(c, gateway.AddProviderToken{ID: id, Input: in})
}

// RemoveProviderToken removes an instrument from one of its providers.
func (a *API) RemoveProviderToken(c echo.Context, id InstrumentID, provider string, _ RemoveProviderTokenParams) error {
	return a.change(c, gateway.RemoveProviderToken{ID: id, Provider: provider})
}

// tokenStatus is the status of an answer with one provider token: it was stored, is
// still to be removed, or was there.
func tokenStatus(out gateway.Changed) int {
	switch {
	case out.Created:
		return http.StatusCreated
	case out.Token.Status == normalize.StatusDeactivated:
		return http.StatusAccepted
	default:
		return http.StatusOK
	}
}
