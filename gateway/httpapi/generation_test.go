package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

const newerKey = "pv_test_Newer001_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

func newKeys(t *testing.T) Keyring {
	t.Helper()
	keys, err := NewKeyring([]APIKey{{Tenant: "initech", Name: "newer", SHA256: DigestAPIKey(newerKey), Scopes: Scopes()}})
	require.NoError(t, err)
	return keys
}

// heldBody is a body whose reading tells that it has begun, and then waits.
type heldBody struct {
	began, goOn chan struct{}
	text        io.Reader
}

func (b *heldBody) Read(p []byte) (int, error) {
	select {
	case <-b.began:
	default:
		close(b.began)
		<-b.goOn
	}
	return b.text.Read(p)
}

func TestARequestEndsUnderTheConfigurationThatItBeganUnder(t *testing.T) {
	t.Parallel()
	r, next := newRig(t), newFake()
	body := &heldBody{make(chan struct{}), make(chan struct{}), strings.NewReader(`{"provider_references":{"bigcommerce-main":"1"}}`)}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/customers/cus-42", body)
	req.Header.Set("Authorization", "Bearer "+fullKey)
	req.Header.Set("Content-Type", mediaJSON)
	rec, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		r.api.Handler().ServeHTTP(rec, req)
	}()
	<-body.began
	require.EqualValues(t, 2, r.api.Swap(next, newKeys(t)).Generation)
	requireProblem(t, r.call(t, http.MethodGet, "/v1/providers", ""), 401, normalize.InvalidAPIKey)
	require.Equal(t, 200, r.call(t, http.MethodGet, "/v1/customers/new-one", "", "Authorization", "Bearer "+newerKey).Code)
	require.Equal(t, "initech", next.tenant)
	close(body.goOn)
	<-done
	require.Equal(t, 200, rec.Code, rec.Body.String())
	require.Equal(t, "acme", r.tenant, "the old service, by the old key")
	require.Equal(t, "new-one", next.id)
}

func TestReadinessTellsTheConfiguration(t *testing.T) {
	t.Parallel()
	now := exampleTime()
	r := newRig(t, healthy, func(c *Config) { c.Now = func() time.Time { return now } })
	ready := func(want string) {
		t.Helper()
		rec := r.call(t, http.MethodGet, "/readyz", "", "Authorization", "")
		require.Equal(t, 200, rec.Code)
		require.JSONEq(t, want, rec.Body.String())
	}
	ready(`{"status":"ok","generation":1,"config_loaded_at":"2026-11-20T10:00:00Z"}`)
	now = now.Add(time.Minute)
	r.api.Refused("polyvault.yaml:3: routes: must be a list")
	ready(`{"status":"ok","generation":1,"config_loaded_at":"2026-11-20T10:00:00Z",
		"config_error":{"at":"2026-11-20T10:01:00Z","text":"polyvault.yaml:3: routes: must be a list"},
		"problems":[{"code":"config_refused","detail":"the newest configuration cannot be used, and the one before is in force: config_error says why"}]}`)
	r.api.Refused("")
	ready(`{"status":"ok","generation":1,"config_loaded_at":"2026-11-20T10:00:00Z"}`)
	r.api.Refused(strings.Repeat("é", maxConfigError))
	require.LessOrEqual(t, len(r.api.ConfigStatus().Error.Text), maxConfigError)
	now = now.Add(time.Minute)
	r.api.Swap(statused{r.fake, nil}, newKeys(t))
	ready(`{"status":"ok","generation":2,"config_loaded_at":"2026-11-20T10:02:00Z"}`)
}

func TestAKeyringHasNoBadKeys(t *testing.T) {
	t.Parallel()
	_, err := NewKeyring([]APIKey{{Name: "nobody's"}})
	require.ErrorContains(t, err, `"nobody's" must have a tenant`)
}
