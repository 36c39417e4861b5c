package cybersource

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// The operations whose errors differ.
const (
	opCreate     = "create"
	opIdentifier = "create_instrument_identifier"
	opDelete     = "delete"
)

// providerError is what an error answer says, whichever of the forms it has: TMS
// {"errors":[…]}, payments {"status","reason","details"}, or Flex
// {"responseStatus":{…}}. The {"response":{"rmsg"}} of the front door is not
// recognized: it says nothing about an instrument, and a 404 of it may only mean
// that base_url is wrong. Its 401 needs no recognition.
type providerError struct {
	recognized bool
	kind       string // the type or reason, verbatim; "" if it has none
	details    []detail
}

type detail struct{ location, name string }

// wordPattern is what a type or reason looks like. Anything else is not kept: it
// might quote the request.
var wordPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z_]{0,63}$`)

func parseError(body []byte) providerError {
	var b struct {
		Errors optional[[]optional[struct {
			Type    text `json:"type"`
			Details optional[[]optional[struct {
				Name     text `json:"name"`
				Location text `json:"location"`
			}]] `json:"details"`
		}]] `json:"errors"`
		ResponseStatus optional[struct {
			Reason text `json:"reason"`
		}] `json:"responseStatus"`
		Status  text `json:"status"`
		Reason  text `json:"reason"`
		Details optional[[]optional[struct {
			Field text `json:"field"`
		}]] `json:"details"`
	}
	if json.Unmarshal(body, &b) != nil {
		return providerError{}
	}
	var e providerError
	switch {
	case len(b.Errors.or()) > 0 && b.Errors.or()[0].or().Type != "":
		e.kind = string(b.Errors.or()[0].or().Type)
		for _, d := range b.Errors.or()[0].or().Details.or() {
			e.details = append(e.details, detail{string(d.or().Location), string(d.or().Name)})
		}
	case b.Reason != "" && wordPattern.MatchString(string(b.Status)): // a number there is some other server's form
		e.kind = string(b.Reason)
		for _, d := range b.Details.or() {
			location, name, ok := cutLast(string(d.or().Field))
			if !ok {
				location, name = "", string(d.or().Field)
			}
			e.details = append(e.details, detail{location, name})
		}
	case b.ResponseStatus.or().Reason != "":
		e.kind = string(b.ResponseStatus.or().Reason)
	default:
		return e
	}
	e.recognized = true
	if !wordPattern.MatchString(e.kind) {
		e.kind = ""
	}
	return e
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// refusal reads an error answer to op.
func refusal(op string, r rest.Response, now time.Time) rest.Refusal {
	e := parseError(r.Body)
	ref := rest.Refusal{
		Recognized:   e.recognized,
		Code:         codeOf(op, r.Status, e),
		ProviderCode: e.kind,
		RequestID:    requestID(r.Header),
		RetryAfter:   rest.RetryAfterHeader(r.Header, now),
		// Nothing says whether a request that got 429 was executed: Unexecuted stays false.
	}
	if r.Status == http.StatusBadRequest {
		ref.Fields = fieldsOf(op, e)
	}
	if op == opCreate && (r.Status == http.StatusNotFound || r.Status == http.StatusGone) {
		ref.Fields = []normalize.FieldError{{
			Pointer: "/customer_id", Code: normalize.InvalidField, Message: "the provider does not know this customer (any more)",
		}}
	}
	return ref
}

// codeOf says what an answer means; "" leaves it to the status. The status comes
// first: 404 and 424 share the type notFound, 409 and 412 share conflict.
// Sources: the response tables of the official OpenAPI description (TMS v2, and
// v1 for the types that only v1 documents), and for the payments API the reasons
// of POST /pts/v2/payments there.
func codeOf(op string, status int, e providerError) normalize.Code {
	switch status {
	case http.StatusBadRequest:
		return badRequest(e)
	case http.StatusForbidden:
		if e.kind == "declined" {
			return normalize.CardDeclined
		}
	case http.StatusNotFound, http.StatusGone:
		if op == opCreate {
			return normalize.InvalidField // it is the customer that is missing: see Fields
		}
	case http.StatusConflict:
		if op == opDelete {
			// "Action cannot be performed as the PaymentInstrument is the customers default".
			return normalize.DefaultInstrumentInUse
		}
	case http.StatusFailedDependency: // the profile-id is not known: the configuration is wrong
		return normalize.ProviderMisconfigured
	}
	return ""
}

func badRequest(e providerError) normalize.Code {
	switch e.kind {
	case "missingFields", "MISSING_FIELD":
		return normalize.MissingField
	case "invalidHeaders", "missingHeaders": // we make the headers; a profile-id that is no UUID is the likely one
		return normalize.ProviderMisconfigured
	case "invalidRequest", "unknownField", "unsupportedFields": // we make the body
		return normalize.ProviderError
	case "INVALID_DATA":
		if slices.ContainsFunc(e.details, func(d detail) bool { return d.location == "tokenInformation" }) {
			// Expired and used tokens get the same answer; used ones expire as well.
			return normalize.TokenExpired
		}
	case "PROCESSOR_DECLINED", "INVALID_CVN", "INVALID_ACCOUNT":
		return normalize.CardDeclined
	}
	return normalize.InvalidField
}

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID is on every answer of the provider, errors and 204 included.
func requestID(h http.Header) string {
	for _, name := range []string{"V-C-Correlation-Id", "Uniquetransactionid"} {
		if id := h.Get(name); requestIDPattern.MatchString(id) {
			return id
		}
	}
	return ""
}
