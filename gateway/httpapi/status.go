package httpapi

import (
	"net/http"

	"github.com/polyvault/polyvault/normalize"
)

// problemKind is what a code always means over HTTP.
type problemKind struct {
	status int
	title  string // the same for every occurrence, as RFC 9457 asks
}

// kindOf is the one table from codes to HTTP. An unknown code is a fault of ours.
func kindOf(c normalize.Code) problemKind {
	if k, ok := clientKinds()[c]; ok {
		return k
	}
	if k, ok := serverKinds()[c]; ok {
		return k
	}
	return serverKinds()[normalize.InternalError]
}

func clientKinds() map[normalize.Code]problemKind {
	return map[normalize.Code]problemKind{
		normalize.InvalidJSON:           {http.StatusBadRequest, "The body is not valid JSON"},
		normalize.DuplicateMember:       {http.StatusBadRequest, "A member appears twice"},
		normalize.UnknownMember:         {http.StatusBadRequest, "A member is not known"},
		normalize.IdempotencyKeyMissing: {http.StatusBadRequest, "The Idempotency-Key header is missing"},
		normalize.IdempotencyKeyInvalid: {http.StatusBadRequest, "The idempotency key is not valid"},
		normalize.InvalidCursor:         {http.StatusBadRequest, "The cursor is not valid"},

		normalize.InvalidAPIKey:     {http.StatusUnauthorized, "The API key is not valid"},
		normalize.InvalidWebhook:    {http.StatusUnauthorized, "The webhook is not authentic"},
		normalize.InsufficientScope: {http.StatusForbidden, "The API key lacks a scope"},
		normalize.NotFound:          {http.StatusNotFound, "There is no such resource"},
		normalize.MethodNotAllowed:  {http.StatusMethodNotAllowed, "The method is not allowed"},
		normalize.InstrumentDeleted: {http.StatusGone, "The instrument was deleted"},

		normalize.IdempotencyKeyInUse:    {http.StatusConflict, "A request with this key is still running"},
		normalize.DefaultInstrumentInUse: {http.StatusConflict, "The instrument is the customer's default"},
		normalize.InvalidState:           {http.StatusConflict, "The instrument's state does not allow it"},
		normalize.Conflict:               {http.StatusConflict, "Another change came first"},

		normalize.VersionMismatch:      {http.StatusPreconditionFailed, "The instrument has changed"},
		normalize.BodyTooLarge:         {http.StatusRequestEntityTooLarge, "The body is too large"},
		normalize.UnsupportedMediaType: {http.StatusUnsupportedMediaType, "The media type is not supported"},

		normalize.MissingField:              {http.StatusUnprocessableEntity, "A value is missing"},
		normalize.InvalidField:              {http.StatusUnprocessableEntity, "A value is not valid"},
		normalize.OutOfRange:                {http.StatusUnprocessableEntity, "A value is out of range"},
		normalize.RawCardNotAccepted:        {http.StatusUnprocessableEntity, "Card and account numbers are not accepted"},
		normalize.PANInUnexpectedField:      {http.StatusUnprocessableEntity, "A card number is where none belongs"},
		normalize.UnsupportedSource:         {http.StatusUnprocessableEntity, "The source is not supported"},
		normalize.UnsupportedOperation:      {http.StatusUnprocessableEntity, "The provider cannot do this"},
		normalize.CustomerReferenceRequired: {http.StatusUnprocessableEntity, "The provider does not know the customer"},
		normalize.IdempotencyKeyReused:      {http.StatusUnprocessableEntity, "The key was used for another request"},
		normalize.CardDeclined:              {http.StatusUnprocessableEntity, "The card was declined"},
		normalize.ExpiredCard:               {http.StatusUnprocessableEntity, "The card is expired"},
		normalize.TokenExpired:              {http.StatusUnprocessableEntity, "The token is expired"},
		normalize.TokenAlreadyUsed:          {http.StatusUnprocessableEntity, "The token was already used"},

		normalize.RateLimited:         {http.StatusTooManyRequests, "Too many requests"},
		normalize.ProviderRateLimited: {http.StatusTooManyRequests, "The provider's rate limit is reached"},
	}
}

func serverKinds() map[normalize.Code]problemKind {
	return map[normalize.Code]problemKind{
		normalize.InternalError:         {http.StatusInternalServerError, "A fault of the gateway"},
		normalize.ProviderError:         {http.StatusBadGateway, "The provider failed"},
		normalize.ProviderBadResponse:   {http.StatusBadGateway, "The provider's answer is not understood"},
		normalize.ProviderMisconfigured: {http.StatusBadGateway, "The provider refuses the gateway's credentials"},
		normalize.ProviderUnavailable:   {http.StatusServiceUnavailable, "The provider is not available"},
		normalize.NoEligibleProvider:    {http.StatusServiceUnavailable, "No provider can take the request"},
		normalize.StoreUnavailable:      {http.StatusServiceUnavailable, "The gateway's store is not available"},
		normalize.AuditUnavailable:      {http.StatusServiceUnavailable, "The gateway's audit log cannot be written"},
		normalize.ProviderTimeout:       {http.StatusGatewayTimeout, "The provider did not answer in time"},
		normalize.OutcomeUnknown:        {http.StatusGatewayTimeout, "The outcome is not known"},
	}
}
