package adapters_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type small struct{}

func (small) Type() string { return "small" }

func (small) Get(context.Context, normalize.References) (adapters.Instrument, error) {
	return adapters.Instrument{}, nil
}

// large has every optional interface.
type large struct {
	small
	adapters.Creator
	adapters.CustomerCreator
	adapters.Lister
	adapters.Updater
	adapters.DefaultSetter
	adapters.Deactivator
	adapters.Deleter
	adapters.VaultDeleter
	adapters.BulkDeleter
}

func TestCapabilitiesAreTheMethodSet(t *testing.T) {
	t.Parallel()
	require.Empty(t, adapters.Capabilities(small{}))
	require.Equal(t, []adapters.Capability{adapters.CanDelete}, adapters.Capabilities(struct {
		small
		adapters.Deleter
	}{}))
	require.Equal(t, []adapters.Capability{
		adapters.CanCreate, adapters.CanCreateCustomer, adapters.CanList, adapters.CanUpdate, adapters.CanSetDefault,
		adapters.CanDeactivate, adapters.CanDelete, adapters.CanDeleteVault, adapters.CanBulkDelete,
	}, adapters.Capabilities(large{}))
}

func get(t *testing.T, hc *http.Client, url string) (*http.Response, error) {
	t.Helper()
	t.Cleanup(hc.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	return hc.Do(req)
}

func TestHTTPClientFollowsNoRedirectAndKeepsNoCookie(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		w.Header().Set("X-Cookie", r.Header.Get("Cookie"))
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(srv.Close)
	hc := adapters.NewHTTPClient(adapters.ClientOptions{})
	require.Zero(t, hc.Timeout, "the deadline is set in one place, by the gateway")
	for range 2 {
		resp, err := get(t, hc, srv.URL)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusTemporaryRedirect, resp.StatusCode)
		require.Empty(t, resp.Header.Get("X-Cookie"))
	}
	require.EqualValues(t, 2, seen.Load())
}

func TestHTTPClientBoundsHeaders(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Huge", strings.Repeat("a", 1<<20))
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(srv.Close)
	_, err := get(t, adapters.NewHTTPClient(adapters.ClientOptions{}), srv.URL) //nolint:bodyclose // there is none
	require.Error(t, err)
}

func TestHTTPClientWrap(t *testing.T) {
	t.Parallel()
	wrapped := false
	hc := adapters.NewHTTPClient(adapters.ClientOptions{Wrap: func(next http.RoundTripper) http.RoundTripper {
		wrapped = next != nil
		return next
	}})
	require.True(t, wrapped)
	transport, ok := hc.Transport.(*http.Transport)
	require.True(t, ok)
	require.Equal(t, []int{128, 128, 128}, []int{transport.MaxConnsPerHost, transport.MaxIdleConns, transport.MaxIdleConnsPerHost})
	other, ok := adapters.NewHTTPClient(adapters.ClientOptions{MaxConns: 3}).Transport.(*http.Transport)
	require.True(t, ok)
	require.Equal(t, 3, other.MaxConnsPerHost)
	require.NotSame(t, transport, other, "each provider has its own pool")
}

// The check runs on the address that is dialled, so that a public name which
// resolves to a private address is refused too.
func TestControlRefusesAddressesAfterDNS(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	t.Cleanup(srv.Close)
	local := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	for _, url := range []string{srv.URL, local} {
		_, err := get(t, adapters.NewHTTPClient(adapters.ClientOptions{Control: adapters.RefusePrivate}), url) //nolint:bodyclose // there is none
		require.ErrorContains(t, err, "not public")
	}
	require.Zero(t, seen.Load())
	var asked net.IP
	resp, err := get(t, adapters.NewHTTPClient(adapters.ClientOptions{Control: func(ip net.IP) error { asked = ip; return nil }}), srv.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.True(t, asked.IsLoopback())
	refuse := errors.New("no")
	_, err = get(t, adapters.NewHTTPClient(adapters.ClientOptions{Control: func(net.IP) error { return refuse }}), srv.URL) //nolint:bodyclose // there is none
	require.ErrorIs(t, err, refuse)
}

func TestRefusePrivate(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"127.0.0.1", "127.8.8.8", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "fe80::1", "fc00::1",
		"fd00:ec2::254", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "100.64.0.1",
		"100.127.255.255", "0.1.2.3", "255.255.255.255", "192.0.0.8", "198.18.0.1", "240.0.0.1", "64:ff9b::7f00:1", "::127.0.0.1", "ff0e::1", "2001:db8::1", "2002:7f00:1::",
	} {
		require.Error(t, adapters.RefusePrivate(net.ParseIP(s)), s)
	}
	for _, s := range []string{"8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "172.32.0.1", "100.63.255.255", "100.128.0.1", "::ffff:8.8.8.8", "198.17.0.1", "223.255.255.1", "64:ff9b::808:808"} {
		require.NoError(t, adapters.RefusePrivate(net.ParseIP(s)), s)
	}
}
