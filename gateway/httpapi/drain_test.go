package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

func TestDrainAndUndrain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const at = "/v1/providers/cybersource-us"
	for body, reason := range map[string]string{
		`{"reason":"maintenance until noon"}`: "maintenance until noon", `{}`: "", "": "", `{"reason":""}`: "",
		`{"reason":"` + strings.Repeat("ü", 200) + `"}`: strings.Repeat("ü", 200),
	} {
		rec := r.call(t, http.MethodPost, at+"/drain", body)
		require.Equal(t, 200, rec.Code, "%s", rec.Body)
		require.Equal(t, "cybersource-us", r.id)
		require.Equal(t, normalize.DrainInput{Reason: reason}, r.drained)
		require.NotEmpty(t, r.by, "it is known whose key it was")
		var shown struct {
			Drained bool   `json:"drained"`
			By      string `json:"drained_by"`
			Reason  string `json:"drained_reason"`
		}
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &shown))
		require.True(t, shown.Drained)
		require.Equal(t, r.by, shown.By)
		require.Equal(t, reason, shown.Reason)
		require.Equal(t, 200, r.call(t, http.MethodPost, at+"/undrain", body).Code)
		require.Equal(t, normalize.DrainInput{Reason: reason}, r.drained)
	}
}

func TestADrainThatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for body, c := range map[string]struct {
		status int
		code   normalize.Code
	}{
		`{"reason":7}`:                {422, normalize.InvalidField},
		`{"reasons":"x"}`:             {400, normalize.UnknownMember},
		`{"reason":"a","reason":"b"}`: {400, normalize.DuplicateMember},
		`["x"]`:                       {422, normalize.InvalidField},
		`{`:                           {400, normalize.InvalidJSON},
		`{"reason":"` + strings.Repeat("x", 70_000) + `"}`: {413, normalize.BodyTooLarge},
	} {
		for _, op := range []string{"drain", "undrain"} {
			r.by = ""
			requireProblem(t, r.call(t, http.MethodPost, "/v1/providers/cybersource-us/"+op, body), c.status, c.code)
			require.Empty(t, r.by, "nothing was done")
		}
	}
	requireProblem(t, r.call(t, http.MethodPost, "/v1/providers/cybersource-us/drain?force=1", ""), 422, normalize.InvalidField)
	requireProblem(t, r.call(t, http.MethodPost, "/v1/providers/cybersource-us/drain", `{"reason":"x"}`, "Content-Type", "text/plain"), 415, normalize.UnsupportedMediaType)
	requireProblem(t, r.call(t, http.MethodGet, "/v1/providers/cybersource-us/drain", ""), 405, normalize.MethodNotAllowed)
}
