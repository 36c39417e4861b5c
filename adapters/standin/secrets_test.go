package standin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/standin"
)

type rotatable struct {
	*counter
	secrets *standin.Secrets
}

func (r rotatable) Secrets() *standin.Secrets { return r.secrets }

func TestSecretsAreExchanged(t *testing.T) {
	t.Parallel()
	secrets := standin.NewSecrets("old")
	use := func(value string) bool { return secrets.Match(func(v string) bool { return v == value }) }
	srv := httptest.NewServer(standin.New(rotatable{&counter{}, secrets}))
	t.Cleanup(srv.Close)
	require.True(t, use("old"))
	require.False(t, use("new"))
	status, text := call(t, srv.URL, http.MethodPut, "/_sandbox/secrets", `{"secrets":["old","new"]}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"uses":[1,0]}`, text)
	require.True(t, use("old") && use("new") && use("new"))
	_, text = call(t, srv.URL, http.MethodGet, "/_sandbox/secrets", "")
	require.JSONEq(t, `{"uses":[2,2]}`, text)
	_, text = call(t, srv.URL, http.MethodPut, "/_sandbox/secrets", `{"secrets":["new"]}`)
	require.JSONEq(t, `{"uses":[2]}`, text)
	require.False(t, use("old"))
	for _, bad := range []string{`{}`, `{"secrets":[]}`, `{"secret":["x"]}`, ``} {
		status, _ = call(t, srv.URL, http.MethodPut, "/_sandbox/secrets", bad)
		require.Equal(t, http.StatusBadRequest, status, bad)
	}
	status, _ = call(t, srv.URL, http.MethodPost, "/_sandbox/secrets", "")
	require.Equal(t, http.StatusMethodNotAllowed, status)
	bare := httptest.NewServer(standin.New(&counter{}))
	t.Cleanup(bare.Close)
	status, _ = call(t, bare.URL, http.MethodGet, "/_sandbox/secrets", "")
	require.Equal(t, http.StatusNotFound, status)
}
