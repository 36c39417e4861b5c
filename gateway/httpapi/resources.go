package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
)

// GetCustomer reads where a customer is known.
func (a *API) GetCustomer(c echo.Context, id CustomerID) error {
	customer, err := a.service.GetCustomer(c.Request().Context(), tenant(c), id)
	if err != nil {
		return err
	}
	return ok(c, customer)
}

// PutCustomer says where a customer is known.
func (a *API) PutCustomer(c echo.Context, id CustomerID, _ PutCustomerParams) error {
	n, err := readBody(c, a.maxBody, mediaJSON)
	if err != nil {
		return err
	}
	in, err := decodeCustomer(n, id)
	if err != nil {
		return err
	}
	return a.change(c, gateway.PutCustomer{Input: in})
}

// ListProviders lists the configured providers.
func (a *API) ListProviders(c echo.Context) error {
	return ok(c, struct {
		Data []gateway.ProviderStatus `json:"data"`
	}{a.service.Providers()})
}

// GetProvider reads a provider's capabilities and health.
func (a *API) GetProvider(c echo.Context, name string) error {
	status, err := a.service.Provider(name)
	if err != nil {
		return err
	}
	return ok(c, status)
}

type health struct {
	Status string `json:"status"`
}

// GetHealth answers as long as the process can answer at all.
func (a *API) GetHealth(c echo.Context) error { return ok(c, health{"ok"}) }

// GetReadiness answers whether new requests should come here.
func (a *API) GetReadiness(c echo.Context) error {
	if a.draining.Load() {
		writeJSON(c, http.StatusServiceUnavailable, mediaJSON, health{"draining"})
		return nil
	}
	if err := a.service.Ready(c.Request().Context()); err != nil {
		return err
	}
	return ok(c, health{"ok"})
}
