package cybersource

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

func tms(kind string) string {
	return fmt.Sprintf(`{"errors":[{"type":%q,"message":"4111111111111111 is wrong"}]}`, kind)
}

func detailed(kind, name, location string) string {
	return fmt.Sprintf(`{"errors":[{"type":%q,"message":"m","details":[{"name":%q,"location":%q}]}]}`, kind, name, location)
}

func pts(reason, field string) string {
	return fmt.Sprintf(`{"submitTimeUtc":"t","status":"INVALID_REQUEST","reason":%q,"message":"m","details":[{"field":%q,"reason":%q}]}`, reason, field, reason)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op      string
		status  int
		body    string
		code    normalize.Code
		outcome normalize.Outcome
		kind    string
		fields  []string // pointers
	}{
		"400 invalidFields names the expiry":        {opCreate, 400, detailed("invalidFields", "expirationMonth", "card"), normalize.InvalidField, normalize.Rejected, "invalidFields", []string{"/source/exp_month"}},
		"400 of an update names the card's expiry":  {"update", 400, detailed("invalidFields", "expirationYear", "card"), normalize.InvalidField, normalize.Rejected, "invalidFields", []string{"/card/exp_year"}},
		"400 invalidFields names an address member": {opCreate, 400, detailed("invalidFields", "postalCode", "billTo"), normalize.InvalidField, normalize.Rejected, "invalidFields", []string{"/billing_address/postal_code"}},
		"400 missingFields":                         {opCreate, 400, detailed("missingFields", "id", "instrumentIdentifier"), normalize.MissingField, normalize.Rejected, "missingFields", []string{"/source/instrument_identifier"}},
		"400 of a number":                           {opIdentifier, 400, detailed("invalidFields", "number", "card"), normalize.InvalidField, normalize.Rejected, "invalidFields", []string{"/source/number"}},
		"400 invalidParameters":                     {"list", 400, detailed("invalidParameters", "limit", ""), normalize.InvalidField, normalize.Rejected, "invalidParameters", []string{"/limit"}},
		"400 of a member without a counterpart":     {opCreate, 400, detailed("invalidFields", "useAs", "card"), normalize.InvalidField, normalize.Rejected, "invalidFields", nil},
		"400 invalidCombination":                    {opCreate, 400, tms("invalidCombination"), normalize.InvalidField, normalize.Rejected, "invalidCombination", nil},
		"400 unsupportedPaymentMethodModification":  {"update", 400, tms("unsupportedPaymentMethodModification"), normalize.InvalidField, normalize.Rejected, "unsupportedPaymentMethodModification", nil},
		"400 instrumentIdentifierNotFound":          {opCreate, 400, tms("instrumentIdentifierNotFound"), normalize.InvalidField, normalize.Rejected, "instrumentIdentifierNotFound", []string{"/source/instrument_identifier"}},
		"400 instrumentIdentifierGone":              {opCreate, 400, tms("instrumentIdentifierGone"), normalize.InvalidField, normalize.Rejected, "instrumentIdentifierGone", []string{"/source/instrument_identifier"}},
		"400 invalidHeaders":                        {"get", 400, tms("invalidHeaders"), normalize.ProviderMisconfigured, normalize.Rejected, "invalidHeaders", nil},
		"400 missingHeaders":                        {"get", 400, tms("missingHeaders"), normalize.ProviderMisconfigured, normalize.Rejected, "missingHeaders", nil},
		"400 invalidRequest":                        {opCreate, 400, tms("invalidRequest"), normalize.ProviderError, normalize.Rejected, "invalidRequest", nil},
		"400 unknownField":                          {opCreate, 400, tms("unknownField"), normalize.ProviderError, normalize.Rejected, "unknownField", nil},
		"400 unsupportedFields":                     {opCreate, 400, tms("unsupportedFields"), normalize.ProviderError, normalize.Rejected, "unsupportedFields", nil},
		"400 of a type that is new":                 {opCreate, 400, tms("brandNew"), normalize.InvalidField, normalize.Rejected, "brandNew", nil},
		"401 of the front door":                     {"get", 401, `{"response":{"rmsg":"Authentication Failed"}}`, normalize.ProviderMisconfigured, normalize.Rejected, "", nil},
		"401 without a body":                        {"get", 401, ``, normalize.ProviderMisconfigured, normalize.Rejected, "", nil},
		"403 forbidden":                             {"get", 403, tms("forbidden"), normalize.ProviderMisconfigured, normalize.Rejected, "forbidden", nil},
		"403 declined":                              {opCreate, 403, tms("declined"), normalize.CardDeclined, normalize.Rejected, "declined", nil},
		"404 notFound":                              {"get", 404, tms("notFound"), normalize.NotFound, normalize.Rejected, "notFound", nil},
		"404 subscriptionNotFound":                  {"get", 404, tms("subscriptionNotFound"), normalize.NotFound, normalize.Rejected, "subscriptionNotFound", nil},
		"404 of a create is the customer":           {opCreate, 404, tms("notFound"), normalize.InvalidField, normalize.Rejected, "notFound", []string{"/customer_id"}},
		"410 of a create is the customer":           {opCreate, 410, tms("notAvailable"), normalize.InvalidField, normalize.Rejected, "notAvailable", []string{"/customer_id"}},
		"404 of the front door proves nothing":      {"delete", 404, `{"response":{"rmsg":"Resource Not Found"}}`, normalize.ProviderBadResponse, normalize.Unknown, "", nil},
		"404 of another server proves nothing":      {"delete", 404, `{"timestamp":1,"status":404,"error":"Not Found","reason":"x"}`, normalize.ProviderBadResponse, normalize.Unknown, "", nil},
		"404 in HTML proves nothing":                {"delete", 404, `<html>`, normalize.ProviderBadResponse, normalize.Unknown, "", nil},
		"409 of a delete is the default":            {opDelete, 409, tms("conflict"), normalize.DefaultInstrumentInUse, normalize.Rejected, "conflict", nil},
		"409 of an identifier's delete":             {"delete_instrument_identifier", 409, tms("instrumentIdentifierDeletionError"), normalize.Conflict, normalize.Rejected, "instrumentIdentifierDeletionError", nil},
		"409 of a create":                           {opCreate, 409, tms("tokenIdConflict"), normalize.Conflict, normalize.Rejected, "tokenIdConflict", nil},
		"410 notAvailable":                          {"get", 410, tms("notAvailable"), normalize.InstrumentDeleted, normalize.Rejected, "notAvailable", nil},
		"412 shares its type with 409":              {"update", 412, tms("conflict"), normalize.VersionMismatch, normalize.Rejected, "conflict", nil},
		"424 shares its type with 404":              {"get", 424, tms("notFound"), normalize.ProviderMisconfigured, normalize.Rejected, "notFound", nil},
		"429: nothing says that it is not executed": {opCreate, 429, tms("tooMany"), normalize.ProviderRateLimited, normalize.Unknown, "tooMany", nil},
		"500 serverError":                           {opCreate, 500, tms("serverError"), normalize.ProviderError, normalize.Unknown, "serverError", nil},
		"500 internalError":                         {opCreate, 500, tms("internalError"), normalize.ProviderError, normalize.Unknown, "internalError", nil},
		"502 of a payment":                          {opCreate, 502, pts("SERVER_TIMEOUT", ""), normalize.ProviderError, normalize.Unknown, "SERVER_TIMEOUT", nil},
		"503 without a body":                        {opCreate, 503, ``, normalize.ProviderError, normalize.Unknown, "", nil},
		"504":                                       {opCreate, 504, ``, normalize.ProviderTimeout, normalize.Unknown, "", nil},
		"302":                                       {opCreate, 302, ``, normalize.ProviderBadResponse, normalize.Unknown, "", nil},
		"a used or expired transient token":         {opCreate, 400, pts("INVALID_DATA", "tokenInformation.jti"), normalize.TokenExpired, normalize.Rejected, "INVALID_DATA", []string{"/source/transient_token"}},
		"a payment's bad address":                   {opCreate, 400, pts("INVALID_DATA", "orderInformation.billTo.country"), normalize.InvalidField, normalize.Rejected, "INVALID_DATA", []string{"/billing_address/country"}},
		"a payment's missing customer":              {opCreate, 400, pts("MISSING_FIELD", "paymentInformation.customer.id"), normalize.MissingField, normalize.Rejected, "MISSING_FIELD", []string{"/customer_id"}},
		"the old Flex form":                         {opCreate, 400, `{"responseStatus":{"status":400,"reason":"VALIDATION_ERROR","message":"m"}}`, normalize.InvalidField, normalize.Rejected, "VALIDATION_ERROR", nil},
		"a type that quotes the request is dropped": {opCreate, 400, tms("4111111111111111"), normalize.InvalidField, normalize.Rejected, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rest.Response{Status: c.status, Body: []byte(c.body), Header: http.Header{"V-C-Correlation-Id": {"corr-1"}, "Retry-After": {"7"}}}
			e := rest.StatusError(c.op, r, refusal(c.op, r, time.Now()))
			require.Equal(t, c.code, e.Code)
			require.Equal(t, c.outcome, e.Outcome)
			require.Equal(t, c.kind, e.ProviderCode)
			require.Equal(t, "corr-1", e.RequestID)
			require.Equal(t, 7*time.Second, e.RetryAfter)
			var pointers []string
			for _, f := range e.Fields {
				pointers = append(pointers, f.Pointer)
			}
			require.Equal(t, c.fields, pointers)
			require.NotContains(t, e.Error(), "4111111111111111")
		})
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	require.Equal(t, "u", requestID(http.Header{"Uniquetransactionid": {"u"}}))
	require.Empty(t, requestID(http.Header{"V-C-Correlation-Id": {"a b <script>"}}))
	require.Empty(t, requestID(nil))
}

func FuzzErrors(f *testing.F) {
	for _, seed := range []string{
		"", "null", "[]", `{"errors":[]}`, `{"errors":{}}`, tms("conflict"), detailed("invalidFields", "number", "card"),
		pts("INVALID_DATA", "a.b.c"), `{"errors":[null,{"type":5,"details":{"name":1}}]}`, `{"responseStatus":{"reason":"R"}}`,
	} {
		f.Add(400, seed)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		r := rest.Response{Status: status, Body: []byte(body)}
		for _, op := range []string{opCreate, opDelete, "get"} {
			e := rest.StatusError(op, r, refusal(op, r, time.Now()))
			require.Contains(t, normalize.Codes(), e.Code)
			for _, field := range e.Fields {
				require.Regexp(t, `^/`, field.Pointer)
			}
		}
	})
}
