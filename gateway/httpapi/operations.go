package httpapi

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// GetOperation reads what became of a create.
func (a *API) GetOperation(c echo.Context, id OperationID) error {
	op, err := a.service(c).Operation(c.Request().Context(), tenant(c), id)
	if err != nil {
		return err
	}
	return ok(c, op)
}

// FindOperations finds the operation of an idempotency key, or lists those in a state.
func (a *API) FindOperations(c echo.Context, p FindOperationsParams) error {
	if p.State != nil && p.IdempotencyKey == nil {
		page, err := a.service(c).ListOperations(c.Request().Context(), tenant(c), gateway.ListOperationsInput{
			State: gateway.State(*p.State), Limit: value(p.Limit), Cursor: value(p.Cursor),
		})
		if err != nil {
			return err
		}
		return ok(c, page)
	}
	if errs := checkFind(p); len(errs) > 0 {
		return normalize.Invalid(errs...)
	}
	key, valid := parseIdempotencyKey(*p.IdempotencyKey)
	if !valid {
		return invalidKey("the idempotency key must be 1 to 255 visible ASCII characters, bare or as a quoted string")
	}
	op, err := a.service(c).OperationByKey(c.Request().Context(), tenant(c), key)
	if err != nil {
		return err
	}
	return ok(c, op)
}

// checkFind refuses parameters that do not go together with idempotency_key.
func checkFind(p FindOperationsParams) []normalize.FieldError {
	refuse := func(code normalize.Code, message string) []normalize.FieldError {
		return []normalize.FieldError{{Code: code, Message: message}}
	}
	switch {
	case p.IdempotencyKey == nil:
		return refuse(normalize.MissingField, `query parameter "state" or "idempotency_key" is required`)
	case p.State != nil:
		return refuse(normalize.InvalidField, `query parameter "state" cannot be sent together with "idempotency_key"`)
	case p.Limit != nil || p.Cursor != nil:
		return refuse(normalize.InvalidField, `query parameters "limit" and "cursor" belong to "state"`)
	}
	return nil
}

// RetryOperation has an undecided create looked at again.
func (a *API) RetryOperation(c echo.Context, id OperationID) error {
	if err := readNoBody(c, a.maxBody); err != nil {
		return err
	}
	op, err := a.service(c).RetryOperation(c.Request().Context(), tenant(c), id)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Location", "/v1/operations/"+op.ID)
	h.Set("Retry-After", strconv.Itoa(operationRetryAfter))
	writeJSON(c, http.StatusAccepted, mediaJSON, op)
	return nil
}

// FailOperation takes an operator's word that a create stored nothing.
func (a *API) FailOperation(c echo.Context, id OperationID) error {
	if err := readNoBody(c, a.maxBody); err != nil {
		return err
	}
	op, err := a.service(c).FailOperation(c.Request().Context(), tenant(c), id)
	if err != nil {
		return err
	}
	return ok(c, op)
}
