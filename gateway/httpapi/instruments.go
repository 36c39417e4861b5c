package httpapi

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// operationRetryAfter is when an operation of unknown outcome is worth reading, in seconds.
const operationRetryAfter = 2

// CreateInstrument stores an instrument. The header is read by idempotencyKey,
// which knows both of its forms; the generated parameter is the raw text.
func (a *API) CreateInstrument(c echo.Context, _ CreateInstrumentParams) error {
	key, keyErr := idempotencyKey(c.Request().Header)
	n, err := readBody(c, a.maxBody, mediaJSON)
	if err != nil {
		return cmp.Or(keyErr, err)
	}
	in, err := decodeCreate(n, a.now())
	if keyErr != nil {
		return withFields(keyErr, err, in.Validate(a.now()))
	}
	toldCustomer(c, in.CustomerID)
	if err != nil {
		return err
	}
	created, err := a.service(c).Create(withAddress(c), tenant(c), in, key)
	if err != nil {
		return err
	}
	x := exchangeOf(c)
	x.instrument, x.attempts = created.Instrument.ID, created.Attempts
	h := c.Response().Header()
	if created.Provider != "" {
		h.Set("Gateway-Provider", created.Provider)
	}
	if created.Replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	status := createdStatus(created)
	if op := created.Operation; op != nil {
		x.instrument, x.attempts = op.ID, op.Attempts
		h.Set("Gateway-Outcome", string(op.Outcome))
		h.Set("Location", "/v1/operations/"+op.ID)
		h.Set("Retry-After", strconv.Itoa(operationRetryAfter))
		writeJSON(c, status, mediaJSON, op)
		return nil
	}
	if created.Deduplicated {
		h.Set("Gateway-Deduplicated", "true")
	}
	h.Set("Gateway-Outcome", string(normalize.Applied))
	h.Set("Location", "/v1/instruments/"+created.Instrument.ID)
	h.Set("ETag", gateway.ETag(created.Instrument))
	writeJSON(c, status, mediaJSON, shown(c, created.Instrument))
	return nil
}

// createdStatus is the status of a create's answer; a replay has that of the first answer.
func createdStatus(created gateway.Created) int {
	switch {
	case created.Operation != nil:
		return http.StatusAccepted
	case created.Deduplicated:
		return http.StatusOK
	default:
		return http.StatusCreated
	}
}

// GetInstrument reads an instrument.
func (a *API) GetInstrument(c echo.Context, id InstrumentID, params GetInstrumentParams) error {
	stored := params.Read != nil && *params.Read == ReadModeStored
	r, err := a.service(c).Get(c.Request().Context(), tenant(c), id, stored)
	if err != nil {
		return err
	}
	etag := readHeaders(c, r)
	if notModified(c.Request().Header, etag) {
		return c.NoContent(http.StatusNotModified)
	}
	return ok(c, shown(c, r.Instrument))
}

// UpdateInstrument applies a merge patch. If-Match is read by ifMatch, which knows lists.
func (a *API) UpdateInstrument(c echo.Context, id InstrumentID, _ UpdateInstrumentParams) error {
	n, err := readBody(c, a.maxBody, mediaMergePatch, mediaJSON)
	if err != nil {
		return err
	}
	in, err := decodeUpdate(n, a.now())
	if err != nil {
		return err
	}
	if in.IfMatch, err = ifMatch(c.Request().Header); err != nil {
		return err
	}
	return a.change(c, gateway.UpdateInstrument{ID: id, Input: in})
}

// DeactivateInstrument takes an instrument out of use.
func (a *API) DeactivateInstrument(c echo.Context, id InstrumentID, _ DeactivateInstrumentParams) error {
	if err := readNoBody(c, a.maxBody); err != nil {
		return err
	}
	return a.change(c, gateway.DeactivateInstrument{ID: id})
}

// ActivateInstrument puts an instrument back into use.
func (a *API) ActivateInstrument(c echo.Context, id InstrumentID, _ ActivateInstrumentParams) error {
	if err := readNoBody(c, a.maxBody); err != nil {
		return err
	}
	return a.change(c, gateway.ActivateInstrument{ID: id})
}

// DeleteInstrument deletes an instrument.
func (a *API) DeleteInstrument(c echo.Context, id InstrumentID, params DeleteInstrumentParams) error {
	scope := gateway.ScopeProvider
	if params.Scope != nil {
		scope = gateway.DeleteScope(*params.Scope)
	}
	return a.change(c, gateway.DeleteInstrument{ID: id, Scope: scope})
}

// change makes a change under the request's idempotency key, if it has one, and
// answers with what is there afterwards. The header is read by optionalKey, which
// knows both forms of a key.
func (a *API) change(c echo.Context, change gateway.Change) error {
	key, err := optionalKey(c.Request().Header)
	if err != nil {
		return err
	}
	out, err := a.service(c).Change(c.Request().Context(), tenant(c), key, change)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	if out.Replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	switch {
	case out.Customer != nil && out.Created:
		h.Set("Location", "/v1/customers/"+out.Customer.ID)
		writeJSON(c, http.StatusCreated, mediaJSON, out.Customer)
		return nil
	case out.Customer != nil:
		return ok(c, out.Customer)
	case out.Token != nil:
		h.Set("Gateway-Provider", out.Provider)
		writeJSON(c, tokenStatus(out), mediaJSON, shownTokens(c, []normalize.ProviderToken{*out.Token})[0])
		return nil
	case out.Instrument != nil:
		readHeaders(c, gateway.Read{Instrument: *out.Instrument, Provider: out.Provider})
		return ok(c, shown(c, *out.Instrument))
	default:
		return c.NoContent(http.StatusNoContent)
	}
}

// readHeaders sets the headers of an answer with an instrument, and returns its entity tag.
func readHeaders(c echo.Context, r gateway.Read) (etag string) {
	h := c.Response().Header()
	etag = gateway.ETag(r.Instrument)
	h.Set("ETag", etag)
	if r.Provider != "" {
		h.Set("Gateway-Provider", r.Provider)
	}
	if r.Stale {
		h.Set("Gateway-Stale", "true")
		h.Set("Age", strconv.Itoa(max(0, int(r.Age/time.Second))))
	}
	return etag
}

// tenant is whose key the request came with. The operation's scope is never
// public where it is called, so that the caller is known.
func tenant(c echo.Context) string { return exchangeOf(c).caller.Tenant }
