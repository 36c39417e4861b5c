package httpapi

import (
	"context"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// GetCustomer reads where a customer is known.
func (a *API) GetCustomer(c echo.Context, id CustomerID) error {
	customer, err := a.service(c).GetCustomer(c.Request().Context(), tenant(c), id)
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
	}{a.service(c).Providers()})
}

// GetProvider reads a provider's capabilities and health.
func (a *API) GetProvider(c echo.Context, name string) error {
	status, err := a.service(c).Provider(name)
	if err != nil {
		return err
	}
	return ok(c, status)
}

// DrainProvider takes a provider out of every gateway's routes.
func (a *API) DrainProvider(c echo.Context, name string) error {
	return a.drain(c, name, a.service(c).Drain)
}

// UndrainProvider gives a provider its place in the routes back.
func (a *API) UndrainProvider(c echo.Context, name string) error {
	return a.drain(c, name, a.service(c).Undrain)
}

func (a *API) drain(
	c echo.Context, name string, change func(ctx context.Context, name, by string, in normalize.DrainInput) (gateway.ProviderStatus, error),
) error {
	n, err := readOptionalBody(c, a.maxBody)
	if err != nil {
		return err
	}
	in, err := decodeDrain(n)
	if err != nil {
		return err
	}
	status, err := change(c.Request().Context(), name, exchangeOf(c).caller.Name, in)
	if err != nil {
		return err
	}
	return ok(c, status)
}

// decodeDrain reads why a provider is drained or not any more; n is nil if nothing was said.
func decodeDrain(n *node) (in normalize.DrainInput, err error) {
	if n == nil {
		return in, nil
	}
	var d decoder
	o := d.object(n, "")
	in.Reason = o.text("reason")
	o.end()
	return in, d.err(in.Validate)
}

type health struct {
	Status string `json:"status"`
}

// GetHealth answers as long as the process can answer at all.
func (a *API) GetHealth(c echo.Context) error { return ok(c, health{"ok"}) }
