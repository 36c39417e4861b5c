package rest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// recognizedStatuses is what each status means when the provider's own API gives it.
func recognizedStatuses(status int) (normalize.Code, normalize.Outcome) {
	switch status {
	case 400, 422:
		return normalize.InvalidField, normalize.Rejected
	case 401, 403:
		return normalize.ProviderMisconfigured, normalize.Rejected
	case 404:
		return normalize.NotFound, normalize.Rejected
	case 408, 504:
		return normalize.ProviderTimeout, normalize.Unknown
	case 409:
		return normalize.Conflict, normalize.Rejected
	case 410:
		return normalize.InstrumentDeleted, normalize.Rejected
	case 412:
		return normalize.VersionMismatch, normalize.Rejected
	case 429:
		return normalize.ProviderRateLimited, normalize.Unknown
	}
	switch {
	case status < 400:
		return normalize.ProviderBadResponse, normalize.Unknown
	case status < 500:
		return normalize.ProviderError, normalize.Rejected
	default:
		return normalize.ProviderError, normalize.Unknown
	}
}

func TestStatusErrorForEveryStatus(t *testing.T) {
	t.Parallel()
	for status := 300; status <= 599; status++ {
		r := rest.Response{Status: status}
		code, outcome := recognizedStatuses(status)
		own := rest.StatusError("create", r, rest.Refusal{Recognized: true, ProviderCode: "E1", RequestID: "r1", RetryAfter: time.Second})
		require.Equal(t, code, own.Code, "%d", status)
		require.Equal(t, outcome, own.Outcome, "%d", status)
		require.Equal(t, status, own.HTTPStatus)
		require.Equal(t, "create E1 r1 1s", own.Op+" "+own.ProviderCode+" "+own.RequestID+" "+own.RetryAfter.String())
		require.NotEmpty(t, own.Msg)

		foreign := rest.StatusError("create", r, rest.Refusal{})
		switch {
		case status == 401 || status == 403:
			require.Equal(t, normalize.Rejected, foreign.Outcome, "%d", status)
			require.Equal(t, normalize.ProviderMisconfigured, foreign.Code, "%d", status)
		case outcome == normalize.Rejected:
			require.Equal(t, normalize.Unknown, foreign.Outcome, "%d from somebody else proves nothing", status)
			require.Equal(t, normalize.ProviderBadResponse, foreign.Code, "%d", status)
		default:
			require.Equal(t, outcome, foreign.Outcome, "%d", status)
		}

		unexecuted := rest.StatusError("create", r, rest.Refusal{Recognized: true, Unexecuted: true})
		require.Equal(t, normalize.NotSent, unexecuted.Outcome, "%d", status)

		coded := rest.StatusError("create", r, rest.Refusal{Recognized: true, Code: normalize.CardDeclined})
		if outcome == normalize.Unknown {
			require.Equal(t, code, coded.Code, "%d: what may have happened was not declined", status)
		} else {
			require.Equal(t, normalize.CardDeclined, coded.Code, "%d", status)
			require.Equal(t, "the card was declined", coded.Msg)
		}
	}
}

func TestRefinedCodesHaveTheirOwnWords(t *testing.T) {
	t.Parallel()
	plain := rest.StatusError("create", rest.Response{Status: 400}, rest.Refusal{Recognized: true}).Msg
	for _, c := range []normalize.Code{
		normalize.CardDeclined, normalize.ExpiredCard, normalize.TokenExpired, normalize.TokenAlreadyUsed,
		normalize.DefaultInstrumentInUse, normalize.ProviderMisconfigured, normalize.InvalidState,
	} {
		e := rest.StatusError("create", rest.Response{Status: 400}, rest.Refusal{Recognized: true, Code: c})
		require.NotEqual(t, plain, e.Msg, c)
	}
	e := rest.StatusError("create", rest.Response{Status: 400}, rest.Refusal{Recognized: true, Code: normalize.OutOfRange})
	require.Equal(t, plain, e.Msg)
	require.Equal(t, normalize.OutOfRange, e.Code)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, "120": 2 * time.Minute, "3600": time.Hour, "3601": time.Hour, "99999999999": time.Hour,
		"-1": 0, "-9223372037": 0, "1.5": 0, "soon": 0, " 1": 0, "9223372036854775807": time.Hour, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:03:05 GMT": 0, "Fri, 02 Jan 2026 09:00:00 GMT": time.Hour,
		"Fri, 02 Jan 2026 04:05:05 +0100": time.Minute, "Fri Jan  2 03:05:05 2026": time.Minute, "Friday, 02-Jan-26 03:05:05 GMT": time.Minute,
	} {
		require.Equal(t, want, rest.ParseRetryAfter(s, now), "%q", s)
		require.Equal(t, want, rest.RetryAfterHeader(http.Header{"Retry-After": {s}}, now), "%q", s)
	}
	require.Zero(t, rest.RetryAfterHeader(http.Header{}, now))
	require.Equal(t, time.Hour, rest.ClampRetry(48*time.Hour))
	require.Zero(t, rest.ClampRetry(-time.Second))
}
