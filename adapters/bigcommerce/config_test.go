package bigcommerce_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/normalize"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	var c bigcommerce.Config
	require.NoError(t, json.Unmarshal([]byte(`{"base_url":"https://api.bigcommerce.com","store_hash":"abc123","access_token":"secret-token"}`), &c))
	require.Empty(t, c.Validate())
	require.Equal(t, "https://api.bigcommerce.com", c.BaseURL())
	require.Equal(t, []string{"api.bigcommerce.com"}, c.AllowedHosts())
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", c, c, c), "secret-token")
	a, err := c.Open(adapters.Env{HTTP: &http.Client{}})
	require.NoError(t, err)
	require.Equal(t, "bigcommerce", a.Type())
	require.Equal(t, "https://api.bigcommerce.com", bigcommerce.Config{}.BaseURL(), "the default")
	require.Equal(t, []adapters.Capability{
		adapters.CanCreate, adapters.CanList, adapters.CanUpdate, adapters.CanSetDefault,
		adapters.CanDelete, adapters.CanDeleteVault, adapters.CanBulkDelete,
	}, adapters.Capabilities(a))
}

func TestConfigProblems(t *testing.T) {
	t.Parallel()
	good := bigcommerce.Config{URL: "https://api.bigcommerce.com/", StoreHash: "abc123", AccessToken: normalize.NewSecret("x")}
	require.Empty(t, good.Validate())
	for name, tt := range map[string]struct {
		change func(c *bigcommerce.Config)
		key    string
	}{
		"a URL with a path":        {func(c *bigcommerce.Config) { c.URL += "v3" }, "base_url"},
		"a URL with a query":       {func(c *bigcommerce.Config) { c.URL += "?x" }, "base_url"},
		"a URL with credentials":   {func(c *bigcommerce.Config) { c.URL = "https://a:b@c" }, "base_url"},
		"a URL without a scheme":   {func(c *bigcommerce.Config) { c.URL = "api.bigcommerce.com" }, "base_url"},
		"another scheme":           {func(c *bigcommerce.Config) { c.URL = "ftp://api.bigcommerce.com" }, "base_url"},
		"no store hash":            {func(c *bigcommerce.Config) { c.StoreHash = "" }, "store_hash"},
		"a store hash with a path": {func(c *bigcommerce.Config) { c.StoreHash = "../x" }, "store_hash"},
		"no token":                 {func(c *bigcommerce.Config) { c.AccessToken = normalize.Secret{} }, "access_token"},
		"a token with a line":      {func(c *bigcommerce.Config) { c.AccessToken = normalize.NewSecret("hidden\r\nx: y") }, "access_token"},
	} {
		c := good
		tt.change(&c)
		problems := c.Validate()
		require.Len(t, problems, 1, name)
		require.Regexp(t, "^"+tt.key+": ", problems[0], name)
		_, err := c.Open(adapters.Env{HTTP: &http.Client{}})
		requireError(t, err, normalize.ProviderMisconfigured, normalize.NotSent)
		require.NotContains(t, fmt.Sprint(problems, err), "hidden", name)
	}
}
