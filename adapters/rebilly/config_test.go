package rebilly_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/normalize"
)

func TestConfigSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	const sandbox = "https://api-sandbox.rebilly.com"
	for name, c := range map[string]struct {
		config string
		want   []string // beginnings of the problems
	}{
		"a sandbox key at the sandbox":          {`{"base_url":"` + sandbox + `","organization_id":"org_x","api_key":"sk_sandbox_x"}`, nil},
		"a live key at the live host":           {`{"base_url":"https://api.rebilly.com","organization_id":"org_x","api_key":"sk_live_x"}`, nil},
		"any secret key at a stand-in":          {`{"base_url":"http://127.0.0.1:9102","api_key":"sk_live_x"}`, nil},
		"the organization in the header":        {`{"base_url":"` + sandbox + `","organization_id":"org_x","organization_header":true,"api_key":"sk_sandbox_x"}`, nil},
		"nothing at all":                        {`{}`, []string{"base_url", "api_key"}},
		"a live key at the sandbox":             {`{"base_url":"` + sandbox + `","api_key":"sk_live_x"}`, []string{"api_key"}},
		"a sandbox key at the live host":        {`{"base_url":"https://API.rebilly.com:443","api_key":"sk_sandbox_x"}`, []string{"api_key"}},
		"a publishable key":                     {`{"base_url":"` + sandbox + `","api_key":"pk_sandbox_x"}`, []string{"api_key"}},
		"a key that would make another header":  {`{"base_url":"` + sandbox + `","api_key":"sk_sandbox_x\r\nX: y"}`, []string{"api_key"}},
		"an organization that climbs":           {`{"base_url":"` + sandbox + `","organization_id":"..","api_key":"sk_sandbox_x"}`, []string{"organization_id"}},
		"an organization with a slash":          {`{"base_url":"` + sandbox + `","organization_id":"a/b","api_key":"sk_sandbox_x"}`, []string{"organization_id"}},
		"a header without an organization":      {`{"base_url":"` + sandbox + `","organization_header":true,"api_key":"sk_sandbox_x"}`, []string{"organization_header"}},
		"an address that is none":               {`{"base_url":"rebilly","api_key":"sk_sandbox_x"}`, []string{"base_url"}},
		"an address with a query":               {`{"base_url":"` + sandbox + `?a=b","api_key":"sk_sandbox_x"}`, []string{"base_url"}},
		"an address that cannot be parsed":      {`{"base_url":"http://[::1","api_key":"sk_sandbox_x"}`, []string{"base_url"}},
		"an address that holds another's login": {`{"base_url":"https://a:b@api.rebilly.com","api_key":"sk_live_x"}`, []string{"base_url"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var conf rebilly.Config
			require.NoError(t, json.Unmarshal([]byte(c.config), &conf))
			problems := conf.Validate()
			require.Len(t, problems, len(c.want), "%q", problems)
			for i, p := range problems {
				require.Regexp(t, "^"+c.want[i]+" ", p)
				require.NotContains(t, p, "_sandbox_x", "a problem shows the key")
			}
			_, err := conf.Open(adapters.Env{HTTP: &http.Client{}})
			require.Equal(t, len(c.want) > 0, err != nil)
			if err != nil {
				require.Equal(t, normalize.ProviderMisconfigured, normalize.CodeOf(err))
				require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
			}
		})
	}
}

func TestConfigNamesRebillysHosts(t *testing.T) {
	t.Parallel()
	conf := rebilly.Config{Base: "https://api.rebilly.com"}
	require.Equal(t, "https://api.rebilly.com", conf.BaseURL())
	require.ElementsMatch(t, []string{"api.rebilly.com", "api-sandbox.rebilly.com"}, conf.AllowedHosts())
}
