package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

const explainPath = "/v1/routes/explain"

func TestExplainAsksForADecision(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rec := r.call(t, http.MethodPost, explainPath, `{"customer_id":"cus-42","type":"card","source_types":["card","rebilly_token"],"currency":"USD",
		"country":"US","brand":"visa","bin":"41111111","metadata":{"plan":"gold"},"provider":"rebilly-main"}`)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body)
	require.Equal(t, "acme", r.tenant, "the tenant is the key's")
	require.Equal(t, normalize.ExplainInput{
		CustomerID: "cus-42", Type: normalize.TypeCard, SourceTypes: []normalize.SourceType{normalize.SourceCard, normalize.SourceRebillyToken}, Currency: "USD",
		Country: "US", Brand: normalize.Visa, BIN: "41111111", Metadata: map[string]string{"plan": "gold"}, Provider: "rebilly-main",
	}, r.explain)
	require.JSONEq(t, `{"object":"decision","route":"us-cards","strategy":"priority","candidates":[
		{"provider":"cybersource-us","place":null,"source_type":"card","reason":"breaker_open"},
		{"provider":"rebilly-main","place":1,"source_type":"card","reason":null}],
		"mirrors":[{"provider":"bigcommerce-main","source_type":null,"reason":"breaker_open"}],
		"unmatched":[{"route":"eu-cards","because":"country"}]}`, rec.Body.String())
}

func TestExplainRefusesBadInput(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body    string
		status  int
		code    normalize.Code
		pointer string
	}{
		"no JSON":                      {`{`, 400, normalize.InvalidJSON, ""},
		"no object":                    {`[]`, 422, normalize.InvalidField, ""},
		"an unknown member":            {`{"source_types":["card"],"sources":[]}`, 400, normalize.UnknownMember, "/sources"},
		"a member twice":               {`{"source_types":["card"],"bin":"411111","bin":"411111"}`, 400, normalize.DuplicateMember, "/bin"},
		"a tenant":                     {`{"source_types":["card"],"tenant":"globex"}`, 400, normalize.UnknownMember, "/tenant"},
		"no source types":              {`{}`, 422, normalize.MissingField, "/source_types"},
		"too many source types":        {`{"source_types":[` + strings.Repeat(`"card",`, 8) + `"card"]}`, 422, normalize.OutOfRange, "/source_types"},
		"a source instead of its type": {`{"source_types":[{"type":"card"}]}`, 422, normalize.InvalidField, "/source_types/0"},
		"an unknown source type":       {`{"source_types":["card","cheque"]}`, 422, normalize.UnsupportedSource, "/source_types/1"},
		"an unknown type":              {`{"source_types":["card"],"type":"cheque"}`, 422, normalize.InvalidField, "/type"},
		"an unknown brand":             {`{"source_types":["card"],"brand":"Visa"}`, 422, normalize.InvalidField, "/brand"},
		"a country in lower case":      {`{"source_types":["card"],"country":"us"}`, 422, normalize.InvalidField, "/country"},
		"a currency that is not":       {`{"source_types":["card"],"currency":"XXY"}`, 422, normalize.InvalidField, "/currency"},
		"a whole number as BIN":        {`{"source_types":["card"],"bin":"` + testNumber + `"}`, 422, normalize.InvalidField, "/bin"},
		"a number as BIN":              {`{"source_types":["card"],"bin":411111}`, 422, normalize.InvalidField, "/bin"},
		"a card number in metadata":    {`{"source_types":["card"],"metadata":{"plan":"` + testNumber + `"}}`, 422, normalize.PANInUnexpectedField, "/metadata/plan"},
		"a card number as customer":    {`{"source_types":["card"],"customer_id":"` + testNumber + `"}`, 422, normalize.PANInUnexpectedField, "/customer_id"},
		"a reference of nobody":        {`{"source_types":["provider_reference"]}`, 422, normalize.MissingField, "/provider"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			p := requireProblem(t, r.call(t, http.MethodPost, explainPath, tc.body), tc.status, tc.code)
			require.Equal(t, tc.pointer, p.Errors[0].Pointer)
			require.NotContains(t, p.Detail+p.Errors[0].Message, testNumber)
			require.Zero(t, r.explain)
		})
	}
	r := newRig(t)
	requireProblem(t, r.call(t, http.MethodPost, explainPath+"?x=1", `{"source_types":["card"]}`), 422, normalize.InvalidField)
	requireProblem(t, r.call(t, http.MethodPost, explainPath, strings.Repeat(" ", 64<<10+1)), 413, normalize.BodyTooLarge)
	requireProblem(t, r.call(t, http.MethodPost, explainPath, `{}`, "Content-Type", "text/plain"), 415, normalize.UnsupportedMediaType)
}
