package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

var update = flag.Bool("update", false, "write the golden files")

func anyError() zapcore.Field {
	return zap.String("error", hidden)
}

func TestProblemGoldens(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"unclassified": errors.New("dial tcp 10.0.0.1:6379: secret internals"),
		"provider_timeout": &gateway.Failure{
			OperationID: exampleID,
			Err: &normalize.Error{
				Code: normalize.ProviderTimeout, Outcome: normalize.Unknown, Op: "create", Msg: "the provider did not answer in time",
				Provider: "cybersource-us", HTTPStatus: 504, ProviderCode: "GATEWAY_TIMEOUT", RequestID: "req-1", Err: errors.New("secret internals"),
			},
			Attempts: []gateway.AttemptView{
				{Provider: "rebilly-main", Outcome: normalize.NotSent, Code: normalize.ProviderUnavailable},
				{Provider: "cybersource-us", Outcome: normalize.Unknown, Code: normalize.ProviderTimeout, MS: 10000},
			},
		},
		"no_eligible_provider": &gateway.Failure{
			OperationID: exampleID, Err: &normalize.Error{Code: normalize.NoEligibleProvider, Outcome: normalize.NotSent, Msg: "no provider can take the request"},
			Attempts: []gateway.AttemptView{{Provider: "a", Outcome: normalize.NotSent, Code: normalize.ProviderUnavailable}},
		},
		"card_declined_replayed": &gateway.Failure{
			OperationID: exampleID, Replayed: true,
			Err: &normalize.Error{Code: normalize.CardDeclined, Outcome: normalize.Rejected, Msg: "the card was declined", Provider: "rebilly-main", HTTPStatus: 422},
		},
		"invalid_fields": normalize.Invalid(
			normalize.FieldError{Pointer: "/sources/0/exp_month", Code: normalize.OutOfRange, Message: "must be 1 to 12"},
			normalize.FieldError{Pointer: "/currency", Code: normalize.InvalidField, Message: "must be a currency"}),
		"key_in_use": &normalize.Error{Code: normalize.IdempotencyKeyInUse, Outcome: normalize.NotSent, Msg: "still running", RetryAfter: 1500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.err = err
			rec := r.call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", "k", "X-Request-ID", "req")
			var got bytes.Buffer
			for _, h := range []string{"Gateway-Outcome", "Gateway-Provider", "Idempotent-Replayed", "Retry-After"} {
				if v := rec.Header().Get(h); v != "" {
					got.WriteString(h + ": " + v + "\n")
				}
			}
			got.WriteString("\n")
			require.NoError(t, json.Indent(&got, rec.Body.Bytes(), "", "  "))
			file := filepath.Join("testdata", name+".golden")
			if *update {
				require.NoError(t, os.WriteFile(file, got.Bytes(), 0o600))
			}
			want, readErr := os.ReadFile(file)
			require.NoError(t, readErr)
			require.Equal(t, string(want), got.String())
			require.NotContains(t, got.String(), "internals")
		})
	}
}

func TestEveryCodeIsAnsweredWithItsStatus(t *testing.T) {
	t.Parallel()
	for _, code := range normalize.Codes() {
		r := newRig(t)
		r.err = &normalize.Error{Code: code, Outcome: normalize.NotSent, Msg: "a reason"}
		rec := r.call(t, http.MethodGet, "/v1/instruments/"+exampleID, "")
		p := requireProblem(t, rec, kindOf(code).status, code)
		require.Equal(t, problemBase+string(code), p.Type)
		require.NotEqual(t, normalize.RetrySameKey, p.Retry, "a read has no key")
		if rec.Code == 429 || rec.Code == 503 || code == normalize.IdempotencyKeyInUse {
			require.Equal(t, "1", rec.Header().Get("Retry-After"), code)
		}
	}
}

func TestRetryOfReadsAndCreates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.err = &normalize.Error{Code: normalize.ProviderTimeout, Outcome: normalize.Unknown, Msg: "no answer"}
	require.Equal(t, normalize.RetrySafe, problemOf(t, r.call(t, http.MethodGet, "/v1/instruments/"+exampleID, "")).Retry)
	require.Equal(t, normalize.RetrySafe, problemOf(t, r.call(t, http.MethodDelete, "/v1/instruments/"+exampleID, "")).Retry)
	require.Equal(t, normalize.RetrySameKey, problemOf(t, r.call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", "k")).Retry)

	// What the provider refused is saved under the key: the same key gives the same answer.
	for _, code := range []normalize.Code{normalize.Conflict, normalize.ProviderError} {
		r.err = &normalize.Error{Code: code, Outcome: normalize.Rejected, Msg: "refused"}
		require.Equal(t, normalize.RetrySafe, problemOf(t, r.call(t, http.MethodDelete, "/v1/instruments/"+exampleID, "")).Retry)
		require.Equal(t, normalize.RetryNever, problemOf(t, r.call(t, http.MethodPost, "/v1/instruments", goodCreate, "Idempotency-Key", "k")).Retry)
	}
}
