package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	const path = "/v1/instruments/" + exampleID + "/resolve"
	for body, want := range map[string]gateway.ResolveInput{
		"": {}, "{}": {},
		`{"currency":"USD","country":"US","exclude_providers":["a","b_2-x"]}`: {Currency: "USD", Country: "US", ExcludeProviders: []string{"a", "b_2-x"}},
	} {
		r := newRig(t)
		rec := r.call(t, http.MethodPost, path, body)
		require.Equal(t, http.StatusOK, rec.Code, rec.Body)
		require.Equal(t, want, r.resolve)
		require.Equal(t, exampleID, r.id)
		require.JSONEq(t, `{"object":"resolution","instrument_id":"`+exampleID+`","excluded":[],"candidates":[{"provider":"cybersource-us",
			"provider_type":"cybersource","role":"primary","references":{"customer":"CUS1"},"charge":{},"health":"healthy","reason":"primary"}]}`, rec.Body.String())
	}
	r := newRig(t)
	requireProblem(t, r.call(t, http.MethodPost, path, "{}", "Content-Type", "text/plain"), 415, normalize.UnsupportedMediaType)
	requireProblem(t, r.call(t, http.MethodPost, path, "{}"+strings.Repeat(" ", 64<<10)), 413, normalize.BodyTooLarge)
	requireProblem(t, r.call(t, http.MethodPost, path+"?x=1", ""), 422, normalize.InvalidField)
	r.err = &normalize.Error{Code: normalize.InvalidState, Outcome: normalize.NotSent}
	requireProblem(t, r.call(t, http.MethodPost, path, ""), 409, normalize.InvalidState)
}

func TestResolveAndSyncBodiesAreReadStrictly(t *testing.T) {
	t.Parallel()
	const resolve, sync = "/v1/instruments/" + exampleID + "/resolve", "/v1/sync"
	many := `{"exclude_providers":["` + strings.Join(slices.Repeat([]string{"a"}, 33), `","`) + `"]}`
	for _, tt := range []struct {
		path, body string
		status     int
		code       normalize.Code
		pointer    string
	}{
		{resolve, `{"currency":"usd"}`, 422, normalize.InvalidField, "/currency"},
		{resolve, `{"currency":1}`, 422, normalize.InvalidField, "/currency"},
		{resolve, `{"country":"USA"}`, 422, normalize.InvalidField, "/country"},
		{resolve, `{"exclude_providers":"a"}`, 422, normalize.InvalidField, "/exclude_providers"},
		{resolve, `{"exclude_providers":["a",1]}`, 422, normalize.InvalidField, "/exclude_providers/1"},
		{resolve, `{"exclude_providers":["A b"]}`, 422, normalize.InvalidField, "/exclude_providers/0"},
		{resolve, `{"exclude_providers":["` + testNumber + `"]}`, 422, normalize.PANInUnexpectedField, "/exclude_providers/0"},
		{resolve, many, 422, normalize.OutOfRange, "/exclude_providers"},
		{resolve, `{"amount":1}`, 400, normalize.UnknownMember, "/amount"},
		{resolve, `[]`, 422, normalize.InvalidField, ""},
		{resolve, `{`, 400, normalize.InvalidJSON, ""},
		{sync, `{}`, 422, normalize.MissingField, ""},
		{sync, `[]`, 422, normalize.InvalidField, ""},
		{sync, ``, 415, normalize.UnsupportedMediaType, ""},
		{sync, `{"customer_id":"a b"}`, 422, normalize.InvalidField, "/customer_id"},
		{sync, `{"provider":"` + testNumber + `"}`, 422, normalize.PANInUnexpectedField, "/provider"},
		{sync, `{"provider":"a","repair":"yes"}`, 422, normalize.InvalidField, "/repair"},
		{sync, `{"provider":"a","limit":0}`, 422, normalize.OutOfRange, "/limit"},
		{sync, `{"provider":"a","limit":101}`, 422, normalize.OutOfRange, "/limit"},
		{sync, `{"provider":"a","limit":-1}`, 422, normalize.OutOfRange, "/limit"},
		{sync, `{"provider":"a","cursor":""}`, 400, normalize.InvalidCursor, "/cursor"},
		{sync, `{"provider":"a","provider":"b"}`, 400, normalize.DuplicateMember, "/provider"},
		{sync, `{"provider":"a","dry_run":true}`, 400, normalize.UnknownMember, "/dry_run"},
	} {
		rec := newRig(t).call(t, http.MethodPost, tt.path, tt.body)
		p := requireProblem(t, rec, tt.status, tt.code)
		require.NotContains(t, rec.Body.String(), testNumber)
		if tt.status != 415 && tt.code != normalize.InvalidJSON {
			require.Len(t, p.Errors, 1, tt.body)
			require.Equal(t, tt.pointer, p.Errors[0].Pointer, tt.body)
		}
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.Keys = append(c.Keys, APIKey{Tenant: "acme", Name: "nightly", SHA256: DigestAPIKey(bareKey + "2"), Scopes: []Scope{InstrumentsWrite}})
	})
	rec := r.call(t, http.MethodPost, "/v1/sync", `{"customer_id":"cus-42","provider":"cybersource-us","repair":true,"limit":7,"cursor":"abc"}`)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body)
	require.Equal(t, gateway.SyncInput{CustomerID: "cus-42", Provider: "cybersource-us", Repair: true, Limit: 7, Cursor: "abc"}, r.sync)
	var page gateway.DriftPage
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &page))
	require.Equal(t, "CUS1", page.Data[0].References["customer"])
	require.Contains(t, rec.Body.String(), `"instrument_id":null`)
	require.Contains(t, rec.Body.String(), `"differences":[]`)

	rec = r.call(t, http.MethodPost, "/v1/sync", `{"provider":"cybersource-us"}`, "Authorization", "Bearer "+bareKey+"2")
	require.Equal(t, http.StatusOK, rec.Code, rec.Body)
	require.NotContains(t, rec.Body.String(), "CUS1", "references are for keys with references:read")
}
