package httpapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
)

// ListEvents lists what endpoints were told of, or are to be.
func (a *API) ListEvents(c echo.Context, p ListEventsParams) error {
	in := eventsInput(p.Since, p.Until, string(value(p.EventType)), string(value(p.DeliveryState)))
	in.Limit, in.Cursor = value(p.Limit), value(p.Cursor)
	page, err := a.service(c).ListEvents(c.Request().Context(), tenant(c), in)
	if err != nil {
		return err
	}
	return ok(c, page)
}

// GetEvent reads one event, with what is sent.
func (a *API) GetEvent(c echo.Context, id EventID) error {
	e, err := a.service(c).Event(c.Request().Context(), tenant(c), id)
	if err != nil {
		return err
	}
	return ok(c, e)
}

// ReplayEvent has an event delivered once more.
func (a *API) ReplayEvent(c echo.Context, id EventID) error {
	if err := readNoBody(c, a.maxBody); err != nil {
		return err
	}
	e, err := a.service(c).ReplayEvent(c.Request().Context(), tenant(c), id)
	if err != nil {
		return err
	}
	toldReplay(c, e.InstrumentID, 1)
	c.Response().Header().Set("Location", "/v1/events/"+e.ID)
	writeJSON(c, http.StatusAccepted, mediaJSON, e)
	return nil
}

// ReplayEvents has those of a range delivered once more, a page at a time.
func (a *API) ReplayEvents(c echo.Context, p ReplayEventsParams) error {
	if err := readNoBody(c, a.maxBody); err != nil {
		return err
	}
	in := eventsInput(&p.Since, p.Until, string(value(p.EventType)), string(value(p.DeliveryState)))
	if p.DeliveryState == nil {
		in.State = gateway.DeliveryFailed
	}
	in.Limit, in.Cursor = value(p.Limit), value(p.Cursor)
	out, err := a.service(c).ReplayEvents(c.Request().Context(), tenant(c), in)
	toldReplay(c, "", out.Replayed) // those before an error, too
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusAccepted, mediaJSON, out)
	return nil
}

// eventsInput turns the parameters into a selection: "all" is every state.
func eventsInput(since, until *time.Time, eventType, state string) gateway.EventsInput {
	in := gateway.EventsInput{Since: value(since).UTC(), Until: value(until).UTC(), Type: gateway.EventType(eventType)}
	if state != "all" {
		in.State = gateway.DeliveryState(state)
	}
	return in
}
